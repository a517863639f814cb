//! What the service manager is told: ready, still reading, alive, stopping (systemd's notification protocol).
//!
//! All of it follows from what the follower shows. If the follower is stuck, nothing more is sent even though the
//! listener still answers, and the watchdog restarts the process. Only a reload is reported by the code that
//! reloads, see [`Reloads`]. Without a service manager nothing is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sd_notify::{NotifyState, notify};

use super::state::Snapshot;
use crate::follow::tail::Moment;

/// Time that a start may take from each word about its progress to the next, in microseconds.
const START_EXTENSION: u32 = 30_000_000;

/// Least time between two status lines while the journal is read for the first time.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// Tells the service manager how the follower is.
#[derive(Debug)]
pub(crate) struct Supervisor {
    /// Present if a watchdog waits: how often it is to hear of us, and when it did.
    watchdog: Option<(Duration, Instant)>,
    ready: Arc<AtomicBool>,
    status_told: Option<Instant>,
}

impl Supervisor {
    /// The service manager of this process, if it has one.
    pub(crate) fn of_process() -> Supervisor {
        // Half of the limit, as systemd's manual asks for.
        let watchdog = sd_notify::watchdog_enabled().map(|limit| (limit / 2, Instant::now()));
        Supervisor { watchdog, ready: Arc::default(), status_told: None }
    }

    /// How often at least the follower has to show something, if a watchdog waits.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|(interval, _)| interval)
    }

    /// For whoever reads the configuration again.
    pub(crate) fn reloads(&self) -> Reloads {
        Reloads { ready: Arc::clone(&self.ready) }
    }

    /// Passes on what the follower showed. Only its thread may call this: that is what makes the watchdog worth
    /// something.
    pub(crate) fn show(&mut self, snapshot: &Snapshot, moment: Moment) {
        if let Some((interval, told)) = &mut self.watchdog
            && told.elapsed() >= *interval / 2
        {
            *told = Instant::now();
            tell(&[NotifyState::Watchdog]);
        }
        if moment.last {
            tell(&[NotifyState::Stopping]);
        } else if self.ready.load(Ordering::Relaxed) {
            // All is said.
        } else if moment.caught_up {
            let lines: u64 = snapshot.tally.events.iter().sum();
            let status = format!("following the journal; {lines} lines counted so far");
            tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
            // Afterwards: a reload that comes between the two must not be the first to say it.
            self.ready.store(true, Ordering::Relaxed);
        } else if self.status_told.is_none_or(|told| told.elapsed() >= STATUS_INTERVAL) {
            self.status_told = Some(Instant::now());
            let status = format!("reading the journal; {} bytes left", snapshot.journal.behind);
            tell(&[NotifyState::ExtendTimeoutUsec(START_EXTENSION), NotifyState::Status(&status)]);
        }
    }
}

/// Tells the service manager of reloads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reloads {
    /// Whether readiness was told: until then nobody but the follower may say the word that also ends a reload.
    ready: Arc<AtomicBool>,
}

impl Reloads {
    /// Does `reload` between telling that it begins and telling that it is over.
    pub(crate) fn around<T>(&self, reload: impl FnOnce() -> T) -> T {
        let told = self.ready.load(Ordering::Relaxed);
        if told {
            // The time tells this reload from an earlier one; without it the service manager would wait for ever.
            match NotifyState::monotonic_usec_now() {
                Ok(now) => tell(&[NotifyState::Reloading, now]),
                Err(error) => tracing::debug!(%error, "no clock to tell the service manager of a reload"),
            }
        }
        let result = reload();
        if told {
            tell(&[NotifyState::Ready]);
        }
        result
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = notify(state) {
        tracing::debug!(%error, "the service manager does not listen");
    }
}
