//! What people and full machines do to an engine that runs: files and directories that go away and come back, signals one
//! after the other, too few descriptors. It goes on, says what is wrong, and takes up what is there again.

use std::{fs, net::TcpStream};

use rustix::{
    fs::{CWD, Mode, mkfifoat},
    process::{Pid, Resource, Rlimit, Signal, prlimit},
};
use serde_json::{Value, json};

use super::{
    Home,
    peer::{Engine, Keys, json, local},
};
use crate::harness::{
    http,
    wait::{SOON, wait_until},
};

/// A Source that takes pushes, and one that notes each run in `ticks`.
fn engine(home: &Home, keys: &Keys) -> Engine {
    fs::create_dir(home.path("journal")).unwrap();
    home.listen(&json!({
        "journal": {"path": "journal/journal.jsonl"},
        "run": {"verifyKeys": keys.public},
        "sources": {
            "web": {"allowPush": true},
            "tick": {"runFrequency": "100ms", "commands": [{"id": "t", "always": true, "change": "echo t >> ticks"}]}
        }
    }))
}

fn ticks(home: &Home) -> usize {
    fs::read_to_string(home.path("ticks")).unwrap_or_default().lines().count()
}

fn wait_for_ticks(home: &Home) {
    let before = ticks(home);
    wait_until(SOON, "the schedule to go on", || ticks(home) > before + 2);
}

fn descriptors(engine: &Engine) -> usize {
    fs::read_dir(format!("/proc/{}/fd", engine.process.id())).unwrap().count()
}

#[test]
fn a_state_directory_that_is_removed_makes_pushes_fail_until_it_is_there_again() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let engine = engine(&home, &keys);
    let certificate = home.path("copy.pem");
    fs::copy(engine.certificate(), &certificate).unwrap();
    let push = || {
        let token = keys.sign("{run: [{id: 'p', check: 'test -e p', change: 'touch p'}]}");
        let target = ("POST", "/etcha/v1/push/web");
        http::send((engine.address, &certificate), local(1), target, &[], token.as_bytes())
    };
    fs::remove_dir_all(home.path("state")).unwrap();
    let answer = push();
    assert_eq!(answer.status, 500);
    assert!(json(&answer)["err"].as_str().unwrap().contains("state directory: No such file"), "{answer:?}");
    assert!(!home.path("p").exists(), "what cannot be kept is not run");
    fs::create_dir(home.path("state")).unwrap();
    assert_eq!(push().status, 200);
    assert!(home.path("p").exists() && home.path("state/web.jwt").exists());
}

#[test]
fn a_hundred_hangups_cost_no_descriptor_and_no_push() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let engine = engine(&home, &keys);
    wait_for_ticks(&home);
    let before = descriptors(&engine);
    for _ in 0..100 {
        engine.process.signal(Signal::HUP);
    }
    assert_eq!(engine.push("web", &keys.sign("{run: [{id: 'p', check: 'true'}]}")).status, 200);
    engine.process.logged("reloaded the configuration");
    wait_for_ticks(&home);
    wait_until(SOON, "no more descriptors than before", || descriptors(&engine) <= before + 4);
}

#[test]
fn with_too_few_descriptors_schedules_go_on_and_pushes_do_as_soon_as_there_are_some() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let engine = engine(&home, &keys);
    wait_for_ticks(&home);
    let few = descriptors(&engine) as u64 + 24;
    let pid = Pid::from_raw(engine.process.id().cast_signed());
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(few), maximum: Some(few) }).unwrap();
    let idle: Vec<_> = (0..100).map(|_| TcpStream::connect(engine.address)).collect();
    engine.process.logged("cannot accept connections");
    wait_for_ticks(&home);
    drop(idle);
    wait_for_ticks(&home);
    // The connections that are gone have given their descriptors back.
    wait_until(SOON, "room for a connection", || (descriptors(&engine) as u64) + 8 < few);
    assert_eq!(engine.push("web", &keys.sign("{run: [{id: 'p', check: 'true'}]}")).status, 200);
}

#[test]
fn a_configuration_that_is_gone_or_no_file_is_refused_at_a_reload() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let engine = engine(&home, &keys);
    let (path, kept) = (home.path("etcha.jsonnet"), home.path("kept"));
    fs::rename(&path, &kept).unwrap();
    engine.process.signal(Signal::HUP);
    let refused = || engine.process.log().matches("not reloaded: ").count();
    wait_until(SOON, "the first refusal", || refused() == 1);
    // Nobody writes into it: it must not be waited for.
    mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
    engine.process.signal(Signal::HUP);
    wait_until(SOON, "the second refusal", || refused() == 2);
    wait_for_ticks(&home);
    fs::rename(&kept, &path).unwrap();
    engine.process.signal(Signal::HUP);
    engine.process.logged("reloaded the configuration");
}

#[test]
fn a_journal_whose_directory_was_removed_goes_on_when_it_is_there_again_and_shows_what_is_missing() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let engine = engine(&home, &keys);
    wait_for_ticks(&home);
    fs::remove_dir_all(home.path("journal")).unwrap();
    engine.process.logged("cannot open the journal");
    wait_for_ticks(&home);
    fs::create_dir(home.path("journal")).unwrap();
    engine.process.logged("journal: writing again");
    let line = || {
        let text = fs::read_to_string(home.path("journal/journal.jsonl")).unwrap_or_default();
        text.lines().next().and_then(|line| serde_json::from_str::<Value>(line).ok())
    };
    wait_until(SOON, "a line", || line().is_some());
    assert!(line().unwrap()["seq"].as_u64().unwrap() > 1, "its number says that lines are missing");
}
