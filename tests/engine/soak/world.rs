//! The engine, the files that its Commands leave, and what is done to the engine as a whole. Whatever ends it or takes its
//! disk away is a disturbance: what clients ask for meanwhile may fail. Nothing else may disturb them.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use rustix::{
    fs::{CWD, Mode, mkfifoat},
    process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit},
};
use serde_json::{Value, json};

use super::server::{self, Server};
use crate::engine::{
    Home,
    peer::{Engine, Keys},
};
use crate::harness::wait::{SOON, holds_for, wait_until};

/// Sources that each take pushes of one client.
pub(super) const PUSHED: u64 = 2;

/// Sources that run on a schedule, whatever else happens.
const TICKING: u64 = 2;

/// No Source on a schedule of [`EVERY`] waits longer, on a busy machine and with a program that is not optimised.
const STARVED: Duration = Duration::from_secs(20);

const EVERY: &str = "200ms";

/// From SIGTERM to the end.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A file cannot grow beyond this on a full disk.
const FULL: u64 = 4096;

/// Room for the files of one process, for a leak to be seen: there is one request after the other.
const SPARE_DESCRIPTORS: usize = 24;

/// What clients share.
#[derive(Clone)]
pub(super) struct Shared {
    /// Where the engine listens now.
    pub(super) address: Arc<Mutex<SocketAddr>>,
    /// Odd while something disturbs; another number after it.
    disturbances: Arc<AtomicU64>,
    pub(super) keys: Arc<Keys>,
    pub(super) directory: PathBuf,
    /// Where clients are started, so that what runs in `directory` is the engine's.
    pub(super) elsewhere: Arc<Home>,
}

impl Shared {
    /// What `ask` returned, and whether nothing disturbed it.
    pub(super) fn undisturbed<T>(&self, ask: impl FnOnce() -> T) -> (T, bool) {
        let before = self.disturbances.load(Ordering::SeqCst);
        let answer = ask();
        let after = self.disturbances.load(Ordering::SeqCst);
        (answer, before == after && before.is_multiple_of(2))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// What happened in the life of one engine.
#[derive(Clone, Copy, Default)]
pub(super) struct Life {
    pub(super) was_killed: bool,
    pub(super) disk_was_full: bool,
}

pub(super) struct World {
    home: Home,
    engine: Engine,
    server: Server,
    shared: Shared,
    pub(super) lives: Vec<Life>,
    descriptors: usize,
    /// Resident memory in KiB, over the last life.
    pub(super) memory: Vec<u64>,
    pub(super) longest_pause: Duration,
    pub(super) happened: u64,
}

impl World {
    pub(super) fn new() -> World {
        let (home, keys) = (Home::new(), Keys::new("ops"));
        fs::create_dir(home.path("did")).unwrap();
        fs::create_dir(home.path("has")).unwrap();
        mkfifoat(CWD, home.path("pipe.jwt"), Mode::RUSR | Mode::WUSR).unwrap();
        let server = Server::start(keys.sign("{run: [{id: 'pulled', check: 'true'}]}"));
        let engine = home.listen_with(&config(&server, &keys), "--ignore-signal=XFSZ");
        let shared = Shared {
            address: Arc::new(Mutex::new(engine.address)),
            disturbances: Arc::default(),
            keys: Arc::new(keys),
            directory: home.path(""),
            elsewhere: Arc::new(Home::new()),
        };
        let mut world = World {
            home,
            engine,
            server,
            shared,
            lives: Vec::new(),
            descriptors: 0,
            memory: Vec::new(),
            longest_pause: Duration::ZERO,
            happened: 0,
        };
        world.begin_life();
        world
    }

    pub(super) fn shared(&self) -> Shared {
        self.shared.clone()
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    fn begin_life(&mut self) {
        self.lives.push(Life::default());
        let operator = json!({
            "build": {"signingKey": self.shared.keys.private},
            "httpClient": {"tlsCAPath": self.engine.certificate(), "noSystemCA": true},
        });
        self.shared.elsewhere.write("operator.json", &operator.to_string());
        *self.shared.address.lock().unwrap() = self.engine.address;
        let begin = SystemTime::now();
        wait_until(SOON, "the first runs", || {
            (0..TICKING).all(|number| beat(&self.home, number) >= Some(begin))
        });
        self.descriptors = descriptors(self.engine.process.id());
    }

    /// Nothing that clients ask for need go well until this has returned.
    fn disturb(&mut self, what: impl FnOnce(&mut World)) {
        self.shared.disturbances.fetch_add(1, Ordering::SeqCst);
        what(self);
        self.shared.disturbances.fetch_add(1, Ordering::SeqCst);
    }

    /// Watches for a while that the engine runs and that no Source starves.
    pub(super) fn watch(&mut self, time: Duration) {
        let (engine, home, longest) = (&mut self.engine, &self.home, &mut self.longest_pause);
        holds_for(time, "the engine runs and each Source has its turn", || {
            let now = SystemTime::now();
            let pauses = (0..TICKING).filter_map(|number| now.duration_since(beat(home, number)?).ok());
            *longest = pauses.fold(*longest, Duration::max);
            engine.process.is_running() && *longest < STARVED
        });
    }

    /// One more Source, or one less.
    pub(super) fn reload(&mut self) {
        self.happened += 1;
        let mut config = config(&self.server, &self.shared.keys);
        if self.happened.is_multiple_of(2) {
            config["sources"]["more"] =
                json!({"commands": [{"id": "m", "check": "true"}], "runFrequency": "1s"});
        }
        self.signal_reload(&config.to_string(), "reloaded the configuration");
    }

    pub(super) fn reload_what_is_wrong(&mut self) {
        self.happened += 1;
        self.signal_reload("{sources: {x: {comands: []}}}", "not reloaded");
    }

    fn signal_reload(&self, text: &str, says: &str) {
        let count = |log: &str| log.matches(says).count();
        let before = count(&self.engine.process.log());
        self.home.write("etcha.jsonnet", text);
        self.engine.process.signal(Signal::HUP);
        wait_until(SOON, says, || count(&self.engine.process.log()) > before);
    }

    /// A script that does not end by itself. Nobody waits for it.
    pub(super) fn hang_a_script(&mut self) {
        self.happened += 1;
        fs::write(self.home.path("hang"), "").unwrap();
    }

    /// No file grows for a while, the journal and the state not either.
    pub(super) fn fill_the_disk(&mut self, time: Duration) {
        self.happened += 1;
        self.lives.last_mut().unwrap().disk_was_full = true;
        self.disturb(|world| {
            limit_files(world.engine.process.id(), Some(FULL));
            world.watch(time);
            limit_files(world.engine.process.id(), None);
        });
    }

    pub(super) fn kill(&mut self) {
        self.happened += 1;
        self.lives.last_mut().unwrap().was_killed = true;
        self.disturb(|world| {
            world.engine.process.signal(Signal::KILL);
            world.engine.process.wait();
            // Scripts under way outlive an engine that is killed, as documented.
            wait_until(SOON, "what the killed engine left to end", || {
                let left = processes_in(&world.shared.directory);
                for pid in &left {
                    let _ = kill_process(*pid, Signal::KILL);
                }
                left.is_empty()
            });
            world.start();
        });
    }

    pub(super) fn restart(&mut self) {
        self.happened += 1;
        self.disturb(|world| {
            world.stop();
            world.start();
        });
    }

    fn start(&mut self) {
        let config = config(&self.server, &self.shared.keys);
        self.engine = self.home.listen_with(&config, "--ignore-signal=XFSZ");
        self.begin_life();
    }

    /// SIGTERM: in time, in good order, and nothing is left.
    pub(super) fn stop(&mut self) {
        let begin = Instant::now();
        assert!(self.engine.process.terminate().success());
        assert!(begin.elapsed() < STOP_LIMIT, "{:?}", begin.elapsed());
        let left = processes_in(&self.shared.directory);
        assert!(left.is_empty(), "left running: {left:?}\n{}", self.engine.process.log());
    }

    pub(super) fn note_memory(&mut self) {
        self.memory.push(self.engine.process.status_number("VmRSS"));
    }

    /// Waits until the engine, which nobody asks for anything any more, has as few files open as at its start.
    pub(super) fn calm_down(&mut self) {
        self.server.behave(server::RIGHT);
        let (pid, most) = (self.engine.process.id(), self.descriptors + SPARE_DESCRIPTORS);
        wait_until(SOON, "the descriptors to be closed", || descriptors(pid) <= most);
        println!("descriptors: {} at first, {} at last", self.descriptors, descriptors(pid));
    }
}

/// When a Source last ran.
fn beat(home: &Home, number: u64) -> Option<SystemTime> {
    fs::metadata(home.path(&format!("beat{number}"))).ok()?.modified().ok()
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn limit_files(pid: u32, bytes: Option<u64>) {
    let pid = Pid::from_raw(pid.cast_signed());
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// Processes that work in a directory, but for those that have ended.
fn processes_in(directory: &Path) -> Vec<Pid> {
    let directory = directory.canonicalize().unwrap();
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter(|entry| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == directory))
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

fn config(server: &Server, keys: &Keys) -> Value {
    let mut config = json!({
        "journal": {"path": "journal.jsonl", "maxBytes": 512 * 1024, "keep": 100_000, "heartbeat": "1s"},
        "run": {"verifyKeys": keys.public, "timeoutStop": "2s"},
        "sources": {
            "pull": {"runFrequency": "300ms", "pullPaths": [format!("http://{}/p.jwt#clientTimeout:1", server.address)]},
            "pipe": {"runFrequency": "1s", "pullPaths": ["pipe.jwt"]},
            "hang": {"runFrequency": "1s", "runTimeout": "2s", "commands": [
                {"id": "hang", "check": "! test -e hang", "change": "rm hang; sleep 100000 & sleep 100000"}
            ]},
            "hook": {"webhookPaths": "/hook", "triggerOnly": true, "runMulti": true, "commands": [
                {"id": "say", "always": true, "change": "echo $ETCHA_WEBHOOK_QUERY", "onChange": "etcha:webhookBody"}
            ]},
            "heard": {"eventsReceive": ["push", "shell"], "triggerOnly": true, "commands": [
                {"id": "heard", "always": true, "change": "true"}
            ]},
            "web": {"shell": {"command": "/bin/sh", "env": {"PS1": "$ ", "ENV": ""}}}
        }
    });
    for number in 0..TICKING {
        let beat = format!("printf . > beat{number}");
        config["sources"][format!("tick{number}")] = json!(
            {"runFrequency": EVERY, "commands": [{"id": "tick", "always": true, "change": beat}]}
        );
    }
    for number in 0..PUSHED {
        config["sources"][format!("push{number}")] = json!({"allowPush": true, "runFrequency": "2s"});
    }
    config
}
