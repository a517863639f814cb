//! A table: the series of one family, label text beside value beside time of birth, and the index that finds them.
//!
//! Label text is made once, when a series is born, and is what a scrape prints. Tables clone cheaply (see
//! [`super::column`]), so a published state is a clone; the index stays with the one who counts.

use std::borrow::Cow;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::{DefaultHashBuilder, HashTable};
use serde::{Deserialize, Serialize};

use super::catalogue::FamilyId;
use super::column::{Column, Texts};
use super::labels::{labels, push_label};

/// The value of every label of the one series that takes what no longer fits in a family.
pub(crate) const OVERFLOW: &str = "__overflow__";

/// The series of one family.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Table<V: Clone> {
    texts: Texts,
    values: Column<V>,
    /// Milliseconds since 1970 at which each series was born, by the clock of the event that bore it.
    born: Column<i64>,
    overflow: Option<u32>,
    /// Events that went to the overflow series.
    overflowed: u64,
    #[serde(skip)]
    order: Arc<Order>,
}

impl<V: Clone> Default for Table<V> {
    fn default() -> Table<V> {
        Table {
            texts: Texts::default(),
            values: Column::default(),
            born: Column::default(),
            overflow: None,
            overflowed: 0,
            order: Arc::default(),
        }
    }
}

impl<V: Clone + Default> Table<V> {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn overflowed(&self) -> u64 {
        self.overflowed
    }

    pub(crate) fn text(&self, series: u32) -> &str {
        self.texts.get(series as usize)
    }

    /// The names and values of the labels of a series.
    pub(crate) fn labels(&self, series: u32) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        labels(self.text(series))
    }

    /// The value of a label of a series; empty if its family has no such label.
    pub(crate) fn label(&self, series: u32, name: &str) -> Cow<'_, str> {
        self.labels(series).find(|(label, _)| *label == name).map(|(_, value)| value).unwrap_or_default()
    }

    pub(crate) fn value(&self, series: u32) -> &V {
        self.values.get(series as usize)
    }

    pub(crate) fn value_mut(&mut self, series: u32) -> &mut V {
        self.values.get_mut(series as usize)
    }

    /// Changes the values of many series, a series as often as it is named.
    pub(crate) fn change_all(
        &mut self,
        series: impl ExactSizeIterator<Item = u32>,
        change: impl FnMut(&mut V),
    ) {
        self.values.change_all(series, change);
    }

    /// Milliseconds since 1970.
    pub(crate) fn born(&self, series: u32) -> i64 {
        *self.born.get(series as usize)
    }

    /// All series in the order of their label text.
    pub(crate) fn sorted(&self) -> Arc<[u32]> {
        self.order.of(&self.texts)
    }

    /// Whether the columns agree with each other: a decoded table has to be asked.
    pub(crate) fn is_sound(&self) -> bool {
        let series = self.values.len();
        self.texts.len() == series
            && self.born.len() == series
            && u32::try_from(series).is_ok()
            && self.overflow.is_none_or(|overflow| (overflow as usize) < series)
    }

    fn push(&mut self, text: &str, born: i64) -> u32 {
        let series = u32::try_from(self.len()).unwrap_or(u32::MAX);
        self.texts.push(text);
        self.values.push(V::default());
        self.born.push(born);
        series
    }

    fn overflow(&mut self, family: FamilyId, born: i64) -> u32 {
        self.overflowed += 1;
        if let Some(series) = self.overflow {
            return series;
        }
        let mut text = String::new();
        for label in family.desc().labels {
            push_label(&mut text, label, OVERFLOW);
        }
        let series = self.push(&text, born);
        self.overflow = Some(series);
        series
    }
}

/// Finds a series by its family and label text. One index for all families; texts stay in their tables.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: HashTable<Entry>,
    /// Seeded anew in each process, so that nobody can prepare labels that collide.
    hasher: DefaultHashBuilder,
    /// Bytes of label text of all series.
    bytes: usize,
}

/// How much there may be, before what is new is counted in an overflow series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Series of a family.
    pub(crate) series: usize,
    /// Bytes of label text of all families together.
    pub(crate) bytes: usize,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    series: u32,
    family: FamilyId,
}

impl Index {
    /// The series of `family` with this label text, if it was ever seen.
    pub(crate) fn find<V: Clone + Default>(
        &self,
        family: FamilyId,
        table: &Table<V>,
        text: &str,
    ) -> Option<u32> {
        self.lookup(self.hash(family, text), family, table, text)
    }

    /// The series of `family` with this label text; born now if it is new and there is room, else the family's
    /// overflow series.
    pub(crate) fn locate<V: Clone + Default>(
        &mut self,
        family: FamilyId,
        table: &mut Table<V>,
        text: &str,
        born: i64,
        room: Room,
    ) -> u32 {
        let hash = self.hash(family, text);
        if let Some(series) = self.lookup(hash, family, table, text) {
            return series;
        }
        if !self.has_room(table, text, room) {
            return table.overflow(family, born);
        }
        let series = table.push(text, born);
        self.bytes += text.len();
        self.entries.insert_unique(hash, Entry { hash, series, family }, |entry| entry.hash);
        series
    }

    /// Whether a further series with this label text may be born.
    pub(crate) fn has_room<V: Clone + Default>(&self, table: &Table<V>, text: &str, room: Room) -> bool {
        table.len() - usize::from(table.overflow.is_some()) < room.series
            && self.bytes.saturating_add(text.len()) <= room.bytes
    }

    /// Bytes of label text of all series.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes up the series of a table that was restored.
    pub(crate) fn adopt<V: Clone + Default>(&mut self, family: FamilyId, table: &Table<V>) {
        self.entries.reserve(table.len(), |entry| entry.hash);
        for (series, text) in (0..).zip(table.texts.iter()) {
            // The overflow series is reached by its number alone: no event may name it.
            if table.overflow != Some(series) {
                self.bytes += text.len();
                let hash = self.hash(family, text);
                self.entries.insert_unique(hash, Entry { hash, series, family }, |entry| entry.hash);
            }
        }
    }

    fn lookup<V: Clone + Default>(
        &self,
        hash: u64,
        family: FamilyId,
        table: &Table<V>,
        text: &str,
    ) -> Option<u32> {
        let same = |entry: &Entry| {
            entry.hash == hash && entry.family == family && table.texts.get(entry.series as usize) == text
        };
        self.entries.find(hash, same).map(|entry| entry.series)
    }

    fn hash(&self, family: FamilyId, text: &str) -> u64 {
        self.hasher.hash_one((family as u8, text))
    }
}

/// The sorted order of a table, made when somebody asks and kept for those who ask next.
///
/// It is shared by all clones of a table. Series are only ever added, so an older clone's order is the newer one's
/// without the series that it does not have.
#[derive(Debug, Default)]
struct Order {
    sorted: Mutex<Arc<[u32]>>,
}

impl Order {
    fn of(&self, texts: &Texts) -> Arc<[u32]> {
        let mut sorted = self.sorted.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, wanted) = (sorted.len(), texts.len());
        if known > wanted {
            return sorted.iter().copied().filter(|&series| (series as usize) < wanted).collect();
        }
        if known < wanted {
            let mut all = sorted.to_vec();
            all.extend((0..).take(wanted).skip(known));
            // A stable merge sort finds the sorted run at the front and merges the new ones into it.
            all.sort_by(|&a, &b| texts.get(a as usize).cmp(texts.get(b as usize)));
            *sorted = all.into();
        }
        Arc::clone(&sorted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(series: usize) -> Room {
        Room { series, bytes: 1000 }
    }

    const FAMILY: FamilyId = FamilyId::SourcesShells;

    #[test]
    fn a_text_names_one_series_and_a_full_family_overflows_into_one() {
        let (mut index, mut table) = (Index::default(), Table::<u64>::default());
        for text in ["b", "a", "b", "c", "d", "a"] {
            let series = index.locate(FAMILY, &mut table, text, 5, room(2));
            *table.value_mut(series) += 1;
        }
        let rows: Vec<_> = table
            .sorted()
            .iter()
            .map(|&series| (table.text(series).to_owned(), *table.value(series)))
            .collect();
        let overflow = r#"name="__overflow__",public_key="__overflow__",remote_addr="__overflow__""#;
        assert_eq!(rows, [("a".to_owned(), 2), ("b".to_owned(), 2), (overflow.to_owned(), 2)]);
        assert_eq!(table.overflowed(), 2);
    }

    #[test]
    fn the_order_of_an_older_clone_has_its_own_series_only() {
        let (mut index, mut table) = (Index::default(), Table::<u64>::default());
        for text in ["m", "z"] {
            index.locate(FAMILY, &mut table, text, 0, room(9));
        }
        let then = table.clone();
        index.locate(FAMILY, &mut table, "a", 0, room(9));
        assert_eq!(*table.sorted(), [2, 0, 1]);
        assert_eq!(*then.sorted(), [0, 1]);
    }

    #[test]
    fn a_restored_table_is_found_again() {
        let (mut index, mut table) = (Index::default(), Table::<u64>::default());
        for text in ["a", "b", "c"] {
            index.locate(FAMILY, &mut table, text, 0, room(2));
        }
        let mut fresh = Index::default();
        fresh.adopt(FAMILY, &table);
        assert_eq!(fresh.find(FAMILY, &table, "b"), Some(1));
        assert_eq!(fresh.find(FAMILY, &table, "c"), None);
        assert_eq!(fresh.locate(FAMILY, &mut table, "d", 0, room(2)), 2, "the overflow series goes on");
    }
}
