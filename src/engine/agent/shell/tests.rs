//! Sessions with real shells on real terminals, asked as the listener asks.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use journal_schema::Options;
use rustix::process::Pid;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::agent::record::Journal;
use crate::agent::state::StateDir;
use crate::config::Config;
use crate::stop;
use crate::wire::key::{Algorithm, SigningKey, generate};
use crate::wire::line::{self, End, Line};
use crate::wire::shell::{MAX_INPUT_BYTES, Size};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Longer than anything takes on a loaded machine.
const SOON: Duration = Duration::from_secs(30);

struct Host {
    directory: tempfile::TempDir,
    shells: Shells,
    ops: SigningKey,
    other: SigningKey,
}

fn key(id: &str) -> SigningKey {
    SigningKey::read(&generate(Algorithm::Ed25519, Some(id)).unwrap().private).unwrap()
}

impl Host {
    /// Two Sources whose shell is `command`, one without, and two keys for all of them.
    fn new(command: &str, timeout: &str) -> Host {
        let directory = tempfile::tempdir().unwrap();
        let (ops, other) = (key("ops"), key("other"));
        let shell = json!({"command": command, "workDir": directory.path(), "env": {"PS1": "$ "}});
        let config = Config::read(json!({
            "run": {"verifyKeys": [ops.public().to_text(), other.public().to_text()], "timeoutShell": timeout},
            "sources": {"web": {"shell": shell}, "db": {"shell": shell}, "none": {"commands": [{"id": "note", "always": true, "change": "echo $ETCHA_EVENT_ID $ETCHA_EVENT_PUBLIC_KEY $ETCHA_EVENT_SRC > event"}], "exec": {"workDir": directory.path()}, "eventsReceive": "shell"}},
        }));
        let journal = Journal::new(directory.path().join("journal.jsonl"), Options::default());
        let state = StateDir::open(directory.path()).unwrap();
        let (stopper, stop) = stop::pair().unwrap();
        let sources = Sources::new(config.unwrap(), journal, state, stop, stopper);
        Host { directory, shells: Shells::new(sources), ops, other }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn ask(
        &self,
        source: &str,
        key: &SigningKey,
        request: &Request,
    ) -> Result<ShellAnswer, ShellRefusal> {
        self.ask_from(HERE, source, key, request).await
    }

    async fn ask_from(
        &self,
        address: IpAddr,
        source: &str,
        key: &SigningKey,
        request: &Request,
    ) -> Result<ShellAnswer, ShellRefusal> {
        let token = request.sign(key, program::now()).unwrap();
        let asked = VerifiedRequest::verify(&self.shells.sources.config(), source, &token)
            .map_err(|denied| ShellRefusal::NotFound(denied.why))?;
        self.shells.answer(asked, address).await
    }

    async fn open(&self, source: &str) -> Client {
        let size = Some(Size { columns: 91, rows: 17 });
        let request = Request { size, tell_end: true, ..Request::default() };
        let ShellAnswer::Opened(lines) = self.ask(source, &self.ops, &request).await.unwrap() else {
            panic!("nothing was opened")
        };
        let mut client = Client { lines, session: String::new(), seen: Vec::new(), end: None };
        let first = timeout(SOON, client.lines.0.recv()).await.unwrap().unwrap();
        client.session = str::from_utf8(&first).unwrap().trim_end().to_owned();
        client
    }

    async fn send(&self, client: &Client, input: &str) {
        let request = Request {
            session: Some(client.session.clone()),
            input: input.as_bytes().to_vec(),
            ..Request::default()
        };
        assert!(matches!(self.ask("web", &self.ops, &request).await, Ok(ShellAnswer::Taken)));
    }

    /// State and reason of each line about a shell.
    fn journal(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.path("journal.jsonl")).unwrap_or_default();
        let line = |line: &str| {
            let value: Value = serde_json::from_str(line).unwrap();
            assert_eq!((&value["name"], &value["public_key"]), (&json!("web"), &json!("ops")), "{line}");
            assert_eq!(
                (&value["event"], &value["remote_addr"]),
                (&json!("shell"), &json!("127.0.0.1")),
                "{line}"
            );
            let member = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
            (member("state"), member("reason"))
        };
        text.lines().filter(|line| line.contains(r#""event":"shell""#)).map(line).collect()
    }

    async fn wait_for_close(&self, reason: &str) {
        until("the session to be recorded as closed", || self.journal().len() == 2).await;
        let expected = [("opened", ""), ("closed", reason)];
        assert_eq!(self.journal(), expected.map(|(state, reason)| (state.to_owned(), reason.to_owned())));
        assert_eq!(self.shells.state.borrow().open.len(), 0);
    }
}

struct Client {
    lines: Lines,
    session: String,
    seen: Vec<u8>,
    end: Option<End>,
}

impl Client {
    /// Reads until `text` was seen, or to the end. All that was seen.
    async fn read(&mut self, text: &str) -> String {
        let begin = Instant::now();
        while !self.text().contains(text) || text.is_empty() {
            let line = timeout(SOON, self.lines.0.recv()).await;
            let Ok(line) = line else { panic!("waited in vain for {text:?} in {:?}", self.text()) };
            let Some(line) = line else { break };
            match line::read(line.strip_suffix(b"\n").unwrap()).unwrap() {
                Line::Output(bytes) => self.seen.extend(bytes),
                Line::End(end) => self.end = Some(end),
                Line::Other => {
                    assert!(begin.elapsed() < SOON, "waited in vain for {text:?} in {:?}", self.text());
                }
            }
        }
        self.text()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}

fn is_not_found(answer: &Result<ShellAnswer, ShellRefusal>) -> bool {
    matches!(answer, Err(ShellRefusal::NotFound(_)))
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < SOON, "waited in vain for {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process is there and is no zombie.
fn is_alive(pid: &str) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn children() -> usize {
    let own = std::process::id();
    let parent = |stat: &str| stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok();
    let stats = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    stats.filter(|stat| parent(stat) == Some(own) && stat.contains(") Z")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_answers_says_how_it_ended_and_is_recorded() {
    let host = Host::new("/bin/sh", "10m");
    let mut client = host.open("web").await;
    assert_eq!(client.session.len(), 36);
    assert_eq!(client.session.as_bytes()[14], b'4');
    host.send(&client, "echo a$((1+1))b; stty size; tty; echo $TERM $ETCHA_SOURCE_NAME\n").await;
    let seen = client.read("web\r\n").await;
    assert!(seen.contains("a2b\r\n17 91\r\n/dev/pts/"), "{seen}");
    host.send(&client, "exit 7\n").await;
    client.read("").await;
    assert_eq!(client.end, Some(End::Exit(7)));
    host.wait_for_close("exit").await;
    until("the event", || {
        fs::read_to_string(host.path("event")).is_ok_and(|text| text == "web ops 127.0.0.1\n")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_changes_its_size_with_or_without_input() {
    let host = Host::new("/bin/sh", "10m");
    let mut client = host.open("web").await;
    for (columns, rows) in [(100, 30), (1, 1), (65535, 65535)] {
        let request = Request {
            size: Some(Size { columns, rows }),
            session: Some(client.session.clone()),
            ..Request::default()
        };
        assert!(matches!(host.ask("web", &host.ops, &request).await, Ok(ShellAnswer::Taken)));
        host.send(&client, "stty size\n").await;
        client.read(&format!("{rows} {columns}\r\n")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_byte_comes_out_as_it_was_written() {
    let host = Host::new("/bin/sh -c 'stty raw; exec cat all'", "10m");
    let all: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    fs::write(host.path("all"), &all).unwrap();
    let mut client = host.open("web").await;
    client.read("").await;
    assert_eq!((client.seen.len(), client.seen == all), (all.len(), true));
    assert_eq!(client.end, Some(End::Exit(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_belongs_to_its_key_and_its_source() {
    let host = Host::new("/bin/sh", "10m");
    let mut client = host.open("web").await;
    let request = |session: &str| Request {
        session: Some(session.to_owned()),
        input: b"touch stranger\n".to_vec(),
        ..Request::default()
    };
    let own = request(&client.session);
    let cases = [
        ("web", &host.other, &own),
        ("db", &host.ops, &own),
        ("none", &host.ops, &own),
        ("no", &host.ops, &own),
    ];
    for (source, key, request) in cases {
        assert!(is_not_found(&host.ask(source, key, request).await));
    }
    let unknown = request("2b1c7d5e-0000-4000-8000-000000000000");
    assert!(is_not_found(&host.ask("web", &host.ops, &unknown).await));
    assert!(is_not_found(&host.ask("web", &key("stranger"), &own).await));
    assert!(is_not_found(&host.ask("none", &host.ops, &Request::default()).await));
    host.send(&client, "ls; exit\n").await;
    assert!(!client.read("").await.contains("stranger"));
    host.wait_for_close("exit").await;
    // What is over is not there either.
    assert!(is_not_found(&host.ask("web", &host.ops, &own).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_have_nothing_in_common() {
    let host = Host::new("/bin/sh", "10m");
    let (mut one, mut two) = (host.open("web").await, host.open("web").await);
    host.send(&one, "X=one; echo is $X\n").await;
    one.read("is one\r\n").await;
    host.send(&two, "echo is $X.\n").await;
    two.read("is .\r\n").await;
    host.send(&one, "exit\n").await;
    one.read("").await;
    // Quoted, so that what was typed is told from what came of it, wherever the prompt is.
    host.send(&two, "echo still' 'here\n").await;
    two.read("still here\r\n").await;
}

/// A shell that has a stubborn process in the foreground, whose number is in the file `pid`.
const STUBBORN: &str = "/bin/sh -c 'trap : HUP; sh -c \"trap : HUP TERM; echo \\$\\$ > pid; while :; do sleep 1000; done\"; exec sleep 1000'";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_takes_its_processes_with_it() {
    let host = Host::new("/bin/bash -i", "10m");
    let client = host.open("web").await;
    host.send(&client, "sleep 1000 & sh -c 'echo $$ > new; mv new pid; exec sleep 1000'\n").await;
    until("the command to run", || host.path("pid").exists()).await;
    let pid = fs::read_to_string(host.path("pid")).unwrap().trim().to_owned();
    assert!(is_alive(&pid));
    drop(client);
    host.wait_for_close("disconnected").await;
    assert!(!is_alive(&pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_do_not_hear_are_killed_when_the_time_is_over() {
    let host = Host::new(STUBBORN, "1s");
    let mut client = host.open("web").await;
    until("the command to run", || fs::read_to_string(host.path("pid")).is_ok_and(|pid| pid.ends_with('\n')))
        .await;
    let pid = fs::read_to_string(host.path("pid")).unwrap().trim().to_owned();
    client.read("").await;
    assert_eq!(client.end, Some(End::Timeout));
    host.wait_for_close("timeout").await;
    assert!(!is_alive(&pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_engine_ends_all_and_opens_no_more() {
    let host = Host::new("/bin/sh", "10m");
    let mut client = host.open("web").await;
    host.shells.stop();
    timeout(SOON, host.shells.ended()).await.unwrap();
    client.read("").await;
    assert_eq!(client.end, Some(End::Stopped));
    host.wait_for_close("stopped").await;
    let refused = host.ask("web", &host.ops, &Request::default()).await;
    assert!(matches!(refused, Err(ShellRefusal::Busy)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_the_shell_up_and_gets_everything() {
    let host = Host::new("/bin/sh -c 'stty raw; seq 1 300000; touch done; exit 3'", "10m");
    let mut client = host.open("web").await;
    // The queue is full and the shell is not done: it waits.
    until("the queue to be full", || client.lines.0.len() == client.lines.0.max_capacity()).await;
    assert!(!host.path("done").exists());
    client.read("").await;
    let expected: String = (1..=300_000).map(|n| format!("{n}\n")).collect();
    assert!(client.text() == expected, "{} of {} bytes", client.seen.len(), expected.len());
    assert_eq!(client.end, Some(End::Exit(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_that_does_not_start_says_why_and_takes_no_place() {
    let host = Host::new("/no/such/shell", "10m");
    for _ in 0..=MAX_SESSIONS_PER_ADDRESS {
        let refused = host.ask("web", &host.ops, &Request::default()).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the shell does not start: /no/such/shell: No such file or directory (os error 2)"
        );
    }
    assert_eq!(host.journal(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_take_all_places() {
    let host = Host::new("/bin/sh", "10m");
    let mut clients = Vec::new();
    for _ in 0..MAX_SESSIONS_PER_ADDRESS {
        clients.push(host.open("web").await);
    }
    let refused = host.ask("web", &host.ops, &Request::default()).await;
    assert!(matches!(refused, Err(ShellRefusal::TooMany)), "{refused:?}");
    let elsewhere = IpAddr::from([192, 0, 2, 1]);
    let elsewhere = host.ask_from(elsewhere, "web", &host.ops, &Request::default()).await;
    assert!(matches!(elsewhere, Ok(ShellAnswer::Opened(_))));
}

#[test]
fn there_are_so_many_places_and_no_more() {
    let state = Arc::new(watch::Sender::default());
    let take = |n: usize| Slot::take(&state, IpAddr::from([192, 0, 2, u8::try_from(n).unwrap()]));
    let mut places: Vec<_> = (0..MAX_SESSIONS).map(|n| take(n).ok().unwrap()).collect();
    assert!(matches!(take(200), Err(ShellRefusal::Busy)));
    places.pop();
    assert!(take(200).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_shell_leaves_in_the_background_delays_its_end_by_little() {
    let host = Host::new("/bin/bash -c 'setsid sleep 1000 & echo $! > pid; exit 4'", "10m");
    let mut client = host.open("web").await;
    client.read("").await;
    assert_eq!(client.end, Some(End::Exit(4)));
    host.wait_for_close("exit").await;
    let pid: i32 = fs::read_to_string(host.path("pid")).unwrap().trim().parse().unwrap();
    let left = Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(left, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_zombie_is_left_and_a_signal_is_a_status() {
    let host = Host::new("/bin/sh -c 'kill -9 $$'", "10m");
    let mut client = host.open("web").await;
    client.read("").await;
    assert_eq!(client.end, Some(End::Exit(137)));
    host.wait_for_close("exit").await;
    until("the process to be waited for", || children() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_nobody_reads_waits_and_ends_with_the_session() {
    let host = Host::new("/bin/sh -c 'stty raw -echo; echo ready; exec sleep 1000'", "10m");
    let mut client = host.open("web").await;
    client.read("ready").await;
    let request = Request {
        session: Some(client.session.clone()),
        input: vec![b'x'; MAX_INPUT_BYTES],
        ..Request::default()
    };
    let gone = async {
        drop(client);
        host.wait_for_close("disconnected").await;
    };
    let (answer, ()) =
        timeout(SOON, async { tokio::join!(host.ask("web", &host.ops, &request), gone) }).await.unwrap();
    assert!(is_not_found(&answer));
}
