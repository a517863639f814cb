//! `run` and `shell`: commands that notice nothing, and a journal that tells of their end whatever dies.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use pty_process::blocking::{Command as PtyCommand, open};
use rustix::process::{Pid, Signal, kill_process};

use super::program::{self, JournalDir};
use crate::harness::wait::{SOON, holds_for, wait_until};

/// A script that says its process id and waits for ever.
const SLEEP: &str = "echo $$; exec sleep 1000";

/// The events of the journal, without their envelopes.
fn events(place: &JournalDir) -> Vec<serde_json::Value> {
    let journal = fs::read_to_string(place.path()).unwrap_or_default();
    journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn reasons(place: &JournalDir) -> Vec<String> {
    let closed = events(place).into_iter().filter(|event| event["state"] == "closed");
    closed.map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
}

/// What the journal says of its one shell.
fn states(place: &JournalDir) -> Vec<String> {
    events(place).iter().map(|event| event["state"].as_str().unwrap().to_owned()).collect()
}

/// Starts a wrapper around a script that says its process id and waits for ever; gives both processes.
fn wrapped(place: &JournalDir, kind: &str, script: &str) -> (Child, Pid) {
    let mut command = place.command(&[kind, "--source", "web", "--", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = Vec::new();
    let mut out = child.stdout.take().unwrap();
    while said.last() != Some(&b'\n') {
        let mut byte = [0];
        assert_eq!(out.read(&mut byte).unwrap(), 1);
        said.push(byte[0]);
    }
    let pid = String::from_utf8(said).unwrap().trim().parse().unwrap();
    (child, Pid::from_raw(pid).unwrap())
}

fn kill(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn a_run_is_recorded_with_its_outcome_and_its_exit_status_and_output_are_handed_on() {
    let place = JournalDir::new();
    for (script, code, failed) in [
        ("cat; echo err >&2", 0, false),
        ("cat; echo err >&2; exit 3", 3, true),
        ("cat; echo err >&2; kill -9 $$", 137, true),
    ] {
        let mut command =
            place.command(&["run", "--source", "backup", "--trigger", "event", "--", "sh", "-c", script]);
        let ended = program::run_with_input(&mut command, "in\n");
        assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (code, "in\n", "err\n"), "{script}");
        let event = events(&place).pop().unwrap();
        assert_eq!(
            (&event["event"], &event["name"], &event["trigger"]),
            (&"source".into(), &"backup".into(), &"event".into())
        );
        assert_eq!((&event["error"], event.get("outcome")), (&failed.into(), None), "{script}");
        assert!(event["duration_seconds"].as_f64().unwrap() < 60.0);
    }
    let ended = program::run(&mut place.command(&["run", "--source", "none", "--", "/nowhere"]));
    assert!(ended.code == 127 && ended.err.contains("/nowhere: No such file"), "{ended:?}");
    assert_eq!(events(&place).pop().unwrap()["error"], true);
    assert_eq!(events(&place).len(), 4);
}

#[test]
fn a_journal_that_cannot_be_written_does_not_stop_the_command() {
    let place = JournalDir::new();
    fs::create_dir(place.path()).unwrap();
    for kind in ["run", "shell"] {
        let ended = program::run(&mut place.command(&[
            kind,
            "--source",
            "web",
            "--",
            "sh",
            "-c",
            "echo ran; exit 5",
        ]));
        assert_eq!((ended.code, ended.out.as_str()), (5, "ran\n"), "{ended:?}");
        assert!(ended.err.contains("is a directory"), "{ended:?}");
    }
}

#[test]
fn a_shell_is_opened_before_and_closed_with_the_reason_after() {
    let place = JournalDir::new();
    let arguments =
        ["shell", "--source", "web", "--public-key", "ops", "--remote-addr", "192.0.2.7 51234 22", "--"];
    for (script, reason) in [("exit 0", "exit"), ("exit 7", "exit 7"), ("kill -9 $$", "signal 9")] {
        let open = "tail -n 1 \"$ETCHA_JOURNAL\" | grep -q opened || exit 99;";
        let mut command = place.command(&arguments);
        program::run(command.args(["sh", "-c", &format!("{open}{script}")]));
        assert_eq!(reasons(&place).last().unwrap(), reason);
    }
    for pair in events(&place).chunks(2) {
        assert_eq!((&pair[0]["state"], &pair[1]["state"]), (&"opened".into(), &"closed".into()));
        for same in ["name", "session", "public_key", "remote_addr"] {
            assert_eq!(pair[0][same], pair[1][same]);
        }
        assert_eq!((&pair[0]["public_key"], &pair[0]["remote_addr"]), (&"ops".into(), &"192.0.2.7".into()));
    }
}

/// That a process has ended. The one that adopted it may not have looked at its end yet.
fn is_gone(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.map_or(true, |stat| stat.rsplit(") ").next().unwrap().starts_with('Z'))
}

#[test]
fn a_wrapper_that_is_killed_still_closes_its_shell_and_hangs_it_up() {
    let place = JournalDir::new();
    let (mut wrapper, shell) = wrapped(&place, "shell", SLEEP);
    kill(&wrapper, Signal::KILL);
    wrapper.wait().unwrap();
    wait_until(SOON, "the shell is closed", || reasons(&place) == ["wrapper died"]);
    wait_until(SOON, "the shell is gone", || is_gone(shell));
}

#[test]
fn a_shell_that_kills_its_wrapper_before_anything_else_is_hung_up() {
    for _ in 0..20 {
        let place = JournalDir::new();
        let script = "kill -9 $PPID; exec sleep 60";
        let begun = Instant::now();
        let mut command = place.command(&["shell", "--source", "web", "--", "sh", "-c", script]);
        // Ends when nothing holds the output any more, the shell included.
        let ended = command.stdin(Stdio::null()).output().unwrap();
        assert!(begun.elapsed() < SOON, "the shell went on: {ended:?}");
        wait_until(SOON, "the shell is closed", || reasons(&place) == ["wrapper died"]);
    }
}

#[test]
fn a_run_whose_wrapper_is_killed_has_an_unknown_outcome_and_goes_on() {
    let place = JournalDir::new();
    let (mut wrapper, run) = wrapped(&place, "run", SLEEP);
    kill(&wrapper, Signal::KILL);
    wrapper.wait().unwrap();
    wait_until(SOON, "the run is recorded", || events(&place).len() == 1);
    assert_eq!(events(&place)[0]["outcome"], "unknown");
    kill_process(run, Signal::KILL).unwrap();
}

#[test]
fn signals_reach_the_command_and_its_end_is_recorded() {
    let place = JournalDir::new();
    for signal in [Signal::TERM, Signal::HUP] {
        let (mut wrapper, _) = wrapped(&place, "shell", SLEEP);
        kill(&wrapper, signal);
        let code = wrapper.wait().unwrap().code();
        assert_eq!(code, Some(128 + signal.as_raw()));
    }
    assert_eq!(reasons(&place), ["signal 15", "signal 1"]);
}

#[test]
fn a_shell_has_the_terminal_itself_and_its_end_is_recorded_when_the_terminal_hangs_up() {
    let place = JournalDir::new();
    let (mut terminal, pts) = open().unwrap();
    let command = PtyCommand::new(env!("CARGO_BIN_EXE_etcha-journal"))
        .args(["shell", "--source", "web", "--journal"])
        .arg(place.path())
        .args(["--", "sh", "-i"]);
    let mut child = command.env("PS1", "ready:").spawn(pts).unwrap();
    terminal.write_all(b"test -t 0 && test -t 1 && echo is a $((1+1)) tty\n").unwrap();
    let mut said = String::new();
    let mut bytes = [0; 1024];
    while !said.contains("is a 2 tty") {
        let read = terminal.read(&mut bytes).unwrap();
        assert!(read > 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    // The client is gone.
    drop(terminal);
    child.wait().unwrap();
    wait_until(SOON, "the shell is closed", || reasons(&place).len() == 1);
    let reason = &reasons(&place)[0];
    assert!(reason == "signal 1" || reason.starts_with("exit"), "{reason}");
}

/// The shell is closed once, however often one looks.
fn wait_for_one_end(place: &JournalDir) -> String {
    wait_until(SOON, "the shell is closed", || reasons(place).len() == 1);
    let opened = events(place).into_iter().filter(|event| event["state"] == "opened").count();
    assert_eq!((opened, reasons(place).len()), (1, 1));
    reasons(place).remove(0)
}

#[test]
fn a_shell_whose_client_dies_at_any_moment_is_closed_once_and_leaves_nothing() {
    for round in 0_u32..50 {
        let place = JournalDir::new();
        let (mut terminal, pts) = open().unwrap();
        let command = PtyCommand::new(env!("CARGO_BIN_EXE_etcha-journal"))
            .args(["shell", "--source", "web", "--journal"])
            .arg(place.path())
            .args(["--", "sh", "-c", "echo $$ > shell; exec sh -i"])
            .current_dir(place.path().parent().unwrap());
        let mut child = command.env("PS1", "ready:").spawn(pts).unwrap();
        let shell = place.path().with_file_name("shell");
        if round % 2 == 0 {
            // It has begun; otherwise the terminal goes as early as may be.
            wait_until(SOON, "the shell's process", || {
                fs::read_to_string(&shell).is_ok_and(|pid| pid.ends_with('\n'))
            });
            terminal.write_all(b"sleep 1000\n").unwrap();
        }
        drop(terminal);
        child.wait().unwrap();
        let text = fs::read_to_string(place.path()).unwrap_or_default();
        if text.contains("opened") {
            wait_for_one_end(&place);
        }
        if let Ok(pid) = fs::read_to_string(&shell).unwrap_or_default().trim().parse() {
            let pid = Pid::from_raw(pid).unwrap();
            wait_until(SOON, "the shell is gone", || is_gone(pid));
        }
    }
}

#[test]
fn a_wrapper_that_stands_still_loses_nothing_and_its_end_is_recorded_when_it_goes_on_or_dies() {
    for goes_on in [true, false] {
        let place = JournalDir::new();
        let (mut wrapper, shell) = wrapped(&place, "shell", SLEEP);
        kill(&wrapper, Signal::STOP);
        kill_process(shell, Signal::KILL).unwrap();
        // Nobody may say that it is over while the wrapper could.
        holds_for(Duration::from_millis(200), "nothing is recorded", || reasons(&place).is_empty());
        if goes_on {
            kill(&wrapper, Signal::CONT);
            assert_eq!(wrapper.wait().unwrap().code(), Some(128 + Signal::KILL.as_raw()));
            assert_eq!(wait_for_one_end(&place), "signal 9");
        } else {
            kill(&wrapper, Signal::KILL);
            wrapper.wait().unwrap();
            assert_eq!(wait_for_one_end(&place), "wrapper died");
        }
    }
}

#[test]
fn a_wrapper_that_is_killed_while_the_journal_cannot_be_written_ends_its_shell_too() {
    let place = JournalDir::new();
    fs::create_dir(place.path()).unwrap();
    let (mut wrapper, shell) = wrapped(&place, "shell", SLEEP);
    kill(&wrapper, Signal::KILL);
    wrapper.wait().unwrap();
    wait_until(SOON, "the shell is gone", || is_gone(shell));
}

#[test]
fn wrappers_that_are_killed_at_random_moments_close_each_shell_that_was_opened_once() {
    /// Longest life of a wrapper: some die before they have opened anything.
    const LONGEST: u32 = 60;
    let mut places = Vec::new();
    for round in 0_u32..50 {
        let place = JournalDir::new();
        let mut command = place.command(&["shell", "--source", "web", "--", "sh", "-c", SLEEP]);
        let mut wrapper =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let life = Duration::from_millis(u64::from(round * 7 % LONGEST));
        holds_for(life, "a life", || true);
        kill(&wrapper, Signal::KILL);
        wrapper.wait().unwrap();
        let mut out = Vec::new();
        // Ends when nothing holds the output any more, the shell included.
        wrapper.stdout.take().unwrap().read_to_end(&mut out).unwrap();
        // Nothing at all, or all of it.
        wait_until(SOON, "what was opened is closed", || states(&place).len() != 1);
        places.push(place);
    }
    for place in &places {
        wait_until(SOON, "the last one to be closed", || states(place).len() != 1);
        assert!(["", "opened closed"].contains(&&*states(place).join(" ")), "{:?}", events(place));
    }
}
