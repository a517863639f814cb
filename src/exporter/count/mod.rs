//! Counting: what a line does to writers, metrics and the tally. Lines to events.
//!
//! Here a line is admitted or dropped, goes the short way or the long one, or is counted as what cannot be used.
//! Lines that may go the short way are gathered and counted together, always before a line that comes after them.
//! Which file the bytes come from, and which bytes are read, is decided in [`super::follow`]; nothing here opens one.
//!
//! * `writers`: which lines of which `writer` were counted; `past`: the writers of long ago, in a few bytes each.
//! * `tally`: numbers that say what was read.

mod past;
mod tally;
mod writer;
mod writers;

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use journal_schema::glance::{Glance, Glancer, Kind};
use journal_schema::{Event, Piece, Reason, Splitter, decode};
use serde::{Deserialize, Serialize};

use self::writer::Admission;
use self::writers::Writers;
use super::metrics::{CommandSeries, Known, Metrics, TOGETHER};

pub(crate) use self::tally::EVENT_KINDS;
pub use self::tally::Tally;
pub(crate) use self::writers::DEFAULT_MAX_WRITERS;
pub(crate) use self::writers::{WritersRecord, WritersRecordV1};

/// Files of which it is remembered what was logged.
const LOGGED_MAX: usize = 4096;

/// Places in [`Tally::events`].
const COMMAND: usize = 0;
const SOURCE: usize = 1;
const SHELL: usize = 2;
const HEARTBEAT: usize = 5;

/// Counts lines.
#[derive(Debug)]
pub(crate) struct Counter {
    /// Bytes that a line may have with its LF.
    line_bytes: usize,
    metrics: Metrics,
    writers: Writers,
    tally: Tally,
    /// Whether all that was there at first was read: what a new writer's first line leaves out is missing since then.
    begun: bool,
    /// What was logged of which file, a bit for each reason, so that it is logged once.
    logged: HashMap<PathBuf, u16>,
    glancer: Glancer,
    /// Room for taking labels apart.
    scratch: Vec<u8>,
    /// Series of commands that were admitted and are to be counted at the end of a batch, together.
    admitted: Vec<CommandSeries>,
}

/// Where bytes come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) path: &'a Path,
    /// Bytes at its front in which what cannot be used was counted before.
    pub(crate) told: u64,
}

/// What was taken of a batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    /// Bytes that were used up. What is left is a line without its end.
    pub(crate) used: usize,
    /// Where among them the last line stands that names itself, with its LF.
    pub(crate) last_line: Option<Range<usize>>,
}

/// A line that was taken apart.
struct Glanced<'b> {
    glance: Glance<'b>,
    line: &'b [u8],
    /// Its place in the batch.
    at: usize,
}

/// A batch on its way from bytes to counts.
struct Batch<'a, 'b> {
    source: Source<'a>,
    /// Where it stands in the segment.
    offset: u64,
    last_line: Option<Range<usize>>,
    /// Of the line before, if a glance was enough for it. Mostly all lines are of one writer, who is then looked up once.
    writer: Option<&'b [u8]>,
    /// Lines that are to be counted together, [`TOGETHER`] at most, in their order.
    gathered: Vec<Glanced<'b>>,
}

impl Counter {
    /// A counter that goes on from a record.
    pub(crate) fn restore(
        metrics: Metrics,
        record: CounterRecord,
        line_bytes: usize,
        max_writers: usize,
    ) -> Counter {
        Counter {
            line_bytes,
            metrics,
            writers: Writers::restore(record.writers, max_writers),
            tally: record.tally,
            begun: record.begun,
            logged: HashMap::new(),
            glancer: Glancer::default(),
            scratch: Vec::new(),
            admitted: Vec::new(),
        }
    }

    /// What a later process needs to go on from here, beside the metrics.
    pub(crate) fn record(&self) -> CounterRecord {
        CounterRecord { writers: self.writers.record(), tally: self.tally.clone(), begun: self.begun }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn writers(&self) -> &Writers {
        &self.writers
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// All that was there was read.
    pub(crate) fn settle(&mut self) {
        self.begun |= self.tally.bytes > 0;
        self.metrics.settle();
    }

    /// Counts all pieces that `bytes` hold, which stand `offset` into their source.
    pub(crate) fn count(
        &mut self,
        bytes: &[u8],
        offset: u64,
        splitter: &mut Splitter,
        source: Source<'_>,
    ) -> Taken {
        self.admitted.clear();
        let mut batch = Batch { source, offset, last_line: None, writer: None, gathered: Vec::new() };
        let mut used = 0;
        while let Some((step, piece)) = splitter.next(&bytes[used..]) {
            self.piece(piece, used, &mut batch);
            used += step;
        }
        self.count_gathered(&mut batch);
        self.metrics.count_commands(&self.admitted);
        self.tally.bytes += used as u64;
        Taken { used, last_line: batch.last_line }
    }

    /// Takes a piece that stands `at` in the batch.
    fn piece<'b>(&mut self, piece: Piece<'b>, at: usize, batch: &mut Batch<'_, 'b>) {
        // Without its LF. What is too long is not even decoded.
        if let Piece::Line(bytes) = piece
            && bytes.len() < self.line_bytes
        {
            if let Some(glance) = self.glancer.glance(bytes) {
                batch.gathered.push(Glanced { glance, line: bytes, at });
                if batch.gathered.len() == TOGETHER {
                    self.count_gathered(batch);
                }
            } else {
                self.count_gathered(batch);
                self.line(bytes, at, batch);
            }
            return;
        }
        let offset = batch.offset + at as u64;
        match piece {
            Piece::Line(_) | Piece::Overlong => {
                self.damage(Reason::Overlong, "longer than a line may be", batch.source, offset);
            }
            Piece::Torn => self.damage(Reason::Torn, "cut off by NUL bytes", batch.source, offset),
            Piece::Padding => self.damage(Reason::Padding, "NUL bytes", batch.source, offset),
            Piece::Skipped => {}
        }
    }

    /// Takes the short way for the lines that were gathered, and the long one for those that it does not lead through.
    /// Either leads to the same.
    fn count_gathered<'b>(&mut self, batch: &mut Batch<'_, 'b>) {
        if batch.gathered.is_empty() {
            return;
        }
        let mut gathered = std::mem::take(&mut batch.gathered);
        let commands = self.metrics.find_commands(gathered.iter().map(|glanced| &glanced.glance));
        for (Glanced { glance, line, at }, command) in gathered.iter().zip(commands) {
            if self.glanced(glance, batch.writer == Some(glance.writer), command) {
                batch.last_line = Some(*at..at + line.len() + 1);
                batch.writer = Some(glance.writer);
            } else {
                self.line(line, *at, batch);
            }
        }
        // Kept for its capacity.
        gathered.clear();
        batch.gathered = gathered;
    }

    /// Counts a line if a glance was enough for it. `goes_on` says that the line before it was admitted from the same
    /// writer; `command` is what its labels were known to name before the lines that were gathered with it.
    fn glanced(&mut self, glance: &Glance<'_>, goes_on: bool, command: Option<CommandSeries>) -> bool {
        if let Some(series) = command {
            if self.admits(glance, goes_on) {
                self.admitted.push(series);
                self.metrics.look(series, glance.millisecond);
                self.counted(COMMAND, glance.millisecond);
            }
            return true;
        }
        if let Some(known) = self.metrics.find(glance) {
            if self.admits(glance, goes_on) {
                match known {
                    Known::Command(series) => {
                        self.admitted.push(series);
                        self.metrics.look(series, glance.millisecond);
                    }
                    Known::Source(series, measured) => {
                        self.metrics.count_known_source(series, &measured, glance);
                    }
                }
                self.counted(place(glance.kind), glance.millisecond);
            }
            return true;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let event = glance.event(&mut scratch);
        let is_one = event.is_some();
        if let Some(event) = event
            && self.admits(glance, goes_on)
        {
            self.metrics.count_and_learn(&event, glance);
            self.counted(place(glance.kind), glance.millisecond);
        }
        self.scratch = scratch;
        is_one
    }

    /// Whether a line is to be counted; if not, it is counted as a duplicate.
    fn admits(&mut self, glance: &Glance<'_>, goes_on: bool) -> bool {
        let admission = if goes_on { self.writers.admit_next(glance.seq) } else { None };
        let admission = admission.unwrap_or_else(|| {
            // A name is a text.
            let name = std::str::from_utf8(glance.writer).unwrap_or_default();
            self.writers.admit(name, glance.seq, !self.begun)
        });
        self.tally.duplicates += u64::from(admission == Admission::Duplicate);
        admission == Admission::Count
    }

    /// Takes a line the long way: decodes it and counts what it says.
    fn line(&mut self, bytes: &[u8], at: usize, batch: &mut Batch<'_, '_>) {
        let offset = batch.offset + at as u64;
        batch.writer = None;
        let decoded = decode(bytes);
        let envelope = match &decoded {
            Ok(line) => Some(&line.envelope),
            Err(rejected) => rejected.envelope.as_ref(),
        };
        let names_itself = envelope.is_some();
        if names_itself {
            batch.last_line = Some(at..at + bytes.len() + 1);
        }
        if let Some(envelope) = envelope
            && self.writers.admit(&envelope.writer, envelope.seq, !self.begun) == Admission::Duplicate
        {
            self.tally.duplicates += 1;
            return;
        }
        match decoded {
            Ok(line) => {
                self.metrics.apply(&line);
                let event = match line.event {
                    Event::Command(_) => COMMAND,
                    Event::Source(_) => SOURCE,
                    Event::Shell(_) => SHELL,
                    Event::Engine(_) => 3,
                    Event::Run(_) => 4,
                    Event::Heartbeat(_) => HEARTBEAT,
                    Event::Refused(_) => 6,
                };
                self.counted(event, line.envelope.time.as_millisecond());
            }
            Err(rejected) if names_itself => {
                self.reject(rejected.reason, &rejected.detail, batch.source, offset);
            }
            Err(rejected) => self.damage(rejected.reason, &rejected.detail, batch.source, offset),
        }
    }

    fn counted(&mut self, event: usize, millisecond: i64) {
        self.tally.events[event] += 1;
        if event == HEARTBEAT {
            // It says that the agent lives, not that it does anything.
            return;
        }
        // A segment that comes late has older events.
        self.tally.last_event = self.tally.last_event.max(millisecond);
    }

    /// Counts what cannot be used and has no name, unless an earlier version of the segment had it.
    fn damage(&mut self, reason: Reason, detail: &str, source: Source<'_>, offset: u64) {
        if offset >= source.told {
            self.reject(reason, detail, source, offset);
        }
    }

    /// Counts what cannot be used. The first of its kind in a file is worth a message, the millionth is not.
    fn reject(&mut self, reason: Reason, detail: &str, source: Source<'_>, offset: u64) {
        self.tally.rejected[reason as usize] += 1;
        if self.is_news(source.path, reason) {
            tracing::warn!(
                file = %source.path.display(),
                offset,
                reason = reason.as_str(),
                detail,
                "a line of the journal cannot be used; further ones of this kind in this file are only counted"
            );
        }
    }

    fn is_news(&mut self, path: &Path, reason: Reason) -> bool {
        let bit = 1 << reason as u16;
        if let Some(logged) = self.logged.get_mut(path) {
            let is_news = *logged & bit == 0;
            *logged |= bit;
            return is_news;
        }
        if self.logged.len() >= LOGGED_MAX {
            self.logged.clear();
        }
        self.logged.insert(path.to_owned(), bit);
        true
    }
}

/// The place of an event in [`Tally::events`].
fn place(kind: Kind) -> usize {
    match kind {
        Kind::Command => COMMAND,
        Kind::Source => SOURCE,
        Kind::Shell => SHELL,
    }
}

/// [`Counter`] as a checkpoint keeps it, beside the metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CounterRecord {
    pub(crate) writers: WritersRecord,
    pub(crate) tally: Tally,
    pub(crate) begun: bool,
}

#[cfg(test)]
mod tests;
