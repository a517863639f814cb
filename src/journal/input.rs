//! Journals to read: the files that are given, or all segments of a journal, plain or compressed; and standard input.
//!
//! The content of a file, not its name, decides how it is compressed and whether it is a segment. A file is read once,
//! so it may be a pipe. Progress goes to standard error.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use journal_schema::compressed::plain;
use journal_schema::limits::MAX_LINE_BYTES;
use journal_schema::segments::{directory_of, may_be_segment};
use journal_schema::{Piece, Reader, Splitter, decode};
use terminal::file;
use terminal::printable::line as label;

use crate::{ToolError, say};

/// Where the journal is unless a flag or a variable says otherwise.
pub(crate) const JOURNAL: &str = "/var/lib/etcha/journal.jsonl";

/// How far into a file its first line is looked for that names itself, NULs not counted: two of the longest kind, as the exporter
/// does. What has none by then is put in order by its name, and is no segment unless it was given by name.
const FRONT_BYTES: usize = 2 * MAX_LINE_BYTES;

/// NULs at the front of a file that are passed over.
const MAX_PADDING_BYTES: usize = 1 << 30;

/// Bytes read at a time while it is looked for.
const CHUNK_BYTES: u64 = 16 * 1024;

/// A journal that is being read.
pub(crate) type Input<'a> = Reader<Box<dyn Read + 'a>>;

/// Which journal a subcommand reads.
#[derive(clap::Args)]
pub(crate) struct Journal {
    /// Files to read: plain, compressed with gzip or zstd, or - for standard input [default: all segments of --journal]
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The journal whose segments are read, the rotated and compressed ones as well
    #[arg(long, env = "ETCHA_JOURNAL", default_value = JOURNAL, value_name = "PATH")]
    pub(crate) journal: PathBuf,
}

/// A file with lines, not read yet.
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    /// Time of its first good line.
    first: Option<Timestamp>,
    /// Its content, where it can be had only once.
    held: Option<Box<dyn Read>>,
}

impl Journal {
    /// What is to be read, oldest first: a shell must be opened before it is closed.
    pub(crate) fn segments(&self) -> Result<Vec<Segment>, ToolError> {
        if self.files.is_empty() {
            return rotated_and_active(&self.journal);
        }
        let mut segments: Vec<_> = self.files.iter().map(|path| Segment::given(path)).collect();
        sort(&mut segments);
        Ok(segments)
    }
}

/// All segments of the journal at `journal`, oldest first.
pub(crate) fn rotated_and_active(journal: &Path) -> Result<Vec<Segment>, ToolError> {
    let mut segments = rotated(journal)?;
    match fs::metadata(journal) {
        Ok(_) => segments.push(Segment::given(journal)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !segments.is_empty() => {}
        Err(error) => return Err(unreadable(journal, error)),
    }
    sort(&mut segments);
    Ok(segments)
}

/// The rotated segments of the journal at `journal`, oldest first: files beside it whose names begin with its name and
/// whose content begins as a segment's does. As for the exporter, those beside a link to it and beside the file that it leads to.
pub(crate) fn rotated(journal: &Path) -> Result<Vec<Segment>, ToolError> {
    let real = fs::canonicalize(journal).unwrap_or_else(|_| journal.to_owned());
    let mut paths = beside(&real)?;
    if fs::symlink_metadata(journal).is_ok_and(|metadata| metadata.is_symlink()) {
        paths.extend(beside(journal)?);
    }
    paths.sort();
    paths.dedup();
    let mut segments: Vec<_> = paths.into_iter().filter_map(Segment::found).collect();
    sort(&mut segments);
    Ok(segments)
}

/// Files beside the journal that may be segments of it.
fn beside(journal: &Path) -> Result<Vec<PathBuf>, ToolError> {
    let directory = directory_of(journal);
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| unreadable(directory, error))? {
        let entry = entry.map_err(|error| unreadable(directory, error))?;
        let path = entry.path();
        // A link may lead to a segment that is kept elsewhere.
        if may_be_segment(journal, &entry.file_name()) && fs::metadata(&path).is_ok_and(|file| file.is_file())
        {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn sort(segments: &mut [Segment]) {
    segments.sort_by(|one, other| {
        (one.first.is_none(), one.first, &one.path).cmp(&(other.first.is_none(), other.first, &other.path))
    });
}

impl Segment {
    /// A file that was named. What is wrong with it shows when it is read.
    pub(crate) fn given(path: &Path) -> Segment {
        let mut segment = Segment { path: path.to_owned(), first: None, held: None };
        let is_stream =
            path == Path::new("-") || fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        if let Ok(mut content) = segment.content(|file| file) {
            let (front, _) = front(&mut content);
            segment.first = first_time(&front);
            segment.held = is_stream.then(|| Box::new(Cursor::new(front).chain(content)) as Box<dyn Read>);
        }
        segment
    }

    /// A file that lies beside the journal, if it is a segment, or a compressed file that may be one: then the error
    /// shows when it is read.
    fn found(path: PathBuf) -> Option<Segment> {
        let mut segment = Segment { path, first: None, held: None };
        let Ok(mut content) = segment.content(|file| file) else { return Some(segment) };
        let (front, error) = front(&mut content);
        segment.first = first_time(&front);
        (segment.first.is_some() || error.is_some()).then_some(segment)
    }

    /// Opens it for reading from its beginning.
    pub(crate) fn open<'a>(&mut self, progress: &'a Progress) -> Result<Input<'a>, ToolError> {
        let content: Box<dyn Read + 'a> = match self.held.take() {
            Some(held) => Box::new(progress.count(held)),
            None => self
                .content(|file| Box::new(progress.count(file)))
                .map_err(|error| unreadable(&self.path, error))?,
        };
        Ok(Reader::new(content))
    }

    /// The plain content; `wrap` is put around what is read of the file itself.
    fn content<'a>(
        &self,
        wrap: impl FnOnce(Box<dyn Read>) -> Box<dyn Read + 'a>,
    ) -> io::Result<Box<dyn Read + 'a>> {
        let file: Box<dyn Read> = if self.path == Path::new("-") {
            Box::new(io::stdin())
        } else {
            Box::new(open_file(&self.path)?)
        };
        plain(wrap(file))
    }
}

/// Opens a file. One that was found may be a pipe that nobody writes to; one that was named is waited for.
fn open_file(path: &Path) -> io::Result<File> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    if metadata.is_file() { file::open(path) } else { File::open(path) }
}

/// The beginning of some content, up to its first good line or as far as that is looked for, without the NULs before it;
/// and by which error it ended.
fn front(content: &mut impl Read) -> (Vec<u8>, Option<io::Error>) {
    let (mut front, mut padding) = (Vec::new(), 0);
    while front.len() < FRONT_BYTES && padding < MAX_PADDING_BYTES {
        match content.by_ref().take(CHUNK_BYTES).read_to_end(&mut front) {
            Err(error) => return (front, Some(error)),
            Ok(0) => break,
            Ok(_) if first_time(&front).is_some() => break,
            Ok(read) if front.iter().all(|byte| *byte == 0) => {
                padding += read;
                // One stays, for the run of which it is a part.
                front.truncate(1);
            }
            Ok(_) => {}
        }
    }
    (front, None)
}

/// The time of the first line that names itself, whether its event can be used or not.
fn first_time(mut bytes: &[u8]) -> Option<Timestamp> {
    let mut splitter = Splitter::default();
    while let Some((used, piece)) = splitter.next(bytes) {
        if let Piece::Line(line) = piece {
            let time = match decode(line) {
                Ok(line) => Some(line.envelope.time),
                Err(rejected) => rejected.envelope.map(|envelope| envelope.time),
            };
            if time.is_some() {
                return time;
            }
        }
        bytes = &bytes[used..];
    }
    None
}

/// What to say when `path` cannot be read, or not to its end.
pub(crate) fn unreadable(path: &Path, error: io::Error) -> ToolError {
    ToolError::Unreadable { name: label(&path.display().to_string()).into_owned(), source: error }
}

/// Reports a file that cannot be read; the others may be fine. The exit code to end with.
pub(crate) fn report(failure: ToolError, progress: &Progress) -> Result<u8, ToolError> {
    match failure {
        pipe @ ToolError::BrokenPipe => Err(pipe),
        failure => {
            progress.above(|| {
                say(&failure);
                Ok(())
            })?;
            Ok(failure.status())
        }
    }
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
    /// Progress through these, as far as their sizes are known.
    pub(crate) fn through(segments: &[Segment]) -> Progress {
        let sizes = segments.iter().map(|one| fs::metadata(&one.path).map_or(0, |metadata| metadata.len()));
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
                say(format_args!("{done} bytes read, {left} bytes left, about {seconds} s"));
            }
            None => say(format_args!("{done} bytes read")),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::symlink;

    use super::*;

    const GOOD: &str =
        r#"{"v":1,"writer":"w","seq":7,"time":"2026-01-31T09:30:00.000Z","event":"heartbeat"}"#;

    /// The names of what counts as a segment beside the journal, which may be a link.
    fn names(journal: &Path) -> Vec<String> {
        let Ok(segments) = rotated(journal) else { panic!("the directory can be read") };
        let name = |one: Segment| one.path.file_name().unwrap().to_string_lossy().into_owned();
        let mut names: Vec<_> = segments.into_iter().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_segment_is_what_the_exporter_takes_for_one() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        fs::write(place("journal.jsonl"), format!("{GOOD}\n")).unwrap();
        // After a loss of power, a long run of NULs stands before what was written later.
        fs::write(place("journal.jsonl.nuls"), format!("{}{GOOD}\n", "\0".repeat(1 << 20))).unwrap();
        fs::write(place("journal.jsonl.newer"), format!("{}\n", GOOD.replace("heartbeat", "comet"))).unwrap();
        fs::write(place("journal.jsonl.junk"), "no line\n".repeat(99)).unwrap();
        fs::write(place("journal.jsonl.deep"), format!("{}{GOOD}\n", "no line\n".repeat(20_000))).unwrap();
        fs::write(place("journal.jsonl-other.jsonl"), format!("{GOOD}\n")).unwrap();
        fs::create_dir(place("archive")).unwrap();
        fs::write(place("archive/kept"), format!("{GOOD}\n")).unwrap();
        symlink(place("archive/kept"), place("journal.jsonl.1")).unwrap();
        symlink(place("archive"), place("journal.jsonl.directory")).unwrap();
        assert_eq!(
            names(&place("journal.jsonl")),
            ["journal.jsonl.1", "journal.jsonl.newer", "journal.jsonl.nuls"]
        );
    }

    #[test]
    fn segments_beside_a_link_to_the_journal_are_its_own_too() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        fs::create_dir(place("data")).unwrap();
        for name in ["data/journal.jsonl", "data/journal.jsonl.1", "journal.jsonl.2"] {
            fs::write(place(name), format!("{GOOD}\n")).unwrap();
        }
        symlink(place("data/journal.jsonl"), place("journal.jsonl")).unwrap();
        assert_eq!(names(&place("journal.jsonl")), ["journal.jsonl.1", "journal.jsonl.2"]);
    }
}
