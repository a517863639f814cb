//! Shortcuts: from the bytes of an event's labels, as they stand in the journal, to the series that they name.
//!
//! An agent writes the same labels again and again. Where these bytes were understood once, and nothing about them
//! was out of the ordinary, they name their series for good: series are never removed or renamed. The key is all the
//! bytes, so a shortcut can never lead elsewhere than the long way. Forgetting one costs time and nothing else.
//!
//! Knows no event: which series there are for one is [`super::apply`]'s.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Longest label bytes that get a shortcut. Longer ones are rare, and reading them anew costs little beside them.
const MAX_KEY_BYTES: usize = 1024;

/// Keys are laid end to end in blocks of this size: no allocation a key, and no copying as they grow.
const BLOCK_BYTES: usize = 64 * 1024;

/// Look-ups made together. Their waits for memory overlap, which a hundred thousand series are mostly made of.
pub(crate) const TOGETHER: usize = 32;

/// What is known of the label bytes of one kind of event, whose series are an `S`.
#[derive(Debug)]
pub(crate) struct Shortcuts<S> {
    entries: HashTable<Entry<S>>,
    blocks: Vec<Vec<u8>>,
    /// Blocks at most. When they are used up, further labels go the long way.
    max_blocks: usize,
    /// Seeded anew in each process, so that nobody can prepare labels that collide.
    hasher: DefaultHashBuilder,
}

/// Half of the hash is enough where the key is compared anyway: with one series, four of these share a cache line.
#[derive(Clone, Copy, Debug)]
struct Entry<S> {
    hash: u32,
    block: u16,
    length: u16,
    start: u32,
    series: S,
}

impl<S: Copy> Shortcuts<S> {
    /// Nothing is known yet, and keys of so many bytes may be in all.
    pub(crate) fn new(max_bytes: usize) -> Shortcuts<S> {
        Shortcuts {
            entries: HashTable::new(),
            blocks: Vec::new(),
            max_blocks: (max_bytes / BLOCK_BYTES).min(usize::from(u16::MAX)),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// The series that these bytes name, if they were learned.
    pub(crate) fn find(&self, labels: &[u8]) -> Option<S> {
        let hash = self.hash(labels);
        let same = |entry: &Entry<S>| entry.hash == hash && key(&self.blocks, entry) == labels;
        self.entries.find(spread(hash), same).map(|entry| entry.series)
    }

    /// [`Shortcuts::find`] for each of `labels`, [`TOGETHER`] at most. Nothing is found for those that are `None`.
    ///
    /// Step by step for all, so that no look-up waits for the one before it: hashes, then entries, then keys.
    pub(crate) fn find_all<'l>(
        &self,
        labels: impl Iterator<Item = Option<&'l [u8]>> + Clone,
    ) -> [Option<S>; TOGETHER] {
        let (mut hashes, mut entries, mut found) = ([0; TOGETHER], [None; TOGETHER], [None; TOGETHER]);
        for (hash, labels) in hashes.iter_mut().zip(labels.clone()) {
            *hash = labels.map_or(0, |labels| self.hash(labels));
        }
        for ((entry, &hash), labels) in entries.iter_mut().zip(&hashes).zip(labels.clone()) {
            *entry = labels.and_then(|_| self.entries.find(spread(hash), |entry| entry.hash == hash));
        }
        for ((found, entry), labels) in found.iter_mut().zip(entries).zip(labels) {
            if let (Some(entry), Some(labels)) = (entry, labels) {
                let is_it = key(&self.blocks, entry) == labels;
                // It may be the first of several of one hash.
                *found = if is_it { Some(entry.series) } else { self.find(labels) };
            }
        }
        found
    }

    /// These bytes name these series, whatever they named before. Nothing happens if there is no room.
    pub(crate) fn learn(&mut self, labels: &[u8], series: S) {
        if labels.is_empty() || labels.len() > MAX_KEY_BYTES {
            return;
        }
        let hash = self.hash(labels);
        let Shortcuts { entries, blocks, max_blocks, .. } = self;
        let same = |entry: &Entry<S>| entry.hash == hash && key(blocks, entry) == labels;
        if let Some(known) = entries.find_mut(spread(hash), same) {
            known.series = series;
            return;
        }
        if blocks.last().is_none_or(|last| last.len() + labels.len() > BLOCK_BYTES) {
            if blocks.len() >= *max_blocks {
                return;
            }
            blocks.push(Vec::with_capacity(BLOCK_BYTES));
        }
        let block = blocks.len() - 1;
        let start = blocks[block].len();
        // Each is below its bound, which fits: this is how the compiler is told.
        let (Ok(number), Ok(start), Ok(length)) =
            (u16::try_from(block), u32::try_from(start), u16::try_from(labels.len()))
        else {
            return;
        };
        blocks[block].extend_from_slice(labels);
        let entry = Entry { hash, block: number, start, length, series };
        entries.insert_unique(spread(hash), entry, |entry| spread(entry.hash));
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of it is wanted")]
    fn hash(&self, labels: &[u8]) -> u32 {
        self.hasher.hash_one(labels) as u32
    }
}

fn key<'b, S>(blocks: &'b [Vec<u8>], entry: &Entry<S>) -> &'b [u8] {
    let start = entry.start as usize;
    &blocks[usize::from(entry.block)][start..start + usize::from(entry.length)]
}

/// A hash for the table, which takes the place from the lower bits and a tag from the uppermost.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_BYTES: usize = 4 * 1024 * 1024;

    #[test]
    fn each_key_leads_to_what_it_was_learned_for_last_and_a_full_memory_learns_no_more() {
        let mut shortcuts = Shortcuts::new(MAX_BYTES);
        let key = |number: u32| format!("{number:>1000}");
        for number in 0..6_000 {
            shortcuts.learn(key(number).as_bytes(), number + 1);
            shortcuts.learn(key(number).as_bytes(), number);
        }
        assert!(shortcuts.blocks.len() * BLOCK_BYTES <= MAX_BYTES);
        let known = u32::try_from(shortcuts.entries.len()).unwrap();
        assert!((4_000..5_000).contains(&known));
        for number in 0..6_000 {
            assert_eq!(shortcuts.find(key(number).as_bytes()), (number < known).then_some(number));
        }
        for first in (0..6_000).step_by(TOGETHER - 1) {
            let keys: Vec<_> = (first..).take(TOGETHER - 1).map(key).collect();
            let found = shortcuts.find_all(keys.iter().map(|key| Some(key.as_bytes())));
            for (key, found) in keys.iter().zip(found) {
                assert_eq!(shortcuts.find(key.as_bytes()), found);
            }
        }
        shortcuts.learn(&[b'x'; MAX_KEY_BYTES + 1], 1);
        assert_eq!(shortcuts.find(&[b'x'; MAX_KEY_BYTES + 1]), None);
    }
}
