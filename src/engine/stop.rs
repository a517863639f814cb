//! The request that work ends, in two steps. After the first, nothing new begins and nothing waits any more, but
//! running work may finish. After the second, running scripts are ended too.
//!
//! Tasks await it; whatever waits for processes polls it beside them. A pipe carries the second step: it is readable when
//! the time is over, or when all [`Stopper`]s are gone.

use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum StopStage {
    #[default]
    GoOn,
    /// What is under way may finish.
    Finish,
    /// What is under way has to end.
    End,
}

/// Asks for the end; at the latest when the last of them is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Stopper {
    stage: Arc<watch::Sender<StopStage>>,
    over: Arc<Mutex<Option<End>>>,
}

impl Stopper {
    /// Asks for the end. What is under way may finish.
    pub(crate) fn ask(&self) {
        self.stage.send_modify(|stage| *stage = (*stage).max(StopStage::Finish));
    }

    /// Ends what is under way, too.
    pub(crate) fn end(&self) {
        self.stage.send_replace(StopStage::End);
        // Nothing can be half done behind this lock.
        self.over.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// The writing end of the pipe.
#[derive(Debug)]
struct End(PipeWriter);

impl Drop for End {
    fn drop(&mut self) {
        // A process that is just being started holds a copy of this end for a moment, so closing alone would be seen
        // late. If no reader is left, there is nothing to say.
        let _ = self.0.write(b".");
    }
}

/// Says whether the end was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    stage: watch::Receiver<StopStage>,
    over: Arc<PipeReader>,
}

/// Both ends.
///
/// # Errors
///
/// The system gives no pipe.
pub(crate) fn pair() -> io::Result<(Stopper, Stop)> {
    let (reader, writer) = io::pipe()?;
    let (send, stage) = watch::channel(StopStage::GoOn);
    let stopper = Stopper { stage: Arc::new(send), over: Arc::new(Mutex::new(Some(End(writer)))) };
    Ok((stopper, Stop { stage, over: Arc::new(reader) }))
}

impl Stop {
    /// Whether the end was asked for: nothing new begins.
    pub(crate) fn is_asked(&self) -> bool {
        *self.stage.borrow() >= StopStage::Finish || self.stage.has_changed().is_err()
    }

    /// Completes when the end is asked for.
    pub(crate) async fn asked(&self) {
        // It fails once all stoppers are gone, which is the end, too.
        let _ = self.stage.clone().wait_for(|stage| *stage >= StopStage::Finish).await;
    }

    /// Completes when what is under way has to end, too.
    pub(crate) async fn over(&self) {
        let _ = self.stage.clone().wait_for(|stage| *stage >= StopStage::End).await;
    }

    /// Whether what is under way has to end, too.
    pub(crate) fn is_over(&self) -> bool {
        let mut wanted = [PollFd::new(&*self.over, PollFlags::IN)];
        // Interrupted: it is asked again soon.
        poll(&mut wanted, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// To be waited for beside other things: readable once what is under way has to end.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.over.as_fd()
    }
}

/// A stop that comes with the first SIGTERM, SIGINT or SIGHUP, and ends what is under way at the same time: for work that a
/// person waits for. Needs a tokio runtime.
///
/// A SIGHUP that this process was started to ignore, as by `nohup`, is no wish. It is caught anyway: what is ignored
/// would be ignored by scripts and shells, too, and a shell ends by being hung up on.
///
/// # Errors
///
/// The system gives no pipe or no signal.
pub(crate) fn on_signals() -> io::Result<Stop> {
    let (stopper, stop) = pair()?;
    let outlives_hangup = ignores_hangup();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv(), if !outlives_hangup => {}
        }
        stopper.end();
    });
    Ok(stop)
}

/// Whether this process ignores SIGHUP now, as far as the system says.
pub(crate) fn ignores_hangup() -> bool {
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    // A bit for each signal, from 1 on.
    let bit = 1 << (Signal::HUP.as_raw() - 1);
    status.is_ok_and(|status| status.sigign & bit != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_end_of_the_stopper_is_seen_by_all() {
        let (stopper, stop) = pair().unwrap();
        let other = stop.clone();
        assert!(!stop.is_asked() && !other.is_over());
        assert!(timeout(Duration::from_millis(1), other.asked()).await.is_err());
        drop(stopper);
        assert!(stop.is_asked() && other.is_over());
        timeout(Duration::from_secs(60), other.asked()).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_under_way_may_finish_until_its_time_is_over() {
        let (stopper, stop) = pair().unwrap();
        let other = stopper.clone();
        drop(stopper);
        assert!(!stop.is_asked());
        other.clone().ask();
        assert!(stop.is_asked() && !stop.is_over());
        stop.asked().await;
        other.end();
        assert!(stop.is_over());
    }
}
