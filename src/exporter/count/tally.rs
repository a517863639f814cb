//! Numbers that say what was read of the journal.

use serde::{Deserialize, Serialize};

/// Kinds of events that are counted apart. A checkpoint holds as many numbers.
pub(crate) const EVENT_KINDS: usize = 7;

/// What was read so far: the numbers behind the exporter's own metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Lines counted, by event: command, source, shell, engine, run, heartbeat, refused.
    pub events: [u64; EVENT_KINDS],
    /// What could not be used, in the order of [`journal_schema::Reason::ALL`].
    pub rejected: [u64; 9],
    /// Lines dropped because they were counted before.
    pub duplicates: u64,
    /// Bytes read, of uncompressed content.
    pub bytes: u64,
    /// The latest event's time, heartbeats left out, in milliseconds since 1970; 0 before the first.
    pub last_event: i64,
    /// How often the active file became another segment.
    pub rotations: u64,
    /// Segments that were active, left the journal's path and were found nowhere.
    pub lost: u64,
}

impl Tally {
    /// The counts of the first four events, with none of the others: they came later.
    pub(crate) fn all_events(first: [u64; 4]) -> [u64; EVENT_KINDS] {
        let [command, source, shell, engine] = first;
        [command, source, shell, engine, 0, 0, 0]
    }
}
