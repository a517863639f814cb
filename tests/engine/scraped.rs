//! Engine and exporter as two processes that share nothing but the journal: what was done is what is scraped.

use std::fs;

use serde_json::json;

use super::Home;
use crate::harness::{
    exporter,
    process::Process,
    wait::{SOON, wait_until},
};

/// Labels of a command of the source `web`.
fn command<'a>(id: &'a str, mode: &'a str, error: &'a str, parent: &'a str) -> [(&'a str, &'a str); 7] {
    [
        ("error", error),
        ("id", id),
        ("mode", mode),
        ("parent_id", parent),
        ("public_key", ""),
        ("remote_addr", ""),
        ("source", "web"),
    ]
}

fn source<'a>(name: &'a str, trigger: &'a str, error: &'a str) -> [(&'a str, &'a str); 5] {
    [("error", error), ("name", name), ("public_key", ""), ("remote_addr", ""), ("trigger", trigger)]
}

#[test]
fn what_the_engine_did_is_what_is_scraped() {
    let (home, watched) = (Home::new(), exporter::Home::new());
    let exporter = watched.start(&[]);
    home.write(
        "etcha.jsonnet",
        &json!({
            "journal": {"path": watched.journal()},
            "sources": {
                "web": {"eventsSend": ".", "commands": [
                    {"id": "fine", "check": "true", "change": "false"},
                    {"id": "sites", "commands": [
                        {"id": "one", "check": "test -e one", "change": "touch one", "onChange": "etcha:made"}
                    ]},
                    {"id": "broken", "check": "false", "change": "test -e mended"}
                ]},
                "watch": {"eventsReceive": "made", "triggerOnly": true,
                          "commands": [{"id": "note", "always": true, "change": "true"}]}
            }
        })
        .to_string(),
    );
    assert_eq!(home.run(&["run", "--once"]).status.code(), Some(1));
    fs::write(home.path("mended"), "").unwrap();
    home.says(&["run", "--once"]);
    let value = |family: &str, labels: &[(&str, &str)]| exporter.scrape().value(family, labels);
    wait_until(SOON, "the second run to be counted", || {
        value("etcha_sources_total", &source("web", "init", "0")) == Some(1.0)
    });
    let expected = [
        (command("fine", "check", "0", ""), 2.0),
        (command("one", "check", "1", "web > sites"), 1.0),
        (command("one", "check", "0", "web > sites"), 1.0),
        (command("one", "changed", "0", "web > sites"), 1.0),
        (command("broken", "check", "1", ""), 2.0),
        (command("broken", "changed", "1", ""), 1.0),
        (command("broken", "changed", "0", ""), 1.0),
    ];
    for (labels, count) in expected {
        assert_eq!(value("etcha_commands_total", &labels), Some(count), "{labels:?}");
    }
    assert_eq!(value("etcha_sources_total", &source("web", "init", "1")), Some(1.0));
    assert_eq!(value("etcha_sources_total", &source("watch", "event", "0")), Some(1.0));
    let changed =
        [("mode", "changed"), ("name", "web"), ("public_key", ""), ("remote_addr", ""), ("trigger", "init")];
    assert_eq!(value("etcha_sources_commands", &changed), Some(1.0));
}

#[test]
fn an_engine_that_is_killed_and_started_again_is_counted_on() {
    let (home, watched) = (Home::new(), exporter::Home::new());
    let exporter = watched.start(&[]);
    home.write(
        "etcha.jsonnet",
        &json!({
            "journal": {"path": watched.journal()},
            "sources": {"web": {"runFrequency": "100ms", "commands": [{"id": "a", "check": "true"}]}}
        })
        .to_string(),
    );
    let counted =
        || exporter.scrape().value("etcha_sources_total", &source("web", "pull", "0")).unwrap_or(0.0);
    let mut before = 0.0;
    for _ in 0..3 {
        let engine = Process::start(&mut home.command(&["run"]));
        wait_until(SOON, "runs to be counted", || counted() >= before + 2.0);
        // Dropping it is SIGKILL.
        drop(engine);
        before = counted();
    }
    let journal = fs::read_to_string(watched.journal()).unwrap();
    let recorded = journal.lines().filter(|line| line.contains(r#""trigger":"pull""#)).count();
    let recorded = f64::from(u32::try_from(recorded).unwrap());
    wait_until(SOON, "all runs in the journal to be counted", || counted() == recorded);
}
