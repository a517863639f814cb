//! `docs/engine-reference.md` against the program: each key that is read is in its tables and each key in the tables is
//! read; each function, variable and limit is there. A key that is missing in a table is named by the failure.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::json;

use crate::exec::process::MAX_OUTPUT_BYTES;
use crate::fields::{AskedKey, recorded};
use crate::jsonnet::{DEADLINE, FUNCTIONS, Imports, Natives, evaluate, imports, protocol};
use crate::pattern::Pattern;
use crate::values;

fn text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/engine-reference.md");
    fs::read_to_string(path).unwrap()
}

/// What stands below a heading.
fn section(heading: &str) -> String {
    let text = text();
    let begin = text.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    let rest = &text[begin + 4..];
    rest[..rest.find("\n## ").unwrap_or(rest.len())].to_owned()
}

/// The cells of a table's rows.
fn rows(section: &str) -> Vec<Vec<String>> {
    let lines = section.split('\n').filter(|line| line.starts_with("| `"));
    lines.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// Keys of a table; those that are refused are marked.
fn keys(heading: &str) -> BTreeSet<(String, bool)> {
    rows(&section(heading))
        .iter()
        .map(|cells| (cells[0].trim_matches('`').to_owned(), cells.last().unwrap() == "not here"))
        .collect()
}

fn read(asked: &[AskedKey], place: &str) -> BTreeSet<(String, bool)> {
    asked.iter().filter(|one| one.place == place).map(|one| (one.key.to_owned(), one.refused)).collect()
}

#[test]
fn every_key_of_a_pattern_is_in_the_reference() {
    let asked = recorded(|| {
        Pattern::read(json!({"run": [{"id": "a", "exec": {"env": {}}}]})).unwrap();
    });
    assert_eq!(keys("Pattern"), read(&asked, "pattern"));
    assert_eq!(keys("exec"), read(&asked, "run, command `a`, exec"));
    // `id` is read before the Command has a name.
    let mut command = read(&asked, "run, command `a`");
    command.insert(("id".to_owned(), false));
    assert_eq!(keys("Command"), command);
}

#[test]
fn every_native_function_is_in_the_reference() {
    let documented: BTreeSet<(String, bool)> = keys("Native functions");
    let mut there: BTreeSet<(String, bool)> =
        FUNCTIONS.iter().map(|(name, _)| ((*name).to_owned(), false)).collect();
    for name in ["get", "getCmd", "getRecord"] {
        let program = Imports::of_text(&format!("std.native('{name}')"));
        let error = evaluate(&program, &Natives::without_config(), &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("is not there"), "{error}");
        there.insert((name.to_owned(), true));
    }
    assert_eq!(documented, there);
    let facts = crate::jsonnet::sysinfo::facts();
    let section = section("Native functions");
    for fact in facts.as_object().unwrap().keys() {
        assert!(section.contains(&format!("`{fact}`")), "sysinfo.{fact}");
    }
}

#[test]
fn the_parameters_in_the_reference_are_those_of_the_functions() {
    let library = include_str!("jsonnet/etcha.libsonnet");
    for cells in rows(&section("Native functions")).iter().filter(|cells| cells.last().unwrap() != "not here")
    {
        let name = cells[0].trim_matches('`');
        let parameters = cells[1].strip_prefix('`').unwrap().split('`').next().unwrap();
        let declared = format!("  {name}{parameters}::");
        let with_cache = format!("  {name}{}, cache=false)::", parameters.trim_end_matches(')'));
        assert!(library.contains(&declared) || library.contains(&with_cache), "{declared}");
    }
}

#[test]
fn every_variable_that_the_engine_sets_is_in_the_reference() {
    let section = section("Variables of a script");
    let mut found = 0;
    for file in ["agent/shell.rs", "agent/source/events.rs", "agent/source/webhook.rs"] {
        let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        for name in source.split('"').filter(|piece| piece.starts_with("ETCHA_")) {
            assert!(section.contains(&format!("`{name}`")), "{name} of {file}");
            found += 1;
        }
    }
    assert!(found > 10, "{found}");
    for name in ["CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "JOURNAL_STREAM", "LISTEN_", "WATCHDOG_"] {
        assert!(section.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn limits_in_the_reference_are_those_of_the_program() {
    let section = section("Limits");
    let mib = |bytes: u64| format!("{} MiB", bytes / 1024 / 1024);
    let rows = [
        ("output that is kept of one script", mib(MAX_OUTPUT_BYTES as u64)),
        ("output that is kept of one run", mib(crate::run::MAX_KEPT_BYTES as u64)),
        ("value of a variable", format!("{} KiB", crate::run::MAX_VALUE_BYTES / 1024)),
        ("time of a rendering", format!("{} s", DEADLINE.as_secs())),
        ("memory of a rendering", mib(crate::jsonnet::child::MEMORY_BYTES)),
        ("files of a program together", mib(imports::MAX_BYTES)),
        ("JSON that a program renders to", format!("{}, 127 levels", mib(protocol::MAX_ANSWER_BYTES as u64))),
        ("values in JSON that a program renders to, and in a token", values::MAX_VALUES.to_string()),
        ("messages of `std.trace` in one rendering", protocol::MAX_TRACES.to_string()),
    ];
    for (what, limit) in rows {
        assert!(section.contains(&format!("| {what} | {limit} |")), "{what}: {limit}");
    }
}
