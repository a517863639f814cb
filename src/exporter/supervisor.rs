//! What the service manager is told: ready, still reading, alive, stopping (systemd's notification protocol).
//!
//! All of it follows from what the follower shows. A process whose listener answers while its follower is stuck says
//! nothing any more, and the watchdog restarts it. Without a service manager nothing is told to nobody.

use std::time::{Duration, Instant};

use sd_notify::{NotifyState, notify};

use super::follow::tail::Moment;
use super::published::Snapshot;

/// Time that a start may take from each word about its progress to the next, in microseconds.
const START_EXTENSION: u32 = 30_000_000;

/// Least time between two status lines while the journal is read for the first time.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// Tells the service manager how the follower is.
#[derive(Debug)]
pub struct Supervisor {
    /// Present if a watchdog waits: how often it is to hear of us, and when it did.
    watchdog: Option<(Duration, Instant)>,
    ready: bool,
    status_told: Option<Instant>,
}

impl Supervisor {
    /// The service manager of this process, if it has one.
    pub fn of_process() -> Supervisor {
        // Half of the limit, as systemd's manual asks for.
        let watchdog = sd_notify::watchdog_enabled().map(|limit| (limit / 2, Instant::now()));
        Supervisor { watchdog, ready: false, status_told: None }
    }

    /// How often at least the follower has to show something, if a watchdog waits.
    pub fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|(interval, _)| interval)
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
        } else if moment.caught_up && !self.ready {
            self.ready = true;
            let lines: u64 = snapshot.tally.events.iter().sum();
            let status = format!("following the journal; {lines} lines counted so far");
            tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
        } else if !self.ready && self.status_told.is_none_or(|told| told.elapsed() >= STATUS_INTERVAL) {
            self.status_told = Some(Instant::now());
            let status = format!("reading the journal; {} bytes left", snapshot.journal.behind);
            tell(&[NotifyState::ExtendTimeoutUsec(START_EXTENSION), NotifyState::Status(&status)]);
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = notify(state) {
        tracing::debug!(%error, "the service manager does not listen");
    }
}
