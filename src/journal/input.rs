//! Journals to read: plain, compressed, or standard input, with progress for those who wait.
//!
//! Progress goes to standard error: a bar on a terminal, elsewhere a line now and then, and nothing when it is quick.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use journal_schema::Reader;
use journal_schema::compressed::Compression;

use crate::Failure;

/// Where the journal is unless somebody says otherwise.
pub(crate) const JOURNAL: &str = "/var/lib/etcha/journal.jsonl";

/// Time between two lines of progress where there is no terminal.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// What takes less long than this shows no bar.
const PATIENCE: Duration = Duration::from_millis(300);

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
    bar: ProgressBar,
    /// Whether the bar is on the screen already.
    shown: Cell<bool>,
    /// Whether lines are told instead of a bar.
    lines: bool,
    started: Instant,
}

impl Progress {
    /// Progress through `files`, as far as their sizes are known.
    pub(crate) fn through(files: &[PathBuf]) -> Progress {
        let sizes = files.iter().map(|file| std::fs::metadata(file).map_or(0, |metadata| metadata.len()));
        let total = Some(sizes.sum()).filter(|&total| total > 0);
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        let style = match total {
            Some(_) => "{wide_bar:.cyan/dim} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
            None => "{spinner} {bytes}  {bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Progress { bar, shown: Cell::new(false), lines: !io::stderr().is_terminal(), started: Instant::now() }
    }

    /// Takes the bar away, so that a report may be written.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Writes a line above the bar.
    pub(crate) fn above(&self, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.bar.suspend(write)
    }

    fn count<R: Read>(&self, inner: R) -> Counted<'_, R> {
        Counted { inner, progress: self, told: self.started }
    }
}

/// Counts the bytes that are read, before they are decompressed.
struct Counted<'a, R> {
    inner: R,
    progress: &'a Progress,
    /// When progress was last told in a line.
    told: Instant,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        let bar = &self.progress.bar;
        bar.inc(read as u64);
        if !self.progress.shown.get() && self.progress.started.elapsed() >= PATIENCE {
            self.progress.shown.set(true);
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
        if self.progress.lines && self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            let (done, all) = (bar.position(), bar.length().unwrap_or(0).max(bar.position()));
            if all > done {
                let left = self.progress.started.elapsed().as_secs_f64() * (all - done) as f64 / done as f64;
                eprintln!("etcha-journal: read {done} of {all} bytes, {left:.0} s left");
            } else {
                eprintln!("etcha-journal: read {done} bytes");
            }
        }
        Ok(read)
    }
}
