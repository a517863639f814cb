//! Faults of the file system and of the host, against the running exporter.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::harness::{
    exporter::{Exporter, Home, SCRAPE, command},
    line::{LABELS, line, line_of},
    program,
    wait::{SOON, wait_until},
};

/// A poll interval that no test waits for: what is seen, a notification brought.
const NEVER: [&str; 2] = ["--poll-interval", "1h"];

fn count(exporter: &Exporter) -> Option<f64> {
    exporter.scrape().value("etcha_commands_total", LABELS)
}

fn wait_for_count(exporter: &Exporter, wanted: f64) {
    wait_until(SOON, &format!("{wanted} lines to be counted"), || count(exporter) == Some(wanted));
}

#[test]
fn a_notification_alone_brings_a_line_to_the_endpoint() {
    let home = Home::new();
    home.append(line(1));
    let exporter = home.start(&NEVER);
    exporter.wait_until_ready();
    assert_eq!(exporter.scrape().value("etcha_exporter_journal_watched", &[]), Some(1.0));
    let mut slowest = Duration::ZERO;
    for seq in 2..20 {
        let appended = Instant::now();
        home.append(line(seq));
        wait_for_count(&exporter, seq as f64);
        slowest = slowest.max(appended.elapsed());
    }
    // Scrapes over a new connection each are part of it. The wait helper looks every few milliseconds.
    println!("slowest of 18 lines visible after {slowest:?}");
}

#[test]
fn it_is_ready_at_once_where_there_is_nothing_new_to_read() {
    let home = Home::new();
    home.start(&NEVER).wait_until_ready();
    home.append(line(1));
    let mut exporter = home.start(&NEVER);
    exporter.wait_until_ready();
    assert!(exporter.process.terminate().success());
    let again = home.start(&NEVER);
    again.wait_until_ready();
    assert_eq!(count(&again), Some(1.0));
}

#[test]
fn without_notifications_polling_brings_a_line_and_a_metric_says_so() {
    let Some(unshare) = program::find("unshare") else { return };
    // A user namespace of its own, in which no inotify instance may be made.
    let script = "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$@\"";
    let mut shell = Command::new(unshare);
    shell.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]);
    let mut trial = Command::new(shell.get_program());
    trial.args(shell.get_args()).arg("true").stderr(Stdio::null());
    if !trial.status().unwrap().success() {
        program::leave_out("user namespaces are not allowed here");
        return;
    }
    shell.arg(command().get_program());
    let home = Home::new();
    home.append(line(1));
    let exporter = home.start_by(shell, &["--poll-interval", "50ms"]);
    exporter.wait_until_ready();
    home.append(line(2));
    wait_for_count(&exporter, 2.0);
    assert_eq!(exporter.scrape().value("etcha_exporter_journal_watched", &[]), Some(0.0));
    exporter.process.logged("polling alone");
}

#[test]
fn a_journal_is_awaited_until_it_appears_and_missed_when_it_vanishes() {
    let home = Home::new();
    let exporter = home.start(&["--poll-interval", "50ms"]);
    exporter.wait_until_ready();
    let readable = || exporter.scrape().value("etcha_exporter_journal_readable", &[]);
    assert_eq!(readable(), Some(1.0));
    exporter.process.logged("the journal does not exist yet; waiting for it");
    home.append(line(1));
    wait_for_count(&exporter, 1.0);
    exporter.process.logged("the journal can be read");
    fs::remove_file(home.journal()).unwrap();
    wait_until(SOON, "the loss to show", || readable() == Some(0.0));
    exporter.process.logged("the journal cannot be read");
    assert_eq!(count(&exporter), Some(1.0), "what was counted stays");
    home.append(line_of("x", 1));
    wait_for_count(&exporter, 2.0);
}

#[test]
fn a_directory_that_is_removed_and_made_again_and_one_that_is_renamed_are_followed() {
    let home = Home::with_journal("logs/journal.jsonl");
    let journal = home.journal();
    let directory = journal.parent().unwrap();
    fs::create_dir(directory).unwrap();
    fs::write(&journal, line(1)).unwrap();
    let exporter = home.start(&["--poll-interval", "50ms"]);
    wait_for_count(&exporter, 1.0);
    fs::remove_dir_all(directory).unwrap();
    fs::create_dir(directory).unwrap();
    fs::write(&journal, line_of("x", 1)).unwrap();
    wait_for_count(&exporter, 2.0);
    fs::rename(directory, directory.with_extension("old")).unwrap();
    fs::create_dir(directory).unwrap();
    fs::write(&journal, line_of("y", 1)).unwrap();
    wait_for_count(&exporter, 3.0);
    // The watch is on the new directory by now, or will be at the next poll: lines keep coming.
    fs::write(&journal, line_of("y", 1) + &line_of("y", 2)).unwrap();
    wait_for_count(&exporter, 4.0);
}

#[test]
fn a_symbolic_link_that_is_pointed_elsewhere_is_followed() {
    let home = Home::new();
    let other = |name: &str| home.journal().with_file_name(name);
    fs::write(other("a"), line_of("a", 1)).unwrap();
    fs::write(other("b"), line_of("b", 1)).unwrap();
    symlink(other("a"), home.journal()).unwrap();
    let exporter = home.start(&["--poll-interval", "50ms"]);
    wait_for_count(&exporter, 1.0);
    symlink(other("b"), other("new")).unwrap();
    fs::rename(other("new"), home.journal()).unwrap();
    wait_for_count(&exporter, 2.0);
}

#[test]
fn an_exporter_that_was_stopped_while_the_journal_rotated_catches_up() {
    let home = Home::new();
    home.append(line(1));
    let exporter = home.start(&["--poll-interval", "50ms"]);
    wait_for_count(&exporter, 1.0);
    exporter.process.signal(Signal::STOP);
    for rotation in 0..5 {
        home.append(line(2 * rotation + 2));
        fs::rename(home.journal(), home.journal().with_extension(format!("jsonl.{rotation}"))).unwrap();
        home.append(line(2 * rotation + 3));
    }
    exporter.process.signal(Signal::CONT);
    wait_for_count(&exporter, 11.0);
    assert_eq!(exporter.scrape().value("etcha_exporter_lines_missing", &[]), Some(0.0));
}

#[test]
fn a_second_exporter_on_a_state_directory_stops_and_names_the_first() {
    let home = Home::new();
    let _first = home.start(&[]);
    let second = command()
        .arg("--journal")
        .arg(home.journal())
        .arg("--state-dir")
        .arg(home.state())
        .args(["--listen-address", "127.0.0.1:0"])
        .env("ETCHA_EXPORTER_METRICS_KEY", "k")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("another exporter (process ") && said.contains("--state-dir"), "{said}");
}

#[test]
fn a_damaged_checkpoint_is_set_aside_and_the_journal_is_counted_anew() {
    let home = Home::new();
    home.append(line(1) + &line(2));
    let mut exporter = home.start(&[]);
    wait_for_count(&exporter, 2.0);
    assert!(exporter.process.terminate().success());
    for name in ["checkpoint", "checkpoint.previous"] {
        if home.state().join(name).exists() {
            fs::write(home.state().join(name), [0; 5000]).unwrap();
        }
    }
    let exporter = home.start(&[]);
    wait_for_count(&exporter, 2.0);
    assert!(home.state().join("checkpoint.damaged").exists());
    exporter.process.logged("set aside");
}

#[test]
fn a_reader_who_has_read_enough_is_no_failure_and_a_full_disk_is_one() {
    let home = Home::new();
    home.append(line(1));
    let mut exporter = home.start(&[]);
    wait_for_count(&exporter, 1.0);
    assert!(exporter.process.terminate().success());
    let print = |arguments: &[&OsStr], to: Stdio| {
        let ended = command().args(arguments).stdin(Stdio::null()).stdout(to).output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    let (journal, state) = (home.journal(), home.state());
    let show = ["checkpoint".as_ref(), "show".as_ref(), "--state-dir".as_ref(), state.as_os_str()];
    for arguments in [&["render".as_ref(), journal.as_os_str()][..], &show] {
        let (reader, gone) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(print(arguments, gone.into()), (Some(0), String::new()));
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let (code, said) = print(arguments, full.into());
        assert!(code == Some(1) && said.contains("cannot print"), "{said}");
    }
}

#[test]
fn a_restart_goes_on_from_the_checkpoint_though_the_journal_is_gone() {
    let home = Home::new();
    home.append(line(1) + &line(2));
    let mut exporter = home.start(&[]);
    wait_for_count(&exporter, 2.0);
    assert!(exporter.process.terminate().success());
    fs::remove_file(home.journal()).unwrap();
    let exporter = home.start(&[]);
    wait_for_count(&exporter, 2.0);
    let restored = [("origin", "current")];
    assert_eq!(exporter.scrape().value("etcha_exporter_checkpoint_restored", &restored), Some(1.0));
}

#[test]
fn a_checkpoint_belongs_to_the_journal_however_its_path_is_spelt_and_wherever_it_is_moved() {
    let home = Home::with_journal("log/journal.jsonl");
    fs::create_dir(home.path("log")).unwrap();
    fs::write(home.journal(), line(1) + &line(2)).unwrap();
    let mut exporter = home.start(&[]);
    wait_for_count(&exporter, 2.0);
    assert!(exporter.process.terminate().success());
    let rotated = home.path("log/journal.jsonl.1");
    fs::rename(home.journal(), &rotated).unwrap();
    fs::write(home.journal(), line(3)).unwrap();
    // Only the checkpoint knows of the two that are gone.
    fs::rename(rotated, home.path("away")).unwrap();
    symlink(home.path("log"), home.path("link")).unwrap();
    for spelling in ["log/../log/./journal.jsonl", "link/journal.jsonl"] {
        let spelt = home.path(spelling);
        let mut exporter = home.start_on(&spelt);
        wait_for_count(&exporter, 3.0);
        assert!(exporter.process.terminate().success());
    }
    fs::rename(home.path("log"), home.path("moved")).unwrap();
    let moved = home.path("moved/journal.jsonl");
    let mut exporter = home.start_on(&moved);
    wait_for_count(&exporter, 3.0);
    assert!(exporter.process.terminate().success());
    // Another journal has nothing to do with it.
    fs::write(home.path("other.jsonl"), line_of("x", 1)).unwrap();
    let other = home.path("other.jsonl");
    wait_for_count(&home.start_on(&other), 1.0);
}

#[test]
fn where_no_notification_ever_comes_polling_delivers() {
    // The watch is on the link's directory, where nothing happens when its target grows.
    let home = Home::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("journal.jsonl");
    fs::write(&target, line(1)).unwrap();
    symlink(&target, home.journal()).unwrap();
    let exporter = home.start(&["--poll-interval", "50ms"]);
    wait_for_count(&exporter, 1.0);
    assert_eq!(exporter.scrape().value("etcha_exporter_journal_watched", &[]), Some(1.0));
    for seq in 2..5 {
        home.append(line(seq));
        wait_for_count(&exporter, seq as f64);
    }
}

#[test]
fn a_journal_that_cannot_be_read_for_a_while_after_its_rotation_loses_nothing() {
    let Some(setpriv) = program::find("setpriv") else { return };
    if !rustix::process::geteuid().is_root() {
        program::leave_out("only root can run the exporter as somebody else");
        return;
    }
    let home = Home::with_journal("log/journal.jsonl");
    let (root, log) = (home.path(""), home.path("log"));
    for (directory, owner) in [(root, None), (log, None), (home.state(), Some(65_534))] {
        fs::create_dir_all(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(&directory, owner, owner).unwrap();
    }
    fs::set_permissions(home.key_file(), fs::Permissions::from_mode(0o644)).unwrap();
    home.append(line(1));
    let mut nobody = Command::new(setpriv);
    nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(command().get_program());
    let exporter = home.start_by(nobody, &["--poll-interval", "50ms"]);
    wait_for_count(&exporter, 1.0);
    fs::rename(home.journal(), home.path("log/journal.jsonl.1")).unwrap();
    home.append("");
    fs::set_permissions(home.journal(), fs::Permissions::from_mode(0o600)).unwrap();
    home.append(line(2));
    let readable = || exporter.scrape().value("etcha_exporter_journal_readable", &[]);
    wait_until(SOON, "the refusal to show", || readable() == Some(0.0));
    assert_eq!(count(&exporter), Some(1.0));
    fs::set_permissions(home.journal(), fs::Permissions::from_mode(0o644)).unwrap();
    wait_for_count(&exporter, 2.0);
    wait_until(SOON, "the recovery to show", || readable() == Some(1.0));
}

#[test]
fn a_checkpoint_that_cannot_be_written_costs_nothing_but_its_age_and_recovers() {
    let home = Home::new();
    // Nothing can be written under this name, not even by root.
    let obstacle = home.state().join("checkpoint.new");
    fs::create_dir_all(obstacle.join("x")).unwrap();
    home.append(line(1));
    let exporter = home.start(&["--checkpoint-interval", "100ms", "--poll-interval", "50ms"]);
    wait_for_count(&exporter, 1.0);
    let own = |family: &str| exporter.scrape().value(family, &[]).unwrap();
    wait_until(SOON, "the failure to show", || own("etcha_exporter_checkpoint_failures_total") > 0.0);
    assert_eq!(own("etcha_exporter_checkpoint_timestamp_seconds"), 0.0);
    fs::remove_dir_all(&obstacle).unwrap();
    home.append(line(2));
    wait_until(SOON, "a checkpoint", || own("etcha_exporter_checkpoint_timestamp_seconds") > 0.0);
    assert!(home.state().join("checkpoint").is_file());
}

#[test]
fn the_time_at_which_a_series_was_born_outlives_a_restart() {
    let home = Home::new();
    home.append(line(1));
    let created = |exporter: &Exporter| {
        let protobuf =
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        let response = exporter.get(SCRAPE, &[("Accept", protobuf)]);
        assert_eq!(response.header("content-type"), Some(protobuf));
        // A counter of 1 with its birth, in the fields of `io.prometheus.client.Counter`: 1767225600 and no nanoseconds.
        let counter = b"\x09\0\0\0\0\0\0\xf0\x3f\x1a\x08\x08\x80\xf2\xd6\xca\x06\x10\0";
        response.body.windows(counter.len()).any(|bytes| bytes == counter)
    };
    let mut exporter = home.start(&[]);
    wait_for_count(&exporter, 1.0);
    assert!(created(&exporter));
    assert!(exporter.process.terminate().success());
    fs::remove_file(home.journal()).unwrap();
    let exporter = home.start(&[]);
    wait_for_count(&exporter, 1.0);
    assert!(created(&exporter));
}

#[test]
fn how_far_back_the_journal_reaches_is_shown_and_follows_rotation() {
    let at = |seq: u64, day: u64| line(seq).replace("2026-01-01", &format!("2026-01-{day:02}"));
    let home = Home::new();
    let exporter = home.start(&[]);
    exporter.wait_until_ready();
    let oldest = || exporter.scrape().value("etcha_exporter_journal_oldest_event_timestamp_seconds", &[]);
    assert_eq!(oldest(), None, "there is no event yet");
    // 2026-01-01 and the days after it.
    let day = |day: u64| Some((1_767_225_600 + (day - 1) * 86_400) as f64);
    home.append(at(1, 3));
    wait_until(SOON, "the first event", || oldest() == day(3));
    home.append(at(2, 4));
    let rotated = home.journal().with_file_name("journal.jsonl.20260104T000000.000000001Z");
    fs::rename(home.journal(), &rotated).unwrap();
    fs::write(home.journal(), at(3, 5)).unwrap();
    wait_for_count(&exporter, 3.0);
    assert_eq!(oldest(), day(3));
    fs::remove_file(&rotated).unwrap();
    wait_until(SOON, "the oldest segment to be gone", || oldest() == day(5));
}
