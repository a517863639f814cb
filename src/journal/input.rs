//! Journals to read: plain, compressed, or standard input, with progress for those who wait.
//!
//! Progress goes to standard error: a bar on a terminal, elsewhere a line now and then, and nothing when it is quick.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use journal_schema::Reader;
use journal_schema::compressed::Compression;

use crate::Failure;

/// Where the journal is unless somebody says otherwise.
pub(crate) const JOURNAL: &str = "/var/lib/etcha/journal.jsonl";

/// A journal that is being read.
pub(crate) type Input<'a> = Reader<Box<dyn Read + 'a>>;

/// Opens `path`; `-` is standard input. What is compressed by its name is decompressed.
pub(crate) fn open<'a>(path: &Path, progress: &'a Progress) -> Result<Input<'a>, Failure> {
    if path == Path::new("-") {
        return Ok(Reader::new(Box::new(progress.count(io::stdin()))));
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let file = progress.count(file);
    let Some(compression) = Compression::of(path) else { return Ok(Reader::new(Box::new(file))) };
    let decoder = compression.decode(BufReader::new(file)).map_err(|error| unreadable(path, &error))?;
    Ok(Reader::new(Box::new(decoder)))
}

/// What to say when `path` cannot be read, or not to its end.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::unreadable(format_args!("{}: {error}", path.display()))
}

/// How far reading has come, over all files.
pub(crate) struct Progress {
    shown: RefCell<terminal::progress::Progress>,
    /// Bytes read.
    done: Cell<u64>,
    /// Bytes of all files, as far as they are known; 0 if they are not.
    total: u64,
}

impl Progress {
    /// Progress through `files`, as far as their sizes are known.
    pub(crate) fn through(files: &[PathBuf]) -> Progress {
        let sizes = files.iter().map(|file| std::fs::metadata(file).map_or(0, |metadata| metadata.len()));
        let shown = RefCell::new(terminal::progress::Progress::new("reading"));
        Progress { shown, done: Cell::new(0), total: sizes.sum() }
    }

    /// Takes the bar away, so that a report may be written.
    pub(crate) fn finish(&self) {
        self.shown.borrow_mut().end();
    }

    /// Writes a line above the bar.
    pub(crate) fn above(&self, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.shown.borrow().aside(write)
    }

    fn read(&self, bytes: usize) {
        let done = self.done.get() + bytes as u64;
        self.done.set(done);
        let left = (self.total > 0).then(|| self.total.saturating_sub(done));
        let Some(step) = self.shown.borrow_mut().show(done, left, String::new) else { return };
        match step.left.zip(step.seconds_left) {
            Some((left, seconds)) => {
                anstream::eprintln!("etcha-journal: {done} bytes read, {left} bytes left, about {seconds} s");
            }
            None => anstream::eprintln!("etcha-journal: {done} bytes read"),
        }
    }

    fn count<R: Read>(&self, inner: R) -> Counted<'_, R> {
        Counted { inner, progress: self }
    }
}

/// Counts the bytes that are read, before they are decompressed.
struct Counted<'a, R> {
    inner: R,
    progress: &'a Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.progress.read(read);
        Ok(read)
    }
}
