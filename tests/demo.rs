//! The first thing that anybody starts: agent and exporter together, and both gone afterwards.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::process::Signal;

use crate::harness::{
    exporter::{self, METRICS},
    exposition::Exposition,
    http,
    process::Process,
    wait::{SOON, wait_until},
};

/// The demonstration, listening, with its directory in `room`.
fn start(room: &Path) -> (Process, SocketAddr) {
    let mut command = exporter::command();
    command.args(["demo", "--listen-address", "127.0.0.1:0"]).env("TMPDIR", room);
    let mut demo = Process::start(command.stdout(Stdio::null()));
    let address = demo.wait_for_log("where it is listening", exporter::listening);
    (demo, address)
}

#[test]
fn the_demonstration_shows_everything_and_leaves_nothing() {
    let room = tempfile::tempdir().unwrap();
    let (mut demo, address) = start(room.path());
    let word =
        |name: &'static str| move |line: &str| line.strip_prefix(name).map(|rest| rest.trim().to_owned());
    let key = demo.wait_for_log("the key", word("Key "));
    let journal = PathBuf::from(demo.wait_for_log("the journal", word("Journal      tail -f ")));
    let directory = journal.parent().unwrap().to_owned();
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700, "it holds keys");
    let scrape = || {
        let key = format!("Bearer {key}");
        let certificate = directory.join("state/tls-certificate.pem");
        let response = http::get(address, &certificate, METRICS, &[("Authorization", &key)]);
        response.text().parse::<Exposition>().unwrap()
    };
    let has = |family: &str, labels: &[(&str, &str)]| {
        let scrape = scrape();
        scrape.samples.iter().any(|(series, value)| {
            let label = |(name, value): &(&str, &str)| series.labels.get(*name).is_some_and(|it| it == value);
            series.name == family && labels.iter().all(label) && *value > 0.0
        })
    };
    let mut expected = vec![
        ("etcha_sources_shells", vec![("name", "web"), ("public_key", "demo"), ("remote_addr", "127.0.0.1")]),
        ("etcha_sources_total", vec![("name", "web"), ("trigger", "pull"), ("public_key", "demo")]),
        ("etcha_sources_total", vec![("name", "inbox"), ("trigger", "push"), ("error", "0")]),
        ("etcha_sources_total", vec![("name", "cache"), ("trigger", "event"), ("error", "0")]),
        ("etcha_commands_total", vec![("parent_id", "web > site"), ("mode", "changed"), ("id", "content")]),
        ("etcha_commands_total", vec![("id", "clock"), ("mode", "check"), ("error", "0")]),
    ];
    if Path::new("/usr/bin/curl").is_file() {
        expected
            .push(("etcha_sources_total", vec![("name", "hook"), ("trigger", "webhook"), ("error", "0")]));
    }
    for (family, labels) in expected {
        wait_until(SOON, &format!("{family} {labels:?} in\n{}", demo.log()), || has(family, &labels));
    }
    let text = fs::read_to_string(&journal).unwrap();
    let pid = text
        .lines()
        .find_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["pid"].as_u64());
    let agent = Path::new("/proc").join(pid.unwrap().to_string());
    assert!(agent.exists());
    demo.signal(Signal::INT);
    assert!(demo.wait().success());
    assert!(!agent.exists());
    let left: Vec<_> = fs::read_dir(room.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_demonstration_ends_with_the_terminal_that_it_was_started_from() {
    let room = tempfile::tempdir().unwrap();
    let (mut demo, _) = start(room.path());
    demo.signal(Signal::HUP);
    assert!(demo.wait().success());
    let left: Vec<_> = fs::read_dir(room.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
