//! The walls between crates: what each of them may not depend on, however far down. The compiler keeps modules apart;
//! this keeps a dependency from bringing in through another what a crate promises to do without.

use std::{collections::BTreeSet, process::Command};

/// Names of all packages that `package` is built of, without those for its tests.
fn built_of(package: &str, flags: &[&str]) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--package",
            package,
        ])
        .args(flags)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Asserts that `package` is built of `present`, which shows that the list is not empty for another reason, and of none
/// of `absent`.
fn assert_walls(package: &str, flags: &[&str], present: &str, absent: &[&str]) {
    let built_of = built_of(package, flags);
    assert!(built_of.contains(present), "{package} without {present}: {built_of:?}");
    for name in absent {
        assert!(!built_of.contains(*name), "{package} is built of {name}");
    }
}

#[test]
fn the_exporter_alone_has_nothing_of_the_engine() {
    let engines = ["engine", "rsjsonnet-lang", "pty-process", "regex", "regex-automata"];
    assert_walls("etcha-exporter", &["--no-default-features"], "exporter", &engines);
    assert_walls("etcha-exporter", &[], "engine", &[]);
}

#[test]
fn the_contract_has_neither_command_line_nor_terminal_nor_network() {
    let edges =
        ["clap", "anstream", "indicatif", "terminal", "tokio", "hyper", "prometheus", "tracing-subscriber"];
    assert_walls("journal-schema", &["--all-features"], "serde_json", &edges);
}

#[test]
fn https_and_terminal_know_no_program() {
    let programs = ["exporter", "engine", "journal", "journal-schema", "prometheus"];
    assert_walls("https", &[], "tokio-rustls", &programs);
    assert_walls("terminal", &[], "clap", &[&programs[..], &["https", "tokio"]].concat());
}

#[test]
fn the_tool_knows_neither_exporter_nor_engine_nor_network() {
    assert_walls("journal", &[], "journal-schema", &["exporter", "engine", "https", "tokio", "hyper"]);
}
