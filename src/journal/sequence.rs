//! Which numbers of each writer were seen: what is missing, and what came twice.
//!
//! The order in which segments are read does not matter, so a set of ranges is kept for each writer; a journal in
//! order needs one range each. Missing are the numbers between the lowest and the highest that was seen of a writer: what it
//! wrote before may have been rotated away.

use std::collections::BTreeMap;

/// Numbers seen, by writer.
#[derive(Default)]
pub(crate) struct Sequences {
    writers: BTreeMap<String, Seen>,
}

/// Numbers of one writer, as disjoint ranges that do not touch: first number → last number.
#[derive(Default)]
struct Seen {
    ranges: BTreeMap<u64, u64>,
    duplicates: u64,
}

/// What became of one writer's numbers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict<'a> {
    pub(crate) writer: &'a str,
    /// The first number seen. Lines before it were rotated away, or are missing as well.
    pub(crate) first: u64,
    /// The last number seen.
    pub(crate) last: u64,
    /// Numbers between the two that were not seen.
    pub(crate) missing: u64,
    /// The first stretch of missing numbers.
    pub(crate) gap: Option<(u64, u64)>,
    /// Lines whose number was seen before.
    pub(crate) duplicates: u64,
}

impl Sequences {
    /// Notes a line down, and says whether it is the first with this number.
    pub(crate) fn see(&mut self, writer: &str, seq: u64) -> bool {
        if let Some(seen) = self.writers.get_mut(writer) {
            return seen.see(seq);
        }
        self.writers.entry(writer.to_owned()).or_default().see(seq)
    }

    /// One verdict for each writer, by name.
    pub(crate) fn verdicts(&self) -> impl Iterator<Item = Verdict<'_>> {
        self.writers.iter().filter_map(|(writer, seen)| seen.verdict(writer))
    }
}

impl Seen {
    fn see(&mut self, seq: u64) -> bool {
        let below = self.ranges.range_mut(..=seq).next_back();
        let start = match below {
            Some((_, last)) if *last >= seq => {
                self.duplicates += 1;
                return false;
            }
            Some((&first, last)) if *last + 1 == seq => {
                *last = seq;
                first
            }
            _ => {
                self.ranges.insert(seq, seq);
                seq
            }
        };
        // The gap to the next range may just have closed.
        if let Some(end) = self.ranges.remove(&(seq + 1)) {
            self.ranges.insert(start, end);
        }
        true
    }

    fn verdict<'a>(&self, writer: &'a str) -> Option<Verdict<'a>> {
        let (&first, &first_end) = self.ranges.first_key_value()?;
        let (_, &last) = self.ranges.last_key_value()?;
        let seen: u64 = self.ranges.iter().map(|(first, last)| last - first + 1).sum();
        let gap = self.ranges.keys().nth(1).map(|next| (first_end + 1, next - 1));
        let missing = last - first + 1 - seen;
        Some(Verdict { writer, first, last, missing, gap, duplicates: self.duplicates })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gaps_and_duplicates_are_found_in_any_order() {
        let mut sequences = Sequences::default();
        for seq in [7, 3, 4, 3, 9] {
            sequences.see("w", seq);
        }
        let verdicts: Vec<_> = sequences.verdicts().collect();
        let expected =
            Verdict { writer: "w", first: 3, last: 9, missing: 3, gap: Some((5, 6)), duplicates: 1 };
        assert_eq!(verdicts, [expected]);
    }

    proptest! {
        #[test]
        fn ranges_agree_with_a_plain_set(numbers in prop::collection::vec(1u64..60, 1..100)) {
            let mut sequences = Sequences::default();
            for &seq in &numbers {
                sequences.see("w", seq);
            }
            let set: BTreeSet<_> = numbers.iter().copied().collect();
            let verdict = sequences.verdicts().next().unwrap();
            let (first, last) = (*set.first().unwrap(), *set.last().unwrap());
            prop_assert_eq!((verdict.first, verdict.last), (first, last));
            prop_assert_eq!(verdict.missing, last - first + 1 - set.len() as u64);
            prop_assert_eq!(verdict.duplicates, (numbers.len() - set.len()) as u64);
        }
    }
}
