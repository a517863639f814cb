//! `etcha-exporter render`: replays journals and prints what they add up to, the four families of the guide.
//!
//! For scripts, for looking, for comparing. It reads as the exporter does, with the same limits, and serves nothing.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use journal_schema::Reason;
use journal_schema::compressed::plain;

use crate::exposition;
use crate::follow::{Bounds, Follower, Go, Tally};
use crate::metrics::{Limits, Metrics};
use crate::progress::Progress;

/// What to replay, and within which limits.
#[derive(Clone, Debug)]
pub(super) struct Render {
    /// Journals, plain or compressed with gzip or zstd; `-` is standard input. Their order does not matter.
    pub files: Vec<PathBuf>,
    /// Series a family and bytes a label value.
    pub limits: Limits,
    /// Bytes of a line, and what is remembered.
    pub bounds: Bounds,
}

/// What was replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// Lines counted.
    pub counted: u64,
    /// What could not be used, by reason; reasons that did not occur are left out.
    pub rejected: Vec<(Reason, u64)>,
    /// Lines that stood there more than once.
    pub duplicates: u64,
    /// Lines missing by their writers' numbers.
    pub missing: u128,
}

/// Why nothing was printed, or not everything.
#[derive(Debug, thiserror::Error)]
pub(super) enum RenderError {
    /// A journal cannot be read.
    #[error("{}: {source}; render takes journals, plain, .gz or .zst", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A journal cannot be read to its end. What was counted before is printed.
    #[error("{}: {source}", path.display())]
    Damaged {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// Standard output does not take what is printed.
    #[error("cannot print the metrics: {0}")]
    Write(#[source] io::Error),
}

impl Render {
    /// Replays all files and prints the exposition to `out`. `-` among the files reads `input`.
    ///
    /// # Errors
    ///
    /// The first file that cannot be read, or that `out` cannot be written. What is counted of a damaged file is printed.
    pub(super) fn run(&self, input: &mut dyn Read, out: &mut dyn Write) -> Result<Summary, RenderError> {
        let (streams, files): (Vec<_>, Vec<_>) = self.files.iter().cloned().partition(|file| is_stdin(file));
        let mut follower = Follower::new(Path::new("journal.jsonl"), Metrics::new(self.limits), self.bounds);
        let mut progress = Progress::new("replaying");
        let replayed = follower.replay(&files, &mut |follower| {
            progress.show(follower.tally(), follower.state().behind);
            Go::On
        });
        progress.end();
        let mut damaged = part_counted(replayed)?;
        if let Some(name) = streams.first() {
            let read = plain(input).and_then(|mut content| follower.replay_stream(name, &mut content));
            damaged = part_counted(read.map_err(|error| (name.clone(), error)))?.or(damaged);
        }
        let mut text = Vec::new();
        exposition::guide(follower.metrics().tables(), &mut text);
        out.write_all(&text).and_then(|()| out.flush()).map_err(RenderError::Write)?;
        if let Some(damaged) = damaged {
            return Err(damaged);
        }
        Ok(Summary::new(follower.tally(), follower.state().missing))
    }
}

/// A file that was read only as far as it is good does not keep what was counted from being printed.
fn part_counted(read: Result<(), (PathBuf, io::Error)>) -> Result<Option<RenderError>, RenderError> {
    match read {
        Ok(()) => Ok(None),
        Err((path, source)) => match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge => {
                Ok(Some(RenderError::Damaged { path, source }))
            }
            _ => Err(RenderError::Read { path, source }),
        },
    }
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

impl Summary {
    fn new(tally: &Tally, missing: u128) -> Summary {
        let rejected = Reason::ALL.into_iter().map(|reason| (reason, tally.rejected[reason as usize]));
        Summary {
            counted: tally.events.iter().sum(),
            rejected: rejected.filter(|(_, count)| *count > 0).collect(),
            duplicates: tally.duplicates,
            missing,
        }
    }

    /// Whether every line could be used and none is missing.
    pub(super) fn is_clean(&self) -> bool {
        self.rejected.is_empty() && self.duplicates == 0 && self.missing == 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} lines counted", self.counted)?;
        for (reason, count) in &self.rejected {
            write!(out, ", {count} {}", reason.as_str())?;
        }
        if self.duplicates > 0 {
            write!(out, ", {} seen before", self.duplicates)?;
        }
        if self.missing > 0 {
            write!(out, ", {} missing by their numbers", self.missing)?;
        }
        Ok(())
    }
}
