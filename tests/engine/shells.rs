//! Shells from one end to the other: a client at a real terminal, an engine, a real shell, and the journal.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::Path,
    process::{Command, Output, Stdio},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{
    Home,
    peer::{Engine, Keys},
    terminal::Terminal,
    text,
};
use crate::harness::{
    exporter,
    wait::{SOON, wait_until},
};

/// A home, and its engine with a shell for the Source `web`. Clients find it in `operator.json`.
pub(super) fn engine(home: &Home, keys: &Keys, journal: &Path, timeout: &str) -> Engine {
    let engine = home.listen(&config(keys, journal, timeout));
    operator(home, keys, &engine, "operator.json");
    engine
}

fn config(keys: &Keys, journal: &Path, timeout: &str) -> Value {
    json!({
        "journal": {"path": journal},
        "run": {"verifyKeys": keys.public, "timeoutShell": timeout},
        "sources": {
            "web": {"shell": {"command": "/bin/sh", "env": {"PS1": "$ ", "ENV": ""}}},
            "note": {"eventsReceive": "shell", "triggerOnly": true, "commands": [
                {"id": "note", "always": true, "change": "echo $ETCHA_EVENT_PUBLIC_KEY $ETCHA_EVENT_SRC > note"}
            ]}
        }
    })
}

/// Writes what a client needs to know into `file`.
pub(super) fn operator(home: &Home, keys: &Keys, engine: &Engine, file: &str) {
    let config = json!({
        "build": {"signingKey": keys.private},
        "httpClient": {"tlsCAPath": engine.certificate(), "noSystemCA": true},
        "targets": {"here": {"hostname": "127.0.0.1", "port": engine.address.port()}}
    });
    home.write(file, &config.to_string());
}

pub(super) fn client(home: &Home, arguments: &[&str]) -> Command {
    client_by(home, "operator.json", arguments)
}

/// The same by another configuration.
pub(super) fn client_by(home: &Home, file: &str, arguments: &[&str]) -> Command {
    home.command(&[&["-c", file, "-l", "error", "shell"], arguments].concat())
}

/// A client at a terminal, once the shell has shown its prompt.
pub(super) fn at_terminal(home: &Home, columns: u16, rows: u16) -> Terminal {
    let terminal = Terminal::start(client(home, &["web", "here"]), columns, rows);
    terminal.wait_for("$ ");
    terminal
}

/// Gives `input` to a client whose standard input is no terminal.
pub(super) fn piped(mut client: Command, input: &[u8]) -> Output {
    let piped = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn shells(journal: &Path) -> Vec<Value> {
    let journal = fs::read_to_string(journal).unwrap_or_default();
    let lines = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == "shell").collect()
}

fn reason(journal: &Path) -> String {
    wait_until(SOON, "the shell to be closed", || {
        shells(journal).iter().any(|line| line["state"] == "closed")
    });
    let shells = shells(journal);
    let closed = shells.iter().find(|line| line["state"] == "closed").unwrap();
    closed["reason"].as_str().unwrap().to_owned()
}

/// The number that a shell has written into `file`.
fn number(home: &Home, file: &str) -> String {
    let read = || fs::read_to_string(home.path(file)).unwrap_or_default();
    wait_until(SOON, "the number of a process", || read().ends_with('\n'));
    read().trim().to_owned()
}

/// Whether a process is there and is no zombie.
fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn two_people_at_terminals_have_a_shell_each_and_are_scraped_as_one_series() {
    let (home, watched) = (Home::new(), exporter::Home::new());
    let exporter = watched.start(&[]);
    let _engine = engine(&home, &Keys::new("ops"), &watched.journal(), "10m");
    let open = || {
        let labels = [("name", "web"), ("public_key", "ops"), ("remote_addr", "127.0.0.1")];
        exporter.scrape().value("etcha_sources_shells", &labels)
    };
    let (mut one, mut two) = (at_terminal(&home, 91, 17), at_terminal(&home, 50, 5));
    assert!(one.is_raw() && two.is_raw());
    one.keys("X=one; stty size\r");
    one.wait_for("\r\n17 91\r\n");
    two.keys("stty size; echo is $X.\r");
    two.wait_for("\r\n5 50\r\nis .\r\n");
    // The new size travels by itself.
    one.keys("until [ \"$(stty size)\" = '33 77' ]; do sleep 0.01; done; echo new''size\r");
    one.resize(77, 33);
    one.wait_for("\r\nnewsize\r\n");
    wait_until(SOON, "the shells to be scraped", || open() == Some(1.0));
    // Ctrl-C is for what runs over there.
    two.keys("trap 'echo caught' INT; kill -INT $$\r");
    two.wait_for("\r\ncaught\r\n");
    one.keys("sh -c 'echo now''here; exec sleep 1000'\r");
    one.wait_for("\r\nnowhere\r\n");
    one.keys("\u{3}");
    one.keys("exit 3\r");
    assert_eq!(one.wait().code(), Some(3));
    assert!(!one.is_raw() && open() == Some(1.0));
    two.keys("exit\r");
    assert_eq!(two.wait().code(), Some(0));
    wait_until(SOON, "no shell to be scraped", || open() == Some(0.0));
    wait_until(SOON, "the event", || {
        fs::read_to_string(home.path("note")).is_ok_and(|note| note == "ops 127.0.0.1\n")
    });
    let lines = shells(&watched.journal());
    let sessions: std::collections::BTreeSet<_> =
        lines.iter().map(|line| line["session"].as_str().unwrap()).collect();
    assert_eq!((lines.len(), sessions.len()), (4, 2));
}

#[test]
fn a_shell_knows_what_terminal_it_is_shown_on() {
    let home = Home::new();
    let _engine = engine(&home, &Keys::new("ops"), &home.path("journal.jsonl"), "10m");
    let mut here = client(&home, &["web", "here"]);
    here.env("TERM", "vt220");
    let terminal = Terminal::start(here, 80, 24);
    terminal.wait_for("$ ");
    terminal.keys("echo it is a $TERM\r");
    terminal.wait_for("it is a vt220");
}

#[test]
fn a_script_types_and_gets_bytes_and_a_status() {
    let home = Home::new();
    let _engine = engine(&home, &Keys::new("ops"), &home.path("journal.jsonl"), "10m");
    let all: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    fs::write(home.path("all"), &all).unwrap();
    let output = piped(client(&home, &["web"]), b"stty raw -echo; echo =; cat all; exit 7\n");
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(7), ""));
    assert!(output.stdout.ends_with(&all), "{} bytes", output.stdout.len());
    // The end of input ends a shell, after a last line that has no end of its own.
    let output = piped(client(&home, &["web"]), b"echo a$((1+1))b");
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    // The prompt may come before or after the echo of what was typed.
    assert!(text(&output.stdout).contains("a2b\r\n"), "{}", text(&output.stdout));
}

#[test]
fn what_cannot_be_opened_says_why() {
    let home = Home::new();
    let keys = Keys::new("ops");
    let engine = engine(&home, &keys, &home.path("journal.jsonl"), "10m");
    operator(&home, &Keys::new("ops"), &engine, "stranger.json");
    let address = format!("127.0.0.1:{}", engine.address.port());
    let refused =
        format!("etcha-engine: {address}: there is no such source, it has no shell, or it does not trust");
    let cases: [(&[&str], &str); 6] = [
        (&["-c", "operator.json", "shell", "other"], &refused),
        (&["-c", "operator.json", "shell", "note"], &refused),
        (&["-c", "stranger.json", "shell", "web"], &refused),
        (&["shell", "--host", "127.0.0.1", "web"], "etcha-engine: a shell needs a key that the other side"),
        (
            &["-c", "operator.json", "shell", "web", "there"],
            "etcha-engine: the configuration has no target `there`",
        ),
        (
            &["-c", "operator.json", "-x", "httpClient_tlsCAPath=null", "shell", "web"],
            "TLS: invalid peer certificate",
        ),
    ];
    for (arguments, expected) in cases {
        let output = home.run(arguments);
        assert_eq!(output.status.code(), Some(255));
        assert!(text(&output.stderr).contains(expected), "{arguments:?}: {}", text(&output.stderr));
    }
    // Whoever is wrong again and again is told to wait.
    let mut said = String::new();
    wait_until(SOON, "too many refusals", || {
        said = text(&home.run(&["-c", "operator.json", "shell", "other"]).stderr);
        said.contains("too many requests from here were refused; try again in ")
    });
    assert_eq!(shells(&home.path("journal.jsonl")), Vec::<Value>::new());
}

#[test]
fn time_that_is_over_is_told() {
    let home = Home::new();
    let _engine = engine(&home, &Keys::new("ops"), &home.path("journal.jsonl"), "1s");
    let mut terminal = at_terminal(&home, 80, 24);
    assert_eq!(terminal.wait().code(), Some(255));
    terminal.wait_for("the shell reached its time limit (`run_timeoutShell` of that engine)");
    assert!(!terminal.is_raw());
    assert_eq!(reason(&home.path("journal.jsonl")), "timeout");
}

#[test]
fn an_engine_that_stops_ends_its_shells_and_says_so() {
    let home = Home::new();
    let mut engine = engine(&home, &Keys::new("ops"), &home.path("journal.jsonl"), "10m");
    let mut terminal = at_terminal(&home, 80, 24);
    terminal.keys("trap '' HUP TERM; sh -c 'echo $$ > pid; while :; do sleep 1000; done'\r");
    let pid = number(&home, "pid");
    assert!(engine.process.terminate().success());
    assert!(!is_alive(&pid));
    assert_eq!(terminal.wait().code(), Some(255));
    terminal.wait_for("the engine has stopped");
    assert!(!terminal.is_raw());
    let lines = home.lines();
    let last: Vec<_> = lines.iter().rev().take(2).map(|line| (&line["event"], &line["state"])).collect();
    assert_eq!(last, [(&json!("engine"), &json!("stopped")), (&json!("shell"), &json!("closed"))]);
    assert_eq!(reason(&home.path("journal.jsonl")), "stopped");
}

#[test]
fn an_engine_that_is_killed_leaves_no_shell_running_and_none_open() {
    let (home, watched) = (Home::new(), exporter::Home::new());
    let exporter = watched.start(&[]);
    let keys = Keys::new("ops");
    let first = engine(&home, &keys, &watched.journal(), "10m");
    let mut terminal = at_terminal(&home, 80, 24);
    terminal.keys("echo $$ > shell; sh -c 'echo $$ > pid; sleep 1000'\r");
    let (shell, pid) = (number(&home, "shell"), number(&home, "pid"));
    // Dropping it is SIGKILL.
    drop(first);
    wait_until(SOON, "the shell and its children to end", || !is_alive(&shell) && !is_alive(&pid));
    assert_eq!(terminal.wait().code(), Some(255));
    terminal.wait_for("the shell was lost: ");
    assert!(!terminal.is_raw());
    let open = || {
        let labels = [("name", "web"), ("public_key", "ops"), ("remote_addr", "127.0.0.1")];
        exporter.scrape().value("etcha_sources_shells", &labels)
    };
    wait_until(SOON, "the shell to be scraped", || open() == Some(1.0));
    let _second = engine(&home, &keys, &watched.journal(), "10m");
    wait_until(SOON, "the shell to count as closed", || open() == Some(0.0));
}

#[test]
fn a_script_whose_input_ends_ends_its_shell_whatever_shell_it_is() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let shells = ["/bin/bash", "/bin/bash -l", "/bin/sh", "/bin/dash", "/bin/zsh", "/usr/bin/zsh -l"];
    let is_there = |shell: &&&str| Path::new(shell.split(' ').next().unwrap()).exists();
    let sources: serde_json::Map<_, _> = shells
        .iter()
        .filter(is_there)
        .enumerate()
        .map(|(number, shell)| (format!("s{number}"), json!({"shell": {"command": shell}})))
        .collect();
    let names: Vec<_> = sources.keys().cloned().collect();
    let engine = home.listen(&json!({"run": {"verifyKeys": keys.public}, "sources": sources}));
    operator(&home, &keys, &engine, "operator.json");
    for name in &names {
        for (input, expected) in [("echo up''time\n", "uptime"), ("", "")] {
            let output = piped(client(&home, &[name, "here"]), input.as_bytes());
            assert_eq!(output.status.code(), Some(0), "{name} {input:?}: {output:?}");
            assert!(text(&output.stdout).contains(expected), "{name}: {output:?}");
        }
        // What reads to the end of its input does not keep the shell from ending.
        let output = piped(client(&home, &[name, "here"]), b"cat > /dev/null\n");
        assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
    }
}

#[test]
fn a_hangup_reloads_and_shells_are_hung_up_on_when_the_engine_dies_even_under_nohup() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let journal = home.path("journal.jsonl");
    let config = config(&keys, &journal, "10m");
    // As `nohup` does it.
    let mut engine = home.listen_with(&config, "--ignore-signal=HUP");
    operator(&home, &keys, &engine, "operator.json");
    let mut terminal = at_terminal(&home, 80, 24);
    terminal.keys("echo $$ > shell; sh -c 'echo $$ > pid; sleep 1000'\r");
    let (shell, pid) = (number(&home, "shell"), number(&home, "pid"));
    engine.process.signal(Signal::HUP);
    engine
        .process
        .wait_for_log("the reload", |line| line.contains("reloaded the configuration").then_some(()));
    assert!(is_alive(&shell) && is_alive(&pid));
    drop(engine);
    wait_until(SOON, "the shell and its children to end", || !is_alive(&shell) && !is_alive(&pid));
    assert_eq!(terminal.wait().code(), Some(255));
}

#[test]
fn a_client_that_is_gone_takes_its_shell_with_it() {
    let home = Home::new();
    let _engine = engine(&home, &Keys::new("ops"), &home.path("journal.jsonl"), "10m");
    let mut terminal = at_terminal(&home, 80, 24);
    terminal.keys("sh -c 'echo $$ > pid; sleep 1000'\r");
    let pid = number(&home, "pid");
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.wait().code(), Some(255));
    terminal.wait_for("ended by a signal");
    assert!(!terminal.is_raw());
    assert_eq!(reason(&home.path("journal.jsonl")), "disconnected");
    assert!(!is_alive(&pid));
    // One that is killed cannot say goodbye.
    let terminal = at_terminal(&home, 80, 24);
    terminal.keys("sh -c 'echo $$ > other; sleep 1000'\r");
    let pid = number(&home, "other");
    drop(terminal);
    wait_until(SOON, "both shells to be closed", || shells(&home.path("journal.jsonl")).len() == 4);
    assert!(!is_alive(&pid));
}

#[test]
fn much_output_for_a_slow_reader_costs_no_memory() {
    const BYTES: u64 = 64 * 1024 * 1024;
    let home = Home::new();
    let engine = engine(&home, &Keys::new("ops"), &home.path("journal.jsonl"), "10m");
    let mut client = client(&home, &["web"]);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let begin = b"stty raw -echo; touch begun; head -c 67108864 /dev/zero; exit\n";
    client.stdin.take().unwrap().write_all(begin).unwrap();
    wait_until(SOON, "the flood to begin", || home.path("begun").exists());
    let mut read = 0;
    let mut output = client.stdout.take().unwrap();
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        match output.read(&mut buffer).unwrap() {
            0 => break,
            more => read += more as u64,
        }
    }
    assert_eq!(client.wait().unwrap().code(), Some(0));
    assert!(read >= BYTES, "{read}");
    // Kibibytes.
    let peak = engine.process.status_number("VmHWM");
    assert!(peak < 40 * 1024, "{peak} KiB");
}
