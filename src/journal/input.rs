//! Journals to read: the files that are given, or all segments of a journal, plain or compressed; and standard input.
//!
//! How a file is compressed and whether it is a segment at all, its content says and not its name. A file is read once,
//! so that a pipe is as good as a file. Progress goes to standard error.

use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use journal_schema::compressed::Compression;
use journal_schema::limits::MAX_LINE_BYTES;
use journal_schema::{Piece, Reader, Splitter, decode};
use rustix::fs::OFlags;
use terminal::printable::line as label;

use crate::{ToolError, say};

/// Where the journal is unless a flag or a variable says otherwise.
pub(crate) const JOURNAL: &str = "/var/lib/etcha/journal.jsonl";

/// How far into a file its first good line is looked for: a few of the longest kind. What has none by then is put in
/// order by its name, and is no segment unless it was given by name.
const FRONT_BYTES: usize = 4 * MAX_LINE_BYTES;

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
/// whose content begins as a segment's does.
pub(crate) fn rotated(journal: &Path) -> Result<Vec<Segment>, ToolError> {
    // A link is followed: segments are beside the file that it leads to.
    let real = fs::canonicalize(journal).unwrap_or_else(|_| journal.to_owned());
    let (Some(name), Some(directory)) = (real.file_name(), real.parent()) else { return Ok(Vec::new()) };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => return Err(unreadable(directory, error)),
    };
    let mut segments = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(directory, error))?;
        if is_longer(&entry.file_name(), name) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            segments.extend(Segment::found(entry.path()));
        }
    }
    sort(&mut segments);
    Ok(segments)
}

fn is_longer(found: &OsStr, name: &OsStr) -> bool {
    let rest = found.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
    rest.is_some_and(|rest| matches!(rest.first(), Some(b'.' | b'-')))
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
        let mut file = wrap(file);
        let mut magic = Vec::new();
        file.by_ref().take(Compression::MAGIC_BYTES as u64).read_to_end(&mut magic)?;
        let compression = Compression::of_content(&magic);
        let whole = Cursor::new(magic).chain(file);
        Ok(match compression {
            None => Box::new(whole),
            Some(compression) => Box::new(compression.decode(BufReader::new(whole))?),
        })
    }
}

/// Opens a file. One that was found may be a pipe that nobody writes to; one that was named is waited for.
fn open_file(path: &Path) -> io::Result<File> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    let mut options = File::options();
    if metadata.is_file() {
        options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    }
    options.read(true).open(path)
}

/// The beginning of some content, up to its first good line or as far as that is looked for; and by which error it ended.
fn front(content: &mut impl Read) -> (Vec<u8>, Option<io::Error>) {
    let mut front = Vec::new();
    while front.len() < FRONT_BYTES {
        match content.by_ref().take(CHUNK_BYTES).read_to_end(&mut front) {
            Err(error) => return (front, Some(error)),
            Ok(0) => break,
            Ok(_) if first_time(&front).is_some() => break,
            Ok(_) => {}
        }
    }
    (front, None)
}

/// The time of the first good line.
fn first_time(mut bytes: &[u8]) -> Option<Timestamp> {
    let mut splitter = Splitter::default();
    while let Some((used, piece)) = splitter.next(bytes) {
        if let Piece::Line(line) = piece
            && let Ok(line) = decode(line)
        {
            return Some(line.envelope.time);
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
