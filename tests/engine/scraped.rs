//! Engine and exporter as two processes that share nothing but the journal: what was done is what is scraped.

use std::fs;

use engine::{jsonnet::Imports, wire::token::Claims};
use serde_json::json;

use super::{
    Home,
    peer::{Keys, local},
    shells,
    terminal::Terminal,
};
use crate::harness::{
    exporter, http,
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

/// Labels of a run, and of a command outside groups, by key and address.
fn run_by<'a>(
    name: &'a str,
    trigger: &'a str,
    error: &'a str,
    key: &'a str,
    from: &'a str,
) -> [(&'a str, &'a str); 5] {
    [("error", error), ("name", name), ("public_key", key), ("remote_addr", from), ("trigger", trigger)]
}

fn command_by<'a>(
    source: &'a str,
    id: &'a str,
    mode: &'a str,
    error: &'a str,
    (key, from): (&'a str, &'a str),
) -> [(&'a str, &'a str); 7] {
    [
        ("error", error),
        ("id", id),
        ("mode", mode),
        ("parent_id", ""),
        ("public_key", key),
        ("remote_addr", from),
        ("source", source),
    ]
}

#[test]
fn pushes_pulls_webhooks_events_shells_and_a_kill_are_scraped_label_by_label() {
    let (home, watched) = (Home::new(), exporter::Home::new());
    let exporter = watched.start(&[]);
    let (one, two, puller) = (Keys::new("one"), Keys::new("two"), Keys::new("puller"));
    home.write(
        "pulled.jwt",
        &puller.sign_claims(&Claims {
            pattern: Some(Imports::of_text("{run: [{id: 'p', check: 'test -e p', change: 'touch p'}]}")),
            ..Claims::default()
        }),
    );
    let config = json!({
        "journal": {"path": watched.journal()},
        "run": {"verifyKeys": [one.public, two.public]},
        "sources": {
            "audit": {"eventsReceive": "push", "triggerOnly": true,
                      "commands": [{"id": "seen", "always": true, "change": "true"}]},
            "hook": {"webhookPaths": "/hook", "triggerOnly": true,
                     "commands": [{"id": "h", "always": true, "change": "echo hi", "onChange": "etcha:webhookBody"}]},
            "pulled": {"pullPaths": "pulled.jwt", "verifyKeys": puller.public},
            "web": {"allowPush": true, "shell": {"command": "/bin/sh"}}
        }
    });
    let mut engine = home.listen(&config);
    let value = |family: &str, labels: &[(&str, &str)]| exporter.scrape().value(family, labels);
    // Two people have a shell each when it is killed.
    let shells = [(&one, "one.json"), (&two, "two.json")].map(|(keys, file)| {
        shells::operator(&home, keys, &engine, file);
        Terminal::start(shells::client_by(&home, file, &["web", "here"]), 80, 24)
    });
    let shell_of = |key| [("name", "web"), ("public_key", key), ("remote_addr", "127.0.0.1")];
    wait_until(SOON, "both shells to be open", || {
        ["one", "two"].map(|key| value("etcha_sources_shells", &shell_of(key))) == [Some(1.0); 2]
    });
    let made = "{run: [{id: 'a', check: 'test -e a', change: 'touch a', remove: 'rm a'}]}";
    assert_eq!(engine.push_from(local(1), "web", &one.sign(made)).status, 200);
    assert_eq!(engine.push_from(local(2), "web", &two.sign("{run: [{id: 'b'}]}")).status, 200);
    let failing = "{run: [{id: 'c', always: true, change: 'false'}]}";
    assert_eq!(engine.push_from(local(2), "web", &two.sign(failing)).status, 500);
    assert_eq!(engine.push_from(local(1), "web", &Keys::new("one").sign(made)).status, 404);
    assert_eq!(engine.send("POST", "/hook", "").text(), "hi\n");
    // Killed in the middle of a push: what it had done by then is recorded, what it had not is not.
    let cut = one.sign(
        "{run: [{id: 'done', always: true, change: 'true'}, {id: 'cut', always: true, change: 'echo $$ > pid; touch busy; exec sleep 1000'}]}",
    );
    let address = engine.address;
    let pushing = std::thread::spawn({
        let certificate = engine.certificate().to_owned();
        move || {
            // Nobody answers any more.
            std::panic::catch_unwind(|| {
                let target = ("POST", "/etcha/v1/push/web");
                http::send((address, &certificate), local(1), target, &[], cut.as_bytes()).status
            })
            .is_err()
        }
    });
    wait_until(SOON, "the push to run", || home.path("busy").exists());
    engine.process.signal(rustix::process::Signal::KILL);
    engine.process.wait();
    assert!(pushing.join().unwrap());
    drop(engine);
    // Its script has outlived it.
    let left = fs::read_to_string(home.path("pid")).unwrap();
    let left = rustix::process::Pid::from_raw(left.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(left, rustix::process::Signal::KILL).unwrap();
    let engine = home.listen(&config);
    assert_eq!(engine.push_from(local(1), "web", &one.sign(made)).status, 200);

    let (by_one, by_two, by_puller) = (("one", "127.0.0.1"), ("two", "127.0.0.2"), ("puller", ""));
    wait_until(SOON, "the last push to be counted", || {
        value("etcha_sources_total", &run_by("web", "push", "0", "one", "127.0.0.1")) == Some(2.0)
    });
    let runs = [
        (run_by("web", "push", "0", "one", "127.0.0.1"), 2.0),
        (run_by("web", "push", "1", "one", "127.0.0.1"), 0.0),
        (run_by("web", "push", "0", "two", "127.0.0.2"), 1.0),
        (run_by("web", "push", "1", "two", "127.0.0.2"), 1.0),
        // What was there when it started again.
        (run_by("web", "init", "0", "two", ""), 1.0),
        (run_by("pulled", "init", "0", "puller", ""), 2.0),
        (run_by("hook", "webhook", "0", "", ""), 1.0),
        (run_by("audit", "event", "0", "one", "127.0.0.1"), 2.0),
        (run_by("audit", "event", "0", "two", "127.0.0.2"), 2.0),
    ];
    wait_until(SOON, "the last event to be counted", || {
        value("etcha_sources_total", &runs[7].0) == Some(2.0)
    });
    for (labels, count) in runs {
        assert_eq!(value("etcha_sources_total", &labels), Some(count), "{labels:?}");
    }
    let commands = [
        (command_by("web", "a", "check", "1", by_one), 2.0),
        (command_by("web", "a", "changed", "0", by_one), 2.0),
        // The second push took away what the first had made: its check still said that it is there.
        (command_by("web", "a", "check", "1", by_two), 1.0),
        (command_by("web", "a", "remove", "0", by_two), 1.0),
        (command_by("web", "b", "check", "0", by_two), 1.0),
        (command_by("web", "c", "check", "1", by_two), 1.0),
        (command_by("web", "c", "changed", "1", by_two), 1.0),
        (command_by("web", "done", "changed", "0", by_one), 1.0),
        (command_by("web", "cut", "check", "1", by_one), 1.0),
        (command_by("pulled", "p", "check", "1", by_puller), 1.0),
        (command_by("pulled", "p", "check", "0", by_puller), 1.0),
        (command_by("pulled", "p", "changed", "0", by_puller), 1.0),
        (command_by("hook", "h", "changed", "0", ("", "")), 1.0),
        (command_by("audit", "seen", "changed", "0", by_one), 2.0),
    ];
    for (labels, count) in commands {
        assert_eq!(value("etcha_commands_total", &labels), Some(count), "{labels:?}");
    }
    for key in ["one", "two"] {
        let labels = shell_of(key);
        assert_eq!(value("etcha_sources_shells", &labels), Some(0.0), "{key}");
        assert_eq!(value("etcha_shells_opened_total", &labels), Some(1.0), "{key}");
        let orphaned = [labels.as_slice(), &[("reason", "orphaned")]].concat();
        assert_eq!(value("etcha_shells_closed_total", &orphaned), Some(1.0), "{key}");
    }
    drop(shells);
    assert_eq!(value("etcha_commands_total", &command_by("web", "cut", "changed", "0", by_one)), None);
    assert_eq!(value("etcha_commands_total", &command_by("web", "cut", "changed", "1", by_one)), None);
    let sum: f64 = exporter
        .scrape()
        .samples
        .iter()
        .filter(|(series, _)| series.name == "etcha_sources_total")
        .map(|(_, value)| value)
        .sum();
    let journal = fs::read_to_string(watched.journal()).unwrap();
    let recorded = journal.lines().filter(|line| line.contains(r#""event":"source""#)).count();
    assert_eq!(sum, f64::from(u32::try_from(recorded).unwrap()));
    assert_eq!(value("etcha_engine_starts_total", &[]), Some(2.0));
}
