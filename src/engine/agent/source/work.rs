//! What is under way: known, so that the end can be waited for, and named, so that it can be said what takes long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Runs under way.
#[derive(Clone, Debug)]
pub(super) struct Work {
    runs: Arc<watch::Sender<BTreeMap<u64, Run>>>,
    begun: Arc<AtomicU64>,
}

/// A run under way.
#[derive(Clone, Debug)]
struct Run {
    source: String,
    since: Instant,
}

impl Default for Work {
    fn default() -> Work {
        Work { runs: Arc::new(watch::Sender::default()), begun: Arc::default() }
    }
}

/// A run is under way for as long as this lives.
#[derive(Debug)]
pub(super) struct Working {
    work: Work,
    number: u64,
}

impl Work {
    /// A run of the Source `name` begins.
    pub(super) fn begin(&self, name: &str) -> Working {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let run = Run { source: name.to_owned(), since: Instant::now() };
        self.runs.send_modify(|runs| drop(runs.insert(number, run)));
        Working { work: self.clone(), number }
    }

    /// Completes when nothing is under way.
    pub(super) async fn idle(&self) {
        // It fails only without a sender, and here is one.
        let _ = self.runs.subscribe().wait_for(BTreeMap::is_empty).await;
    }

    /// Sources with a run that is under way for longer than `least`, and for how long, the longest first.
    pub(super) fn longer_than(&self, least: Duration) -> Vec<(String, Duration)> {
        let runs = self.runs.borrow();
        let runs = runs.values().map(|run| (run.source.clone(), run.since.elapsed()));
        runs.filter(|(_, time)| *time > least).collect()
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.work.runs.send_modify(|runs| drop(runs.remove(&self.number)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_under_way_is_named_until_it_is_done() {
        let work = Work::default();
        let (first, second) = (work.begin("a"), work.begin("b"));
        let names = |least| work.longer_than(least).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(Duration::ZERO), ["a", "b"]);
        assert!(names(Duration::from_secs(3600)).is_empty());
        drop(first);
        assert_eq!(names(Duration::ZERO), ["b"]);
        let idle = async {
            work.idle().await;
            work.longer_than(Duration::ZERO).len()
        };
        assert_eq!(tokio::join!(idle, async { drop(second) }).0, 0);
    }
}
