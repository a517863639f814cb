//! Numbers that say what was read of the journal, and how it was found.

use serde::{Deserialize, Serialize};

use super::segments::SegmentKey;

/// What was read so far: the numbers behind the exporter's own metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Lines counted, by event: command, source, shell, engine.
    pub events: [u64; 4],
    /// What could not be used, in the order of [`journal_schema::Reason::ALL`].
    pub rejected: [u64; 9],
    /// Lines dropped because they were counted before.
    pub duplicates: u64,
    /// Bytes read, of uncompressed content.
    pub bytes: u64,
    /// The latest event's own time, in milliseconds since 1970; 0 before the first.
    pub last_event: i64,
    /// How often the active file became another segment.
    pub rotations: u64,
    /// The active segment, to notice that.
    pub(super) active: Option<SegmentKey>,
    /// Whether a first segment was read: what its writers wrote before it is not missing.
    pub(super) begun: bool,
}

/// How the journal was found in the last round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalState {
    /// Why it cannot be read; `None` if it can.
    pub trouble: Option<String>,
    /// Bytes that were there and not read yet.
    pub behind: u64,
    /// Files that belong to it.
    pub files: usize,
    /// Segments known, those that are gone included.
    pub segments: usize,
    /// Segments read from their start again, because they were replaced by another version.
    pub rewinds: u64,
    /// Writers known.
    pub writers: usize,
    /// Writers forgotten to make room.
    pub writers_forgotten: u64,
    /// Lines missing now, by their writers' numbers.
    pub missing: u64,
    /// Files that could not be read in the last round, or not to their end.
    pub unreadable: usize,
}
