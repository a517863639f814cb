//! What can go wrong while appending, said so that a log line tells what to do.

use std::io;
use std::path::PathBuf;

use crate::line::TooLong;

/// Why a line was not written, or what went wrong beside it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The journal could not be opened or made.
    #[error("{}: cannot open the journal: {source}{}", .path.display(), advice(.source))]
    Open {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path leads to something that lines cannot be appended to.
    #[error("{}: is {kind}; a journal is a regular file", .path.display())]
    NotRegular {
        /// The journal.
        path: PathBuf,
        /// What it is, such as `a directory`.
        kind: &'static str,
    },
    /// The event does not fit into a line.
    #[error("line {seq} left out: {too_long}")]
    TooLong {
        /// Number of the line that is missing now.
        seq: u64,
        /// How long it would have been.
        too_long: TooLong,
    },
    /// Nothing of the line was written.
    #[error("{}: line {seq} left out: {source}", .path.display())]
    Write {
        /// Number of the line that is missing now.
        seq: u64,
        /// The journal.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The beginning of the line was written; the next one starts on a line of its own.
    #[error("{}: line {seq} torn: {written} of {bytes} bytes were written; is the disk full?", .path.display())]
    Short {
        /// Number of the line that is missing now.
        seq: u64,
        /// The journal.
        path: PathBuf,
        /// Bytes that were written.
        written: usize,
        /// Bytes that were to be written.
        bytes: usize,
    },
    /// Lines are in the file, but may not survive a loss of power.
    #[error("{}: cannot sync, the last lines may not survive a power loss: {source}", .path.display())]
    Sync {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The active file could not be set aside, was set aside without the lock, or old segments could not be removed.
    /// Lines go on into the active file.
    #[error("{}: trouble with rotation: {source}", .path.display())]
    Rotate {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The numbers that several processes share cannot be had; the lines stand under a name for this writer alone.
    #[error("{}: cannot continue the numbers of the lines before, begins anew: {source}", .path.display())]
    Numbers {
        /// The journal.
        path: PathBuf,
        /// What the system said of which file.
        source: io::Error,
    },
    /// The system gave no randomness for the writer's name.
    #[error("no randomness for the name of the writer: {0}")]
    Random(getrandom::Error),
    /// The system gave no thread for syncing.
    #[error("no thread for syncing the journal: {0}")]
    Thread(io::Error),
}

/// What to do about a journal that cannot be opened.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; make its directory first",
        io::ErrorKind::PermissionDenied => "; run as its owner or give another path",
        _ => "",
    }
}
