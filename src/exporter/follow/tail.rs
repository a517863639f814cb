//! The thread that follows: waits for a hint or for the poll interval, does a round, publishes what came of it.
//!
//! Everything that is parsed is parsed here, on one thread of its own, so neither a replay nor a burst keeps a
//! scrape waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::pace::Pace;
use super::{Follower, Go, Round};
use crate::watch::Watch;

/// How often a long round shows what it has so far.
const SHOW_INTERVAL: Duration = Duration::from_millis(100);

/// Shows progress. Called when something changed, and at each poll.
type Show = Box<dyn FnMut(&Follower, Moment) + Send>;

/// What is known at the moment of showing, beside the follower itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Whether the journal, as it was found at start, has been read to its end. False until the first round has ended.
    pub caught_up: bool,
    /// Whether this is between two batches of a round.
    pub within_round: bool,
    /// Whether changes are being told by the file system.
    pub watching: bool,
    /// Whether it is the last one.
    pub last: bool,
}

impl Moment {
    /// Before anything was read.
    pub(crate) const FIRST: Moment =
        Moment { caught_up: false, within_round: false, watching: false, last: false };
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct Tail {
    stop: Arc<AtomicBool>,
    wake: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Tail {
    /// Starts following.
    ///
    /// # Errors
    ///
    /// If the operating system has no thread to give.
    pub(crate) fn start(
        follower: Follower,
        poll_interval: Duration,
        show: impl FnMut(&Follower, Moment) + Send + 'static,
    ) -> std::io::Result<Tail> {
        let (wake, woken) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let run = Run {
            follower,
            poll_interval,
            show: Box::new(show),
            stop: Arc::clone(&stop),
            woken,
            wake: wake.clone(),
            pace: Pace::default(),
        };
        let thread = thread::Builder::new().name("follower".to_owned()).spawn(move || run.run())?;
        Ok(Tail { stop, wake, thread })
    }

    /// Stops after the current batch and shows once more; returns when that is done.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.wake.try_send(());
        if self.thread.join().is_err() {
            tracing::error!("the follower ended with a panic; the last published state is still served");
        }
    }
}

struct Run {
    follower: Follower,
    poll_interval: Duration,
    show: Show,
    stop: Arc<AtomicBool>,
    woken: Receiver<()>,
    wake: SyncSender<()>,
    pace: Pace,
}

impl Run {
    fn run(mut self) {
        let mut watch = Watch::new(vec![self.follower.journal().to_owned()], self.wake.clone());
        let mut moment =
            Moment { caught_up: false, within_round: false, watching: watch.is_active(), last: false };
        let (mut polled, mut started, mut hinted) = (Instant::now(), Instant::now(), false);
        while !self.stop.load(Ordering::Relaxed) {
            let (earlier, before) = (started, self.follower.tally().bytes);
            started = Instant::now();
            let round = self.round(moment);
            // That it has caught up is news, also where there was nothing to read.
            let news = round.changed || !moment.caught_up;
            // Where files moved under the round, some of what was there at start may not have been read.
            moment.caught_up |= !round.stopped && !round.again;
            moment.watching = watch.is_active();
            let due = polled.elapsed() >= self.poll_interval;
            if news || due {
                (self.show)(&self.follower, moment);
            }
            if due {
                watch.refresh();
                polled = Instant::now();
            }
            let found = self.follower.tally().bytes - before;
            self.pace.take(found, started - earlier);
            // In a stream no notification is needed; without waiting for one, the thread that sends them can
            // rest.
            let told = !round.again && !self.pace.is_streaming() && self.wait(polled);
            // If a poll found nothing, the next line that a notification announces is the first after a
            // silence.
            if found > 0 || round.again || hinted {
                self.space(started);
            }
            hinted = told;
        }
        (self.show)(&self.follower, Moment { last: true, ..moment });
    }

    fn round(&mut self, moment: Moment) -> Round {
        let Run { follower, show, stop, .. } = self;
        let mut shown = Instant::now();
        follower.round(&mut |follower| {
            if shown.elapsed() >= SHOW_INTERVAL {
                show(follower, Moment { within_round: true, ..moment });
                shown = Instant::now();
            }
            if stop.load(Ordering::Relaxed) { Go::Stop } else { Go::On }
        })
    }

    /// Lets a burst gather.
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing may cut this short; it is a quarter of a second at most"
    )]
    fn space(&self, started: Instant) {
        thread::sleep(self.pace.spacing().saturating_sub(started.elapsed()));
    }

    /// Until somebody tells of a change, which is when this is true, or the next poll is due.
    fn wait(&self, polled: Instant) -> bool {
        let timeout = self.poll_interval.saturating_sub(polled.elapsed());
        // It cannot be disconnected: `self.wake` lives as long as this does.
        self.woken.recv_timeout(timeout).is_ok()
    }
}
