//! A directory that loses what a real one may lose: content that was not synced, names that were not synced. It can
//! be stopped at any step, as by a power cut, or refuse a step, as a full disk does.
//!
//! Syncing a file makes its own name durable, too, as the journaling file systems do; renames are durable after the
//! directory was synced and until then may each have happened or not.

use std::{collections::BTreeMap, io};

use exporter::checkpoint::Store;

/// Names and contents after a crash.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What goes wrong at a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trouble {
    /// The machine stops: this step and all later ones do nothing.
    Crash,
    /// This step is refused, and no other.
    Once(io::ErrorKind),
    /// This step and all later ones are refused.
    FromNowOn(io::ErrorKind),
}

#[derive(Debug, Default)]
pub(crate) struct Disk {
    names: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    contents: Vec<Content>,
    /// Renames since the directory was last synced.
    renames: Vec<(String, String)>,
    steps: usize,
    trouble: Option<(usize, Trouble)>,
}

#[derive(Clone, Debug)]
struct Content {
    bytes: Vec<u8>,
    is_synced: bool,
}

impl Disk {
    pub(crate) fn new(files: &Files) -> Disk {
        let mut disk = Disk::default();
        for (name, bytes) in files {
            disk.durable.insert(name.clone(), disk.contents.len());
            disk.contents.push(Content { bytes: bytes.clone(), is_synced: true });
        }
        disk.names.clone_from(&disk.durable);
        disk
    }

    /// Has something go wrong at the step of this number.
    pub(crate) fn trouble_at(mut self, step: usize, trouble: Trouble) -> Disk {
        self.trouble = Some((step, trouble));
        self
    }

    /// Steps taken so far.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    /// What a reader sees while the machine runs.
    pub(crate) fn files(&self) -> Files {
        self.names.iter().map(|(name, &at)| (name.clone(), self.contents[at].bytes.clone())).collect()
    }

    /// Everything that may be found after a power cut now.
    pub(crate) fn after_a_crash(&self) -> Vec<Files> {
        let mut found = Vec::new();
        for happened in 0..1usize << self.renames.len() {
            let mut names = self.durable.clone();
            for (at, (from, to)) in self.renames.iter().enumerate() {
                if happened >> at & 1 == 1
                    && let Some(content) = names.remove(from)
                {
                    names.insert(to.clone(), content);
                }
            }
            for variant in 0..4 {
                let files = names.iter().map(|(name, &at)| (name.clone(), self.contents[at].found(variant)));
                let files: Files = files.collect();
                if !found.contains(&files) {
                    found.push(files);
                }
            }
        }
        found
    }

    fn step(&mut self) -> io::Result<()> {
        self.steps += 1;
        match self.trouble {
            Some((step, Trouble::Once(kind))) if self.steps == step => Err(kind.into()),
            Some((step, Trouble::FromNowOn(kind))) if self.steps >= step => Err(kind.into()),
            Some((step, Trouble::Crash)) if self.steps >= step => Err(io::Error::other("stopped")),
            _ => Ok(()),
        }
    }
}

impl Content {
    fn found(&self, variant: usize) -> Vec<u8> {
        match variant {
            _ if self.is_synced => self.bytes.clone(),
            0 => self.bytes.clone(),
            1 => Vec::new(),
            2 => self.bytes[..self.bytes.len() / 2].to_vec(),
            _ => vec![0; self.bytes.len()],
        }
    }
}

impl Store for Disk {
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        let at = *self.names.entry(name.to_owned()).or_insert(self.contents.len());
        if at == self.contents.len() {
            self.contents.push(Content { bytes: Vec::new(), is_synced: false });
        }
        self.contents[at] = Content { bytes: Vec::new(), is_synced: false };
        for half in [&bytes[..bytes.len() / 2], &bytes[bytes.len() / 2..]] {
            self.step()?;
            self.contents[at].bytes.extend_from_slice(half);
        }
        self.step()?;
        self.contents[at].is_synced = true;
        self.durable.insert(name.to_owned(), at);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.step()?;
        let at = self.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.names.insert(to.to_owned(), at);
        self.renames.push((from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.step()?;
        self.durable.clone_from(&self.names);
        self.renames.clear();
        Ok(())
    }

    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.names.get(name).map(|&at| self.contents[at].bytes.clone()))
    }
}
