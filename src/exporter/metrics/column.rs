//! Columns: growing lists whose clones share their storage, so that publishing a state costs no copy of it.
//!
//! A column is a list of chunks behind counted pointers. A clone takes the pointers; a later write copies the one
//! chunk it touches, once, if somebody still holds it. Knows nothing of metrics.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Items a chunk. A first write after a publication copies this many: 4 KiB of counters.
const CHUNK: usize = 512;

/// A list of small values of one type.
#[derive(Clone, Debug)]
pub(crate) struct Column<T> {
    chunks: Vec<Arc<Vec<T>>>,
}

impl<T> Default for Column<T> {
    fn default() -> Column<T> {
        Column { chunks: Vec::new() }
    }
}

impl<T: Clone> Column<T> {
    pub(crate) fn len(&self) -> usize {
        match self.chunks.split_last() {
            Some((last, full)) => full.len() * CHUNK + last.len(),
            None => 0,
        }
    }

    pub(crate) fn push(&mut self, item: T) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => Arc::make_mut(last).push(item),
            _ => self.chunks.push(Arc::new(vec![item])),
        }
    }

    /// # Panics
    ///
    /// If there is no item `at`.
    pub(crate) fn get(&self, at: usize) -> &T {
        &self.chunks[at / CHUNK][at % CHUNK]
    }

    /// # Panics
    ///
    /// If there is no item `at`.
    pub(crate) fn get_mut(&mut self, at: usize) -> &mut T {
        &mut Arc::make_mut(&mut self.chunks[at / CHUNK])[at % CHUNK]
    }

    /// Changes the items `at`, in this order. Whether a chunk has to be copied is asked once for each, which is what
    /// many changes one by one mostly spend their time on.
    ///
    /// # Panics
    ///
    /// If one of them is not there.
    pub(crate) fn change_all(
        &mut self,
        at: impl ExactSizeIterator<Item = u32>,
        mut change: impl FnMut(&mut T),
    ) {
        if at.len() < self.chunks.len() {
            // Asking each chunk would take longer.
            return at.for_each(|at| change(self.get_mut(at as usize)));
        }
        // Each chunk until it is first touched, and its items from then on.
        let mut chunks: Vec<(_, &mut [T])> =
            self.chunks.iter_mut().map(|chunk| (Some(chunk), Default::default())).collect();
        for at in at {
            let (untouched, items) = &mut chunks[at as usize / CHUNK];
            if let Some(chunk) = untouched.take() {
                *items = Arc::make_mut(chunk).as_mut_slice();
            }
            change(&mut items[at as usize % CHUNK]);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }
}

impl<T: Clone> FromIterator<T> for Column<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Column<T> {
        let (mut items, mut column) = (items.into_iter().peekable(), Column::default());
        // Chunk by chunk: whether one is shared need not be asked before it is whole.
        while items.peek().is_some() {
            column.chunks.push(Arc::new(items.by_ref().take(CHUNK).collect()));
        }
        column
    }
}

/// A list of texts, laid end to end within a chunk: two machine words and an allocation less for each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    chunks: Vec<Arc<Chunk>>,
}

#[derive(Clone, Debug, Default)]
struct Chunk {
    text: String,
    /// Where each text ends in `text`.
    ends: Vec<usize>,
}

impl Texts {
    pub(crate) fn len(&self) -> usize {
        match self.chunks.split_last() {
            Some((last, full)) => full.len() * CHUNK + last.ends.len(),
            None => 0,
        }
    }

    pub(crate) fn push(&mut self, text: &str) {
        if self.chunks.last().is_none_or(|last| last.ends.len() == CHUNK) {
            self.chunks.push(Arc::default());
        }
        if let Some(last) = self.chunks.last_mut() {
            Arc::make_mut(last).push(text);
        }
    }

    /// # Panics
    ///
    /// If there is no text `at`.
    pub(crate) fn get(&self, at: usize) -> &str {
        let chunk = &self.chunks[at / CHUNK];
        let at = at % CHUNK;
        let start = if at == 0 { 0 } else { chunk.ends[at - 1] };
        &chunk.text[start..chunk.ends[at]]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|at| self.get(at))
    }
}

impl Chunk {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
        if self.ends.len() == CHUNK {
            // Nothing follows: what was taken in advance goes back.
            self.text.shrink_to_fit();
        }
    }
}

impl<'t> FromIterator<&'t str> for Texts {
    fn from_iter<I: IntoIterator<Item = &'t str>>(items: I) -> Texts {
        let (mut items, mut texts) = (items.into_iter().peekable(), Texts::default());
        while items.peek().is_some() {
            let mut chunk = Chunk::default();
            items.by_ref().take(CHUNK).for_each(|text| chunk.push(text));
            texts.chunks.push(Arc::new(chunk));
        }
        texts
    }
}

// In a checkpoint a column is a plain list: how it is cut into chunks is nobody's business but this file's.

impl<T: Clone + Serialize> Serialize for Column<T> {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq as _;
        let mut list = output.serialize_seq(Some(self.len()))?;
        for item in self.iter() {
            list.serialize_element(item)?;
        }
        list.end()
    }
}

impl<'de, T: Clone + Deserialize<'de>> Deserialize<'de> for Column<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Column<T>, D::Error> {
        Ok(Vec::deserialize(input)?.into_iter().collect())
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq as _;
        let mut list = output.serialize_seq(Some(self.len()))?;
        for text in self.iter() {
            list.serialize_element(text)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Texts, D::Error> {
        let texts: Vec<&'de str> = Vec::deserialize(input)?;
        Ok(texts.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_its_moment_while_the_original_goes_on() {
        let mut values: Column<u64> = (0..1300).collect();
        let mut texts = Texts::default();
        for at in 0..1300 {
            texts.push(&"x".repeat(at % 7));
        }
        let (then, texts_then) = (values.clone(), texts.clone());
        *values.get_mut(700) += 1;
        values.push(7);
        texts.push("later");
        assert_eq!((then.len(), *then.get(700)), (1300, 700));
        assert_eq!((values.len(), *values.get(700), *values.get(1300)), (1301, 701, 7));
        assert_eq!((texts_then.len(), texts.len(), texts.get(1300)), (1300, 1301, "later"));
        assert_eq!((texts.get(0), texts.get(5), texts.get(512)), ("", "xxxxx", "x"));
    }

    #[test]
    fn many_changes_at_once_are_what_they_are_one_by_one_and_spare_a_clone() {
        let mut values: Column<u64> = (0..1300).collect();
        let then = values.clone();
        values.change_all([1299, 0].into_iter(), |value| *value += 1);
        values.change_all([700, 0, 700, 700].into_iter(), |value| *value += 1);
        assert_eq!([0, 700, 1299, 1].map(|at| *values.get(at)), [2, 703, 1300, 1]);
        assert_eq!([0, 700, 1299].map(|at| *then.get(at)), [0, 700, 1299]);
    }

    #[test]
    fn a_write_copies_one_chunk_and_leaves_the_others_shared() {
        let mut values: Column<u64> = (0..2048).collect();
        let then = values.clone();
        *values.get_mut(0) = 9;
        let shared = values.chunks.iter().zip(&then.chunks).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!(shared, values.chunks.len() - 1);
    }
}
