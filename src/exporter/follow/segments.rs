//! Segments: what is known of each file of the journal, by what stands in it and not by what it is called.
//!
//! The first usable line of a segment carries `(writer, seq, time)`, so its digest names the segment: it survives
//! rename, copy, compression, backup and the reuse of an inode, and it changes when a file is truncated and written
//! anew. For each segment this room knows how far it was read and the last bytes before that point. It decides
//! where to read on and in which order; it is pure and opens nothing.

use std::collections::HashMap;
use std::fmt;

use jiff::Timestamp;
use journal_schema::{Envelope, Place};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Default of `--max-segments`: a hundred times what a writer keeps, so that a segment which comes back from a
/// backup is still recognised.
pub const DEFAULT_MAX_SEGMENTS: usize = 1024;

/// Bytes before the position that are remembered. They hold the end of the last line read, mostly several lines,
/// and tell whether a file is still the one that was read.
pub(crate) const TAIL_BYTES: usize = 512;

/// What names a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum SegmentKey {
    /// Digest of its first usable line.
    Line([u8; 16]),
    /// A file without a usable line at its front so far. It has no events to lose.
    File { device: u64, inode: u64 },
}

/// What the front of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Front {
    pub(crate) key: SegmentKey,
    /// The first usable line's writer, number and time, for the order of segments.
    pub(crate) first: Option<(String, u64, Timestamp)>,
}

impl Front {
    /// The front of a file whose first usable line is this one.
    pub(crate) fn of_line(line: &[u8], envelope: &Envelope<'_>) -> Front {
        let digest = Sha256::digest(line);
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        let first = Some((envelope.writer.clone().into_owned(), envelope.seq, envelope.time));
        Front { key: SegmentKey::Line(key), first }
    }

    /// The front of a file without a usable line.
    pub(crate) fn of_file(device: u64, inode: u64) -> Front {
        Front { key: SegmentKey::File { device, inode }, first: None }
    }
}

/// How far a segment was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Bytes of its (uncompressed) content.
    pub(crate) offset: u64,
    /// What stands there.
    pub(crate) place: Place,
    /// The last bytes before `offset`, at most [`TAIL_BYTES`].
    pub(crate) tail: Vec<u8>,
}

/// All segments that are known.
#[derive(Clone, Debug)]
pub(crate) struct Segments {
    known: HashMap<SegmentKey, Segment>,
    max: usize,
    clock: u64,
    rewinds: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Segment {
    position: Position,
    /// Size and time of the compressed file that was read to its end.
    finished: Option<(u64, i128)>,
    /// When it was last looked at, by the count of looks.
    seen: u64,
}

impl Segments {
    /// Where to read on in the segment; the start of it for a new one.
    pub(crate) fn position(&mut self, key: SegmentKey) -> Position {
        self.touch(key).position.clone()
    }

    /// It was read as far as this.
    pub(crate) fn advance(&mut self, key: SegmentKey, position: Position) {
        self.touch(key).position = position;
    }

    /// The content before the position is not what was read: another file with the same first line, as a restored
    /// backup has. It is read from its start; lines that were counted are recognised by their numbers.
    pub(crate) fn rewind(&mut self, key: SegmentKey) -> Position {
        self.rewinds += 1;
        self.touch(key).position = Position::default();
        Position::default()
    }

    /// A file that had no usable line has one now.
    pub(crate) fn rename(&mut self, from: SegmentKey, to: SegmentKey) {
        if !self.known.contains_key(&to)
            && let Some(segment) = self.known.remove(&from)
        {
            self.known.insert(to, segment);
        }
    }

    /// Whether a compressed file of this size and time was read to its end.
    pub(crate) fn is_finished(&self, key: SegmentKey, size: u64, time: i128) -> bool {
        self.known.get(&key).is_some_and(|segment| segment.finished == Some((size, time)))
    }

    /// A compressed file of this size and time was read to its end.
    pub(crate) fn finish(&mut self, key: SegmentKey, size: u64, time: i128) {
        self.touch(key).finished = Some((size, time));
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Segments that had to be read from their start again.
    pub(crate) fn rewinds(&self) -> u64 {
        self.rewinds
    }

    fn touch(&mut self, key: SegmentKey) -> &mut Segment {
        self.clock += 1;
        if self.known.len() >= self.max && !self.known.contains_key(&key) {
            let oldest = self.known.iter().min_by_key(|(key, segment)| (segment.seen, **key));
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.known.remove(&oldest);
            }
        }
        let segment = self.known.entry(key).or_default();
        segment.seen = self.clock;
        segment
    }
}

/// [`Segments`] as a checkpoint keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentsRecord {
    known: Vec<(SegmentKey, Segment)>,
    clock: u64,
    rewinds: u64,
}

impl SegmentsRecord {
    /// Names and offsets, those seen last first.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (String, u64)> {
        let mut known: Vec<_> = self.known.iter().collect();
        known.sort_by_key(|(_, segment)| std::cmp::Reverse(segment.seen));
        known.into_iter().map(|(key, segment)| (key.to_string(), segment.position.offset))
    }
}

impl fmt::Display for SegmentKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SegmentKey::Line(digest) => digest.iter().try_for_each(|byte| write!(out, "{byte:02x}")),
            SegmentKey::File { device, inode } => {
                write!(out, "without a usable line (inode {device}:{inode})")
            }
        }
    }
}

impl Segments {
    pub(crate) fn record(&self) -> SegmentsRecord {
        let mut known: Vec<_> = self.known.iter().map(|(key, segment)| (*key, segment.clone())).collect();
        known.sort_by_key(|(key, _)| *key);
        SegmentsRecord { known, clock: self.clock, rewinds: self.rewinds }
    }

    /// Goes on from a record. A position that contradicts itself is forgotten: its segment is read anew.
    pub(crate) fn restore(record: SegmentsRecord, max: usize) -> Segments {
        let mut known = record.known;
        known.retain(|(_, segment)| segment.position.tail.len() as u64 <= segment.position.offset);
        known.sort_by_key(|(_, segment)| std::cmp::Reverse(segment.seen));
        known.truncate(max.max(1));
        Segments {
            known: known.into_iter().collect(),
            max: max.max(1),
            clock: record.clock,
            rewinds: record.rewinds,
        }
    }
}

/// The order in which segments are read: oldest first, the active one last.
///
/// By the time of their first lines, because that is all that different writers share; but a clock may jump, so
/// segments of one writer stand in the order of its numbers, in the places that time gave to them.
pub(crate) fn reading_order(fronts: &[(Front, bool)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..fronts.len()).collect();
    order.sort_by_key(|&at| {
        let (front, active) = &fronts[at];
        (*active, front.first.as_ref().map(|(_, _, time)| *time), at)
    });
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, &at) in order.iter().enumerate() {
        let (front, active) = &fronts[at];
        if let (Some((writer, _, _)), false) = (&front.first, active) {
            places.entry(writer).or_default().push(place);
        }
    }
    for places in places.into_values() {
        let mut same_writer: Vec<usize> = places.iter().map(|&place| order[place]).collect();
        same_writer.sort_by_key(|&at| fronts[at].0.first.as_ref().map(|(_, seq, _)| *seq));
        for (place, at) in places.into_iter().zip(same_writer) {
            order[place] = at;
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front(writer: &str, seq: u64, second: i64) -> Front {
        let time = Timestamp::from_second(second).unwrap();
        let envelope = Envelope { writer: writer.into(), seq, time };
        Front::of_line(format!("{writer} {seq} {second}").as_bytes(), &envelope)
    }

    #[test]
    fn the_oldest_is_read_first_and_the_active_one_last_even_after_a_clock_was_set_back() {
        let fronts = [
            (front("a", 200, 50), true),
            (front("a", 100, 90), false),
            (front("b", 1, 95), false),
            (front("a", 1, 99), false),
            (Front::of_file(1, 2), false),
        ];
        assert_eq!(reading_order(&fronts), [4, 3, 2, 1, 0]);
    }

    #[test]
    fn a_segment_is_the_same_whatever_its_file_is_called_and_another_after_a_rewrite() {
        assert_eq!(front("a", 1, 5).key, front("a", 1, 5).key);
        assert_ne!(front("a", 1, 5).key, front("a", 2, 5).key);
    }

    #[test]
    fn a_file_that_gets_its_first_line_keeps_its_position() {
        let mut segments = Segments::restore(SegmentsRecord::default(), 9);
        let (junk, named) = (Front::of_file(1, 2).key, front("a", 1, 5).key);
        segments.advance(junk, Position { offset: 7, ..Position::default() });
        segments.rename(junk, named);
        assert_eq!(segments.position(named).offset, 7);
        assert_eq!(segments.len(), 1);
    }

    #[test]
    fn the_segments_not_seen_for_the_longest_time_are_forgotten() {
        let mut segments = Segments::restore(SegmentsRecord::default(), 2);
        for seq in [1, 2, 1, 3] {
            segments.advance(front("a", seq, 0).key, Position { offset: seq, ..Position::default() });
        }
        assert_eq!(segments.len(), 2);
        assert_eq!(segments.position(front("a", 1, 0).key).offset, 1);
        assert_eq!(Segments::restore(segments.record(), 2).record(), segments.record());
    }
}
