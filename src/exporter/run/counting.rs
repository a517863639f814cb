//! What counts, as running threads: a follower that goes on from the last checkpoint, the state that it publishes, and
//! the checkpoints of it. Knows nothing of who asks for the state.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use journal_schema::segments::directory_of;

use crate::checkpoint::store::StateDir;
use crate::checkpoint::writer::Checkpointer;
use crate::checkpoint::{self, Origin, Unusable};
use crate::config::Config;
use crate::follow::Follower;
use crate::follow::tail::{Moment, Tail};
use crate::metrics::Metrics;
use crate::publish::Published;
use crate::publish::publisher::Publisher;
use crate::publish::systemd::{Reloads, Supervisor};

/// Longest pause between two looks, whatever the poll interval is: a look is also the sign of life that alerts and the status
/// page wait for.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// The running threads.
pub(super) struct Counting {
    tail: Tail,
    checkpointer: Arc<Checkpointer>,
    /// The state for everybody who asks.
    pub(super) published: Published,
    /// Says to the service manager that a reload is under way.
    pub(super) reloads: Reloads,
}

impl Counting {
    /// Starts them. When this returns, a first state is published: an early scrape also shows the exporter's own
    /// metrics.
    ///
    /// # Errors
    ///
    /// If the operating system has no thread to give.
    pub(super) fn start(config: &Config, mut state: StateDir) -> io::Result<Counting> {
        let (follower, restored) = follower(config, &mut state);
        let published = Published::default();
        let checkpointer = Arc::new(Checkpointer::start(state, config.checkpoint_interval)?);
        let supervisor = Supervisor::of_process();
        let reloads = supervisor.reloads();
        let alive = supervisor.interval().unwrap_or(SIGN_OF_LIFE).min(SIGN_OF_LIFE);
        let poll_interval = config.poll_interval.min(alive);
        let mut publisher =
            Publisher::new(published.clone(), Arc::clone(&checkpointer), restored, supervisor);
        publisher.show(&follower, Moment::FIRST);
        let show = move |follower: &Follower, moment| publisher.show(follower, moment);
        let tail = Tail::start(follower, poll_interval, show)?;
        Ok(Counting { tail, checkpointer, published, reloads })
    }

    /// Ends the follower, then writes a last checkpoint.
    pub(super) fn stop(self) {
        self.tail.stop();
        // The follower, and with it the publisher's share, is gone: this is the last one.
        if let Some(checkpointer) = Arc::into_inner(self.checkpointer) {
            checkpointer.finish();
        }
    }
}

/// A follower that goes on from the newest checkpoint that can be used, or from nothing.
fn follower(config: &Config, state: &mut StateDir) -> (Follower, Option<Origin>) {
    let limits = config.limits;
    let loaded = checkpoint::load(state, |checkpoint| {
        let is_same = is_same_file(&checkpoint.journal, &config.journal);
        let metrics = Metrics::restore(checkpoint.metrics, limits).ok_or(Unusable::Unsound)?;
        let mut follower = Follower::restore(&config.journal, metrics, checkpoint.follow, config.bounds);
        // A journal that moved is recognised by its content.
        if !is_same && !follower.knows_a_file() {
            return Err(Unusable::Journal(checkpoint.journal));
        }
        Ok(follower)
    });
    match loaded {
        Some((follower, origin)) => (follower, Some(origin)),
        None => (Follower::new(&config.journal, Metrics::new(limits), config.bounds), None),
    }
}

/// Whether two paths are spellings of one: relative and absolute, by a link or not. The file itself need not exist.
fn is_same_file(a: &Path, b: &Path) -> bool {
    let resolved = |path: &Path| {
        let directory = fs::canonicalize(directory_of(path)).ok()?;
        Some(directory.join(path.file_name()?))
    };
    a == b || resolved(a).is_some_and(|a| resolved(b) == Some(a))
}
