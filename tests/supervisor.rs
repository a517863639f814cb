//! What a service manager hears of the exporter: readiness, life, the end, and silence when the follower is stuck.

use std::{
    fs::{self, File},
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};

use crate::harness::{
    exporter::{Exporter, Home, command},
    wait::{SOON, wait_until},
};

/// What the watchdog allows. Short, because the test waits for several of them.
const WATCHDOG: Duration = Duration::from_millis(400);

/// A stand-in for the service manager: its socket.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    /// The manager, and an exporter on `home` that it watches.
    fn start(home: &Home) -> (Manager, Exporter) {
        let path = home.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut command = command();
        command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        let exporter = home.start_by(command, &["--poll-interval", "1h"]);
        (Manager { socket }, exporter)
    }

    /// Waits for a message that holds `wanted`; how long that took.
    fn hears(&self, wanted: &str) -> Duration {
        let begin = Instant::now();
        let mut message = [0; 4096];
        wait_until(SOON, wanted, || {
            self.socket.set_read_timeout(Some(SOON)).unwrap();
            let length = self.socket.recv(&mut message).unwrap();
            String::from_utf8_lossy(&message[..length]).contains(wanted)
        });
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

#[test]
fn the_service_manager_hears_of_readiness_then_of_life_and_of_the_end() {
    let home = Home::new();
    let (manager, mut exporter) = Manager::start(&home);
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
    let (manager, exporter) = Manager::start(&home);
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    // A segment without end that holds no line: looking for its first one takes longer than any watchdog waits.
    let hole = File::create(home.path("hole")).unwrap();
    hole.set_len(1 << 42).unwrap();
    fs::rename(home.path("hole"), home.path("journal.jsonl.1")).unwrap();
    wait_until(SOON, "silence", || manager.hears_nothing_for(3 * WATCHDOG));
    assert_eq!(exporter.get("/-/healthy", &[]).status, 200);
}
