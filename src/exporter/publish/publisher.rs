//! The publisher: turns what the follower shows into published states and checkpoints.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use prometheus::core::Collector as _;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;

use super::agent::AgentWatch;
use super::state::{Published, Snapshot};
use super::systemd::Supervisor;
use crate::checkpoint::writer::Checkpointer;
use crate::checkpoint::{Checkpoint, Origin};
use crate::exposition::own;
use crate::follow::Follower;
use crate::follow::tail::Moment;
use crate::progress::Progress;

/// How often the process looks at itself. Reading `/proc` costs more than all else that an idle second holds.
const PROCESS_INTERVAL: Duration = Duration::from_secs(5);

/// Publishes what the follower shows, and has it written now and then.
pub(crate) struct Publisher {
    published: Published,
    checkpointer: Arc<Checkpointer>,
    process: ProcessCollector,
    process_now: Arc<Vec<MetricFamily>>,
    process_read: Option<Instant>,
    agent: AgentWatch,
    generation: u64,
    restored: Option<Origin>,
    /// When a checkpoint was last offered, and the follower's revision then.
    offered: Option<(Instant, u64)>,
    progress: Option<Progress>,
    supervisor: Supervisor,
}

impl Publisher {
    /// Publishes to `published`, offers checkpoints to `checkpointer`, tells `supervisor`. `restored` says where the
    /// state came from that the follower began with.
    pub(crate) fn new(
        published: Published,
        checkpointer: Arc<Checkpointer>,
        restored: Option<Origin>,
        supervisor: Supervisor,
    ) -> Publisher {
        Publisher {
            published,
            checkpointer,
            process: ProcessCollector::for_self(),
            process_now: Arc::default(),
            process_read: None,
            agent: AgentWatch::default(),
            generation: 0,
            restored,
            offered: None,
            progress: Some(Progress::new("reading the journal")),
            supervisor,
        }
    }

    fn snapshot(&mut self, follower: &Follower, moment: Moment) -> Snapshot {
        if self.process_read.is_none_or(|read| read.elapsed() >= PROCESS_INTERVAL) {
            self.process_read = Some(Instant::now());
            let mut families = self.process.collect();
            own::complete_process(&mut families);
            self.process_now = Arc::new(families);
        }
        self.generation += 1;
        let agent_up = self.agent.is_up(&follower.metrics().tables().engine);
        // Until the journal has been caught up with, counters are lower than they were shown before a restart, and states
        // are older. Prometheus would take that for a reset and count the difference twice, so none of it is shown.
        let counted = moment.caught_up.then(|| {
            let metrics = follower.metrics();
            (metrics.tables().clone(), Arc::new(metrics.open_shells()), metrics.recent(), agent_up)
        });
        let (tables, open_shells, recent, agent_up) = counted.unwrap_or_default();
        Snapshot {
            generation: self.generation,
            looked: Timestamp::now().as_millisecond(),
            caught_up: moment.caught_up,
            watching: moment.watching,
            tables,
            open_shells,
            recent,
            tally: follower.tally().clone(),
            journal: follower.state(),
            agent_up,
            process: Arc::clone(&self.process_now),
            checkpoint: self.checkpointer.written(),
            restored: self.restored,
        }
    }

    fn checkpoint(&mut self, follower: &Follower, last: bool) {
        let due = match &self.offered {
            None => true,
            Some((at, _)) => at.elapsed() >= self.checkpointer.interval() && !self.checkpointer.is_busy(),
        };
        if !due && !last {
            return;
        }
        let (now, revision) = (Instant::now(), follower.revision());
        if self.offered.is_none() && self.restored == Some(Origin::Current) {
            // The first one repeats what this began with, and has the time until a second would be due.
            self.offered = Some((now, 0));
            return;
        }
        if self.offered.is_some_and(|(_, before)| before == revision) {
            return;
        }
        self.checkpointer.offer(Checkpoint {
            journal: follower.journal().to_owned(),
            taken: Timestamp::now().as_millisecond(),
            metrics: follower.metrics().record(),
            follow: follower.record(),
        });
        self.offered = Some((now, revision));
    }

    /// Publishes where the follower is.
    pub(crate) fn show(&mut self, follower: &Follower, moment: Moment) {
        let snapshot = self.snapshot(follower, moment);
        self.checkpoint(follower, moment.last);
        if moment.caught_up {
            if let Some(mut progress) = self.progress.take() {
                progress.end();
                let lines = snapshot.tally.events.iter().sum::<u64>();
                tracing::info!(lines, bytes = snapshot.tally.bytes, "caught up with the journal");
            }
        } else if let Some(progress) = &mut self.progress {
            progress.show(&snapshot.tally, snapshot.journal.behind);
        }
        self.supervisor.show(&snapshot, moment);
        self.published.publish(snapshot);
    }
}
