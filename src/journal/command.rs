//! Runs the command of `run` and `shell`: with this program's own input, output and terminal, so that it notices
//! nothing, and with its exit status handed on.
//!
//! Signals that ask this program to end are handed to the command, which decides; those of a terminal reach the command
//! by themselves. Knows nothing of journals.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

/// What a shell exits with when a command cannot be run, and when there is none of this name.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// What a shell adds to the number of the signal that ended a command.
const BY_SIGNAL: u8 = 128;

/// How a command ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// It ran.
    Ran { status: ExitStatus, took: Duration },
    /// It could not be started.
    NotStarted(io::Error),
}

impl Ending {
    pub(crate) fn succeeded(&self) -> bool {
        matches!(self, Ending::Ran { status, .. } if status.success())
    }

    pub(crate) fn took(&self) -> Option<Duration> {
        match self {
            Ending::Ran { took, .. } => Some(*took),
            Ending::NotStarted(_) => None,
        }
    }

    /// In a word or two, of which there are not many: it becomes a label.
    pub(crate) fn reason(&self) -> String {
        match self {
            Ending::Ran { status, .. } => match (status.code(), status.signal()) {
                (Some(0), _) => "exit".to_owned(),
                (Some(code), _) => format!("exit {code}"),
                (None, Some(signal)) => format!("signal {signal}"),
                (None, None) => "unknown".to_owned(),
            },
            Ending::NotStarted(_) => "not started".to_owned(),
        }
    }

    /// The status of the command, in the way in which shells hand it on.
    pub(crate) fn exit_code(&self) -> ExitCode {
        let code = match self {
            Ending::Ran { status, .. } => match (status.code(), status.signal()) {
                (Some(code), _) => u8::try_from(code).unwrap_or(1),
                (None, Some(signal)) => BY_SIGNAL.saturating_add(u8::try_from(signal).unwrap_or(0)),
                (None, None) => 1,
            },
            Ending::NotStarted(error) if error.kind() == io::ErrorKind::NotFound => NOT_FOUND,
            Ending::NotStarted(_) => CANNOT_RUN,
        };
        ExitCode::from(code)
    }
}

/// Runs `command`, a program and its arguments, to its end, with one more variable if there is one. `started` is called
/// with its process id.
pub(crate) fn run(command: &[OsString], variable: Option<(&str, &str)>, started: impl FnOnce(u32)) -> Ending {
    let begun = Instant::now();
    let result = start(command, variable).and_then(|(mut child, relay)| {
        started(child.id());
        let status = child.wait();
        relay.close();
        status
    });
    match result {
        Ok(status) => Ending::Ran { status, took: begun.elapsed() },
        Err(error) => Ending::NotStarted(error),
    }
}

fn start(
    command: &[OsString],
    variable: Option<(&str, &str)>,
) -> io::Result<(Child, signal_hook::iterator::Handle)> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no command"));
    };
    // From here on none of them ends this program.
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
    let relay = signals.handle();
    let child = Command::new(program).args(arguments).envs(variable).spawn()?;
    // The descriptor names this process even when its number is used again.
    let process = Pid::from_raw(child.id().cast_signed()).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
    let process: Option<OwnedFd> = process.transpose().ok().flatten();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if let (Some(process), Some(signal)) = (&process, to_hand_on(signal)) {
                // It may have ended already.
                let _ = pidfd_send_signal(process, signal);
            }
        }
    })?;
    Ok((child, relay))
}

/// What a terminal sends goes to all processes in its foreground, this one and the command alike.
fn to_hand_on(signal: i32) -> Option<Signal> {
    let from_terminal = || File::open("/dev/tty").is_ok();
    match signal {
        SIGHUP => Some(Signal::HUP),
        SIGTERM => Some(Signal::TERM),
        SIGINT if !from_terminal() => Some(Signal::INT),
        SIGQUIT if !from_terminal() => Some(Signal::QUIT),
        _ => None,
    }
}
