//! How far a segment was read: a position in its content, with what stands right before it, and for each course that a segment took
//! from its first line on, a version with its position and its trail. Pure.

use std::ops::Range;

use journal_schema::SplitState;
use journal_schema::limits::MAX_LINE_BYTES;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::trail::Trail;

/// Bytes remembered of what follows the last usable line before the position. There are none in a journal without
/// damage.
const TAIL_BYTES: usize = 512;

/// How far a segment was read, and how to tell whether a file holds what was read so far.
///
/// A line names itself for ever, so a file that has the last usable line where it was read, and the same bytes
/// after it, was not replaced by another version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Bytes of its (uncompressed) content.
    pub(crate) offset: u64,
    /// What stands there.
    pub(crate) place: SplitState,
    /// The last usable line before it.
    pub(crate) line: Option<Mark>,
    /// The last bytes between that line, or the start, and `offset`; at most [`TAIL_BYTES`].
    pub(crate) tail: Vec<u8>,
}

/// A line that was read, without its LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) start: u64,
    pub(crate) bytes: u32,
    pub(crate) digest: [u8; 16],
}

impl Mark {
    /// Of a line without its LF.
    pub(super) fn new(line: &[u8], start: u64) -> Mark {
        let mut digest = [0; 16];
        digest.copy_from_slice(&Sha256::digest(line)[..16]);
        Mark { start, bytes: u32::try_from(line.len()).unwrap_or(u32::MAX), digest }
    }

    /// Whether this is the line.
    pub(crate) fn is_of(&self, line: &[u8]) -> bool {
        *self == Mark::new(line, self.start)
    }

    /// Where the line after it begins.
    fn end(&self) -> Option<u64> {
        self.start.checked_add(u64::from(self.bytes))?.checked_add(1)
    }
}

impl Position {
    /// Moves over `bytes`, the last usable line among which stands, with its LF, at `line`.
    pub(crate) fn advance(&mut self, bytes: &[u8], line: Option<Range<usize>>, place: SplitState) {
        let mut rest = bytes;
        if let Some(line) = line {
            self.line = Some(Mark::new(&bytes[line.start..line.end - 1], self.offset + line.start as u64));
            self.tail.clear();
            rest = &bytes[line.end..];
        }
        self.tail.extend_from_slice(&rest[rest.len().saturating_sub(TAIL_BYTES)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
        self.offset += bytes.len() as u64;
        self.place = place;
    }

    /// Moves over a hole of so many bytes, within a run of NULs.
    fn pass(&mut self, bytes: u64) {
        let kept = usize::try_from(bytes).unwrap_or(TAIL_BYTES).min(TAIL_BYTES);
        self.tail.resize(self.tail.len() + kept, 0);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
        self.offset += bytes;
    }

    /// Whether what stands right before it tells where it is: a line, or all that was read.
    pub(crate) fn is_distinct(&self) -> bool {
        self.line.is_some() || self.offset == self.tail.len() as u64
    }

    /// Whether its parts fit each other: a decoded one has to be asked.
    fn is_sound(&self) -> bool {
        let line_end = match self.line {
            Some(Mark { bytes, .. }) if bytes as usize > MAX_LINE_BYTES => None,
            Some(mark) => mark.end(),
            None => Some(0),
        };
        let tail_end = line_end.and_then(|end| end.checked_add(self.tail.len() as u64));
        tail_end.is_some_and(|end| end <= self.offset)
    }
}

/// One course that a segment took from its first line on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    /// Names it within its segment.
    pub(crate) number: u32,
    pub(crate) position: Position,
    /// Digests of what was read up to there.
    pub(crate) trail: Trail,
    /// Bytes at its front in which an earlier version counted what cannot be used: copied damage is not new damage.
    pub(crate) told: u64,
    /// Size and time of the compressed file that was read to its end.
    pub(super) finished: Option<(u64, i128)>,
}

/// Bytes that are compared whole where the last line would do for a longer segment.
const SHORT: u64 = 64 * 1024;

impl Version {
    /// Whether comparing all that was read of it takes no time to speak of.
    pub(super) fn is_short(&self) -> bool {
        self.position.offset <= SHORT
    }

    /// Moves over `bytes`, the last usable line among which stands, with its LF, at `line`.
    pub(crate) fn advance(&mut self, bytes: &[u8], line: Option<Range<usize>>, place: SplitState) {
        self.trail.advance(self.position.offset, bytes);
        self.position.advance(bytes, line, place);
    }

    /// Moves over a hole.
    pub(crate) fn pass(&mut self, bytes: u64) {
        self.position.pass(bytes);
    }
}

impl Version {
    /// Whether its parts fit each other: a decoded one has to be asked.
    pub(super) fn is_sound(&self) -> bool {
        self.position.is_sound() && self.trail.is_sound(self.position.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_remembers_the_last_usable_line_and_what_follows_it() {
        let mut position = Position::default();
        position.advance(b"junk\n", None, SplitState::LineStart);
        assert_eq!((position.line, &position.tail[..]), (None, &b"junk\n"[..]));
        position.advance(b"line\nmore\n\n", Some(5..10), SplitState::LineStart);
        let mark = Mark::new(b"more", 10);
        assert_eq!((position.line, &position.tail[..]), (Some(mark), &b"\n"[..]));
        position.advance(&[b'x'; 2000], None, SplitState::InOverlong);
        assert_eq!((position.line, position.tail.len(), position.offset), (Some(mark), TAIL_BYTES, 2016));
        assert!(position.is_sound());
    }
}
