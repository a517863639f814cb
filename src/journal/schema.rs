//! `schema`: the JSON Schema of a line, for writers in other languages.

use std::io::Write as _;
use std::process::ExitCode;

use crate::ToolError;

/// Print the JSON Schema of a line
///
/// For writers in other languages, and for editors and validators that understand JSON Schema (draft 2020-12).
#[derive(clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(Arguments {}: &Arguments) -> Result<ExitCode, ToolError> {
    std::io::stdout().write_all(journal_schema::schema::json_schema().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
