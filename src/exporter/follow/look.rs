//! A look at the file system: which files belong to the journal at this moment, and opening them safely.
//!
//! The thin shell around [`super::segments`]. It believes no name: whatever stands under one may be a pipe, a device
//! or a loop of links, so a file is opened without waiting and asked what it is.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufReader, Read, Seek as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use journal_schema::compressed::{Compression, Decoder};
use journal_schema::{Piece, Place, Splitter, decode, limits::MAX_LINE_BYTES};
use rustix::fs::OFlags;

use super::segments::{Front, Mark, Position};
use crate::watch::directory_of;

/// How far into a file its first usable line is looked for, runs of NULs not counted: two lines of the longest kind.
const FRONT_BYTES: usize = 2 * MAX_LINE_BYTES;

/// How long the names in a directory are believed while its times say that they are the same. Not for ever: there are
/// file systems whose times say nothing.
const LISTING_INTERVAL: Duration = Duration::from_secs(10);

/// Times of files come from a clock that ticks this rarely at worst, on the kernels in use.
const CLOCK_TICK: Duration = Duration::from_millis(20);

/// Files of the journal at one moment.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// In the order of their names, the active one first.
    pub(crate) files: Vec<Found>,
    /// Why there is no active file, if there is none.
    pub(crate) trouble: Option<String>,
}

/// Looks again and again, and so need not list a directory in which nothing came or went.
#[derive(Debug, Default)]
pub(crate) struct Lookout {
    listings: Vec<Listing>,
}

/// The rotated segments of a journal, by their names alone.
#[derive(Debug)]
struct Listing {
    journal: PathBuf,
    /// What their directory was like before it was listed.
    stamp: Stamp,
    listed: Instant,
    segments: Vec<PathBuf>,
}

/// A file that belongs to the journal.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) stamp: Stamp,
    /// Whether it stands under the journal's own name.
    pub(crate) active: bool,
    /// Whether it was found beside the journal, and not given by hand.
    pub(crate) belongs: bool,
    /// Whether it changed so short a time ago that its times may not tell another change.
    pub(crate) is_fresh: bool,
}

/// What changes when a file changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified: i128,
    changed: i128,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the file changed within the last tick before `now`, or after it by a clock that was set back.
    fn is_fresh(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let settled = now.saturating_sub(CLOCK_TICK).as_nanos();
        i128::try_from(settled).is_ok_and(|settled| self.changed > settled)
    }

    pub(super) fn is_same_file(&self, other: &Stamp) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl Found {
    fn new(path: PathBuf, metadata: &Metadata, now: SystemTime) -> Found {
        let stamp = Stamp::of(metadata);
        Found { path, stamp, active: false, belongs: true, is_fresh: stamp.is_fresh(now) }
    }

    fn compression(&self) -> Option<Compression> {
        Compression::of(&self.path)
    }

    /// Whether the file is compressed, by its name.
    pub(crate) fn is_compressed(&self) -> bool {
        self.compression().is_some()
    }

    /// What the file would be compressed from, if it belongs to a journal and is compressed.
    pub(crate) fn plain(&self) -> Option<PathBuf> {
        (self.belongs && self.is_compressed()).then(|| self.path.with_extension(""))
    }

    /// Opens the file; `None` if another file stands under its name by now, or none.
    pub(crate) fn open(&self) -> io::Result<Option<Content>> {
        let file = match open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let metadata = file.metadata()?;
        if !Stamp::of(&metadata).is_same_file(&self.stamp) || !metadata.is_file() {
            return Ok(None);
        }
        if let Some(compression) = self.compression() {
            let file = BufReader::with_capacity(64 * 1024, file);
            return compression.decode(file).map(Content::Compressed).map(Some);
        }
        // An older segment is read to its end; the active one only as far as it reached when the look began, so
        // that no line is read before one that its writer wrote earlier, to a segment that was read before.
        let limit = if self.active { self.stamp.size } else { u64::MAX };
        Ok(Some(Content::Plain(file.take(limit))))
    }

    /// What the front of the file says; `None` if another file stands under its name by now. `before` is what it
    /// said at an earlier look, which spares a search through damage that stands before the first usable line.
    pub(crate) fn front(&self, before: Option<&Front>) -> io::Result<Option<Front>> {
        if let Some((before, mark)) = before.and_then(|before| Some((before, before.mark?))) {
            let Some(mut content) = self.open()? else { return Ok(None) };
            if content.has_line(&mark).or_else(is_shorter)? {
                return Ok(Some(before.clone()));
            }
        }
        let Some(content) = self.open()? else { return Ok(None) };
        Ok(Some(search(content)?.unwrap_or_else(|| Front::of_file(self.stamp.device, self.stamp.inode))))
    }
}

/// The first usable line, if there is one within the limit.
fn search(mut content: Content) -> io::Result<Option<Front>> {
    let (mut splitter, mut bytes, mut passed, mut at) = (Splitter::default(), Vec::new(), 0, 0);
    let mut chunk = [0; 8192];
    while passed < FRONT_BYTES {
        let read = match content.read(&mut chunk) {
            // A compressed file that is still being written ends early; what is there may suffice.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            read => read?,
        };
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(&chunk[..read]);
        let mut used = 0;
        while let Some((step, piece)) = splitter.next(&bytes[used..]) {
            if let Piece::Line(line) = piece
                && let Some(envelope) = envelope_of(line)
            {
                return Ok(Some(Front::of_line(line, at, &envelope)));
            }
            used += step;
            at += step as u64;
            if splitter.place() != Place::InPadding {
                passed += step;
            }
        }
        bytes.drain(..used);
    }
    Ok(None)
}

/// An open file, its uncompressed content.
#[derive(Debug)]
pub(crate) enum Content {
    Plain(io::Take<File>),
    Compressed(Decoder<BufReader<File>>),
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Content::Plain(file) => file.read(buffer),
            Content::Compressed(file) => file.read(buffer),
        }
    }
}

impl Content {
    /// Goes to a position, if what stands before it is what was read. To be asked at the start of the content.
    pub(crate) fn go_to(&mut self, position: &Position) -> io::Result<bool> {
        self.holds(position).or_else(is_shorter)
    }

    fn holds(&mut self, position: &Position) -> io::Result<bool> {
        let mut at = 0;
        if let Some(mark) = &position.line {
            if !self.has_line(mark)? {
                return Ok(false);
            }
            at = mark.start + u64::from(mark.bytes) + 1;
        }
        self.skip(position.offset - position.tail.len() as u64 - at)?;
        let mut tail = vec![0; position.tail.len()];
        self.read_exact(&mut tail)?;
        Ok(tail == position.tail)
    }

    /// Whether this line stands where it stood. To be asked at the start of the content; goes behind its LF.
    fn has_line(&mut self, mark: &Mark) -> io::Result<bool> {
        self.skip(mark.start)?;
        let mut line = vec![0; mark.bytes as usize + 1];
        self.read_exact(&mut line)?;
        Ok(line.pop() == Some(b'\n') && mark.is_of(&line))
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match self {
            Content::Plain(file) => {
                let limit = file.limit().checked_sub(bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
                file.get_mut().seek_relative(i64::try_from(bytes).unwrap_or(i64::MAX))?;
                file.set_limit(limit);
            }
            Content::Compressed(file) => {
                if io::copy(&mut file.take(bytes), &mut io::sink())? < bytes {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        Ok(())
    }
}

/// The answer to whether a file holds something, where it ended before that could be seen.
fn is_shorter(error: io::Error) -> io::Result<bool> {
    if error.kind() == io::ErrorKind::UnexpectedEof { Ok(false) } else { Err(error) }
}

/// The envelope of a line, whether its event can be used or not.
fn envelope_of(line: &[u8]) -> Option<journal_schema::Envelope<'_>> {
    match decode(line) {
        Ok(line) => Some(line.envelope),
        Err(rejected) => rejected.envelope,
    }
}

impl Lookout {
    /// Looks for the journal `path` and its rotated segments: files beside it whose names go on with `.` or `-`.
    ///
    /// The active file is looked at first: whatever is found in the others then was written before they were read.
    pub(crate) fn look(&mut self, path: &Path) -> Look {
        let (mut look, now) = (Look::default(), SystemTime::now());
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => {
                look.files.push(Found { active: true, ..Found::new(path.to_owned(), &metadata, now) });
            }
            Ok(metadata) => look.trouble = Some(format!("it is {}, not a regular file", kind(&metadata))),
            Err(error) => look.trouble = Some(error.to_string()),
        }
        let mut places = vec![path.to_owned()];
        // Behind a symbolic link the segments stand beside its target.
        if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
            && let Ok(target) = fs::canonicalize(path)
        {
            places.push(target);
        }
        self.listings.retain(|listing| places.contains(&listing.journal));
        for place in places {
            for path in self.rotated(place, now) {
                let Ok(metadata) = fs::metadata(&path) else { continue };
                let found = Found::new(path, &metadata, now);
                if metadata.is_file()
                    && !look.files.iter().any(|other| other.stamp.is_same_file(&found.stamp))
                {
                    look.files.push(found);
                }
            }
        }
        look
    }

    /// What stands beside the journal under names that go on from its own.
    fn rotated(&mut self, journal: PathBuf, now: SystemTime) -> Vec<PathBuf> {
        let directory = directory_of(&journal);
        // No directory, no segments: the active file's trouble tells why.
        let Ok(stamp) = fs::metadata(directory).map(|metadata| Stamp::of(&metadata)) else {
            return Vec::new();
        };
        let known = self.listings.iter().position(|listing| listing.journal == journal);
        if let Some(known) = known {
            let listing = &self.listings[known];
            if listing.stamp == stamp && listing.listed.elapsed() < LISTING_INTERVAL {
                return listing.segments.clone();
            }
            self.listings.swap_remove(known);
        }
        let segments = list(directory, &journal);
        // What came or went within the same tick would not show.
        if !stamp.is_fresh(now) {
            self.listings.push(Listing {
                journal,
                stamp,
                listed: Instant::now(),
                segments: segments.clone(),
            });
        }
        segments
    }
}

fn list(directory: &Path, journal: &Path) -> Vec<PathBuf> {
    let (Some(name), Ok(entries)) = (journal.file_name(), fs::read_dir(directory)) else { return Vec::new() };
    let mut segments: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| {
            let entry = entry.file_name();
            let rest = entry.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
            rest.is_some_and(|rest| rest.len() > 1 && matches!(rest[0], b'.' | b'-'))
        })
        .map(|entry| entry.path())
        .collect();
    segments.sort();
    segments
}

/// One file that is said to be a segment, whatever its name.
pub(crate) fn file(path: &Path) -> io::Result<Found> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other(format!("it is {}, not a regular file", kind(&metadata))));
    }
    Ok(Found { belongs: false, ..Found::new(path.to_owned(), &metadata, SystemTime::now()) })
}

/// Opens for reading without waiting: a pipe without a writer would block for ever.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}
