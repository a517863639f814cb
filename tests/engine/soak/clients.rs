//! Those who ask the engine for something: some push, one calls a webhook, one opens shells and is killed now and then.
//! What nothing disturbed has to go well, and they look whether it did; the rest is remembered for the end.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::{
    Dice,
    world::{PUSHED, Shared},
};
use crate::harness::{
    http::{self, Response},
    wait::{SOON, holds_for, wait_until},
};

/// How many there are.
pub(super) const COUNT: u64 = PUSHED + 2;

/// Longest pause between two requests of one client.
const LONGEST_PAUSE_MS: u64 = 60;

/// A Pattern that is longer than a file may become on a full disk.
const LONG: usize = 6000;

/// What one client has done.
#[derive(Default)]
pub(super) struct Done {
    pub(super) pushes: Vec<Asked>,
    pub(super) hooks: Vec<Asked>,
    pub(super) shells: Vec<Asked>,
    /// Commands that may have been taken away by a push that was disturbed, so that they were made again.
    pub(super) again: BTreeSet<String>,
}

/// Something that was asked for.
pub(super) struct Asked {
    /// Names it, and the file that it leaves.
    pub(super) id: String,
    /// Nothing disturbed it, so it was done.
    pub(super) is_sure: bool,
}

/// Asks until it is over.
pub(super) fn go_on(number: u64, shared: &Shared, mut dice: Dice, over: &AtomicBool) -> Done {
    let mut done = Done::default();
    let mut pusher = Pusher { number, kept: Vec::new(), before: None, again: BTreeSet::new() };
    let mut turn = 0;
    while !over.load(Ordering::Relaxed) {
        turn += 1;
        match number {
            0..PUSHED => done.pushes.push(pusher.push(turn, shared, &mut dice)),
            PUSHED => done.hooks.push(call(turn, shared)),
            _ => done.shells.push(type_in(turn, shared, &mut dice)),
        }
        holds_for(Duration::from_millis(dice.roll(LONGEST_PAUSE_MS)), "a pause", || true);
    }
    done.again = pusher.again;
    done
}

/// Pushes to one Source.
struct Pusher {
    number: u64,
    /// The tokens that the engine may have kept, with their Commands: one, if nothing disturbed.
    kept: Vec<(String, String)>,
    /// The Command that is there, if that is sure.
    before: Option<String>,
    again: BTreeSet<String>,
}

impl Pusher {
    fn push(&mut self, turn: u64, shared: &Shared, dice: &mut Dice) -> Asked {
        let id = format!("p{}-{turn}", self.number);
        let failing = self.before.as_ref().filter(|_| dice.roll(5) == 0);
        let fails = failing.is_some();
        let padding = if dice.roll(3) == 0 { "x".repeat(LONG) } else { String::new() };
        // What is there stays if it fails, so it must not take that away.
        let rest = failing.map_or_else(String::new, |before| {
            format!("{}, {{id: 'f', always: true, change: 'exit 3'}}", command(before))
        });
        let token = shared.keys.sign(&format!("{{run: [{}, {rest}]}} // {padding}", command(&id)));
        let target = format!("/etcha/v1/push/push{}", self.number);
        let (answer, is_sure) = shared.undisturbed(|| ask(shared, "POST", &target, &token));
        let status = answer.as_ref().ok().map(|answer| answer.status);
        if is_sure {
            assert_eq!(status, Some(if fails { 500 } else { 200 }), "{id}: {answer:?}");
            assert_eq!(fs::read_to_string(shared.path(&format!("did/{id}"))).unwrap(), "x\n", "{id}");
        }
        if !is_sure {
            self.again.extend(self.kept.iter().map(|(_, id)| id.clone()));
            self.again.insert(id.clone());
        }
        if status == Some(200) {
            self.kept = vec![(token, id.clone())];
            if let Some(before) = self.before.take().filter(|_| is_sure) {
                assert!(!shared.path(&format!("has/{before}")).exists(), "{before} was taken away by {id}");
            }
            self.before = is_sure.then(|| id.clone());
        } else if !is_sure {
            self.kept.push((token, id.clone()));
            self.before = None;
        }
        self.look_at_what_is_kept(shared);
        Asked { id, is_sure }
    }

    fn look_at_what_is_kept(&self, shared: &Shared) {
        let file = shared.path(&format!("state/push{}.jwt", self.number));
        let (kept, is_sure) = shared.undisturbed(|| fs::read_to_string(file));
        if is_sure && let Ok(kept) = kept {
            let known = self.kept.iter().any(|(token, _)| token == kept.trim_end());
            assert!(known || self.kept.is_empty(), "push{}: an older token is kept", self.number);
        }
    }
}

fn command(id: &str) -> String {
    let (change, remove) = (format!("echo x >> did/{id}; touch has/{id}"), format!("rm has/{id}"));
    format!("{{id: '{id}', check: 'test -e has/{id}', change: '{change}', remove: '{remove}'}}")
}

fn call(turn: u64, shared: &Shared) -> Asked {
    let query = format!("n={turn}");
    let (answer, is_sure) = shared.undisturbed(|| ask(shared, "GET", &format!("/hook?{query}"), ""));
    if is_sure {
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.text().trim_end()), (200, query.as_str()), "{answer:?}");
    }
    Asked { id: query, is_sure }
}

/// Types one line into a shell, and is killed while it waits for the answer, or ends.
fn type_in(turn: u64, shared: &Shared, dice: &mut Dice) -> Asked {
    let id = format!("s{turn}");
    let is_killed = dice.roll(4) == 0;
    let rest = if is_killed { "sleep 100000" } else { "exit 3" };
    let file = shared.path(&format!("did/{id}"));
    let (code, is_sure) = shared.undisturbed(|| {
        let mut client = client(shared);
        let line = format!("echo x >> did/{id}; {rest}\n");
        // It may have ended already, as its engine may.
        let _ = client.stdin.take().unwrap().write_all(line.as_bytes());
        wait_until(SOON, "a client to be done", || {
            let has_ended = client.try_wait().unwrap().is_some();
            if is_killed && file.exists() {
                client.kill().unwrap();
            }
            has_ended
        });
        client.wait().unwrap().code()
    });
    if is_sure {
        assert_eq!(code, if is_killed { None } else { Some(3) }, "{id}");
        assert_eq!(fs::read_to_string(file).unwrap(), "x\n", "{id}");
    }
    Asked { id, is_sure }
}

fn client(shared: &Shared) -> Child {
    let port = shared.address.lock().unwrap().port().to_string();
    let arguments =
        ["-c", "operator.json", "-l", "error", "shell", "--host", "localhost", "--port", &port, "web"];
    let mut command = shared.elsewhere.command(&arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A request, which may fail: the engine may be killed while it is asked.
fn ask(shared: &Shared, method: &str, target: &str, body: &str) -> io::Result<Response> {
    let address = *shared.address.lock().unwrap();
    let stream = TcpStream::connect_timeout(&address, SOON)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.set_write_timeout(Some(SOON))?;
    let mut stream = http::over_tls(stream, &shared.path("state/tls-certificate.pem"));
    let length = body.len();
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    stream.flush()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(http::parse(&answer)) }
}
