//! Writers: which lines of which writer were counted. `(writer, seq)` names a line for ever, so a line that comes
//! again is a duplicate, and a number that was skipped is a missing line.
//!
//! This is the second protection against counting twice. The first, the digests of what was read of each file, makes
//! sure that bytes are read once. This one holds where the same lines come in other bytes, as after an edit. Knows no
//! files.
//!
//! The writers of late are kept by name, the others in the [`Past`], a few bytes each.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::past::{Past, PastRecord};
use super::writer::{Admission, Totals, Writer};

/// Default of `--max-writers`. Each run of an agent is a writer, and each line of a script that numbers none: a year of
/// one line a minute is half of it. They take ten bytes each, when there are so many.
pub(crate) const DEFAULT_MAX_WRITERS: usize = 900_000;

/// Writers kept by name. Their look-up is the fast one.
const NAMED: usize = 4096;

/// What is known of all writers.
#[derive(Clone, Debug)]
pub(crate) struct Writers {
    known: IndexMap<String, Recent>,
    /// Where in `known` the writer of the line before is.
    latest: usize,
    /// Where in `known` to look for the next one to be moved to the past.
    hand: usize,
    /// Writers in `known` at most.
    named: usize,
    past: Past,
    totals: Totals,
    forgotten: u64,
}

/// A writer that is kept by its name.
#[derive(Clone, Debug)]
struct Recent {
    writer: Writer,
    /// Whether a line of it came since the hand last passed.
    was_used: bool,
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
        let mut known = self.past.take(writer).unwrap_or_else(|| {
            // Once writers were forgotten, an unknown one may be one of them.
            let before = if history_begins || self.forgotten > 0 { seq - 1 } else { 0 };
            Writer { last: before, before, gaps: Vec::new() }
        });
        let admission = known.admit(seq, &mut self.totals);
        self.make_room();
        self.latest = self.known.insert_full(writer.to_owned(), Recent { writer: known, was_used: false }).0;
        admission
    }

    /// The same for another line of the writer of the line before, who need not be looked up; `None` if there was none.
    pub(crate) fn admit_next(&mut self, seq: u64) -> Option<Admission> {
        let (_, known) = self.known.get_index_mut(self.latest)?;
        known.was_used = true;
        Some(known.writer.admit(seq, &mut self.totals))
    }

    /// Lines that are missing now: jumped over and not seen since.
    pub(crate) fn missing(&self) -> u128 {
        self.totals.missing
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len() + self.past.len()
    }

    /// Writers that were forgotten to make room.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Moves a writer that was quiet lately to the past.
    fn make_room(&mut self) {
        while self.known.len() >= self.named {
            self.hand = if self.hand < self.known.len() { self.hand } else { 0 };
            let Some((_, recent)) = self.known.get_index_mut(self.hand) else { return };
            if std::mem::take(&mut recent.was_used) {
                self.hand += 1;
            } else if let Some((name, recent)) = self.known.swap_remove_index(self.hand) {
                self.forgotten += self.past.put(&name, recent.writer) as u64;
            }
        }
    }
}

/// [`Writers`] as a checkpoint keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WritersRecord {
    known: Vec<(String, Writer)>,
    past: PastRecord,
    missing: u128,
    forgotten: u64,
}

/// The same as version 1 of the checkpoint kept them.
#[derive(Debug, Deserialize)]
pub(crate) struct WritersRecordV1 {
    known: Vec<(String, WriterV1)>,
    missing: u64,
    _clock: u64,
    forgotten: u64,
}

#[derive(Debug, Deserialize)]
struct WriterV1 {
    last: u64,
    before: u64,
    gaps: Vec<(u64, u64)>,
    _used: u64,
}

impl From<WritersRecordV1> for WritersRecord {
    fn from(record: WritersRecordV1) -> WritersRecord {
        let WritersRecordV1 { known, missing, forgotten, .. } = record;
        let known = known
            .into_iter()
            .map(|(name, WriterV1 { last, before, gaps, .. })| (name, Writer { last, before, gaps }));
        WritersRecord {
            known: known.collect(),
            past: PastRecord::default(),
            missing: missing.into(),
            forgotten,
        }
    }
}

impl Writers {
    pub(crate) fn record(&self) -> WritersRecord {
        let mut known: Vec<_> =
            self.known.iter().map(|(name, recent)| (name.clone(), recent.writer.clone())).collect();
        known.sort_by(|a, b| a.0.cmp(&b.0));
        let (missing, forgotten) = (self.totals.missing, self.forgotten);
        WritersRecord { known, past: self.past.record(), missing, forgotten }
    }

    /// Goes on from a record, remembering `max` writers.
    pub(crate) fn restore(record: WritersRecord, max: usize) -> Writers {
        let WritersRecord { known, past, missing, forgotten } = record;
        let named = NAMED.min(max.max(1));
        let mut writers = Writers {
            known: IndexMap::new(),
            latest: usize::MAX,
            hand: 0,
            named,
            past: Past::restore(past, max.saturating_sub(named)),
            totals: Totals { missing, gaps: 0 },
            forgotten,
        };
        for (name, writer) in known {
            if writer.is_sound() {
                writers.make_room();
                writers.known.insert(name, Recent { writer, was_used: false });
            }
        }
        let known = writers.known.values().map(|recent| &recent.writer);
        writers.totals.gaps = known.chain(writers.past.writers()).map(|writer| writer.gaps.len()).sum();
        writers
    }
}

#[cfg(test)]
mod tests {
    use super::super::writer::MAX_GAPS;
    use super::*;
    use journal_schema::limits::MAX_COUNT;
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
    fn of_three_hundred_thousand_scripts_with_one_line_each_all_are_known_afterwards() {
        let mut writers = Writers::restore(WritersRecord::default(), DEFAULT_MAX_WRITERS);
        let name = |script: u32| format!("script-{script}");
        (0..300_000).for_each(|script| assert_eq!(writers.admit(&name(script), 1, false), Admission::Count));
        let mut writers = Writers::restore(writers.record(), DEFAULT_MAX_WRITERS);
        (0..300_000)
            .for_each(|script| assert_eq!(writers.admit(&name(script), 1, false), Admission::Duplicate));
        assert_eq!((writers.len(), writers.forgotten(), writers.missing()), (300_000, 0, 0));
    }

    #[test]
    fn a_full_memory_forgets_the_writers_of_long_ago_and_takes_no_line_of_theirs_for_missing() {
        let mut writers = Writers::restore(WritersRecord::default(), 20_000);
        writers.admit("agent", 1, false);
        for script in 0..40_000 {
            writers.admit(&format!("script-{script}"), 1, false);
        }
        assert!(writers.len() <= 20_000 && writers.forgotten() >= 20_000, "{}", writers.len());
        assert_eq!(writers.admit("agent", 2, false), Admission::Count);
        assert_eq!(writers.missing(), 0);
    }

    #[test]
    fn a_writer_that_writes_on_after_thousands_of_others_is_not_taken_for_a_new_one() {
        let mut writers = Writers::restore(WritersRecord::default(), DEFAULT_MAX_WRITERS);
        for seq in [1, 2, 3, 5] {
            writers.admit("agent", seq, false);
        }
        for script in 0..5000 {
            for seq in 1..=10 {
                writers.admit(&format!("script-{script}"), seq, false);
            }
        }
        assert_eq!(writers.missing(), 1);
        assert_eq!(writers.admit("agent", 6, false), Admission::Count);
        assert_eq!(writers.admit("agent", 4, false), Admission::Count);
        assert_eq!(writers.admit("agent", 5, false), Admission::Duplicate);
        assert_eq!(writers.missing(), 0);
    }

    #[test]
    fn more_missing_lines_than_64_bits_count_are_counted() {
        let mut writers = Writers::restore(WritersRecord::default(), DEFAULT_MAX_WRITERS);
        for writer in 0..3000 {
            writers.admit(&format!("w{writer}"), MAX_COUNT, false);
        }
        assert_eq!(writers.missing(), 3000 * u128::from(MAX_COUNT - 1));
        let restored = Writers::restore(writers.record(), DEFAULT_MAX_WRITERS);
        assert_eq!(restored.missing(), writers.missing());
        for writer in 0..3000 {
            writers.admit(&format!("w{writer}"), 1, false);
        }
        assert_eq!(writers.missing(), 3000 * u128::from(MAX_COUNT - 2));
    }

    #[test]
    fn late_lines_in_thousands_of_gaps_all_count_once() {
        let mut writers = Writers::restore(WritersRecord::default(), 9);
        let even: Vec<u64> = (1..=15_000).map(|half| half * 2).collect();
        let odd: Vec<u64> = even.iter().map(|even| even - 1).collect();
        assert_eq!(admit_all(&mut writers, &even).len(), 15_000);
        assert_eq!(writers.missing(), 15_000);
        assert_eq!(admit_all(&mut writers, &odd).len(), 15_000);
        assert_eq!(admit_all(&mut writers, &even).len(), 0);
        assert_eq!(writers.missing(), 0);
    }

    #[test]
    fn a_late_line_beyond_all_gaps_that_are_remembered_counts() {
        let mut writers = Writers::restore(WritersRecord::default(), 9);
        let even: Vec<u64> = (1..=MAX_GAPS as u64 + 500).map(|half| half * 2).collect();
        admit_all(&mut writers, &even);
        assert_eq!(admit_all(&mut writers, &[1, 3, 501, 1]), [1, 3, 501]);
        assert_eq!(writers.missing(), even.len() as u64 as u128 - 3);
    }

    proptest! {
        #[test]
        fn each_number_is_admitted_once_whatever_the_order(lines in prop::collection::vec(1u64..40, 0..80)) {
            let mut writers = Writers::restore(WritersRecord::default(), 1);
            let counted = admit_all(&mut writers, &lines);
            let distinct: HashSet<u64> = lines.iter().copied().collect();
            prop_assert_eq!(counted.len(), distinct.len());
            let highest = lines.iter().max().copied().unwrap_or(0);
            prop_assert_eq!(writers.missing(), u128::from(highest - distinct.len() as u64));
            prop_assert_eq!(Writers::restore(writers.record(), 1).record(), writers.record());
        }
    }
}
