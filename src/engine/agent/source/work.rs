//! What is under way: known, so that the end can be waited for, and named, so that it can be said what takes long. Runs that
//! take long are also recorded; which of them were is known here, the lines are written elsewhere.

use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::lock;
use crate::agent::record::{Origin, RunUnderWay};

/// What is under way.
#[derive(Clone, Debug)]
pub(super) struct Work(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    under_way: watch::Sender<BTreeMap<u64, Task>>,
    begun: AtomicU64,
    /// What the names of runs begin with: another one for each process.
    prefix: String,
    /// Runs that were recorded as under way and are over.
    over: Mutex<Vec<RunUnderWay>>,
}

/// A run under way, or events that wait for one.
#[derive(Clone, Debug)]
struct Task {
    source: String,
    since: Instant,
    /// Nothing for what is not a run.
    origin: Option<Origin>,
    is_recorded: bool,
}

impl Default for Work {
    fn default() -> Work {
        // Without randomness, two processes differ by their numbers at least.
        let random = getrandom::u64().unwrap_or_default();
        let prefix = format!("{random:016x}-{}", std::process::id());
        let (under_way, begun, over) = (watch::Sender::default(), AtomicU64::default(), Mutex::default());
        Work(Arc::new(Inner { under_way, begun, prefix, over }))
    }
}

/// Something is under way for as long as this lives.
#[derive(Debug)]
pub(super) struct Working {
    work: Work,
    number: u64,
}

impl Work {
    /// A run begins.
    pub(super) fn begin(&self, origin: Origin) -> Working {
        self.add(origin.source.clone(), Some(origin))
    }

    /// Events begin to wait for the Source `name`.
    pub(super) fn wait(&self, name: &str) -> Working {
        self.add(name.to_owned(), None)
    }

    fn add(&self, source: String, origin: Option<Origin>) -> Working {
        let number = self.0.begun.fetch_add(1, Ordering::Relaxed);
        let task = Task { source, since: Instant::now(), origin, is_recorded: false };
        self.0.under_way.send_modify(|tasks| drop(tasks.insert(number, task)));
        Working { work: self.clone(), number }
    }

    /// Completes when nothing is under way.
    pub(super) async fn idle(&self) {
        // It fails only without a sender, and here is one.
        let _ = self.0.under_way.subscribe().wait_for(BTreeMap::is_empty).await;
    }

    /// Sources with something under way for longer than `least`, and for how long, the longest first.
    pub(super) fn longer_than(&self, least: Duration) -> Vec<(String, Duration)> {
        let tasks = self.0.under_way.borrow();
        let tasks = tasks.values().map(|task| (task.source.clone(), task.since.elapsed()));
        tasks.filter(|(_, time)| *time > least).collect()
    }

    /// Runs that are under way for longer than `least` and were not recorded so far.
    pub(super) fn unrecorded(&self, least: Duration) -> Vec<RunUnderWay> {
        let tasks = self.0.under_way.borrow();
        let long = tasks.iter().filter(|(_, task)| !task.is_recorded && task.since.elapsed() > least);
        long.filter_map(|(number, task)| self.run(*number, task)).collect()
    }

    /// It was recorded that this run is under way.
    pub(super) fn recorded(&self, run: &RunUnderWay) {
        let is_over = !self.0.under_way.send_if_modified(|tasks| {
            tasks.get_mut(&run.number).map(|task| task.is_recorded = true).is_some()
        });
        if is_over {
            lock(&self.0.over).push(run.clone());
        }
    }

    /// Runs that were recorded as under way and are over, each of them once.
    pub(super) fn take_over(&self) -> Vec<RunUnderWay> {
        mem::take(&mut lock(&self.0.over))
    }

    /// Whether there is anything to record.
    pub(super) fn has_news(&self, least: Duration) -> bool {
        !lock(&self.0.over).is_empty() || !self.unrecorded(least).is_empty()
    }

    /// The end of this run could not be recorded so far.
    pub(super) fn give_back(&self, run: RunUnderWay) {
        lock(&self.0.over).push(run);
    }

    fn run(&self, number: u64, task: &Task) -> Option<RunUnderWay> {
        let origin = task.origin.clone()?;
        let id = format!("{}-{number}", self.0.prefix);
        Some(RunUnderWay { number, id, origin, time: task.since.elapsed() })
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let mut task = None;
        self.work.0.under_way.send_modify(|tasks| task = tasks.remove(&self.number));
        let recorded = task.filter(|task| task.is_recorded);
        if let Some(run) = recorded.and_then(|task| self.work.run(self.number, &task)) {
            lock(&self.work.0.over).push(run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::record::Trigger;

    fn origin(source: &str) -> Origin {
        let (public_key, remote_addr) = Default::default();
        Origin { source: source.to_owned(), trigger: Trigger::Pull, public_key, remote_addr, token: None }
    }

    #[tokio::test]
    async fn what_is_under_way_is_named_until_it_is_done() {
        let work = Work::default();
        let (first, second) = (work.begin(origin("a")), work.wait("b"));
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

    #[test]
    fn a_run_is_to_be_recorded_once_and_so_is_its_end() {
        let work = Work::default();
        let (long, short, _waits) = (work.begin(origin("a")), work.begin(origin("b")), work.wait("c"));
        assert!(!work.has_news(Duration::from_secs(3600)));
        let runs = work.unrecorded(Duration::ZERO);
        assert_eq!(runs.iter().map(|run| run.origin.source.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_ne!(runs[0].id, runs[1].id);
        work.recorded(&runs[0]);
        assert_eq!(work.unrecorded(Duration::ZERO).len(), 1);
        drop(long);
        let over = work.take_over();
        assert_eq!(over.iter().map(|run| &run.id).collect::<Vec<_>>(), [&runs[0].id]);
        // It ended while it was recorded.
        drop(short);
        work.recorded(&runs[1]);
        let over = work.take_over();
        assert_eq!(over.iter().map(|run| &run.id).collect::<Vec<_>>(), [&runs[1].id]);
        assert!(!work.has_news(Duration::ZERO));
        // One that was never recorded is no news.
        drop(work.begin(origin("d")));
        assert!(!work.has_news(Duration::ZERO));
    }
}
