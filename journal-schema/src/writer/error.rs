//! What can go wrong while appending, said so that a log line tells what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::line::TooLong;

/// Why a line was not written, or what went wrong beside it.
#[derive(Debug)]
#[non_exhaustive]
pub enum WriteError {
    /// The journal could not be opened or made.
    Open {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path leads to something that lines cannot be appended to.
    NotRegular {
        /// The journal.
        path: PathBuf,
        /// What it is, such as `a directory`.
        kind: &'static str,
    },
    /// The event does not fit into a line.
    TooLong {
        /// Number of the line that is missing now.
        seq: u64,
        /// How long it would have been.
        too_long: TooLong,
    },
    /// Nothing of the line was written.
    Write {
        /// Number of the line that is missing now.
        seq: u64,
        /// The journal.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The beginning of the line was written; the next one starts on a line of its own.
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
    Sync {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The active file could not be set aside, was set aside without the lock, or old segments could not be removed.
    /// Lines go on into the active file.
    Rotate {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The numbers that several processes share cannot be had; the lines stand under a name for this writer alone.
    Numbers {
        /// The journal.
        path: PathBuf,
        /// What the system said of which file.
        source: io::Error,
    },
    /// The system gave no randomness for the writer's name.
    Random(getrandom::Error),
    /// The system gave no thread for syncing.
    Thread(io::Error),
}

impl fmt::Display for WriteError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Open { path, source } => {
                write!(out, "{}: cannot open the journal: {source}", path.display())?;
                match source.kind() {
                    io::ErrorKind::NotFound => write!(out, "; make its directory first"),
                    io::ErrorKind::PermissionDenied => {
                        write!(out, "; run as its owner or give another path")
                    }
                    _ => Ok(()),
                }
            }
            WriteError::NotRegular { path, kind } => {
                write!(out, "{}: is {kind}; a journal is a regular file", path.display())
            }
            WriteError::TooLong { seq, too_long } => write!(out, "line {seq} left out: {too_long}"),
            WriteError::Write { seq, path, source } => {
                write!(out, "{}: line {seq} left out: {source}", path.display())
            }
            WriteError::Short { seq, path, written, bytes } => {
                let path = path.display();
                write!(
                    out,
                    "{path}: line {seq} torn: {written} of {bytes} bytes were written; is the disk full?"
                )
            }
            WriteError::Sync { path, source } => {
                write!(
                    out,
                    "{}: cannot sync, the last lines may not survive a power loss: {source}",
                    path.display()
                )
            }
            WriteError::Rotate { path, source } => {
                write!(out, "{}: trouble with rotation: {source}", path.display())
            }
            WriteError::Numbers { path, source } => {
                let path = path.display();
                write!(out, "{path}: cannot continue the numbers of the lines before, begins anew: {source}")
            }
            WriteError::Random(source) => write!(out, "no randomness for the name of the writer: {source}"),
            WriteError::Thread(source) => write!(out, "no thread for syncing the journal: {source}"),
        }
    }
}

impl std::error::Error for WriteError {}
