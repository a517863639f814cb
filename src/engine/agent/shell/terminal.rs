//! A process on a terminal of its own: how it starts, and how all that runs on that terminal ends.
//!
//! The process leads a session, in the sense of the system, with the terminal as the controlling one. When this process
//! dies in whatever way, the system closes our side of the terminal and with that hangs up on them.

use std::collections::BTreeMap;
use std::io;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use pty_process::{OwnedReadPty, OwnedWritePty};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep, timeout};

use crate::exec::process::{self, STARTING, TERM_GRACE};
use crate::exec::{Exec, child};
use crate::wire::shell::{Size, TerminalType};

/// Window of a client that has none, and of any until it has told its own.
const DEFAULT_SIZE: Size = Size { columns: 80, rows: 24 };

/// What programs may write to the terminal, where nothing else says so: what clients mostly understand.
const DEFAULT_TERM: &str = "xterm-256color";

/// Longest wait until its program runs: name services may be slow.
const START_TIME: Duration = Duration::from_secs(30);

/// Longest wait for a process that does not even end after SIGKILL.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// Pause between two looks at what is left of a session.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A process that leads its session.
pub(super) struct Leader {
    child: Child,
    pid: Pid,
    /// Tells the status, while the process is still to be waited for.
    ended: oneshot::Receiver<i32>,
    status: Option<i32>,
}

/// A process, and both ways to its terminal.
pub(super) struct Started {
    pub(super) leader: Leader,
    pub(super) output: OwnedReadPty,
    pub(super) input: OwnedWritePty,
}

/// Why a shell does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Its command cannot be prepared.
    #[error(transparent)]
    Command(#[from] process::StartError),
    /// The system gives no terminal.
    #[error("cannot open a terminal: {0}")]
    Terminal(#[source] pty_process::Error),
    /// The system gives no pipe.
    #[error("cannot create a pipe: {0}")]
    Pipe(#[source] io::Error),
    /// The system gives no process.
    #[error("cannot start its process: {0}")]
    Process(#[source] io::Error),
    /// The process could not become the shell. Says why.
    #[error("{0}")]
    Child(String),
    /// Its end could not be seen.
    #[error("its end cannot be observed: {0}")]
    Watch(#[source] io::Error),
    /// The system gives no randomness for its number.
    #[error(transparent)]
    Randomness(#[from] getrandom::Error),
    /// The thread that started it broke off.
    #[error(transparent)]
    Broken(#[from] JoinError),
}

/// Starts the command of `exec` on a terminal of `size` and of that type. Needs a tokio runtime, and time: a thread that
/// may wait.
///
/// # Errors
///
/// It does not start.
pub(super) fn start(
    exec: &Exec,
    variables: &BTreeMap<String, String>,
    size: Option<Size>,
    terminal: Option<&TerminalType>,
) -> Result<Started, StartError> {
    let is_inherited = || exec.env_inherit && std::env::var_os("TERM").is_some();
    let mut variables = variables.clone();
    // What the configuration says goes first, then what the client has, which nothing here can know.
    if !exec.env.contains_key("TERM") && (terminal.is_some() || !is_inherited()) {
        let terminal = terminal.map_or(DEFAULT_TERM, TerminalType::as_str);
        variables.insert("TERM".to_owned(), terminal.to_owned());
    }
    let command = process::prepare(exec, "", &variables, true)?;
    let (pty, pts) = {
        // The descriptor is marked as not to be inherited in a second step.
        let _alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
        pty_process::open().map_err(StartError::Terminal)?
    };
    pty.resize(size.unwrap_or(DEFAULT_SIZE).into()).map_err(StartError::Terminal)?;
    let (mut refusal, refused) = io::pipe().map_err(StartError::Pipe)?;
    // The terminal is its input; its output is put there by the child, once it can no longer fail.
    let command = pty_process::Command::from(tokio::process::Command::from(command)).stdout(refused);
    let started = {
        let _no_pty = STARTING.read().unwrap_or_else(PoisonError::into_inner);
        command.spawn(pts)
    };
    let mut child = started.map_err(|error| match error {
        pty_process::Error::Io(error) => StartError::Process(error),
        other => StartError::Terminal(other),
    })?;
    if let Some(why) = child::refusal_within(&mut refusal, START_TIME) {
        let _ = child.start_kill();
        return Err(StartError::Child(why));
    }
    let leader = Leader::of(child).map_err(StartError::Watch)?;
    let (output, input) = pty.into_split();
    Ok(Started { leader, output, input })
}

impl From<Size> for pty_process::Size {
    fn from(size: Size) -> pty_process::Size {
        pty_process::Size::new(size.rows, size.columns)
    }
}

impl Leader {
    /// Nobody else waits for `child`. If it cannot be watched it is ended.
    fn of(mut child: Child) -> io::Result<Leader> {
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let Some(pid) = pid else { return Err(io::Error::other("it has no number")) };
        let (tell, ended) = oneshot::channel();
        // A thread that sees the end and leaves the process to be waited for: until then its number, and so that of its
        // session, is nobody else's. Nobody has to be listening.
        let watching = thread::Builder::new().name("shell".to_owned()).spawn(move || tell.send(end_of(pid)));
        if let Err(error) = watching {
            let _ = child.start_kill();
            return Err(error);
        }
        Ok(Leader { child, pid, ended, status: None })
    }

    /// Its status, once it has ended; that of a signal is 128 and its number. May be asked again.
    pub(super) async fn ended(&mut self) -> i32 {
        if self.status.is_none() {
            // The thread tells before it ends.
            self.status = Some((&mut self.ended).await.unwrap_or(-1));
        }
        self.status.unwrap_or(-1)
    }

    /// Hangs up on all processes of the session, and ends those that are still there after [`TERM_GRACE`].
    pub(super) async fn end(&mut self) {
        self.signal_all(Signal::HUP);
        // A stopped process takes the signal when it goes on.
        self.signal_all(Signal::CONT);
        let until = Instant::now() + TERM_GRACE;
        while Instant::now() < until {
            if timeout(LOOK_EVERY, self.ended()).await.is_ok() {
                if self.members().is_empty() {
                    return;
                }
                sleep(LOOK_EVERY).await;
            }
        }
        self.signal_all(Signal::KILL);
        if timeout(KILL_GRACE, self.ended()).await.is_err() {
            tracing::error!(pid = self.pid.as_raw_nonzero(), "a shell cannot be ended; it is left running");
        }
    }

    /// Waits for a process that has ended, and leaves one that has not to the runtime.
    pub(super) fn release(mut self) {
        if let Err(error) = self.child.try_wait() {
            tracing::error!(%error, "a shell cannot be waited for");
        }
    }

    fn signal_all(&self, signal: Signal) {
        // That one is gone, or somebody else's, shows later.
        let _ = kill_process_group(self.pid, signal);
        for member in self.members() {
            let _ = kill_process(member, signal);
        }
    }

    /// The processes of the session, without a leader that has ended.
    fn members(&self) -> Vec<Pid> {
        let own = self.pid.as_raw_nonzero().get();
        let Ok(processes) = procfs::process::all_processes() else { return vec![self.pid] };
        // Not asked with getsid: threads of the kernel are in no session, which its binding does not expect.
        let members = processes.filter_map(|process| process.ok()?.stat().ok());
        let members = members.filter(|stat| stat.session == own);
        let members = members.filter(|stat| stat.pid != own || self.status.is_none());
        members.filter_map(|stat| Pid::from_raw(stat.pid)).collect()
    }
}

/// Waits for the end of a child and leaves it to be waited for again.
fn end_of(pid: Pid) -> i32 {
    loop {
        match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(Some(status)) => {
                let signal = || status.terminating_signal().map(|signal| 128 + signal);
                break status.exit_status().or_else(signal).unwrap_or(-1);
            }
            Ok(None) | Err(Errno::INTR) => {}
            Err(_) => break -1,
        }
    }
}
