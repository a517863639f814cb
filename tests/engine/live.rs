//! What can be seen of an engine while it works: that it is alive, which runs take long, and which requests it refused.

use serde_json::{Value, json};

use super::{Home, peer::Keys};
use crate::harness::{
    exporter,
    process::Process,
    wait::{SOON, wait_until},
};

const RUN_START: &str = "etcha_source_run_start_timestamp_seconds";

fn events<'l>(lines: &'l [Value], event: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

#[test]
fn a_run_that_hangs_is_shown_while_it_lasts_and_gone_when_it_ends() {
    let (home, watched) = (Home::new(), exporter::Home::new());
    let exporter = watched.start(&[]);
    home.write(
        "etcha.jsonnet",
        &json!({
            "journal": {"path": watched.journal(), "heartbeat": "1s"},
            "sources": {
                "stuck": {"commands": [
                    {"id": "a", "always": true, "change": "until test -e go; do sleep 0.1; done"}
                ]},
                "quick": {"runFrequency": "200ms", "commands": [{"id": "a", "check": "true"}]}
            }
        })
        .to_string(),
    );
    let engine = Process::start(&mut home.command(&["run"]));
    let start = |name, trigger| exporter.scrape().value(RUN_START, &[("name", name), ("trigger", trigger)]);
    let metric = |family| exporter.scrape().value(family, &[]);
    wait_until(SOON, "the run to be shown", || start("stuck", "init").is_some());
    let since_engine = start("stuck", "init").unwrap() - metric("etcha_engine_start_time_seconds").unwrap();
    assert!((-0.1..4.0).contains(&since_engine), "it is shown since its start: {since_engine} s");
    let first = metric("etcha_engine_heartbeat_timestamp_seconds");
    wait_until(SOON, "a further heartbeat", || metric("etcha_engine_heartbeat_timestamp_seconds") > first);
    home.write("go", "");
    wait_until(SOON, "the run to be over", || start("stuck", "init").is_none());
    assert!(start("quick", "pull").is_none() && start("quick", "init").is_none());
    assert!(!exporter.scrape().types.contains_key(RUN_START), "a family without a sample has no head");
    drop(engine);
    let lines = std::fs::read_to_string(watched.journal()).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let runs = events(&lines, "run");
    assert_eq!(runs.iter().map(|run| &run["state"]).collect::<Vec<_>>(), ["started", "ended"]);
    assert!(runs[0]["duration_seconds"].as_f64() > Some(5.0), "{}", runs[0]);
}

#[test]
fn an_engine_that_runs_once_or_is_told_so_has_no_heartbeat() {
    let home = Home::new();
    let config = |heartbeat: &str| {
        json!({
            "journal": {"path": "journal.jsonl", "heartbeat": heartbeat},
            "sources": {"web": {"runFrequency": "100ms", "commands": [{"id": "a", "check": "true"}]}}
        })
        .to_string()
    };
    home.write("etcha.jsonnet", &config("1s"));
    home.says(&["run", "--once"]);
    home.write("etcha.jsonnet", &config("0s"));
    let _engine = Process::start(&mut home.command(&["run"]));
    wait_until(SOON, "two seconds of runs", || events(&home.lines(), "source").len() > 20);
    assert!(events(&home.all_lines(), "heartbeat").is_empty());
}

#[test]
fn refused_requests_are_counted_and_no_client_fills_the_journal() {
    let (home, watched) = (Home::new(), exporter::Home::new());
    let exporter = watched.start(&[]);
    let (keys, others) = (Keys::new("deploy"), Keys::new("stranger"));
    let engine = home.listen(&json!({
        "journal": {"path": watched.journal(), "heartbeat": "1s"},
        "run": {"verifyKeys": keys.public},
        "sources": {"web": {"allowPush": true}, "closed": {}}
    }));
    let program = "{run: [{id: 'a', check: 'true'}]}";
    engine.push("closed", &keys.sign(program));
    engine.push("made-up-name", &keys.sign(program));
    for _ in 0..40 {
        engine.push("web", &others.sign(program));
    }
    let refused =
        |reason| exporter.scrape().value("etcha_refusals_total", &[("action", "push"), ("reason", reason)]);
    wait_until(SOON, "refusals to be counted", || {
        [refused("not_allowed"), refused("unknown"), refused("signature")]
            == [Some(1.0), Some(1.0), Some(3.0)]
    });
    let journal = std::fs::read_to_string(watched.journal()).unwrap();
    assert!(!journal.contains("made-up-name"));
    let lines: Vec<Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines = events(&lines, "refused");
    assert_eq!(lines.len(), 5, "a client has five lines");
    assert!(lines.iter().all(|line| line["remote_addr"] == "127.0.0.1" && line.get("public_key").is_none()));
    assert_eq!((&lines[0]["name"], lines[1].get("name")), (&json!("closed"), None));
    assert_eq!(engine.push("web", &keys.sign(program)).status, 200);
}
