//! Lines: the bytes of one segment, from a position to their end, counted line by line.
//!
//! Here a line is admitted or dropped, goes the short way or the long one, or is counted as what cannot be used.
//! Lines that may go the short way are gathered and counted together, always before a line that comes after them.
//! Which file the bytes come from, and when, is the round's business.

use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use journal_schema::glance::{Glance, command};
use journal_schema::{Event, Piece, Reason, Splitter, decode};

use super::super::metrics::TOGETHER;
use super::segments::{SegmentKey, Version};
use super::sequence::Admission;
use super::{Follower, Go};

/// Messages remembered, so that none is repeated.
const TOLD_MAX: usize = 4096;

/// What is being read.
pub(super) struct Source<'a> {
    pub(super) key: SegmentKey,
    /// Which version of the segment, and how far it was read when this began.
    pub(super) version: (usize, Version),
    pub(super) path: &'a Path,
    /// Size and time of the file, if it is compressed.
    pub(super) compressed: Option<(u64, i128)>,
}

/// Lines that were taken apart, [`TOGETHER`] at most, in their order.
#[derive(Default)]
struct Gathered<'b> {
    lines: Vec<Waiting<'b>>,
    /// Their labels once more, side by side.
    labels: Vec<&'b [u8]>,
}

/// A line that was taken apart.
struct Waiting<'b> {
    glance: Glance<'b>,
    bytes: &'b [u8],
    /// Where it stands in the batch.
    at: usize,
}

/// A batch on its way from bytes to counts.
struct Batch<'b> {
    /// Where it stands in the segment.
    offset: u64,
    /// Where in it the last line stands that names itself, with its LF.
    last_line: Option<Range<usize>>,
    gathered: Gathered<'b>,
    /// Series of commands that were admitted and are to be counted at the end of the batch, in one go.
    admitted: Vec<u32>,
}

/// What became of reading it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Batches {
    pub(super) changed: bool,
    pub(super) stopped: bool,
}

impl Follower {
    /// Reads to the end of `content`, batch by batch. After each the positions agree with the metrics.
    pub(super) fn batches(
        &mut self,
        source: &Source<'_>,
        content: &mut dyn Read,
        buffer: &mut [u8],
        between: &mut dyn FnMut(&Follower) -> Go,
    ) -> io::Result<Batches> {
        let (number, mut position) = (source.version.0, source.version.1.position.clone());
        let mut splitter = Splitter::resume(position.place);
        let mut ended = Batches::default();
        let (mut filled, mut admitted) = (0, Vec::new());
        loop {
            let read = match content.read(&mut buffer[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // A compressed file that is still being written, or was cut off: what is there counts.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(ended),
                read => read?,
            };
            if read == 0 {
                break;
            }
            filled += read;
            admitted.clear();
            let gathered = Gathered::default();
            let mut batch = Batch { offset: position.offset, last_line: None, gathered, admitted };
            let mut used = 0;
            while let Some((step, piece)) = splitter.next(&buffer[used..filled]) {
                self.piece(piece, used, source, &mut batch);
                used += step;
            }
            self.count_gathered(source, &mut batch);
            self.metrics.count_all(&batch.admitted);
            let last_line = batch.last_line;
            admitted = batch.admitted;
            position.advance(&buffer[..used], last_line, splitter.place());
            self.segments.advance(source.key, number, position.clone());
            self.tally.bytes += used as u64;
            self.state.behind = self.state.behind.saturating_sub(read as u64);
            ended.changed |= used > 0;
            buffer.copy_within(used..filled, 0);
            filled -= used;
            if between(self) == Go::Stop {
                ended.stopped = true;
                return Ok(ended);
            }
        }
        if let Some((size, time)) = source.compressed {
            self.segments.finish(source.key, number, size, time);
        }
        Ok(ended)
    }

    /// Takes a piece that stands `at` in the batch.
    fn piece<'b>(&mut self, piece: Piece<'b>, at: usize, source: &Source<'_>, batch: &mut Batch<'b>) {
        // Without its LF. What is too long is not even decoded.
        if let Piece::Line(bytes) = piece
            && bytes.len() < self.line_bytes
        {
            if let Some(glance) = self.glancer.glance(bytes) {
                batch.gathered.labels.push(glance.labels);
                batch.gathered.lines.push(Waiting { glance, bytes, at });
                if batch.gathered.lines.len() == TOGETHER {
                    self.count_gathered(source, batch);
                }
            } else {
                self.count_gathered(source, batch);
                self.line(bytes, at, source, batch);
            }
            return;
        }
        let offset = batch.offset + at as u64;
        match piece {
            Piece::Line(_) | Piece::Overlong => {
                self.damage(Reason::Overlong, "longer than a line may be", source, offset);
            }
            Piece::Torn => self.damage(Reason::Torn, "cut off by NUL bytes", source, offset),
            Piece::Padding => self.damage(Reason::Padding, "NUL bytes", source, offset),
            Piece::Skipped => {}
        }
    }

    /// Takes the short way for the lines that were gathered, and the long one for those that it does not lead through.
    /// Either leads to the same.
    fn count_gathered(&mut self, source: &Source<'_>, batch: &mut Batch<'_>) {
        if batch.gathered.lines.is_empty() {
            return;
        }
        let Gathered { mut lines, mut labels } = std::mem::take(&mut batch.gathered);
        let series = self.metrics.shortcuts(&labels);
        // Of the line before, if it was admitted. Mostly all are of one writer, who is then looked up once.
        let mut writer = None;
        for (line, series) in lines.iter().zip(series) {
            let goes_on = writer == Some(line.glance.writer);
            if self.glanced(&line.glance, goes_on, series, &mut batch.admitted) {
                batch.last_line = Some(line.at..line.at + line.bytes.len() + 1);
                writer = Some(line.glance.writer);
            } else {
                self.line(line.bytes, line.at, source, batch);
                writer = None;
            }
        }
        // Kept for their capacity.
        lines.clear();
        labels.clear();
        batch.gathered = Gathered { lines, labels };
    }

    /// Counts a line of a command if a glance was enough for it. `goes_on` says that the line before it was admitted
    /// from the same writer; `series` is what its labels were known to name before the lines that were gathered with
    /// it.
    fn glanced(
        &mut self,
        glance: &Glance<'_>,
        goes_on: bool,
        series: Option<u32>,
        admitted: &mut Vec<u32>,
    ) -> bool {
        let series = series.or_else(|| self.metrics.shortcut(glance.labels));
        let command = match series {
            Some(_) => None,
            None => command(glance.labels, &mut self.scratch),
        };
        if series.is_none() && command.is_none() {
            return false;
        }
        let admission = if goes_on { self.writers.admit_next(glance.seq) } else { None };
        let admission = admission.unwrap_or_else(|| {
            // A name is a text.
            let name = std::str::from_utf8(glance.writer).unwrap_or_default();
            self.writers.admit(name, glance.seq, !self.tally.begun)
        });
        if admission == Admission::Duplicate {
            self.tally.duplicates += 1;
            return true;
        }
        if let Some(series) = series {
            admitted.push(series);
        } else if let Some(command) = command {
            self.metrics.count_and_learn(&command, glance.millisecond, glance.labels);
        }
        self.tally.last_event = glance.millisecond;
        self.tally.events[0] += 1;
        true
    }

    /// Takes a line the long way: decodes it and counts what it says.
    fn line(&mut self, bytes: &[u8], at: usize, source: &Source<'_>, batch: &mut Batch<'_>) {
        let offset = batch.offset + at as u64;
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
            && self.writers.admit(&envelope.writer, envelope.seq, !self.tally.begun) == Admission::Duplicate
        {
            self.tally.duplicates += 1;
            return;
        }
        match decoded {
            Ok(line) => {
                self.metrics.apply(&line);
                self.tally.last_event = line.envelope.time.as_millisecond();
                self.tally.events[match line.event {
                    Event::Command(_) => 0,
                    Event::Source(_) => 1,
                    Event::Shell(_) => 2,
                    Event::Engine(_) => 3,
                }] += 1;
            }
            Err(rejected) if names_itself => self.reject(rejected.reason, &rejected.detail, source, offset),
            Err(rejected) => self.damage(rejected.reason, &rejected.detail, source, offset),
        }
    }

    /// Counts what cannot be used and has no name, unless an earlier version of the segment had it.
    fn damage(&mut self, reason: Reason, detail: &str, source: &Source<'_>, offset: u64) {
        if offset >= source.version.1.told {
            self.reject(reason, detail, source, offset);
        }
    }

    /// Counts what cannot be used. The first of its kind in a segment is worth a message, the millionth is not.
    fn reject(&mut self, reason: Reason, detail: &str, source: &Source<'_>, offset: u64) {
        self.tally.rejected[reason as usize] += 1;
        if self.told.len() >= TOLD_MAX {
            self.told.clear();
        }
        if self.told.insert((source.key, reason)) {
            tracing::warn!(
                file = %source.path.display(),
                offset,
                reason = reason.as_str(),
                detail,
                "a line of the journal cannot be used; further ones of this kind in this segment are only counted"
            );
        }
    }
}
