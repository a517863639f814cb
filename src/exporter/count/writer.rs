//! One writer: which of its lines were counted. Knows no other writer, and no name.

use journal_schema::limits::MAX_COUNT;
use serde::{Deserialize, Serialize};

/// Gaps that any writer may have.
const MIN_GAPS: usize = 32;

/// Gaps of one writer at most: a filter that dropped every other line of a journal, restored later.
pub(super) const MAX_GAPS: usize = 16_384;

/// Gaps of all writers together, beyond which none may have more than [`MIN_GAPS`]: four megabytes.
const MAX_ALL_GAPS: usize = 262_144;

/// What all writers have together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// Lines that are missing now. Two writers can miss more than 64 bits count.
    pub(super) missing: u128,
    pub(super) gaps: usize,
}

/// What is known of one writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Writer {
    /// The highest number counted.
    pub(super) last: u64,
    /// Numbers up to this one are from before the history. They do not count as missing, but they are counted
    /// if they turn up later.
    pub(super) before: u64,
    /// Numbers between these two that were not counted, as inclusive ranges in ascending order.
    pub(super) gaps: Vec<(u64, u64)>,
}

/// Whether a line is to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It was not counted yet.
    Count,
    /// It was.
    Duplicate,
}

impl Writer {
    /// Of a writer who wrote one line.
    pub(super) fn of_one_line() -> Writer {
        Writer::of_lines(1)
    }

    /// Of a writer whose lines up to this number were counted.
    pub(super) fn of_lines(last: u64) -> Writer {
        Writer { last, before: 0, gaps: Vec::new() }
    }

    #[inline]
    pub(super) fn admit(&mut self, seq: u64, totals: &mut Totals) -> Admission {
        if seq == self.last + 1 {
            self.last = seq;
            return Admission::Count;
        }
        self.admit_out_of_turn(seq, totals)
    }

    fn admit_out_of_turn(&mut self, seq: u64, totals: &mut Totals) -> Admission {
        if seq > self.last {
            self.miss(self.gaps.len(), self.last + 1, seq - 1, totals);
            self.last = seq;
            return Admission::Count;
        }
        if seq <= self.before {
            self.miss(0, seq + 1, self.before, totals);
            self.before = seq - 1;
            return Admission::Count;
        }
        let at = self.gaps.partition_point(|&(_, to)| to < seq);
        let Some((from, to)) = self.gaps.get(at).copied().filter(|&(from, _)| from <= seq) else {
            return Admission::Duplicate;
        };
        self.gaps.remove(at);
        totals.gaps = totals.gaps.saturating_sub(1);
        totals.missing = totals.missing.saturating_sub(1);
        self.remember(at, seq + 1, to, totals);
        self.remember(at, from, seq - 1, totals);
        Admission::Count
    }

    /// The lines `from` to `to` are missing; there may be none.
    fn miss(&mut self, at: usize, from: u64, to: u64, totals: &mut Totals) {
        totals.missing += u128::from((to + 1).saturating_sub(from));
        self.remember(at, from, to, totals);
    }

    /// Remembers that `from` to `to`, which may be none, were not counted.
    fn remember(&mut self, at: usize, from: u64, to: u64, totals: &mut Totals) {
        if from > to {
            return;
        }
        totals.gaps += 1;
        self.gaps.insert(at, (from, to));
        if self.gaps.len() > MAX_GAPS || self.gaps.len() > MIN_GAPS && totals.gaps > MAX_ALL_GAPS {
            // The two lowest become one: a late line in either still counts. A line that was counted between them
            // would count again if it came in other bytes. Until then it does not count as missing.
            let (from, _) = self.gaps.remove(0);
            self.gaps[0].0 = from;
            totals.gaps -= 1;
        }
    }

    /// Whether its parts fit each other: a decoded one has to be asked.
    pub(super) fn is_sound(&self) -> bool {
        let mut below = self.before;
        let ascending = self.gaps.iter().all(|&(from, to)| {
            let right = below < from && from <= to;
            below = to;
            right
        });
        ascending && below <= self.last && self.last <= MAX_COUNT && self.gaps.len() <= MAX_GAPS
    }
}
