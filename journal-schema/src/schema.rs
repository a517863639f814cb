//! The JSON Schema of a line, made from the types that encode and decode it.
//!
//! `journal.v1.schema.json` beside this crate is this schema written down; a test keeps the two equal. The schema
//! says what a writer may write; a reader takes more (unknown fields, a second spelling), as the README tells.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};

use crate::event::Event;
use crate::limits::MAX_COUNT;

/// One line of an Etcha journal, version 1: UTF-8, one JSON object, ended by LF, at most 65536 bytes with its LF.
/// Write the members in the order envelope, `event`, labels, measurements; readers take any order and ignore fields
/// they do not know. An absent optional string means the empty string.
#[derive(JsonSchema)]
#[schemars(title = "Etcha journal line, version 1", extend("$id" = "urn:etcha:journal:v1"))]
#[expect(
    dead_code,
    reason = "the envelope as the schema tells it; `Envelope` itself holds values already read"
)]
struct JournalLine<'a> {
    /// Version of the contract.
    #[schemars(range(min = 1, max = 1))]
    v: u64,
    /// One run of one writing process, fresh and random at each start; or several that continue one numbering under a
    /// lock.
    #[schemars(regex(pattern = r"^[0-9A-Za-z_-]{1,64}$"))]
    writer: String,
    /// 1, 2, 3 and so on for each writer. With `writer` it names the line for ever.
    #[schemars(range(min = 1, max = MAX_COUNT))]
    seq: u64,
    /// When the line was written: RFC 3339, UTC, `Z`, at least milliseconds.
    #[schemars(
        regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3,}Z$"),
        extend("format" = "date-time")
    )]
    time: String,
    #[serde(flatten)]
    event: Event<'a>,
}

/// The JSON Schema (draft 2020-12) of one line, indented, with a line feed at its end.
pub fn json_schema() -> String {
    let generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let schema = generator.into_root_schema_for::<JournalLine<'_>>();
    format!("{:#}\n", schema.as_value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_file_is_what_the_types_say() {
        let file = include_str!("../journal.v1.schema.json");
        assert!(
            file == json_schema(),
            "journal.v1.schema.json is stale; refresh it from the top of the repository with\n  \
             cargo run --bin etcha-journal -- schema > journal-schema/journal.v1.schema.json"
        );
    }
}
