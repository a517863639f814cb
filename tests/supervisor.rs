//! What a service manager hears of the exporter: readiness, life, the end, and silence when the follower is stuck.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::harness::{
    exporter::{Exporter, Home, command},
    process::Process,
    program,
    wait::{SOON, wait_until},
};

/// What the watchdog allows. Short, because the test waits for several of them.
const WATCHDOG: Duration = Duration::from_millis(400);

/// Longer than a test.
const NO_WATCHDOG: Duration = Duration::from_secs(3600);

/// A stand-in for the service manager: its socket.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    /// The manager, and an exporter on `home` that it watches.
    fn start(home: &Home, watchdog: Duration) -> (Manager, Exporter) {
        let mut command = command();
        let manager = Manager::of(&mut command, home.path("notify"));
        command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        let exporter = home.start_by(command, &["--poll-interval", "1h"]);
        (manager, exporter)
    }

    /// The manager of what `command` will start.
    fn of(command: &mut Command, path: PathBuf) -> Manager {
        let socket = UnixDatagram::bind(&path).unwrap();
        command.env("NOTIFY_SOCKET", path);
        Manager { socket }
    }

    /// The next message.
    fn next(&self) -> String {
        let mut message = [0; 4096];
        self.socket.set_read_timeout(Some(SOON)).unwrap();
        let length = self.socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    }

    /// Waits for a message that holds `wanted`; how long that took.
    fn hears(&self, wanted: &str) -> Duration {
        let begin = Instant::now();
        wait_until(SOON, wanted, || self.next().contains(wanted));
        begin.elapsed()
    }

    /// Whether nothing at all is heard for `time`.
    fn hears_nothing_for(&self, time: Duration) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let mut message = [0; 4096];
        while self.socket.recv(&mut message).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
        self.socket.set_read_timeout(Some(time)).unwrap();
        self.socket.recv(&mut message).is_err()
    }
}

/// Attaches to the thread of this number as a debugger does, which stops it and no other, and stays.
const STOP: &str = r#"
import ctypes, os, signal, sys
thread, ATTACH, WALL = int(sys.argv[1]), 16, 0x40000000
if ctypes.CDLL(None, use_errno=True).ptrace(ATTACH, thread, None, None) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(thread, WALL)
print("stopped", file=sys.stderr, flush=True)
signal.pause()
"#;

/// Stops the thread of this name of a process, and no other, until the result is dropped.
fn stop_thread(process: u32, name: &str) -> Option<Process> {
    let python = program::find("python3")?;
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let thread = tasks
        .map(|task| task.unwrap())
        .find(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name))
        .unwrap();
    let mut debugger = Process::start(Command::new(python).args(["-c", STOP]).arg(thread.file_name()));
    debugger.wait_for_log("that the thread stands still", |line| (line == "stopped").then_some(()));
    Some(debugger)
}

#[test]
fn the_service_manager_hears_of_readiness_then_of_life_and_of_the_end() {
    let home = Home::new();
    let (manager, mut exporter) = Manager::start(&home, WATCHDOG);
    manager.hears("READY=1");
    // Though the poll interval is an hour.
    for _ in 0..5 {
        assert!(manager.hears("WATCHDOG=1") < 10 * WATCHDOG);
    }
    assert!(exporter.process.terminate().success());
    manager.hears("STOPPING=1");
}

#[test]
fn a_follower_that_is_stuck_keeps_the_watchdog_waiting_though_the_listener_answers() {
    let home = Home::new();
    let (manager, exporter) = Manager::start(&home, WATCHDOG);
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    let Some(_stopped) = stop_thread(exporter.process.id(), "follower") else { return };
    wait_until(SOON, "silence", || manager.hears_nothing_for(3 * WATCHDOG));
    assert_eq!(exporter.get("/-/healthy", &[]).status, 200);
}

#[test]
fn a_hangup_is_a_reload_from_its_begin_to_its_end() {
    let home = Home::new();
    let (manager, exporter) = Manager::start(&home, NO_WATCHDOG);
    manager.hears("READY=1");
    exporter.process.signal(Signal::HUP);
    let begin = manager.next();
    assert!(begin.contains("RELOADING=1") && begin.contains("MONOTONIC_USEC="), "{begin}");
    assert!(manager.next().contains("READY=1"));
}

#[test]
fn the_service_manager_hears_of_the_engine_before_its_first_run_ends_and_at_its_end() {
    let directory = tempfile::tempdir().unwrap();
    // A run that ends with the engine.
    let sources = "sources={\"s\": {\"commands\": [{\"id\": \"slow\", \"check\": \"sleep 3600\"}]}}";
    let mut command = Command::new(env!("CARGO_BIN_EXE_etcha-engine"));
    command.current_dir(&directory).args(["-x", sources, "run"]);
    let manager = Manager::of(&mut command, directory.path().join("notify"));
    let mut engine = Process::start(&mut command);
    manager.hears("READY=1");
    engine.terminate();
    manager.hears("STOPPING=1");
}
