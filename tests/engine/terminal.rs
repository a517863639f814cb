//! A person at a terminal, who runs a client in it: types, looks, changes the size of the window.

use std::{
    io::{Read as _, Write as _},
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex},
    thread,
};

use pty_process::{
    Size,
    blocking::{self, Pts, Pty},
};
use rustix::{
    process::{Pid, Signal, kill_process},
    termios::{LocalModes, tcgetattr},
};

use crate::harness::wait::{SOON, wait_for, wait_until};

/// A program on a terminal. Dropping it kills and reaps it.
pub(super) struct Terminal {
    pub(super) child: Child,
    pty: Arc<Pty>,
    /// Held, so that the terminal's settings outlive the program.
    _pts: Pts,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts `command` in a window of this size.
    pub(super) fn start(command: Command, columns: u16, rows: u16) -> Terminal {
        let (pty, pts) = blocking::open().unwrap();
        pty.resize(Size::new(rows, columns)).unwrap();
        let child = blocking::Command::from(command).spawn_borrowed(&pts).unwrap();
        let (pty, seen) = (Arc::new(pty), Arc::new(Mutex::new(Vec::new())));
        let (screen, shown) = (Arc::clone(&pty), Arc::clone(&seen));
        // Ends when the other side of the terminal is closed.
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read) = (&*screen).read(&mut buffer) {
                shown.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Terminal { child, pty, _pts: pts, seen }
    }

    pub(super) fn keys(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).unwrap();
    }

    pub(super) fn resize(&self, columns: u16, rows: u16) {
        self.pty.resize(Size::new(rows, columns)).unwrap();
    }

    pub(super) fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    pub(super) fn wait_for(&self, text: &str) {
        wait_until(SOON, &format!("{text:?} on the terminal"), || self.seen().contains(text));
    }

    /// Whether keys go through unread.
    pub(super) fn is_raw(&self) -> bool {
        !tcgetattr(&*self.pty).unwrap().local_modes.contains(LocalModes::ICANON)
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end of the program.
    pub(super) fn wait(&mut self) -> ExitStatus {
        wait_for(SOON, "the program on the terminal to end", || self.child.try_wait().unwrap())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail only when it has ended and was reaped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
