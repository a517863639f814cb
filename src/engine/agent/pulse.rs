//! The pulse of the engine: it records that the engine is alive, and which runs take long, so that a hang can be seen from
//! outside while it lasts. It also sums up refusals that were too many for a line each.
//!
//! A heartbeat is written by a task of the runtime that all tasks share, in a thread of the pool that all runs share, and
//! behind the locks that all runs take. Where one of these hangs, no heartbeat comes. Knows no event's form.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::source::Sources;

/// How often it looks for runs that take long.
const TICK: Duration = Duration::from_secs(1);

/// A run of at most this is not recorded as under way: runs every second would be three lines each instead of one.
const SHORT: Duration = Duration::from_secs(5);

/// How often refusals are recorded that got no line when they happened.
const SUM_UP: Duration = Duration::from_secs(60);

/// How long nothing is recorded after it failed. Each line that cannot be written is one that is missing.
const PAUSE: Duration = Duration::from_secs(60);

/// Records until the stop is asked for. Heartbeats come only with `beats`: an engine that runs once is not missed.
pub(super) async fn record(sources: Arc<Sources>, beats: bool) {
    let (mut last_beat, mut paused_until) = (None::<Instant>, None::<Instant>);
    let mut summed_up = Instant::now();
    while !sources.stop().is_asked() {
        let every = sources.config().journal.as_ref().and_then(|journal| journal.heartbeat);
        if let Some(every) = every.filter(|_| beats)
            && last_beat.is_none_or(|last| last.elapsed() >= every)
        {
            last_beat = Some(Instant::now());
            sources.blocking(Sources::heartbeat).await;
        }
        let is_paused = paused_until.is_some_and(|until| Instant::now() < until);
        if !is_paused && sources.has_runs_to_record(SHORT) {
            let well = sources.blocking(|sources| sources.record_runs(SHORT)).await.unwrap_or(false);
            paused_until = (!well).then(|| Instant::now() + PAUSE);
        }
        if summed_up.elapsed() >= SUM_UP && sources.has_refusals_to_record() {
            summed_up = Instant::now();
            sources.blocking(Sources::record_refusals).await;
        }
        tokio::select! {
            () = sources.stop().asked() => {}
            () = sleep(TICK) => {}
        }
    }
}
