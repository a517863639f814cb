//! One script as a process: its input, its output, its end. Every process is waited for; one that runs too long, or
//! is running when the engine stops, ends with its whole process group.
//!
//! A plain thread waits with `poll`, for output, input, the end of the process and the wish to stop at once. A run
//! is a strict sequence, so there is nothing for an async runtime to do here.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, kill_process, kill_process_group, pidfd_open};

use super::child::{self, Task, Then};
use super::output::Captured;
#[cfg(test)]
pub(crate) use super::output::MAX_OUTPUT_BYTES;
pub(crate) use super::output::Output;
use super::{Exec, environment};
use crate::stop::Stop;

/// How long a process group has to end by itself (SIGTERM) before it is ended (SIGKILL).
pub(crate) const TERM_GRACE: Duration = Duration::from_secs(2);

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
pub(crate) static STARTING: RwLock<()> = RwLock::new(());

/// How long a script may run.
#[derive(Clone, Debug)]
pub(crate) struct RunLimits {
    /// The moment at which it is ended.
    pub deadline: Option<Instant>,
    /// Ends it when the engine stops.
    pub stop: Stop,
}

/// A script that has ended, or did not even start.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    /// How it ended.
    pub ending: Ending,
    /// What it wrote.
    pub output: Output,
    /// How long it took, by a clock that never jumps.
    pub duration: Duration,
}

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
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
    pub(crate) fn is_success(&self) -> bool {
        *self == Ending::Exit(0)
    }

    /// Whether it ended by itself, with a status: only then a check has answered. A shell whose command was killed, as
    /// the kernel does when memory is short, ends with a status of its own that says so.
    pub(crate) fn is_answer(&self) -> bool {
        const OF_KILLED: i32 = 128 + 9;
        matches!(self, Ending::Exit(status) if *status != OF_KILLED)
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ending::Exit(status) => write!(out, "exit status {status}"),
            Ending::Signal(signal) => write!(out, "ended by signal {signal}"),
            Ending::NotStarted(why) => write!(out, "not started: {why}"),
            Ending::TimedOut => write!(out, "ended at its time limit"),
            Ending::Stopped => write!(out, "ended because the engine stops"),
        }
    }
}

/// Runs `script` to its end.
pub(crate) fn run(
    exec: &Exec,
    script: &str,
    stdin: Option<&str>,
    variables: &BTreeMap<String, String>,
    limits: &RunLimits,
) -> Finished {
    let begin = Instant::now();
    let finish = |ending, output| Finished { ending, output, duration: begin.elapsed() };
    if limits.stop.is_asked() {
        return finish(Ending::Stopped, Output::default());
    }
    if limits.deadline.is_some_and(|deadline| deadline <= begin) {
        return finish(Ending::TimedOut, Output::default());
    }
    let started = prepare(exec, script, variables, false).and_then(|command| {
        let input = stdin.map(|text| text.as_bytes().to_vec());
        Running::start(command, input, Captured::head_and_tail())
    });
    let running = match started {
        Ok(running) => running,
        Err(error) => return finish(Ending::NotStarted(error.to_string()), Output::default()),
    };
    let (ending, captured) = running.follow(limits.deadline, Some(&limits.stop));
    finish(ending, captured.finish())
}

/// Runs a child of the engine that is no script: gives it `input`, and returns how it ended and what it wrote, or how
/// many bytes it wrote beyond `max_output`.
///
/// # Errors
///
/// It does not start.
pub(crate) fn run_child(
    task: &Task,
    input: Vec<u8>,
    max_output: usize,
    deadline: Instant,
) -> Result<(Ending, Result<Vec<u8>, u64>), StartError> {
    let command = child::command(task).map_err(StartError::Child)?;
    let running = Running::start(command, Some(input), Captured::head(max_output))?;
    let (ending, captured) = running.follow(Some(deadline), None);
    Ok((ending, captured.into_whole()))
}

/// Why a script does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// There is nothing to run.
    #[error("the script is empty")]
    Empty,
    /// The system gives no pipe.
    #[error("cannot create a pipe: {0}")]
    Pipe(io::Error),
    /// The system starts nothing with so long an argument or variable.
    #[error("{0} is longer than the system takes (128 KiB)")]
    TooLong(String),
    /// As [`StartError::TooLong`], all of them together.
    #[error("{}", child::TOO_MUCH)]
    TooMuch,
    /// The child that would become the script does not start.
    #[error("cannot start its process: {0}")]
    Child(io::Error),
}

/// Longest argument or variable that the system takes, in bytes, with its terminating zero.
const MAX_STRING_BYTES: usize = 128 * 1024;

struct Running {
    child: Child,
    /// Readable once the process has ended; nothing where the system has no such descriptors.
    ended: Option<OwnedFd>,
    /// Tells why a script did not start.
    refusal: PipeReader,
    output: Option<PipeReader>,
    captured: Captured,
    /// Closed once everything is written, or nobody reads any more.
    input: Option<(PipeWriter, Vec<u8>)>,
}

impl Running {
    fn start(
        mut command: Command,
        input: Option<Vec<u8>>,
        captured: Captured,
    ) -> Result<Running, StartError> {
        let (output, written) = pipe(true, false)?;
        let (refusal, refused) = pipe(false, false)?;
        let input = match input {
            // Never this process's own: a script that waits for a terminal would wait for ever.
            None => {
                command.stdin(Stdio::null());
                None
            }
            Some(text) => {
                let (read, input) = pipe(false, true)?;
                command.stdin(read);
                Some((input, text))
            }
        };
        command.stdout(refused).stderr(written);
        let started = {
            let _no_pty = STARTING.read().unwrap_or_else(PoisonError::into_inner);
            command.spawn()
        };
        let child = started.map_err(|error| not_started(&command, error))?;
        // The command holds the writing ends of the pipes; without this their end would never come.
        drop(command);
        let ended = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).ok();
        Ok(Running { child, ended, refusal, output: Some(output), captured, input })
    }

    /// Waits for the end. What it is depends on what comes first: the end itself, the deadline, or the stop.
    fn follow(mut self, deadline: Option<Instant>, stop: Option<&Stop>) -> (Ending, Captured) {
        let mut cause = None;
        let mut until = deadline;
        let mut killed = false;
        let status = loop {
            let stop = stop.filter(|_| cause.is_none());
            self.wait(until, stop);
            self.read();
            self.write();
            if self.has_ended() {
                if cause.is_some() {
                    // The shell may end before what it started, which still has its time to end in order.
                    if let Some(until) = until.filter(|_| !killed) {
                        self.read_until(until);
                    }
                    // Its children go first: as long as it is not reaped, nobody else can get its number.
                    self.signal(Signal::KILL);
                }
                break self.child.wait();
            }
            if stop.is_some_and(Stop::is_over) {
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
        let refusal = child::refusal(&mut self.refusal);
        let ending = cause.or(refusal.map(Ending::NotStarted)).unwrap_or_else(|| ending(status));
        (ending, self.captured)
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
            && !take_from(output, &mut self.captured)
        {
            self.output = None;
        }
    }

    /// Reads what was written before the end but not seen yet, and a little longer what children still write.
    fn read_rest(&mut self) {
        self.read_until(Instant::now() + OUTPUT_GRACE);
    }

    /// Reads until no writer is left, or until then.
    fn read_until(&mut self, until: Instant) {
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
        let pid = Pid::from_child(&self.child);
        // A child that is not yet a script has no group of its own.
        if kill_process_group(pid, signal) == Err(Errno::SRCH) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Leaves a process that cannot be ended to a thread that reaps it whenever it ends.
    fn leave(self) -> Captured {
        tracing::error!(pid = self.child.id(), "a script cannot be ended; it is left running");
        let mut child = self.child;
        let waiting = std::thread::Builder::new().name("reaper".to_owned()).spawn(move || child.wait());
        if let Err(error) = waiting {
            tracing::error!(%error, "nobody waits for it");
        }
        self.captured
    }
}

/// A pipe; its reading or its writing end does not block where that is asked for.
fn pipe(reader: bool, writer: bool) -> Result<(PipeReader, PipeWriter), StartError> {
    let (read, write) = io::pipe().map_err(StartError::Pipe)?;
    if reader {
        ioctl_fionbio(&read, true).map_err(|error| StartError::Pipe(error.into()))?;
    }
    if writer {
        ioctl_fionbio(&write, true).map_err(|error| StartError::Pipe(error.into()))?;
    }
    Ok((read, write))
}

/// The process that becomes the script, but for its input and output. On a terminal the process leads its session by
/// then, and its standard input is the terminal.
///
/// # Errors
///
/// It cannot be started, whatever these are.
pub(crate) fn prepare(
    exec: &Exec,
    script: &str,
    variables: &BTreeMap<String, String>,
    terminal: bool,
) -> Result<Command, StartError> {
    let words = exec.words(script, geteuid().is_root());
    if words.is_empty() {
        return Err(StartError::Empty);
    }
    let then = Then::Script { work_dir: exec.work_dir.clone(), terminal };
    let task = Task { user: exec.user.clone(), group: exec.group.clone(), then };
    let mut command = child::command(&task).map_err(StartError::Child)?;
    child::add_script(&mut command, &words, &environment::of_script(exec, variables));
    Ok(command)
}

/// Why the child that would have become a script does not start.
pub(crate) fn not_started(command: &Command, error: io::Error) -> StartError {
    if error.kind() != io::ErrorKind::ArgumentListTooLong {
        return StartError::Child(error);
    }
    let mut strings = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    match strings.find(|(name, value)| name.len() + value.len() + "=\0".len() > MAX_STRING_BYTES) {
        Some((name, _)) => StartError::TooLong(child::described(name)),
        None => StartError::TooMuch,
    }
}

fn ending(status: io::Result<ExitStatus>) -> Ending {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Exit(code),
            (None, signal) => Ending::Signal(signal.unwrap_or_default()),
        },
        Err(error) => Ending::NotStarted(format!("its end cannot be observed: {error}")),
    }
}

fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(fd, PollFlags::IN)
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Reads what is there, within reason. Whether there may be more one day.
fn take_from(output: &mut PipeReader, captured: &mut Captured) -> bool {
    /// Reads before somebody else has a turn: a script that writes without pause must not keep its deadline away.
    const READS: usize = 16;
    let mut chunk = [0; 16 * 1024];
    for _ in 0..READS {
        match output.read(&mut chunk) {
            Ok(0) => return false,
            Ok(read) => captured.keep(&chunk[..read]),
            Err(error) if is_later(&error) => return true,
            Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
#[path = "process/tests.rs"]
mod tests;
