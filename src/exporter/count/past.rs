//! The past: writers that have not written lately, in a few bytes each. So hundreds of thousands of scripts that wrote
//! one line each are still recognised when their lines come again. Pure.
//!
//! A writer is kept by a digest of its name. The one that wrote its first line and no other, which is what a script does,
//! takes eight bytes. Two generations: when the young one is full, the old one is forgotten and the young one takes its
//! place, so making room costs nothing that grows.

use std::mem;

use hashbrown::{HashMap, HashTable};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::writer::Writer;

/// What names a writer here. Among a million writers, a new one has the digest of another once in 10^13 times.
type Key = u64;

/// Writers that were moved out of the way.
#[derive(Clone, Debug)]
pub(super) struct Past {
    young: Generation,
    old: Generation,
    /// Writers a generation.
    max: usize,
}

#[derive(Clone, Debug, Default)]
struct Generation {
    /// Those of whom the line 1 was counted, and nothing else is known.
    once: HashTable<Key>,
    others: HashMap<Key, Writer>,
}

impl Generation {
    fn len(&self) -> usize {
        self.once.len() + self.others.len()
    }

    fn take(&mut self, key: Key) -> Option<Writer> {
        if let Ok(entry) = self.once.find_entry(key, |other| *other == key) {
            entry.remove();
            return Some(Writer::of_one_line());
        }
        self.others.remove(&key)
    }

    fn put(&mut self, key: Key, writer: Writer) {
        if writer != Writer::of_one_line() {
            self.others.insert(key, writer);
        } else if self.once.find(key, |other| *other == key).is_none() {
            self.once.insert_unique(key, key, |key| *key);
        }
    }
}

fn key_of(name: &str) -> Key {
    let mut key = [0; 8];
    key.copy_from_slice(&Sha256::digest(name)[..8]);
    Key::from_le_bytes(key)
}

impl Past {
    /// A past that remembers so many writers, half of them at least.
    pub(super) fn new(max: usize) -> Past {
        Past { young: Generation::default(), old: Generation::default(), max: (max / 2).max(1) }
    }

    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Takes a writer out, who writes again.
    pub(super) fn take(&mut self, name: &str) -> Option<Writer> {
        if self.len() == 0 {
            return None;
        }
        let key = key_of(name);
        self.young.take(key).or_else(|| self.old.take(key))
    }

    /// Takes a writer in; says how many were forgotten for it.
    pub(super) fn put(&mut self, name: &str, writer: Writer) -> usize {
        let mut forgotten = 0;
        if self.young.len() >= self.max {
            forgotten = mem::replace(&mut self.old, mem::take(&mut self.young)).len();
        }
        self.young.put(key_of(name), writer);
        forgotten
    }

    pub(super) fn writers(&self) -> impl Iterator<Item = &Writer> {
        self.old.others.values().chain(self.young.others.values())
    }

    pub(super) fn record(&self) -> PastRecord {
        PastRecord { generations: [&self.old, &self.young].map(GenerationRecord::of) }
    }

    /// Goes on from a record, which a smaller limit may make forget.
    pub(super) fn restore(record: PastRecord, max: usize) -> Past {
        let mut past = Past::new(max);
        let [old, young] = record.generations.map(GenerationRecord::generation);
        (past.old, past.young) = (old, young);
        if past.young.len() > past.max {
            past.old = mem::take(&mut past.young);
        }
        past
    }
}

/// [`Past`] as a checkpoint keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PastRecord {
    /// The old one first.
    generations: [GenerationRecord; 2],
}

/// Bytes and not numbers, which would take ten each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct GenerationRecord {
    once: Vec<[u8; 8]>,
    others: Vec<([u8; 8], Writer)>,
}

impl GenerationRecord {
    fn of(generation: &Generation) -> GenerationRecord {
        let mut once: Vec<_> = generation.once.iter().map(|key| key.to_le_bytes()).collect();
        once.sort_unstable();
        let mut others: Vec<_> =
            generation.others.iter().map(|(key, writer)| (key.to_le_bytes(), writer.clone())).collect();
        others.sort_unstable_by_key(|(key, _)| *key);
        GenerationRecord { once, others }
    }

    /// A writer that contradicts itself is forgotten: a decoded one has to be asked.
    fn generation(self) -> Generation {
        let mut generation = Generation::default();
        generation.once.reserve(self.once.len(), |key| *key);
        for key in self.once {
            generation.put(Key::from_le_bytes(key), Writer::of_one_line());
        }
        for (key, writer) in self.others {
            if writer.is_sound() {
                generation.put(Key::from_le_bytes(key), writer);
            }
        }
        generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_taken_out_once_and_the_oldest_of_too_many_are_forgotten_together() {
        let mut past = Past::new(100);
        let mut forgotten = 0;
        for name in 0..150 {
            forgotten += past.put(&name.to_string(), Writer::of_one_line());
        }
        assert_eq!((past.len(), forgotten), (100, 50));
        assert_eq!(past.take("49"), None);
        assert_eq!(past.take("50"), Some(Writer::of_one_line()));
        assert_eq!(past.take("50"), None);
        assert_eq!(past.len(), 99);
    }

    #[test]
    fn a_record_restores_what_it_was_made_of_within_the_limit() {
        let mut past = Past::new(100);
        for name in 0..70 {
            past.put(&name.to_string(), Writer::of_one_line());
        }
        past.put("agent", Writer::of_lines(9));
        let mut restored = Past::restore(past.record(), 100);
        assert_eq!(restored.record(), past.record());
        assert_eq!(restored.take("agent"), Some(Writer::of_lines(9)));
        assert!(Past::restore(past.record(), 10).len() <= 21);
    }
}
