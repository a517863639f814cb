//! The one place where the counting side meets the serving side: the state of a moment, whole and immutable.
//!
//! The follower sets it after each batch of lines; a scrape takes the latest and renders it. Neither ever waits for
//! the other's work.

use std::sync::{Arc, PoisonError, RwLock};

use prometheus::proto::MetricFamily;

use crate::checkpoint::Origin;
use crate::checkpoint::writer::Written;
use crate::follow::{JournalState, Tally};
use crate::metrics::{OpenShells, Recent, Tables};

/// The state of one moment, as a scrape sees it. Cheap to hold: it shares its storage with its predecessors.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Grows with every publication: equal generations render to equal bytes.
    pub generation: u64,
    /// When the follower said so, in milliseconds since 1970. Stands still when it hangs.
    pub looked: i64,
    /// Whether the journal, as it was found at start, has been read to its end.
    pub caught_up: bool,
    /// Whether the file system tells of changes; if not, they are found by polling alone.
    pub watching: bool,
    /// What events added up to.
    pub tables: Tables,
    /// The shells that are open.
    pub open_shells: Arc<OpenShells>,
    /// What happened lately.
    pub recent: Arc<Recent>,
    /// What was read.
    pub tally: Tally,
    /// How the journal was found.
    pub journal: JournalState,
    /// Whether the agent runs; `None` before its first line.
    pub agent_up: Option<bool>,
    /// The exporter's own process, as it was at the latest poll: a scrape reads no file.
    pub process: Arc<Vec<MetricFamily>>,
    /// What became of the checkpoints so far.
    pub checkpoint: Written,
    /// Which checkpoint this process began with.
    pub restored: Option<Origin>,
}

/// Hands the latest [`Snapshot`] from the follower to the scrapes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    latest: Arc<RwLock<Arc<Snapshot>>>,
}

impl Published {
    /// The latest state. Never blocks longer than a pointer takes to swap.
    pub(crate) fn latest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.latest.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes `snapshot` the latest state.
    pub(crate) fn publish(&self, snapshot: Snapshot) {
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }
}
