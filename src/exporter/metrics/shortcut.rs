//! Shortcuts: from the bytes of a command's labels, as they stand in the journal, to the series they name.
//!
//! An agent writes the same labels again and again. Where these bytes were understood once, and nothing about them
//! was out of the ordinary, they name their series for good: series are never removed or renamed. The key is all the
//! bytes, so a shortcut can never lead elsewhere than the long way. Forgetting one costs time and nothing else.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Longest label bytes that get a shortcut. Longer ones are rare, and reading them anew costs little beside them.
const MAX_KEY_BYTES: usize = 1024;

/// Bytes of keys kept in all: twice what 100,000 series of an ordinary agent take. When they are used up, further
/// labels go the long way.
const MAX_BYTES: usize = 48 * 1024 * 1024;

/// Keys are laid end to end in blocks of this size: no allocation a key, and no copying as they grow.
const BLOCK_BYTES: usize = 64 * 1024;

/// Look-ups made together. Their waits for memory overlap, which a hundred thousand series are mostly made of.
pub(crate) const TOGETHER: usize = 32;

/// What is known of label bytes.
#[derive(Debug, Default)]
pub(crate) struct Shortcuts {
    entries: HashTable<Entry>,
    blocks: Vec<Vec<u8>>,
    /// Seeded anew in each process, so that nobody can prepare labels that collide.
    hasher: DefaultHashBuilder,
}

/// Four of these share a cache line: half of the hash is enough where the key is compared anyway.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    hash: u32,
    block: u16,
    /// 0 in no entry of the table.
    length: u16,
    start: u32,
    series: u32,
}

impl Shortcuts {
    /// The series that these bytes name, if they were learned.
    pub(crate) fn find(&self, labels: &[u8]) -> Option<u32> {
        let hash = self.hash(labels);
        let same = |entry: &Entry| entry.hash == hash && self.key(entry) == labels;
        self.entries.find(spread(hash), same).map(|entry| entry.series)
    }

    /// [`Shortcuts::find`] for each of `labels`, [`TOGETHER`] at most.
    ///
    /// Step by step for all, so that no look-up waits for the one before it: hashes, then entries, then keys.
    pub(crate) fn find_all(&self, labels: &[&[u8]]) -> [Option<u32>; TOGETHER] {
        let (mut hashes, mut entries) = ([0; TOGETHER], [Entry::default(); TOGETHER]);
        let mut found = [None; TOGETHER];
        for (hash, labels) in hashes.iter_mut().zip(labels) {
            *hash = self.hash(labels);
        }
        for (entry, &hash) in entries.iter_mut().zip(&hashes[..labels.len()]) {
            *entry = self.entries.find(spread(hash), |entry| entry.hash == hash).copied().unwrap_or_default();
        }
        for ((found, entry), &labels) in found.iter_mut().zip(&entries).zip(labels) {
            *found = if entry.length == 0 {
                None
            } else if self.key(entry) == labels {
                Some(entry.series)
            } else {
                // The first of several of one hash.
                self.find(labels)
            };
        }
        found
    }

    /// These bytes, which are not known yet, name this series. Nothing happens if there is no room.
    pub(crate) fn learn(&mut self, labels: &[u8], series: u32) {
        if labels.is_empty() || labels.len() > MAX_KEY_BYTES || self.blocks.len() * BLOCK_BYTES >= MAX_BYTES {
            return;
        }
        if self.blocks.last().is_none_or(|last| last.len() + labels.len() > BLOCK_BYTES) {
            self.blocks.push(Vec::with_capacity(BLOCK_BYTES));
        }
        let block = self.blocks.len() - 1;
        let start = self.blocks[block].len();
        // Each is below its bound, which fits: this is how the compiler is told.
        let (Ok(number), Ok(start), Ok(length)) =
            (u16::try_from(block), u32::try_from(start), u16::try_from(labels.len()))
        else {
            return;
        };
        self.blocks[block].extend_from_slice(labels);
        let entry = Entry { hash: self.hash(labels), block: number, start, length, series };
        self.entries.insert_unique(spread(entry.hash), entry, |entry| spread(entry.hash));
    }

    fn key(&self, entry: &Entry) -> &[u8] {
        let start = entry.start as usize;
        &self.blocks[usize::from(entry.block)][start..start + usize::from(entry.length)]
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of it is wanted")]
    fn hash(&self, labels: &[u8]) -> u32 {
        self.hasher.hash_one(labels) as u32
    }
}

/// A hash for the table, which takes the place from the lower bits and a tag from the uppermost.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_leads_to_what_it_was_learned_for_and_a_full_memory_learns_no_more() {
        let mut shortcuts = Shortcuts::default();
        let key = |number: u32| format!("{number:>1000}");
        for number in 0..60_000 {
            shortcuts.learn(key(number).as_bytes(), number);
        }
        assert!(shortcuts.blocks.len() * BLOCK_BYTES <= MAX_BYTES);
        let known = u32::try_from(shortcuts.entries.len()).unwrap();
        assert!((40_000..60_000).contains(&known));
        for number in 0..60_000 {
            assert_eq!(shortcuts.find(key(number).as_bytes()), (number < known).then_some(number));
        }
        for first in (0..60_000).step_by(TOGETHER - 1) {
            let keys: Vec<_> = (first..).take(TOGETHER - 1).map(key).collect();
            let keys: Vec<_> = keys.iter().map(|key| key.as_bytes()).collect();
            for (key, found) in keys.iter().zip(shortcuts.find_all(&keys)) {
                assert_eq!(shortcuts.find(key), found);
            }
        }
        shortcuts.learn(&[b'x'; MAX_KEY_BYTES + 1], 1);
        assert_eq!(shortcuts.find(&[b'x'; MAX_KEY_BYTES + 1]), None);
    }
}
