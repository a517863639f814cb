//! An engine that goes on and comes to its end whatever its Sources do: scripts that hang, pulls that never answer, receivers of
//! events that are slow, signals.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use rustix::{
    fs::{CWD, Mode, mkfifoat},
    process::{Pid, Signal, kill_process},
};
use serde_json::{Value, json};

use super::{
    Home,
    peer::{Engine, Keys, json},
};
use crate::harness::{
    process::Process,
    wait::{SOON, wait_until},
};

/// From SIGTERM to the end, whatever runs.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// What hangs until it is ended, or its directory is gone, and says when it has begun.
fn hanging(name: &str) -> Value {
    json!([{"id": "hang", "always": true, "change": format!("echo $$ > {name}; while test -e {name}; do sleep 0.1; done")}])
}

/// Notes each run in a file.
fn ticking() -> Value {
    json!([{"id": "tick", "always": true, "change": "echo t >> ticks; echo ok", "onChange": "etcha:webhookBody"}])
}

fn count(home: &Home, name: &str) -> usize {
    fs::read_to_string(home.path(name)).unwrap_or_default().lines().count()
}

fn wait_for_file(home: &Home, name: &str) {
    wait_until(SOON, name, || count(home, name) > 0);
}

fn is_alive(home: &Home, name: &str) -> bool {
    let pid = fs::read_to_string(home.path(name)).unwrap();
    home.path("/proc").join(pid.trim()).exists()
}

/// Runs in the journal: name, trigger, error.
fn runs(home: &Home) -> Vec<String> {
    let lines = home.lines().into_iter().filter(|line| line["event"] == "source");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    lines
        .map(|line| format!("{} {} {}", text(&line["name"]), text(&line["trigger"]), line["error"]))
        .collect()
}

/// SIGTERM, and how long it took to end.
fn stop(engine: &mut Engine) -> Duration {
    let begin = Instant::now();
    assert!(engine.process.terminate().success());
    begin.elapsed()
}

#[test]
fn a_source_that_hangs_at_the_start_holds_up_no_other_and_not_the_end() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let mut engine = home.listen(&json!({
        "journal": {"path": "journal.jsonl"},
        "run": {"verifyKeys": keys.public, "timeoutStop": "1s"},
        "sources": {
            "a": {"runFrequency": "1s", "commands": hanging("hung")},
            "z": {"allowPush": true, "runFrequency": "100ms", "webhookPaths": "/hook", "commands": ticking()}
        }
    }));
    wait_for_file(&home, "hung");
    wait_until(SOON, "three runs of the other source", || count(&home, "ticks") > 3);
    let answer = engine.send("GET", "/hook", "");
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"ok\n".as_slice()));
    let pushed = engine.push("z", &keys.sign("{run: [{id: 'x', check: 'true'}]}"));
    assert_eq!(pushed.status, 200, "{pushed:?}");
    assert!(stop(&mut engine) < STOP_LIMIT);
    assert!(!is_alive(&home, "hung"));
    let lines = home.lines();
    assert_eq!(lines[lines.len() - 1]["state"], "stopped");
    assert!(runs(&home).contains(&"a init true".to_owned()));
}

#[test]
fn a_log_that_cannot_be_written_ends_neither_work_nor_the_engine() {
    // A full disk, and a pipe that nobody reads any more.
    for log in ["2>/dev/full", "2>&1 | true"] {
        let home = Home::new();
        let sources = json!({"a": {"runFrequency": "100ms", "commands": ticking()}});
        home.write(
            "etcha.jsonnet",
            &json!({"journal": {"path": "journal.jsonl"}, "sources": sources}).to_string(),
        );
        let plain = home.command(&[]);
        let mut command = Command::new("bash");
        let script = format!("set -o pipefail; \"$0\" run {log}");
        command.args(["-c", &script]).arg(plain.get_program()).current_dir(home.path(""));
        command.env("etcha_httpServer_listenAddress", "127.0.0.1:0");
        let mut shell = Process::start(&mut command);
        wait_until(SOON, "runs", || count(&home, "ticks") > 3);
        let pid = home.lines()[0]["pid"].as_i64().unwrap();
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(shell.wait().success(), "{log}");
        assert_eq!(home.lines().last().unwrap()["state"], "stopped", "{log}");
    }
}

#[test]
fn a_run_that_takes_longer_than_its_source_allows_is_ended_whatever_set_it_off() {
    let home = Home::new();
    let _engine = home.listen(&json!({
        "journal": {"path": "journal.jsonl"},
        "sources": {
            "first": {"runTimeout": "300ms", "commands": hanging("a")},
            "heard": {"runTimeout": "300ms", "eventsReceive": "go", "triggerOnly": true, "commands": hanging("b")},
            "send": {"eventsSend": "go", "commands": [
                {"id": "s", "always": true, "change": "true", "onChange": "etcha:go"}
            ]}
        }
    }));
    wait_until(SOON, "both runs to be ended", || {
        let runs = runs(&home);
        runs.contains(&"first init true".to_owned()) && runs.contains(&"heard event true".to_owned())
    });
    assert!(!is_alive(&home, "a") && !is_alive(&home, "b"));
}

#[test]
fn the_script_under_way_finishes_within_its_time_and_nothing_new_begins() {
    let home = Home::new();
    let script = "echo $$ > begun; trap '' TERM; until test -e go; do sleep 0.05; done; echo done > finished";
    let mut engine = home.listen(&json!({
        "journal": {"path": "journal.jsonl"},
        "run": {"timeoutStop": "30s"},
        "sources": {"a": {"commands": [
            {"id": "upgrade", "always": true, "change": script},
            {"id": "next", "always": true, "change": "touch next"}
        ]}}
    }));
    wait_for_file(&home, "begun");
    engine.process.signal(Signal::TERM);
    engine.process.wait_for_log("that it stops", |line| line.contains("stopping").then_some(()));
    fs::write(home.path("go"), "").unwrap();
    assert!(engine.process.wait().success());
    assert!(home.path("finished").exists() && !home.path("next").exists());
    let lines = home.lines();
    let changed = lines.iter().find(|line| line["mode"] == "changed").unwrap();
    assert_eq!((&changed["id"], &changed["error"]), (&json!("upgrade"), &json!(false)));
    assert_eq!(lines[lines.len() - 1]["state"], "stopped");
}

#[test]
fn a_signal_to_end_does_not_wait_for_a_configuration_that_is_being_read() {
    let home = Home::new();
    let mut engine = home.listen(&json!({"sources": {"a": {"webhookPaths": "/a", "commands": ticking()}}}));
    home.write("etcha.jsonnet", "local endless(n) = endless(n + 1) tailstrict; endless(0)");
    engine.process.signal(Signal::HUP);
    let threads = format!("/proc/{}/task", engine.process.id());
    wait_until(SOON, "the configuration to be read", || {
        let threads = fs::read_dir(&threads).unwrap().flatten();
        let children = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children"));
        threads.filter_map(|thread| children(thread).ok()).any(|children| !children.is_empty())
    });
    // Reading it ends after ten seconds.
    assert!(stop(&mut engine) < Duration::from_secs(5));
}

#[test]
fn a_script_that_ignores_the_end_is_killed_and_a_second_signal_does_not_wait_for_it() {
    let home = Home::new();
    let script = "echo $$ > begun; trap '' TERM; while true; do sleep 0.1; done";
    let mut engine = home.listen(&json!({
        "run": {"timeoutStop": "10m"},
        "sources": {"a": {"commands": [{"id": "deaf", "always": true, "change": script}]}}
    }));
    wait_for_file(&home, "begun");
    engine.process.signal(Signal::TERM);
    engine.process.wait_for_log("that it stops", |line| line.contains("stopping").then_some(()));
    assert!(stop(&mut engine) < STOP_LIMIT);
    assert!(!is_alive(&home, "begun"));
}

#[test]
fn a_pull_path_that_never_answers_holds_up_neither_others_nor_the_end() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    mkfifoat(CWD, home.path("web.jwt"), Mode::RUSR | Mode::WUSR).unwrap();
    // Accepts and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/web.jwt", silent.local_addr().unwrap());
    let mut engine = home.listen(&json!({
        "journal": {"path": "journal.jsonl"},
        "run": {"verifyKeys": keys.public},
        "sources": {
            "pipe": {"runFrequency": "100ms", "pullPaths": ["web.jwt"]},
            "silent": {"runFrequency": "100ms", "pullPaths": [format!("{address}#clientTimeout:1000")]},
            "z": {"runFrequency": "100ms", "commands": ticking()}
        }
    }));
    wait_until(SOON, "runs of the other source", || count(&home, "ticks") > 3);
    wait_until(SOON, "failed pulls", || runs(&home).contains(&"pipe pull true".to_owned()));
    assert!(stop(&mut engine) < STOP_LIMIT);
    // Nobody knows what came of the other pull, so it did not fail.
    assert!(!runs(&home).iter().any(|run| run.starts_with("silent")));
}

#[test]
fn a_receiver_that_hangs_holds_up_neither_the_push_nor_the_schedule_that_set_it_off() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let engine = home.listen(&json!({
        "journal": {"path": "journal.jsonl"},
        "run": {"verifyKeys": keys.public, "timeoutPush": "20s"},
        "sources": {
            "web": {"allowPush": true},
            "sched": {"runFrequency": "100ms", "eventsSend": ".", "commands": [
                {"id": "s", "always": true, "change": "echo t >> ticks", "onChange": "etcha:tick"}
            ]},
            "audit": {"eventsReceive": ["push"], "triggerOnly": true, "commands": hanging("audit")},
            "rec": {"eventsReceive": ["tick"], "triggerOnly": true, "commands": hanging("rec")}
        }
    }));
    wait_for_file(&home, "rec");
    for number in 0..4 {
        let program = format!("{{run: [{{id: 'p', always: true, change: 'echo {number}'}}]}}");
        let pushed = engine.push("web", &keys.sign(&program));
        assert_eq!((pushed.status, &json(&pushed)["changedIDs"]), (200, &json!(["p"])), "{pushed:?}");
    }
    wait_for_file(&home, "audit");
    let before = count(&home, "ticks");
    wait_until(SOON, "the schedule to go on", || count(&home, "ticks") > before + 3);
    assert!(is_alive(&home, "rec") && is_alive(&home, "audit"));
}

#[test]
fn a_reload_takes_up_what_is_right_refuses_what_is_wrong_and_cuts_nothing_off() {
    let home = Home::new();
    let config = |sources: Value| json!({"journal": {"path": "journal.jsonl"}, "sources": sources});
    let slow = "echo $$ > begun; until test -e go; do sleep 0.05; done; echo done > finished";
    let first = json!({
        "slow": {"commands": [{"id": "s", "always": true, "change": slow}]},
        "old": {"runFrequency": "100ms", "commands": ticking()}
    });
    let mut engine = home.listen(&config(first));
    wait_for_file(&home, "begun");
    home.write("etcha.jsonnet", "{sources: {old: {runFrequenzy: '1s'}}}");
    engine.process.signal(Signal::HUP);
    engine.process.wait_for_log("the refusal", |line| {
        (line.contains("not reloaded") && line.contains("runFrequenzy")).then_some(())
    });
    let before = count(&home, "ticks");
    wait_until(SOON, "the old schedule to go on", || count(&home, "ticks") > before + 1);
    let second = json!({
        "slow": {"commands": [{"id": "t", "always": true, "change": "touch again"}]},
        "new": {"webhookPaths": "/new", "commands": [
            {"id": "n", "always": true, "change": "echo new", "onChange": "etcha:webhookBody"}
        ]}
    });
    home.write("etcha.jsonnet", &config(second).to_string());
    engine.process.signal(Signal::HUP);
    engine
        .process
        .wait_for_log("the reload", |line| line.contains("reloaded the configuration").then_some(()));
    assert_eq!(engine.send("GET", "/new", "").body, b"new\n");
    // The one under way goes on as it began, and the next one is the new one.
    assert!(!home.path("again").exists());
    fs::write(home.path("go"), "").unwrap();
    wait_until(SOON, "the run of the new commands", || home.path("again").exists());
    assert!(home.path("finished").exists());
    let runs = |name: &str| runs(&home).iter().filter(|run| run.starts_with(name)).count();
    let old = runs("old");
    assert!(stop(&mut engine) < STOP_LIMIT);
    assert!(runs("old") <= old + 1 && runs("new") >= 2);
}

#[test]
fn a_configuration_is_checked_without_running_anything() {
    let home = Home::new();
    home.write("etcha.jsonnet", "{sources: {a: {commands: [{id: 'x', always: true, change: 'touch ran'}]}}}");
    assert_eq!(home.says(&["run", "--check-config"]), "the configuration is valid: 1 sources\n");
    assert!(!home.path("ran").exists());
    home.write("etcha.jsonnet", "{sources: {a: {commandz: []}}}");
    let output = home.run(&["run", "--check-config"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("commandz"));
}

#[test]
fn a_check_reads_what_a_start_and_the_first_pull_read() {
    let home = Home::new();
    home.write("empty.pem", "");
    home.write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    home.write("file", "");
    mkfifoat(CWD, home.path("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
    let check = |setting: &str| {
        let output = home.run(&["-x", setting, "run", "--check-config"]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    home.write("etcha.jsonnet", "{sources: {a: {commands: [{id: 'x', always: true, change: 'touch ran'}]}}}");
    for (setting, what) in [
        ("httpClient_tlsCAPath=empty.pem", "empty.pem: no certificate in it"),
        ("httpClient_tlsCAPath=broken.pem", "broken.pem: "),
        ("httpClient_tlsCAPath=fifo", "fifo: not a regular file"),
        ("httpClient_tlsCAPath=gone.pem", "gone.pem: No such file"),
        ("run_stateDir=file/below", "file/below: state directory: "),
    ] {
        let (code, said) = check(setting);
        assert_eq!(code, Some(2), "{setting}: {said}");
        assert!(said.contains(what), "{setting}: {said}");
    }
    assert_eq!(check("run_stateDir=not/yet/there").0, Some(0));
    assert!(!home.path("not").exists() && !home.path("ran").exists(), "nothing is made");
}

#[test]
fn a_second_engine_is_refused_with_the_name_of_the_first_and_leaves_it_alone() {
    let home = Home::new();
    let mut engine = home.listen(&json!({
        "journal": {"path": "journal.jsonl"},
        "sources": {"a": {"runFrequency": "100ms", "commands": ticking()}}
    }));
    wait_until(SOON, "a run", || count(&home, "ticks") > 0);
    let pid = engine.process.status_number("Pid");
    let refused = |arguments: &[&str], what: &str| {
        let output = home.run(&[arguments, &["run", "--once"]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains(&format!("the {what} is used by the engine with process id {pid}; stop")),
            "{said}"
        );
    };
    refused(&["-x", "run_stateDir=state"], "state directory");
    refused(&["-x", "run_stateDir=other"], "journal");
    // Another state directory and another journal are another engine.
    home.says(&["-x", "run_stateDir=other", "-x", "journal_path=other.jsonl", "run", "--once"]);
    assert!(stop(&mut engine) < STOP_LIMIT);
    let started = home.lines().iter().filter(|line| line["state"] == "started").count();
    assert_eq!(started, 1);
    home.says(&["-x", "run_stateDir=state", "run", "--once"]);
}
