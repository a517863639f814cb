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

/// What is known of label bytes.
#[derive(Debug, Default)]
pub(crate) struct Shortcuts {
    entries: HashTable<Entry>,
    blocks: Vec<Vec<u8>>,
    /// Seeded anew in each process, so that nobody can prepare labels that collide.
    hasher: DefaultHashBuilder,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u64,
    block: u32,
    start: u16,
    length: u16,
    series: u32,
}

impl Shortcuts {
    /// The series that these bytes name, if they were learned.
    pub(crate) fn find(&self, labels: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(labels);
        let same = |entry: &Entry| entry.hash == hash && self.key(entry) == labels;
        self.entries.find(hash, same).map(|entry| entry.series)
    }

    /// These bytes, which are not known yet, name this series. Nothing happens if there is no room.
    pub(crate) fn learn(&mut self, labels: &[u8], series: u32) {
        if labels.len() > MAX_KEY_BYTES || self.blocks.len() * BLOCK_BYTES >= MAX_BYTES {
            return;
        }
        if self.blocks.last().is_none_or(|last| last.len() + labels.len() > BLOCK_BYTES) {
            self.blocks.push(Vec::with_capacity(BLOCK_BYTES));
        }
        let block = self.blocks.len() - 1;
        let start = self.blocks[block].len();
        // Each is below its bound, which fits: this is how the compiler is told.
        let (Ok(number), Ok(start), Ok(length)) =
            (u32::try_from(block), u16::try_from(start), u16::try_from(labels.len()))
        else {
            return;
        };
        self.blocks[block].extend_from_slice(labels);
        let hash = self.hasher.hash_one(labels);
        let entry = Entry { hash, block: number, start, length, series };
        self.entries.insert_unique(hash, entry, |entry| entry.hash);
    }

    fn key(&self, entry: &Entry) -> &[u8] {
        let start = usize::from(entry.start);
        &self.blocks[entry.block as usize][start..start + usize::from(entry.length)]
    }
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
        shortcuts.learn(&[b'x'; MAX_KEY_BYTES + 1], 1);
        assert_eq!(shortcuts.find(&[b'x'; MAX_KEY_BYTES + 1]), None);
    }
}
