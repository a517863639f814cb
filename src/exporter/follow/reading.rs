//! Reading: the bytes of one segment from a position on, batch by batch, to its end or to the end of its turn. Where it
//! begins is found here, too: at the position of the version that the file holds, at the last mark up to which it holds
//! what was read before, or at its start.

use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use journal_schema::{SplitState, Splitter};

use super::content::{Agreement, Content, is_zero};
use super::front::front_of;
use super::look::{Found, Stamp};
use super::position::Version;
use super::segments::SegmentKey;
use super::{Follower, Go};
use crate::count::Source;

/// How long one file may be read in a round. What is left waits for the next, so that a file of any size, or a compressed
/// one that never ends, keeps no other waiting.
const TURN: Duration = Duration::from_millis(500);

/// Bytes read at once. Several of the longest lines, and small enough to stay in the processor's cache.
pub(super) const READ_BYTES: usize = 256 * 1024;

/// Where reading a file is, between two batches.
#[derive(Debug)]
pub(super) struct Reading<C = Content> {
    pub(super) key: SegmentKey,
    /// Of the segment's version.
    number: u32,
    told: u64,
    offset: u64,
    splitter: Splitter,
    content: C,
    /// Lines that were counted since it was opened.
    counted: u64,
    /// Why it cannot be read on, once it cannot: it is compressed, and ends early or is damaged or too large.
    broken: Option<io::Error>,
    /// The start of a line whose end was not read yet.
    rest: Vec<u8>,
    /// The compressed file that it is of, as it was when it was opened.
    pub(super) compressed: Option<Stamp>,
}

/// What became of reading on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) changed: bool,
    pub(super) end: End,
}

/// Where it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// At the end of the file.
    #[default]
    File,
    /// At the end of its turn.
    Turn,
    /// It was stopped.
    Stopped,
    /// Where it cannot be read on.
    Broken,
}

/// How a file can be read.
pub(super) enum Opened {
    At(Box<Reading>),
    /// It changed under the name, or is not what it seemed: another look is needed.
    Changed,
    /// There are more files than segments that can be remembered.
    NoRoom,
}

impl<C: Read> Reading<C> {
    pub(super) fn new(key: SegmentKey, version: &Version, content: C) -> Reading<C> {
        Reading {
            key,
            number: version.number,
            told: version.told,
            offset: version.position.offset,
            splitter: Splitter::resume(version.position.place),
            content,
            counted: 0,
            broken: None,
            rest: Vec::new(),
            compressed: None,
        }
    }

    /// Why it cannot be read on, with what of it was counted.
    pub(super) fn broken(&mut self) -> io::Error {
        let error = self.broken.take().unwrap_or_else(|| io::ErrorKind::InvalidData.into());
        let kind = if error.kind() == io::ErrorKind::UnexpectedEof {
            io::ErrorKind::InvalidData
        } else {
            error.kind()
        };
        let (offset, counted) = (self.offset, self.counted);
        let told = format!(
            "{error}; its lines up to byte {offset} of its content are counted, {counted} of them now"
        );
        io::Error::new(kind, told)
    }
}

impl Reading {
    /// Whether the file ends before its content does.
    pub(super) fn ends_early(&self) -> bool {
        self.broken.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
    }

    /// Whether it is of this segment in this file.
    pub(super) fn is_of(&self, key: SegmentKey, stamp: &Stamp) -> bool {
        self.key == key && self.compressed.is_some_and(|compressed| compressed.is_same_file(stamp))
    }

    /// Size of the compressed file.
    pub(super) fn size(&self) -> Option<u64> {
        self.compressed.map(|compressed| compressed.size)
    }
}

impl Follower {
    /// Opens a file where it is to be read on.
    pub(super) fn open(
        &mut self,
        found: &Found,
        key: SegmentKey,
        between: &mut dyn FnMut(&Follower) -> Go,
    ) -> io::Result<Opened> {
        let mut stop = || between(self) == Go::Stop;
        let versions = self.segments.versions(key);
        let is_suspect = found.is_replaced || self.is_changed_inside(found);
        for version in &versions {
            // That the last line stands where it stood says little of a file that was edited, and in a short one all
            // can be compared.
            if is_suspect || !found.is_assumed && version.is_short() {
                continue;
            }
            if !version.position.is_distinct() && matches!(key, SegmentKey::Line(_)) {
                continue;
            }
            let Some(mut content) = found.open()? else { return Ok(Opened::Changed) };
            if content.go_to(&version.position, &mut stop)? {
                return Ok(Opened::at(found, key, version, content));
            }
        }
        if found.is_assumed && !begins_as(found, key, &mut stop)? {
            // It is another segment, whose place in the order of reading is not known yet.
            self.forget_front(&found.path);
            return Ok(Opened::Changed);
        }
        self.open_version(found, key, &versions, between)
    }

    /// Opens a file that holds none of the versions where reading them ended: at the last point up to which it holds
    /// one of them.
    fn open_version(
        &mut self,
        found: &Found,
        key: SegmentKey,
        versions: &[Version],
        between: &mut dyn FnMut(&Follower) -> Go,
    ) -> io::Result<Opened> {
        let mut stop = || between(self) == Go::Stop;
        let mut best = None;
        for version in versions {
            let Some(mut content) = found.open()? else { return Ok(Opened::Changed) };
            match content.agreement(&version.trail, version.position.offset, &mut stop)? {
                Agreement::Whole => return Ok(Opened::at(found, key, version, content)),
                Agreement::UpTo(Some(mark)) if best.is_none_or(|(_, most)| mark > most) => {
                    best = Some((version, mark));
                }
                Agreement::UpTo(_) => {}
            }
        }
        let Some(mut content) = found.open()? else { return Ok(Opened::Changed) };
        if let Some((_, mark)) = best {
            content.skip(mark, &mut stop)?;
        }
        if !versions.is_empty() {
            tracing::warn!(
                file = %found.path.display(),
                from = best.map_or(0, |(_, mark)| mark),
                "a segment differs from what was read of it, or ends before; reading it from there, lines that were \
                 counted are recognised"
            );
        }
        let Some(version) = self.segments.begin(key, best, found.active || !found.belongs) else {
            return Ok(Opened::NoRoom);
        };
        Ok(Opened::at(found, key, &version, content))
    }

    /// Whether a file was written to without becoming longer. What was read of it may be another by now, though it
    /// ends as before.
    fn is_changed_inside(&self, found: &Found) -> bool {
        self.seen.get(&found.path).is_some_and(|before| {
            let (then, now) = (before.stamp, found.stamp);
            then.is_same_file(&now) && then.size == now.size && then.modified != now.modified
        })
    }

    /// Reads on, to the end of the file or of its turn. After each batch the positions agree with the metrics.
    pub(super) fn read_on<C: ReadOn>(
        &mut self,
        path: &Path,
        reading: &mut Reading<C>,
        has_turn: bool,
        between: &mut dyn FnMut(&Follower) -> Go,
    ) -> io::Result<Progress> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(READ_BYTES, 0);
        let ended = self.batches(path, reading, &mut buffer, has_turn, between);
        self.buffer = buffer;
        ended
    }

    fn batches<C: ReadOn>(
        &mut self,
        path: &Path,
        reading: &mut Reading<C>,
        buffer: &mut [u8],
        has_turn: bool,
        between: &mut dyn FnMut(&Follower) -> Go,
    ) -> io::Result<Progress> {
        let (began, mut progress) = (Instant::now(), Progress::default());
        let mut filled = reading.rest.len();
        buffer[..filled].copy_from_slice(&reading.rest);
        loop {
            let read = match reading.content.read(&mut buffer[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_broken(&error) => {
                    reading.broken = Some(error);
                    progress.end = End::Broken;
                    return Ok(progress);
                }
                read => read?,
            };
            if read == 0 {
                break;
            }
            let padding = filled == 0 && reading.splitter.state() == SplitState::InPadding;
            if padding && is_zero(&buffer[..read]) {
                self.pass(reading, read as u64)?;
            } else {
                filled = self.batch(path, reading, buffer, filled + read);
            }
            progress.changed = true;
            self.state.behind = self.state.behind.saturating_sub(read as u64);
            let is_over = has_turn && began.elapsed() >= TURN;
            let is_stopped = between(self) == Go::Stop;
            if is_over || is_stopped {
                reading.rest = buffer[..filled].to_vec();
                progress.end = if is_stopped { End::Stopped } else { End::Turn };
                return Ok(progress);
            }
        }
        if let Some(stamp) = reading.compressed {
            self.segments.finish(reading.key, reading.number, stamp.size, stamp.modified);
        }
        Ok(progress)
    }

    /// Counts what is there of a batch; says how many bytes are left at the front of the buffer.
    fn batch<C>(&mut self, path: &Path, reading: &mut Reading<C>, buffer: &mut [u8], filled: usize) -> usize {
        let source = Source { path, told: reading.told };
        let before: u64 = self.tally().events.iter().sum();
        let taken = self.counter.count(&buffer[..filled], reading.offset, &mut reading.splitter, source);
        reading.counted += self.tally().events.iter().sum::<u64>() - before;
        if let Some(version) = self.segments.version_mut(reading.key, reading.number) {
            version.advance(&buffer[..taken.used], taken.last_line, reading.splitter.state());
        }
        reading.offset += taken.used as u64;
        self.revision += 1;
        buffer.copy_within(taken.used..filled, 0);
        filled - taken.used
    }

    /// Passes over NULs within a run of them, and over the hole that may follow.
    fn pass<C: ReadOn>(&mut self, reading: &mut Reading<C>, read: u64) -> io::Result<()> {
        let passed = read + reading.content.pass_hole()?;
        if let Some(version) = self.segments.version_mut(reading.key, reading.number) {
            version.pass(passed);
        }
        reading.offset += passed;
        self.revision += 1;
        Ok(())
    }
}

/// What is read: a file, or a stream that has no holes.
pub(super) trait ReadOn: Read {
    /// Passes over the hole that begins here, if one does; says how many bytes it has.
    fn pass_hole(&mut self) -> io::Result<u64>;
}

impl ReadOn for Content {
    fn pass_hole(&mut self) -> io::Result<u64> {
        Content::pass_hole(self, u64::MAX)
    }
}

impl ReadOn for &mut dyn Read {
    fn pass_hole(&mut self) -> io::Result<u64> {
        Ok(0)
    }
}

/// Whether the front of a file says that it is this segment.
fn begins_as(found: &Found, key: SegmentKey, stop: &mut dyn FnMut() -> bool) -> io::Result<bool> {
    Ok(front_of(found, None, stop)?.is_some_and(|front| front.key == key))
}

/// Whether a compressed file cannot be read on, and will not be until it changes. What was read of it before counts.
fn is_broken(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, InvalidData, UnexpectedEof};
    matches!(error.kind(), FileTooLarge | InvalidData | UnexpectedEof)
}

impl Opened {
    fn at(found: &Found, key: SegmentKey, version: &Version, content: Content) -> Opened {
        let compressed = content.is_compressed().then_some(found.stamp);
        Opened::At(Box::new(Reading { compressed, ..Reading::new(key, version, content) }))
    }
}
