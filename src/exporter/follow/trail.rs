//! The trail: digests of what was read of a segment, at intervals, so that a file which holds the same up to some point
//! and then differs, or ends, is recognised up to that point without any line of it being read again.
//!
//! Each mark is a checksum of all that stands before it, and stands at the end of a line, where reading can go on. NUL
//! bytes are not part of the sums: a hole is skipped, but a copy of the file may hold its NULs. There are at most
//! [`MAX_MARKS`]; when they become too many, every other one goes and the interval doubles. Pure.
//!
//! A sum has 32 bits. An edit that changed bytes and none of the sums behind it, once in four billion edits, would pass
//! for the original.

use crc32fast::Hasher;
use memchr::memchr;
use serde::{Deserialize, Serialize};

/// Bytes between two marks of a short segment. Of the longest segments that our writers make it becomes half a megabyte.
const INTERVAL: u64 = 4096;

/// Marks of a segment: about a kilobyte of memory, and of a checkpoint.
const MAX_MARKS: usize = 128;

/// What was read of a segment, in sums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trail {
    /// Where the sums begin; what stands before is not known.
    start: u64,
    /// In ascending order.
    marks: Vec<TrailMark>,
    /// The sum of all bytes read since the start.
    sum: u32,
    /// Bytes between two marks, at least.
    interval: u64,
}

/// The sum of all bytes before a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrailMark {
    pub(crate) at: u64,
    pub(crate) sum: u32,
}

impl Default for Trail {
    fn default() -> Trail {
        Trail::from(0)
    }
}

impl Trail {
    /// A trail of what stands behind this offset.
    pub(crate) fn from(start: u64) -> Trail {
        Trail { start, marks: Vec::new(), sum: 0, interval: INTERVAL }
    }

    /// Where the sums begin.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Moves over `bytes`, which stand `at` this offset.
    pub(crate) fn advance(&mut self, at: u64, bytes: &[u8]) {
        let mut summed = 0;
        loop {
            // The first byte whose end is an interval behind the mark before.
            let due = self.marks.last().map_or(self.start, |mark| mark.at) + self.interval - 1;
            let from = usize::try_from(due.saturating_sub(at)).unwrap_or(usize::MAX).max(summed);
            let Some(rest) = bytes.get(from..) else { break };
            let Some(end) = memchr(b'\n', rest).map(|end| from + end + 1) else { break };
            self.sum = summed_up(self.sum, &bytes[summed..end]);
            summed = end;
            self.mark(at + end as u64);
        }
        self.sum = summed_up(self.sum, &bytes[summed..]);
    }

    fn mark(&mut self, at: u64) {
        self.marks.push(TrailMark { at, sum: self.sum });
        if self.marks.len() > MAX_MARKS {
            let mut number = 0;
            self.marks.retain(|_| {
                number += 1;
                number % 2 == 0
            });
            self.interval = self.interval.saturating_mul(2);
        }
    }

    /// All points at which something can be compared, in ascending order; the last one is `end`, how far was read.
    pub(crate) fn points(&self, end: u64) -> impl Iterator<Item = TrailMark> {
        self.marks.iter().copied().chain([TrailMark { at: end, sum: self.sum }])
    }

    /// The trail up to one of its marks; up to the start if it is none.
    pub(crate) fn up_to(&self, mark: u64) -> Trail {
        let marks: Vec<_> = self.marks.iter().copied().take_while(|known| known.at <= mark).collect();
        let sum = marks.last().map_or(0, |mark| mark.sum);
        Trail { start: self.start, marks, sum, interval: self.interval }
    }

    /// Whether its parts fit each other: a decoded one has to be asked.
    pub(crate) fn is_sound(&self, end: u64) -> bool {
        self.interval >= INTERVAL
            && self.marks.len() <= MAX_MARKS
            && self.marks.is_sorted_by(|a, b| a.at < b.at)
            && self.marks.first().is_none_or(|first| self.start <= first.at)
            && self.marks.last().map_or(self.start, |last| last.at) <= end
    }
}

/// The sum of what `sum` is of and these bytes, NULs left out.
pub(crate) fn summed_up(sum: u32, mut bytes: &[u8]) -> u32 {
    if bytes.is_empty() {
        return sum;
    }
    let mut hasher = Hasher::new_with_initial(sum);
    while let Some(end) = memchr(0, bytes) {
        hasher.update(&bytes[..end]);
        let hole = bytes[end..].iter().position(|&byte| byte != 0).unwrap_or(bytes.len() - end);
        bytes = &bytes[end + hole..];
    }
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trail(content: &[u8], cuts: &[usize]) -> Trail {
        let (mut trail, mut at) = (Trail::default(), 0);
        for &cut in cuts.iter().chain([&content.len()]) {
            let cut = cut.clamp(at, content.len());
            trail.advance(at as u64, &content[at..cut]);
            at = cut;
        }
        trail
    }

    fn lines(count: usize, length: usize) -> Vec<u8> {
        (0..count).flat_map(|number| format!("{number:>length$}\n").into_bytes()).collect()
    }

    #[test]
    fn marks_stand_at_line_ends_and_there_are_never_too_many() {
        for (count, length) in [(10, 9), (1000, 99), (20_000, 199), (3, 60_000)] {
            let content = lines(count, length);
            let trail = trail(&content, &[]);
            assert!(trail.is_sound(content.len() as u64) && trail.marks.len() <= MAX_MARKS);
            assert!(trail.marks.iter().all(|mark| mark.at % (length as u64 + 1) == 0));
            let last = trail.marks.last().map_or(0, |mark| mark.at);
            assert!(content.len() as u64 - last < trail.interval + length as u64 + 1);
            for point in trail.points(content.len() as u64) {
                assert_eq!(summed_up(0, &content[..usize::try_from(point.at).unwrap()]), point.sum);
            }
        }
    }

    #[test]
    fn a_hole_that_is_passed_over_leaves_the_sums_that_its_bytes_would_have_left() {
        let (before, after) = (lines(100, 99), lines(100, 99));
        let hole = vec![0; 100_000];
        let read = trail(&[&before[..], &hole, &after].concat(), &[]);
        let mut skipped = Trail::default();
        skipped.advance(0, &before);
        skipped.advance((before.len() + hole.len()) as u64, &after);
        assert_eq!(read, skipped);
    }

    proptest! {
        #[test]
        fn how_the_content_was_cut_into_batches_makes_no_difference(
            count in 0usize..3000,
            mut cuts in prop::collection::vec(0usize..200_000, 0..9),
        ) {
            let content = lines(count, 60);
            cuts.sort_unstable();
            prop_assert_eq!(trail(&content, &cuts), trail(&content, &[]));
        }

        #[test]
        fn a_changed_byte_changes_every_sum_behind_it_and_none_before(at in 0usize..60_000) {
            let content = lines(1000, 59);
            let mut changed = content.clone();
            changed[at] ^= 1;
            for point in trail(&content, &[]).points(content.len() as u64) {
                let end = usize::try_from(point.at).unwrap();
                prop_assert_eq!(summed_up(0, &changed[..end]) == point.sum, end <= at);
            }
        }
    }
}
