//! Sequence: which lines of which writer were counted. `(writer, seq)` names a line for ever, so a line that comes
//! again is a duplicate and a number that was jumped over is a missing line.
//!
//! This is the second net. The first, [`super::segments`], makes sure that bytes are read once; this one holds
//! where the same lines reach us in other bytes, as after a restore from a backup. Knows no files.

use indexmap::IndexMap;
use journal_schema::limits::MAX_COUNT;
use serde::{Deserialize, Serialize};

/// Default of `--max-writers`. Each run of an agent is a writer, and each call of `etcha-journal append`.
pub const DEFAULT_MAX_WRITERS: usize = 4096;

/// Gaps remembered a writer. Lines of a forgotten gap stay missing for good.
const MAX_GAPS: usize = 32;

/// What is known of all writers.
#[derive(Clone, Debug)]
pub(crate) struct Writers {
    known: IndexMap<String, Writer>,
    /// Where in `known` the writer of the line before is.
    latest: usize,
    max: usize,
    /// Lines that are missing now.
    missing: u64,
    /// Grows with each line; says who was quiet the longest.
    clock: u64,
    forgotten: u64,
}

/// What is known of one writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Writer {
    /// The highest number counted.
    last: u64,
    /// Numbers up to this lie before the history. They are not missing, yet they count should they turn up.
    before: u64,
    /// Numbers between these two that were not counted, as inclusive ranges in ascending order.
    gaps: Vec<(u64, u64)>,
    used: u64,
}

/// Whether a line is to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It was not counted yet.
    Count,
    /// It was.
    Duplicate,
}

impl Writers {
    /// Takes the line `seq` of `writer`. With `history_begins`, what an unknown writer wrote before this line lies
    /// before the oldest line there is: it is not missing. Should a segment turn out to be older than that, the
    /// history begins there.
    pub(crate) fn admit(&mut self, writer: &str, seq: u64, history_begins: bool) -> Admission {
        self.latest = self.known.get_index_of(writer).unwrap_or(usize::MAX);
        if let Some(admission) = self.admit_next(seq) {
            return admission;
        }
        self.clock += 1;
        let before = if history_begins { seq - 1 } else { 0 };
        let mut new = Writer { last: before, before, gaps: Vec::new(), used: self.clock };
        new.admit(seq, &mut self.missing);
        self.make_room();
        self.latest = self.known.insert_full(writer.to_owned(), new).0;
        Admission::Count
    }

    /// The same for another line of the writer of the line before, who need not be looked up; `None` if there was none.
    pub(crate) fn admit_next(&mut self, seq: u64) -> Option<Admission> {
        let (_, known) = self.known.get_index_mut(self.latest)?;
        self.clock += 1;
        known.used = self.clock;
        Some(known.admit(seq, &mut self.missing))
    }

    /// Lines that are missing now: jumped over and not seen since.
    pub(crate) fn missing(&self) -> u64 {
        self.missing
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Writers that were forgotten to make room.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Forgets the writer with the fewest lines, the quietest of them first: a script that appended one line goes
    /// before an agent.
    fn make_room(&mut self) {
        if self.known.len() < self.max {
            return;
        }
        let least = self.known.iter().min_by_key(|(_, writer)| (writer.last, writer.used));
        if let Some(name) = least.map(|(name, _)| name.clone()) {
            self.known.swap_remove(&name);
            self.forgotten += 1;
        }
    }
}

impl Writer {
    fn admit(&mut self, seq: u64, missing: &mut u64) -> Admission {
        if seq == self.last + 1 {
            self.last = seq;
            return Admission::Count;
        }
        if seq > self.last {
            self.miss(self.gaps.len(), self.last + 1, seq - 1, missing);
            self.last = seq;
            return Admission::Count;
        }
        if seq <= self.before {
            self.miss(0, seq + 1, self.before, missing);
            self.before = seq - 1;
            return Admission::Count;
        }
        let Some(at) = self.gaps.iter().position(|&(from, to)| (from..=to).contains(&seq)) else {
            return Admission::Duplicate;
        };
        let (from, to) = self.gaps.remove(at);
        *missing = missing.saturating_sub(to - from + 1);
        self.miss(at, seq + 1, to, missing);
        self.miss(at, from, seq - 1, missing);
        Admission::Count
    }

    /// Remembers that `from` to `to`, which may be none, were not counted.
    fn miss(&mut self, at: usize, from: u64, to: u64, missing: &mut u64) {
        if from > to {
            return;
        }
        *missing += to - from + 1;
        self.gaps.insert(at, (from, to));
        if self.gaps.len() > MAX_GAPS {
            self.gaps.remove(0);
        }
    }
}

/// [`Writers`] as a checkpoint keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WritersRecord {
    known: Vec<(String, Writer)>,
    missing: u64,
    clock: u64,
    forgotten: u64,
}

impl Writers {
    pub(crate) fn record(&self) -> WritersRecord {
        let mut known: Vec<_> =
            self.known.iter().map(|(name, writer)| (name.clone(), writer.clone())).collect();
        known.sort_by(|a, b| a.0.cmp(&b.0));
        WritersRecord { known, missing: self.missing, clock: self.clock, forgotten: self.forgotten }
    }

    pub(crate) fn restore(record: WritersRecord, max: usize) -> Writers {
        let WritersRecord { known, missing, clock, forgotten } = record;
        let mut writers = Writers {
            known: IndexMap::new(),
            latest: usize::MAX,
            max: max.max(1),
            missing,
            clock,
            forgotten,
        };
        for (name, writer) in known {
            if writer.is_sound() {
                writers.make_room();
                writers.known.insert(name, writer);
            }
        }
        writers
    }
}

impl Writer {
    /// Whether its parts fit each other: a decoded one has to be asked.
    fn is_sound(&self) -> bool {
        let mut below = self.before;
        let ascending = self.gaps.iter().all(|&(from, to)| {
            let right = below < from && from <= to;
            below = to;
            right
        });
        ascending && below <= self.last && self.last <= MAX_COUNT && self.gaps.len() <= MAX_GAPS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn admit_all(writers: &mut Writers, lines: &[u64]) -> Vec<u64> {
        let count = |seq: &u64| writers.admit("w", *seq, false) == Admission::Count;
        lines.iter().copied().filter(count).collect()
    }

    #[test]
    fn a_jump_is_missing_until_its_lines_come_late() {
        let mut writers = Writers::restore(WritersRecord::default(), 9);
        assert_eq!(admit_all(&mut writers, &[1, 2, 6]), [1, 2, 6]);
        assert_eq!(writers.missing(), 3);
        assert_eq!(admit_all(&mut writers, &[4, 4, 3, 5, 2]), [4, 3, 5]);
        assert_eq!(writers.missing(), 0);
    }

    #[test]
    fn what_lies_before_the_oldest_line_is_not_missing() {
        let mut writers = Writers::restore(WritersRecord::default(), 9);
        writers.admit("old", 500, true);
        assert_eq!(writers.missing(), 0);
        writers.admit("new", 3, false);
        assert_eq!(writers.missing(), 2);
    }

    #[test]
    fn an_older_line_that_turns_up_later_counts_and_moves_the_begin_of_the_history() {
        let mut writers = Writers::restore(WritersRecord::default(), 9);
        for (seq, missing) in [(5, 0), (2, 2), (4, 1), (3, 0), (1, 0)] {
            assert_eq!(writers.admit("old", seq, true), Admission::Count);
            assert_eq!(writers.missing(), missing);
            assert_eq!(writers.admit("old", seq, true), Admission::Duplicate);
        }
    }

    #[test]
    fn a_full_memory_forgets_one_shot_writers_before_an_agent() {
        let mut writers = Writers::restore(WritersRecord::default(), 3);
        for seq in 1..=50 {
            writers.admit("agent", seq, false);
        }
        for script in 0..100 {
            writers.admit(&format!("script-{script}"), 1, false);
        }
        assert_eq!((writers.len(), writers.forgotten()), (3, 98));
        assert_eq!(writers.admit("agent", 50, false), Admission::Duplicate);
    }

    proptest! {
        #[test]
        fn each_number_is_admitted_once_whatever_the_order(lines in prop::collection::vec(1u64..40, 0..80)) {
            let mut writers = Writers::restore(WritersRecord::default(), 1);
            let counted = admit_all(&mut writers, &lines);
            let distinct: HashSet<u64> = lines.iter().copied().collect();
            prop_assert_eq!(counted.len(), distinct.len());
            let highest = lines.iter().max().copied().unwrap_or(0);
            prop_assert_eq!(writers.missing(), highest - distinct.len() as u64);
            prop_assert_eq!(Writers::restore(writers.record(), 1).record(), writers.record());
        }
    }
}
