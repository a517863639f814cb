//! Lines: the bytes of one segment, from a position to their end, counted line by line.
//!
//! Here a line is admitted or dropped, goes the short way or the long one, or is counted as what cannot be used.
//! Which file the bytes come from, and when, is the round's business.

use std::io::{self, Read};
use std::path::Path;

use journal_schema::glance::command;
use journal_schema::{Event, Piece, Reason, Splitter, decode};

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
        let mut filled = 0;
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
            let (mut used, mut last_line) = (0, None);
            while let Some((step, piece)) = splitter.next(&buffer[used..filled]) {
                if self.piece(piece, source, position.offset + used as u64) {
                    last_line = Some(used..used + step);
                }
                used += step;
            }
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

    /// Takes a piece; says whether it is a line that names itself.
    fn piece(&mut self, piece: Piece<'_>, source: &Source<'_>, offset: u64) -> bool {
        match piece {
            // Without its LF. What is too long is not even decoded.
            Piece::Line(line) if line.len() < self.line_bytes => return self.line(line, source, offset),
            Piece::Line(_) | Piece::Overlong => {
                self.damage(Reason::Overlong, "longer than a line may be", source, offset);
            }
            Piece::Torn => self.damage(Reason::Torn, "cut off by NUL bytes", source, offset),
            Piece::Padding => self.damage(Reason::Padding, "NUL bytes", source, offset),
            Piece::Skipped => {}
        }
        false
    }

    fn line(&mut self, bytes: &[u8], source: &Source<'_>, offset: u64) -> bool {
        if self.glance(bytes) {
            return true;
        }
        let decoded = decode(bytes);
        let envelope = match &decoded {
            Ok(line) => Some(&line.envelope),
            Err(rejected) => rejected.envelope.as_ref(),
        };
        let names_itself = envelope.is_some();
        if let Some(envelope) = envelope
            && self.writers.admit(&envelope.writer, envelope.seq, !self.tally.begun) == Admission::Duplicate
        {
            self.tally.duplicates += 1;
            return true;
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
        names_itself
    }

    /// Takes the short way for a line of a command; false if it has to go the long way. Either leads to the same.
    fn glance(&mut self, bytes: &[u8]) -> bool {
        let Some(glance) = self.glancer.glance(bytes) else { return false };
        let series = self.metrics.shortcut(glance.labels);
        let command = match series {
            Some(_) => None,
            None => command(glance.labels, &mut self.scratch),
        };
        if series.is_none() && command.is_none() {
            return false;
        }
        if self.writers.admit(glance.writer, glance.seq, !self.tally.begun) == Admission::Duplicate {
            self.tally.duplicates += 1;
            return true;
        }
        if let Some(series) = series {
            self.metrics.count(series);
        } else if let Some(command) = command {
            self.metrics.count_and_learn(&command, glance.millisecond, glance.labels);
        }
        self.tally.last_event = glance.millisecond;
        self.tally.events[0] += 1;
        true
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
