//! The content of one file: opened safely, plain or compressed as its first bytes say, from a position on.
//!
//! It does not trust names: a path may be a pipe, a device or a loop of links. So a file is opened without waiting, and
//! its type is checked afterwards. Holes are skipped, not read. The content of a compressed file is bounded: a few
//! megabytes of it can hold terabytes. Knows no segment that was read before, only positions in this one.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use journal_schema::compressed::{Compression, Decoder};
use rustix::io::Errno;
use terminal::file;

use super::look::{Found, Stamp};
use super::position::{Mark, Position};
use super::trail::{Trail, summed_up};

/// Bytes looked at where content is compared, not counted.
const COMPARE_BYTES: usize = 256 * 1024;

/// Bytes of content that any compressed file may have.
const ANY_CONTENT_BYTES: u64 = 256 * 1024 * 1024;

/// Beyond that, how many times larger than the file its content may be. Lines differ by their numbers and times at least,
/// so a journal becomes a hundredth at best.
const MAX_RATIO: u64 = 200;

/// An open file, its uncompressed content.
#[derive(Debug)]
pub(crate) enum Content {
    /// As long as it is to be read.
    Plain(io::Take<File>),
    /// With the bytes of content that it may still have, and how large the file is.
    Compressed(Box<Decoder<BufReader<File>>>, u64, u64),
}

/// Up to where a file holds what was read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// All of it.
    Whole,
    /// Up to this mark of the trail, or to none; then it differs, or ends.
    UpTo(Option<u64>),
}

/// Reading was stopped by who asked for it, before it came to an answer.
#[derive(Debug)]
struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("stopped before its end")
    }
}

impl std::error::Error for Stopped {}

/// Fails where `stop` says so.
pub(crate) fn ask(stop: &mut dyn FnMut() -> bool) -> io::Result<()> {
    if stop() { Err(io::Error::other(Stopped)) } else { Ok(()) }
}

/// Whether reading ended because it was stopped.
pub(crate) fn is_stopped(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Stopped>())
}

/// How the file is compressed, as its first bytes say; as its name says, if it is too short to have any.
fn compression(file: &File, path: &Path) -> io::Result<Option<Compression>> {
    use std::os::unix::fs::FileExt as _;
    let (mut front, mut filled) = ([0; Compression::MAGIC_BYTES], 0);
    while filled < front.len() {
        match file.read_at(&mut front[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let front = &front[..filled];
    if filled < 2 {
        // The first byte of a file that is being written may be there alone.
        return Ok(Compression::of(path));
    }
    Ok(Compression::of_content(front))
}

impl Found {
    /// Opens the file; `None` if another file stands under its name by now, or none.
    pub(crate) fn open(&self) -> io::Result<Option<Content>> {
        let file = match file::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let metadata = file.metadata()?;
        if !Stamp::of(&metadata).is_same_file(&self.stamp) || !metadata.is_file() {
            return Ok(None);
        }
        if let Some(compression) = compression(&file, &self.path)? {
            let size = metadata.len();
            let most = size.saturating_mul(MAX_RATIO).saturating_add(ANY_CONTENT_BYTES);
            let file = BufReader::with_capacity(64 * 1024, file);
            return compression
                .decode(file)
                .map(|decoder| Some(Content::Compressed(Box::new(decoder), most, size)));
        }
        // An older segment is read to its end; the active one only as far as it reached when the look began, so
        // that no line is read before one that its writer wrote earlier, to a segment that was read before.
        let limit = if self.active { self.stamp.size } else { u64::MAX };
        Ok(Some(Content::Plain(file.take(limit))))
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Content::Plain(file) => file.read(buffer),
            Content::Compressed(_, 0, size) => {
                let told = format!(
                    "its content is more than {MAX_RATIO} times as large as the file of {size} bytes, as no journal's \
                     is; compress it anew if it is one"
                );
                Err(io::Error::new(io::ErrorKind::FileTooLarge, told))
            }
            Content::Compressed(decoder, left, _) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                let read = decoder.read(&mut buffer[..most])?;
                *left -= read as u64;
                Ok(read)
            }
        }
    }
}

impl Content {
    pub(crate) fn is_compressed(&self) -> bool {
        matches!(self, Content::Compressed(..))
    }

    /// Whether there is any content within the first `bytes`. To be asked at its start.
    pub(crate) fn has_any(&mut self, bytes: u64) -> io::Result<bool> {
        Ok(io::copy(&mut self.by_ref().take(bytes), &mut io::sink())? > 0)
    }

    /// Goes to a position, if what stands right before it is what was read. To be asked at the start of the content;
    /// `stop` is asked now and then.
    pub(crate) fn go_to(&mut self, position: &Position, stop: &mut dyn FnMut() -> bool) -> io::Result<bool> {
        self.holds(position, stop).or_else(is_shorter)
    }

    fn holds(&mut self, position: &Position, stop: &mut dyn FnMut() -> bool) -> io::Result<bool> {
        let mut at = 0;
        if let Some(mark) = &position.line {
            if !self.has_line(mark, stop)? {
                return Ok(false);
            }
            at = mark.start + u64::from(mark.bytes) + 1;
        }
        self.skip(position.offset - position.tail.len() as u64 - at, stop)?;
        let mut tail = vec![0; position.tail.len()];
        self.read_exact(&mut tail)?;
        Ok(tail == position.tail)
    }

    /// Whether this line stands where it stood. To be asked at the start of the content; goes behind its LF.
    pub(crate) fn has_line(&mut self, mark: &Mark, stop: &mut dyn FnMut() -> bool) -> io::Result<bool> {
        self.skip(mark.start, stop)?;
        let mut line = vec![0; mark.bytes as usize + 1];
        self.read_exact(&mut line)?;
        Ok(line.pop() == Some(b'\n') && mark.is_of(&line))
    }

    /// Up to where it holds what was read, of which this is the trail and `end` the length. To be asked at the start of
    /// the content; `stop` is asked now and then.
    pub(crate) fn agreement(
        &mut self,
        trail: &Trail,
        end: u64,
        stop: &mut dyn FnMut() -> bool,
    ) -> io::Result<Agreement> {
        let (mut at, mut sum, mut agreed) = (trail.start(), 0, None);
        match self.skip(at, stop) {
            Err(error) if is_end(&error) => return Ok(Agreement::UpTo(None)),
            skipped => skipped?,
        }
        let mut buffer = vec![0; COMPARE_BYTES];
        for point in trail.points(end) {
            while at < point.at {
                ask(stop)?;
                let wanted = usize::try_from(point.at - at).unwrap_or(usize::MAX).min(buffer.len());
                let read = match self.read(&mut buffer[..wanted]) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) if is_end(&error) => 0,
                    read => read?,
                };
                if read == 0 {
                    return Ok(Agreement::UpTo(agreed));
                }
                sum = summed_up(sum, &buffer[..read]);
                at += read as u64;
                if is_zero(&buffer[..read]) {
                    at += self.pass_hole(point.at - at)?;
                }
            }
            if sum != point.sum {
                return Ok(Agreement::UpTo(agreed));
            }
            agreed = Some(point.at);
        }
        Ok(Agreement::Whole)
    }

    /// Passes over the hole that begins here, if one does, and over `most` bytes at most; says over how many.
    pub(crate) fn pass_hole(&mut self, most: u64) -> io::Result<u64> {
        let Content::Plain(file) = self else { return Ok(0) };
        let limit = file.limit();
        let inner = file.get_mut();
        let (here, size) = (inner.stream_position()?, inner.metadata()?.len());
        let data = match rustix::fs::seek(&*inner, rustix::fs::SeekFrom::Data(here)) {
            Ok(data) => data,
            // No data behind this: a hole up to the end.
            Err(Errno::NXIO) => size,
            // A file system that knows no holes.
            Err(_) => here,
        };
        let passed = data.saturating_sub(here).min(most).min(limit);
        inner.seek(SeekFrom::Start(here + passed))?;
        file.set_limit(limit - passed);
        Ok(passed)
    }

    /// Passes over so many bytes.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if there are fewer; one that [`is_stopped`] knows if `stop` said so.
    pub(crate) fn skip(&mut self, bytes: u64, stop: &mut dyn FnMut() -> bool) -> io::Result<()> {
        match self {
            Content::Plain(file) => {
                let limit = file.limit().checked_sub(bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
                file.get_mut().seek_relative(i64::try_from(bytes).unwrap_or(i64::MAX))?;
                file.set_limit(limit);
            }
            Content::Compressed(..) => {
                let mut left = bytes;
                while left > 0 {
                    ask(stop)?;
                    let step = left.min(COMPARE_BYTES as u64);
                    if io::copy(&mut self.by_ref().take(step), &mut io::sink())? < step {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    left -= step;
                }
            }
        }
        Ok(())
    }
}

/// Whether these bytes are NULs alone.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| *chunk == ZEROS[..chunk.len()])
}

/// The answer to whether a file holds something, where it ended, or its good part, before that could be seen.
pub(crate) fn is_shorter(error: io::Error) -> io::Result<bool> {
    if is_end(&error) { Ok(false) } else { Err(error) }
}

/// Whether there is nothing more to be read: the file is at its end, or where it is damaged.
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
}
