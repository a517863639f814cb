//! One script as a process: its input, its output, its end. Every process is waited for; one that runs too long, or
//! is running when the engine stops, ends with its whole process group.
//!
//! A plain thread waits with `poll`, for output, input, the end of the process and the wish to stop at once. A run
//! is a strict sequence, so there is nothing for an async runtime to do here.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, kill_process_group, pidfd_open};

use super::{Exec, account};
use crate::stop::Stop;

/// Output that is kept of one script, in bytes. What comes after is read, so that the script goes on, and dropped.
pub const MAX_OUTPUT_BYTES: usize = 1024 * 1024;

/// How long a process group has to end by itself (SIGTERM) before it is ended (SIGKILL).
pub const TERM_GRACE: Duration = Duration::from_secs(2);

/// How long output is still read after the script has ended, as long as somebody could write any. A process that was
/// left in the background on purpose delays its run by this much and no more.
const OUTPUT_GRACE: Duration = Duration::from_millis(200);

/// Longest wait for a process that does not even end after SIGKILL, because it belongs to somebody else or hangs in the
/// kernel. It is left to a thread that waits on.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// Pause between two looks at a process where the system has no descriptors of processes.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Shared by all who start a process, and held alone by whoever opens a descriptor in two steps: a process that was
/// forked between opening and marking it as not to be inherited would keep it.
pub static STARTING: RwLock<()> = RwLock::new(());

/// How long a script may run.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The moment at which it is ended.
    pub deadline: Option<Instant>,
    /// Ends it when the engine stops.
    pub stop: Stop,
}

/// A script that has ended, or did not even start.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub ending: Ending,
    /// What it wrote.
    pub output: Output,
    /// How long it took, by a clock that never jumps.
    pub duration: Duration,
}

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this status; 0 is success.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// It did not start. Says why.
    NotStarted(String),
    /// It was ended because its time was over.
    TimedOut,
    /// It was ended because the engine stops.
    Stopped,
}

impl Ending {
    /// Whether it ended by itself with status 0.
    pub fn is_success(&self) -> bool {
        *self == Ending::Exit(0)
    }

    /// Whether the engine ended it: then it says nothing about its success.
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Ending::TimedOut | Ending::Stopped)
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ending::Exit(status) => write!(out, "exit status {status}"),
            Ending::Signal(signal) => write!(out, "ended by signal {signal}"),
            Ending::NotStarted(why) => write!(out, "not started: {why}"),
            Ending::TimedOut => write!(out, "ended after its time was over"),
            Ending::Stopped => write!(out, "ended because the engine stops"),
        }
    }
}

/// What a script wrote to standard output and standard error, in the order in which it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The text without white space around it. Bytes that are no UTF-8 are replaced.
    pub text: String,
    /// Bytes beyond [`MAX_OUTPUT_BYTES`] that were dropped.
    pub cut_bytes: u64,
}

/// Runs `script` to its end.
pub fn run(
    exec: &Exec,
    script: &str,
    stdin: Option<&str>,
    variables: &BTreeMap<String, String>,
    limits: &Limits,
) -> Finished {
    let begin = Instant::now();
    let finish = |ending, output| Finished { ending, output, duration: begin.elapsed() };
    if limits.stop.is_asked() {
        return finish(Ending::Stopped, Output::default());
    }
    if limits.deadline.is_some_and(|deadline| deadline <= begin) {
        return finish(Ending::TimedOut, Output::default());
    }
    let running = match Running::start(exec, script, stdin, variables) {
        Ok(running) => running,
        Err(why) => return finish(Ending::NotStarted(why), Output::default()),
    };
    let (ending, output) = running.follow(limits);
    finish(ending, output)
}

struct Running {
    child: Child,
    /// Readable once the process has ended; nothing where the system has no such descriptors.
    ended: Option<OwnedFd>,
    output: Option<PipeReader>,
    captured: Captured,
    /// Closed once everything is written, or nobody reads any more.
    input: Option<(PipeWriter, Vec<u8>)>,
}

impl Running {
    fn start(
        exec: &Exec,
        script: &str,
        stdin: Option<&str>,
        variables: &BTreeMap<String, String>,
    ) -> Result<Running, String> {
        let mut command = prepare(exec, script, variables)?;
        // A group of its own, so that all of it can be ended.
        command.process_group(0);
        let pipes = || -> io::Result<_> {
            let (output, written) = io::pipe()?;
            ioctl_fionbio(&output, true)?;
            let input = match stdin {
                None => None,
                Some(text) => {
                    let (read, input) = io::pipe()?;
                    ioctl_fionbio(&input, true)?;
                    Some((read, input, text.as_bytes().to_vec()))
                }
            };
            Ok((output, written, input))
        };
        let (output, written, input) = pipes().map_err(|error| format!("no pipe: {error}"))?;
        let both = written.try_clone().map_err(|error| format!("no pipe: {error}"))?;
        let input = match input {
            // Never this process's own: a script that waits for a terminal would wait for ever.
            None => {
                command.stdin(Stdio::null());
                None
            }
            Some((read, input, text)) => {
                command.stdin(read);
                Some((input, text))
            }
        };
        command.stdout(both).stderr(written);
        let started = {
            let _no_pty = STARTING.read().unwrap_or_else(PoisonError::into_inner);
            command.spawn()
        };
        let program = || command.get_program().to_string_lossy();
        let child = started.map_err(|error| not_started(exec, &program(), &error))?;
        // The command holds the writing ends of the pipe; without this its end would never come.
        drop(command);
        let ended = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).ok();
        Ok(Running { child, ended, output: Some(output), captured: Captured::default(), input })
    }

    /// Waits for the end. What it is depends on what comes first: the end itself, the deadline, or the stop.
    fn follow(mut self, limits: &Limits) -> (Ending, Output) {
        let mut cause = None;
        let mut until = limits.deadline;
        let mut killed = false;
        let status = loop {
            let stop = cause.is_none().then_some(&limits.stop);
            self.wait(until, stop);
            self.read();
            self.write();
            if self.has_ended() {
                if cause.is_some() {
                    // Its children go first: as long as it is not reaped, nobody else can get its number.
                    self.signal(Signal::KILL);
                }
                break self.child.wait();
            }
            if cause.is_none() && limits.stop.is_over() {
                (cause, until) = (Some(Ending::Stopped), Some(Instant::now() + TERM_GRACE));
                self.signal(Signal::TERM);
            }
            if until.is_none_or(|until| Instant::now() < until) {
                continue;
            }
            if cause.is_none() {
                (cause, until) = (Some(Ending::TimedOut), Some(Instant::now() + TERM_GRACE));
                self.signal(Signal::TERM);
            } else if !killed {
                (killed, until) = (true, Some(Instant::now() + KILL_GRACE));
                self.signal(Signal::KILL);
            } else {
                return (cause.unwrap_or(Ending::TimedOut), self.leave());
            }
        };
        self.read_rest();
        let ending = cause.unwrap_or_else(|| ending(status));
        (ending, self.captured.finish())
    }

    /// Waits until there is something to do.
    fn wait(&self, until: Option<Instant>, stop: Option<&Stop>) {
        let mut wanted: Vec<PollFd<'_>> = Vec::with_capacity(4);
        wanted.extend(self.ended.as_ref().map(|ended| readable(ended.as_fd())));
        wanted.extend(self.output.as_ref().map(|output| readable(output.as_fd())));
        wanted.extend(stop.map(|stop| readable(stop.as_fd())));
        wanted.extend(
            self.input.as_ref().map(|(input, _)| PollFd::from_borrowed_fd(input.as_fd(), PollFlags::OUT)),
        );
        let mut timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        if self.ended.is_none() {
            timeout = Some(timeout.map_or(LOOK_EVERY, |timeout| timeout.min(LOOK_EVERY)));
        }
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        // Interrupted: the loop looks and waits again.
        let _ = poll(&mut wanted, timeout.as_ref());
    }

    /// Whether the process has ended. It is not reaped by this where there are descriptors of processes.
    fn has_ended(&mut self) -> bool {
        match &self.ended {
            Some(ended) => {
                let mut wanted = [readable(ended.as_fd())];
                poll(&mut wanted, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
            }
            None => !matches!(self.child.try_wait(), Ok(None)),
        }
    }

    fn read(&mut self) {
        if let Some(output) = &mut self.output
            && !self.captured.take_from(output)
        {
            self.output = None;
        }
    }

    /// Reads what was written before the end but not seen yet, and a little longer what children still write.
    fn read_rest(&mut self) {
        let until = Instant::now() + OUTPUT_GRACE;
        self.read();
        while let Some(output) = &self.output {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let mut wanted = [readable(output.as_fd())];
            let _ = poll(&mut wanted, Timespec::try_from(left).ok().as_ref());
            self.read();
        }
    }

    fn write(&mut self) {
        let Some((input, text)) = &mut self.input else { return };
        match input.write(text) {
            Ok(written) => {
                text.drain(..written);
                if text.is_empty() {
                    self.input = None;
                }
            }
            Err(error) if is_later(&error) => {}
            // A script need not read what it is given.
            Err(_) => self.input = None,
        }
    }

    /// Signals the whole group. That it is gone, or somebody else's, shows later.
    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }

    /// Leaves a process that cannot be ended to a thread that reaps it whenever it ends.
    fn leave(self) -> Output {
        tracing::error!(pid = self.child.id(), "a script cannot be ended; it is left running");
        let mut child = self.child;
        let waiting = std::thread::Builder::new().name("reaper".to_owned()).spawn(move || child.wait());
        if let Err(error) = waiting {
            tracing::error!(%error, "nobody waits for it");
        }
        self.captured.finish()
    }
}

/// The process, but for its input and output and the group it is in.
///
/// # Errors
///
/// It cannot be started, whatever these are. Says why.
pub fn prepare(exec: &Exec, script: &str, variables: &BTreeMap<String, String>) -> Result<Command, String> {
    let words = exec.words(script, geteuid().is_root());
    let Some((program, arguments)) = words.split_first() else {
        return Err("the script is empty".to_owned());
    };
    let mut command = Command::new(program);
    command.args(arguments);
    if !exec.env_inherit {
        command.env_clear();
    }
    // Variables of the run come last: they win.
    command.envs(&exec.env).envs(variables);
    if let Some(work_dir) = &exec.work_dir {
        command.current_dir(work_dir);
    }
    let user = exec.user.as_deref().map(account::user).transpose()?;
    let group = exec.group.as_deref().map(account::group).transpose()?;
    // Without its own group a user would keep this process's, which may be root's.
    if let Some(group) = group.or(user.and_then(|(_, primary)| primary)) {
        command.gid(group);
    }
    if let Some((user, _)) = user {
        command.uid(user);
    }
    Ok(command)
}

/// Why `program` did not start, and what to do about it.
pub fn not_started(exec: &Exec, program: &str, error: &io::Error) -> String {
    if let Some(work_dir) = exec.work_dir.as_ref().filter(|path| !path.is_dir()) {
        return format!("`workDir` {} is no directory", work_dir.display());
    }
    match error.kind() {
        io::ErrorKind::ArgumentListTooLong => {
            format!("script and variables are together more than the system takes: {error}")
        }
        io::ErrorKind::PermissionDenied if exec.user.is_some() || exec.group.is_some() => {
            format!("{error}; only root may run scripts as another `user` or `group`")
        }
        _ => format!("{program}: {error}"),
    }
}

fn ending(status: io::Result<ExitStatus>) -> Ending {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Exit(code),
            (None, signal) => Ending::Signal(signal.unwrap_or_default()),
        },
        Err(error) => Ending::NotStarted(format!("lost sight of it: {error}")),
    }
}

fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(fd, PollFlags::IN)
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The beginning of what was written, and how much more there was.
#[derive(Default)]
struct Captured {
    bytes: Vec<u8>,
    cut_bytes: u64,
}

impl Captured {
    /// Reads what is there, within reason. Whether there may be more one day.
    fn take_from(&mut self, output: &mut PipeReader) -> bool {
        /// Reads before somebody else has a turn: a script that writes without pause must not keep its deadline away.
        const READS: usize = 16;
        let mut chunk = [0; 16 * 1024];
        for _ in 0..READS {
            match output.read(&mut chunk) {
                Ok(0) => return false,
                Ok(read) => self.keep(&chunk[..read]),
                Err(error) if is_later(&error) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    fn keep(&mut self, chunk: &[u8]) {
        let room = (MAX_OUTPUT_BYTES - self.bytes.len()).min(chunk.len());
        self.bytes.extend_from_slice(&chunk[..room]);
        self.cut_bytes += (chunk.len() - room) as u64;
    }

    fn finish(self) -> Output {
        if self.cut_bytes > 0 {
            tracing::warn!(
                kept = self.bytes.len(),
                cut = self.cut_bytes,
                "a script wrote more than is kept of its output"
            );
        }
        let text = String::from_utf8_lossy(&self.bytes).trim().to_owned();
        Output { text, cut_bytes: self.cut_bytes }
    }
}

#[cfg(test)]
#[path = "process/tests.rs"]
mod tests;
