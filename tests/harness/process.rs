//! A started program: its standard error is collected and can be searched while it runs, and it never outlives the
//! test. Leaves standard output to the caller's `Command`.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    secrets,
    wait::{SOON, wait_for, wait_until},
};

/// A running program. Dropping it kills and reaps it.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts `command` without standard input.
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let log = Arc::default();
        collect(child.stderr.take().unwrap(), Arc::clone(&log));
        Self { name, child, log }
    }

    /// All it has written to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Waits until its log holds `text`: what it wrote before an answer may be collected after it. The log then.
    pub(crate) fn logged(&self, text: &str) -> String {
        wait_until(SOON, &format!("{} to log: {text}", self.name), || self.log().contains(text));
        self.log()
    }

    /// The first line of the log that `pick` takes something from, as soon as there is one. Panics with the log when
    /// the program ends before, or when it takes too long.
    pub(crate) fn wait_for_log<T>(&mut self, what: &str, mut pick: impl FnMut(&str) -> Option<T>) -> T {
        let (log, child, name) = (&self.log, &mut self.child, &self.name);
        let what = format!("{name} to log {what}");
        wait_for(SOON, &what, || {
            // Asked first: what was written before the end may arrive after this look.
            let ended = child.try_wait().unwrap();
            let lines = log.lock().unwrap();
            let found = lines.iter().find_map(|line| pick(line));
            if let (None, Some(status)) = (&found, ended) {
                panic!("waiting for {what}, but it ended with {status}:\n{}", lines.join("\n"));
            }
            found
        })
    }

    /// A number that the system tells of it in `/proc/…/status`.
    pub(crate) fn status_number(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// The loopback address where it listens, as soon as it does: for programs that were given port 0 and do not log
    /// which one they got.
    pub(crate) fn listening(&self) -> SocketAddr {
        let pid = self.child.id();
        wait_for(SOON, &format!("{} to listen", self.name), || {
            let sockets = sockets_of(pid);
            let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
            table.lines().skip(1).find_map(|line| listening_port(line, &sockets))
        })
    }

    /// Its number in the system.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let what = format!("{} to end", self.name);
        wait_for(SOON, &what, || self.child.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended and was reaped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // No test of the suite may see a secret in a log of ours, whatever the test is about.
        if self.name.contains("etcha-exporter") && !thread::panicking() {
            secrets::assert_none(&self.log());
        }
    }
}

/// Inodes of the sockets that a process has open.
fn sockets_of(pid: u32) -> Vec<String> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect()
}

/// The address of a line of `/proc/…/net/tcp`, if it listens on loopback and is one of `sockets`.
fn listening_port(line: &str, sockets: &[String]) -> Option<SocketAddr> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let (address, port) = fields[1].split_once(':')?;
    let is_ours =
        address == "0100007F" && fields[3] == "0A" && sockets.iter().any(|socket| socket == fields[9]);
    let port = u16::from_str_radix(port, 16).ok()?;
    is_ours.then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// Moves lines from `stream` into `log` until the program closes it.
fn collect(stream: impl Read + Send + 'static, log: Arc<Mutex<Vec<String>>>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            log.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
        }
    });
}
