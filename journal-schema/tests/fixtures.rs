//! The frozen lines in `fixtures`: what each one is must never change within version 1.
//!
//! `fixtures/expected.tsv` says for every record of every file what comes of it: the name of its event, or the reason
//! why it cannot be used. The same lines are held against `journal.v1.schema.json`, so that the schema and the codec
//! stay one contract; where the schema cannot say what the codec demands, or asks more of a writer than a reader does,
//! the table says so in its last column.

#![allow(clippy::unwrap_used)]

mod schema_check;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, str};

use journal_schema::{Reader, Reason, decode};
use schema_check::Schema;
use serde_json::Value;

/// Names of all events.
const EVENTS: [&str; 7] = ["engine", "command", "source", "shell", "run", "heartbeat", "refused"];

/// One row of the table.
struct Expected {
    outcome: String,
    what: String,
    /// Where the schema and the codec differ, what the schema says.
    schema: Option<String>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Rows by file, in the order of its records.
fn table() -> BTreeMap<String, Vec<Expected>> {
    let mut table: BTreeMap<String, Vec<Expected>> = BTreeMap::new();
    for row in fs::read_to_string(fixtures().join("expected.tsv")).unwrap().lines().skip(1) {
        let cells: Vec<_> = row.split('\t').collect();
        let rows = table.entry(cells[0].to_owned()).or_default();
        assert_eq!(cells[1], (rows.len() + 1).to_string(), "the rows of a file stand in order: {row}");
        rows.push(Expected {
            outcome: cells[2].to_owned(),
            what: cells[3].to_owned(),
            schema: cells.get(4).map(|says| (*says).to_owned()),
        });
    }
    table
}

#[test]
fn every_frozen_line_is_what_it_always_was() {
    for (file, rows) in table() {
        let mut reader = Reader::new(fs::File::open(fixtures().join(&file)).unwrap());
        let mut rows = rows.iter();
        while let Some(record) = reader.next().unwrap() {
            let row =
                rows.next().unwrap_or_else(|| panic!("{file}: line {} is not in the table", record.line));
            let outcome = match &record.content {
                Ok(line) => line.event.name(),
                Err(rejected) => rejected.reason.as_str(),
            };
            assert_eq!(outcome, row.outcome, "{file}: {}: {:?}", row.what, record.content);
        }
        assert_eq!(rows.count(), 0, "{file}: the table has more rows than the file has records");
        assert_eq!(reader.unfinished(), 0, "{file}");
    }
}

#[test]
fn the_table_knows_every_file_every_event_and_every_reason() {
    let table = table();
    let files: BTreeSet<_> = fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".jsonl"))
        .collect();
    assert_eq!(files, table.keys().cloned().collect());
    let outcomes: BTreeSet<_> = table.values().flatten().map(|row| row.outcome.as_str()).collect();
    let reasons = Reason::ALL.iter().map(|reason| reason.as_str());
    let all: BTreeSet<_> = reasons.chain(EVENTS).collect();
    assert_eq!(outcomes, all);
}

#[test]
fn the_schema_and_the_codec_agree_on_every_line_that_is_json() {
    let schema = Schema::load();
    for (file, rows) in table() {
        let mut reader = Reader::new(fs::File::open(fixtures().join(&file)).unwrap());
        for row in &rows {
            let record = reader.next().unwrap().unwrap();
            let Ok(value) = serde_json::from_slice::<Value>(record.text) else { continue };
            let verdict = schema.check(&value);
            let expected = match row.schema.as_deref() {
                None => record.content.is_ok(),
                Some("schema takes it") => true,
                Some("schema refuses it") => false,
                Some(other) => panic!("{file}: {}: {other}", row.what),
            };
            assert_eq!(verdict.is_ok(), expected, "{file}: {}: {verdict:?}", row.what);
        }
    }
}

#[test]
fn the_example_lines_of_the_readme_are_good_and_fit_the_schema() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let schema = Schema::load();
    let mut events = BTreeSet::new();
    for line in readme.lines().filter(|line| line.starts_with("{\"v\":1,")) {
        let decoded = decode(line.as_bytes()).unwrap_or_else(|rejected| panic!("{rejected}: {line}"));
        events.insert(decoded.event.name());
        schema.check(&serde_json::from_str(line).unwrap()).unwrap();
    }
    assert_eq!(events, BTreeSet::from(EVENTS));
}
