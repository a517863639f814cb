//! The last hour in a few numbers, for the plots of the status page: a ring of samples in memory.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::publish::{Published, Snapshot};

/// Time between two samples.
pub(crate) const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);

/// Time between two looks at whether the journal has been caught up with.
const START_INTERVAL: Duration = Duration::from_secs(1);

/// Samples kept: an hour of them, in 15 KiB.
pub(super) const SAMPLES: usize = 360;

/// What was known at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// Scripts of Commands so far.
    pub(super) commands: u64,
    /// Runs of Sources so far.
    pub(super) runs: u64,
    /// Of these, the failed ones.
    pub(super) failed: u64,
    /// Shells open then.
    pub(super) shells: u64,
}

impl Sample {
    fn of(snapshot: &Snapshot) -> Self {
        let sources = &snapshot.tables.sources;
        let failed = (0..).take(sources.len()).filter(|&series| sources.label(series, "error") == "1");
        Self {
            commands: snapshot.tally.events[0],
            runs: snapshot.tally.events[1],
            failed: failed.map(|series| *sources.value(series)).sum(),
            shells: snapshot.open_shells.count as u64,
        }
    }
}

/// The ring.
#[derive(Debug, Default)]
pub(crate) struct History {
    samples: Mutex<VecDeque<Sample>>,
}

impl History {
    /// Takes a sample now and then. Never ends by itself.
    pub(crate) async fn run(&self, published: &Published) {
        // What is read at start happened at any time: it is no peak of this hour.
        while !published.latest().caught_up {
            tokio::time::sleep(START_INTERVAL).await;
        }
        loop {
            self.record(&published.latest());
            tokio::time::sleep(SAMPLE_INTERVAL).await;
        }
    }

    pub(super) fn record(&self, snapshot: &Snapshot) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() >= SAMPLES {
            samples.pop_front();
        }
        samples.push_back(Sample::of(snapshot));
    }

    /// All samples, the oldest first.
    pub(super) fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_latest_hour() {
        let history = History::default();
        let mut snapshot = Snapshot::default();
        for n in 0..1000 {
            snapshot.tally.events[0] = n;
            history.record(&snapshot);
        }
        let samples = history.samples();
        assert_eq!(samples.len(), SAMPLES);
        assert_eq!((samples[0].commands, samples[SAMPLES - 1].commands), (640, 999));
    }
}
