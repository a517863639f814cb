//! The exporter against a real agent: a replay of what the agent wrote must say what the agent said of itself.

use std::fs;

use crate::harness::{
    comparison::assert_same, exporter::render, exposition::Exposition, recording::Recording,
};

/// Ids of `edges` are up to 5,000 bytes long, and are compared whole.
const WHOLE_LABELS: &[&str] = &["--max-label-bytes", "65536"];

fn rendered(arguments: &[&str], file: &std::path::Path) -> Exposition {
    let text = render(arguments.iter().map(std::ffi::OsStr::new).chain([file.as_os_str()]));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Replays the whole recording in one go.
fn whole(name: &str, arguments: &[&str]) {
    let recording = Recording::load(name);
    let ours = rendered(arguments, &recording.journal_file());
    assert_same(name, &recording.journal, &ours, &recording.said());
}

/// Replays what the journal was at each moment at which the agent was asked.
fn each_step(name: &str, arguments: &[&str]) {
    let recording = Recording::load(name);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("journal.jsonl");
    assert!(!recording.steps.is_empty(), "{name} has steps");
    for step in &recording.steps {
        let journal = &recording.journal[..step.journal_bytes];
        fs::write(&file, journal).unwrap();
        let what = format!("{name}, step {}", step.what);
        assert_same(&what, journal, &rendered(arguments, &file), &step.said);
    }
}

#[test]
fn a_tour_of_what_an_agent_does_is_counted_as_the_agent_counts() {
    whole("tour", &[]);
}

#[test]
fn each_step_of_the_tour_is_counted_as_the_agent_counts() {
    each_step("tour", &[]);
}

#[test]
fn odd_names_keep_every_byte() {
    whole("edges", WHOLE_LABELS);
}

#[test]
fn odd_names_keep_every_byte_at_each_step() {
    each_step("edges", WHOLE_LABELS);
}

#[test]
fn counters_go_on_where_the_agents_begin_again_at_zero() {
    whole("restart", &[]);
}

#[test]
fn shells_are_open_until_closed_or_until_the_agent_is_gone() {
    whole("shells", &[]);
}

#[test]
fn shells_are_open_until_closed_at_each_step() {
    each_step("shells", &[]);
}

#[test]
fn runs_without_a_known_key_are_counted_as_the_agent_counts() {
    whole("verify-commands", &[]);
}

#[test]
fn runs_without_a_known_key_are_counted_at_each_step() {
    each_step("verify-commands", &[]);
}

#[test]
fn ten_thousand_commands_are_counted_from_a_packed_journal() {
    whole("wide-10k", &[]);
}

#[test]
fn a_journal_in_two_files_counts_as_one() {
    let recording = Recording::load("tour");
    let directory = tempfile::tempdir().unwrap();
    let [older, newer] = ["journal.jsonl.1", "journal.jsonl"].map(|name| directory.path().join(name));
    let (first, second) = recording.journal.split_at(recording.steps[30].journal_bytes);
    fs::write(&older, first).unwrap();
    fs::write(&newer, second).unwrap();
    let ours: Exposition = render([&older, &newer]).parse().unwrap();
    assert_same("tour in two files", &recording.journal, &ours, &recording.said());
}
