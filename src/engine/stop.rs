//! The wish that work ends, as something that can be waited for beside files and processes. A pipe carries it: when
//! a [`Stopper`] asks, or all of them are gone, every [`Stop`] becomes readable.

use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// Asks for the end; at the latest when the last of them is dropped.
#[derive(Clone, Debug)]
pub struct Stopper {
    end: Arc<Mutex<Option<End>>>,
}

impl Stopper {
    /// Asks for the end, once and for all.
    pub fn ask(&self) {
        // Nothing can be half done behind this lock.
        self.end.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// The writing end of the pipe.
#[derive(Debug)]
struct End(PipeWriter);

impl Drop for End {
    fn drop(&mut self) {
        // A process that is just being started holds a copy of this end for a moment, so closing alone would be seen
        // late. Should nobody read any more, nobody has to know.
        let _ = self.0.write(b".");
    }
}

/// Tells whether the end was asked for.
#[derive(Clone, Debug)]
pub struct Stop {
    reader: Arc<PipeReader>,
}

/// Both ends.
///
/// # Errors
///
/// The system gives no pipe.
pub fn pair() -> io::Result<(Stopper, Stop)> {
    let (reader, writer) = io::pipe()?;
    Ok((Stopper { end: Arc::new(Mutex::new(Some(End(writer)))) }, Stop { reader: Arc::new(reader) }))
}

impl Stop {
    /// Whether the end was asked for.
    pub fn is_asked(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits until the end is asked for, at most for `timeout`. Whether it was.
    pub fn wait(&self, timeout: Duration) -> bool {
        let mut wanted = [PollFd::new(&*self.reader, PollFlags::IN)];
        let timeout = Timespec::try_from(timeout).ok();
        // An interrupted wait was too short, which every caller can bear.
        poll(&mut wanted, timeout.as_ref()).is_ok_and(|ready| ready > 0)
    }

    /// To be waited for beside other things: readable once the end is asked for.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

/// A wish to stop that comes with the first SIGTERM, SIGINT or SIGHUP, or with whoever else asks.
///
/// A SIGHUP that this process was started to ignore, as by `nohup`, is no wish. It is caught all the same: what is
/// ignored would be ignored by scripts and shells, too, and a shell ends by being hung up on.
///
/// # Errors
///
/// The system gives no pipe, thread or signal.
pub fn on_signals() -> io::Result<(Stopper, Stop)> {
    let (stopper, stop) = pair()?;
    let by_signal = stopper.clone();
    let outlives_hangup = ignores_hangup();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let signals = {
        let _entered = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?)
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let (mut terminate, mut interrupt, mut hangup) = signals;
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv(), if !outlives_hangup => {}
            }
        });
        by_signal.ask();
    })?;
    Ok((stopper, stop))
}

/// Whether this process ignores SIGHUP now, as far as the system tells.
fn ignores_hangup() -> bool {
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    // A bit for each signal, from 1 on.
    let bit = 1 << (Signal::HUP.as_raw() - 1);
    status.is_ok_and(|status| status.sigign & bit != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_end_of_the_stopper_is_seen_by_all() {
        let (stopper, stop) = pair().unwrap();
        let other = stop.clone();
        assert!(!stop.is_asked() && !other.wait(Duration::from_millis(1)));
        drop(stopper);
        assert!(stop.is_asked() && other.wait(Duration::from_secs(60)));
    }

    #[test]
    fn one_stopper_is_enough_to_ask() {
        let (stopper, stop) = pair().unwrap();
        let other = stopper.clone();
        drop(stopper);
        assert!(!stop.is_asked());
        other.clone().ask();
        assert!(stop.is_asked());
    }
}
