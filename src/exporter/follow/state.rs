//! How the journal was found: numbers beside the tally that speak of files, not of lines.

use std::io;

/// Why a file beside the journal is not read, or not to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// It has no line of a journal at its front: a lock, a checksum, a note, another program's file.
    NotASegment,
    /// It may not be read, or the disk fails.
    Unreadable,
    /// It is compressed in a form that is not read here.
    Unsupported,
    /// It is compressed and damaged.
    Damaged,
    /// It is compressed and its content is larger than a journal's can be.
    Oversized,
    /// There are more files than segments that can be remembered.
    NoRoom,
}

impl Skip {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Skip; 6] = [
        Skip::NotASegment,
        Skip::Unreadable,
        Skip::Unsupported,
        Skip::Damaged,
        Skip::Oversized,
        Skip::NoRoom,
    ];

    /// As a label's value.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Skip::NotASegment => "not_a_segment",
            Skip::Unreadable => "unreadable",
            Skip::Unsupported => "unsupported",
            Skip::Damaged => "damaged",
            Skip::Oversized => "oversized",
            Skip::NoRoom => "no_room",
        }
    }

    pub(super) fn of(error: &io::Error) -> Skip {
        match error.kind() {
            io::ErrorKind::Unsupported => Skip::Unsupported,
            io::ErrorKind::InvalidData => Skip::Damaged,
            io::ErrorKind::FileTooLarge => Skip::Oversized,
            _ => Skip::Unreadable,
        }
    }

    /// Whether it is of no use to try again until the file changes.
    pub(super) fn is_lasting(self) -> bool {
        self != Skip::Unreadable && self != Skip::NoRoom
    }
}

/// How the journal was found in the last round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalState {
    /// Why it cannot be read; `None` if it can, or does not exist yet.
    pub trouble: Option<String>,
    /// Whether it does not exist yet: no file of it was ever seen.
    pub awaited: bool,
    /// Bytes that were there and not read yet.
    pub behind: u64,
    /// Files that belong to it.
    pub files: usize,
    /// When the oldest event happened that is there, in milliseconds since 1970, by the first line of each file.
    pub oldest_event: Option<i64>,
    /// Segments known, those that are gone included.
    pub segments: usize,
    /// Segments that can be known.
    pub max_segments: usize,
    /// Segments read again, because they were replaced by another version.
    pub rewinds: u64,
    /// Writers known.
    pub writers: usize,
    /// Writers that can be known.
    pub max_writers: usize,
    /// Writers forgotten to make room.
    pub writers_forgotten: u64,
    /// Lines missing now, by their writers' numbers.
    pub missing: u128,
    /// Files that were left out, by reason, in the order of `Skip::ALL`.
    pub skipped: [usize; 6],
    /// Of these, those that are segments, and that could not be read or not to their end.
    pub unreadable: usize,
}
