//! Following the journal: bytes to lines to events, each counted once.
//!
//! # Layout
//!
//! * `look`: which files there are. The only room here that touches the file system.
//! * `segments`: what is known of each file, and in which order they are read. Pure.
//! * `lines`: the bytes of one segment, counted line by line.
//! * `sequence`: which lines of which writer were counted. Pure.
//! * `tally`: numbers that say what was read.
//! * [`tail`]: the thread that does this again and again; the `watch` tells it when to hurry, `pace` when not to.
//! * this file: one round of it.
//!
//! The file system is the truth: a round looks at everything there is and reads what lies beyond the known
//! positions. It does not matter what happened in between, or whether anybody told.

mod lines;
mod look;
mod pace;
mod segments;
mod sequence;
pub mod tail;
mod tally;

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use journal_schema::Reason;
use journal_schema::glance::Glancer;
use journal_schema::limits::MAX_LINE_BYTES;
use serde::{Deserialize, Serialize};

use self::lines::{Batches, Source};
use self::look::{Content, Found, Look, Lookout, Stamp};
use self::segments::{Front, SegmentKey, Segments, SegmentsRecord, Version, reading_order};
use self::sequence::{Writers, WritersRecord};
use super::metrics::Metrics;

pub use self::segments::DEFAULT_MAX_SEGMENTS;
pub use self::sequence::DEFAULT_MAX_WRITERS;
pub use self::tally::{JournalState, Tally};

/// Bytes read at once. Several of the longest lines, and small enough to stay in the processor's cache.
const READ_BYTES: usize = 256 * 1024;

/// What a follower takes at most, and how much it remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of a line with its LF. A longer one is passed over and counted; more than the contract allows is never
    /// taken.
    pub line_bytes: usize,
    /// Writers remembered.
    pub writers: usize,
    /// Segments remembered.
    pub segments: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { line_bytes: MAX_LINE_BYTES, writers: DEFAULT_MAX_WRITERS, segments: DEFAULT_MAX_SEGMENTS }
    }
}

/// Follows one journal.
#[derive(Debug)]
pub struct Follower {
    journal: PathBuf,
    /// Bytes that a line may have with its LF.
    line_bytes: usize,
    metrics: Metrics,
    segments: Segments,
    writers: Writers,
    tally: Tally,
    lookout: Lookout,
    /// What each file was like when it was last read.
    seen: HashMap<PathBuf, Seen>,
    /// Compressed files that stood beside the plain ones they are made from, at the last look.
    growing: HashMap<PathBuf, Stamp>,
    /// Why files could not be read, so that it is said once.
    failing: HashMap<PathBuf, io::ErrorKind>,
    /// What was said of which segment, so that it is said once.
    told: HashSet<(SegmentKey, Reason)>,
    /// The first file that could not be read in the last round.
    failed: Option<(PathBuf, io::Error)>,
    state: JournalState,
    buffer: Vec<u8>,
    glancer: Glancer,
    /// Room for taking labels apart.
    scratch: Vec<u8>,
}

/// What a file was like.
#[derive(Clone, Debug)]
struct Seen {
    stamp: Stamp,
    /// Whether the stamp would tell any change since.
    is_settled: bool,
    /// Whether it is compressed, and damaged or in a form that is not read here: it is of no use to try again until it
    /// changes.
    is_damaged: bool,
    front: Front,
}

impl Seen {
    /// Whether a file is most likely this one with more behind it. Its front is then not looked at again: that the last
    /// line read still stands where it stood says as much, and is asked in any case.
    fn goes_on_as(&self, found: &Found) -> bool {
        self.front.mark.is_some()
            && !found.is_compressed()
            && self.stamp.is_same_file(&found.stamp)
            && self.stamp.size <= found.stamp.size
    }
}

/// What a checkpoint keeps of a follower beside the metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowRecord {
    segments: SegmentsRecord,
    writers: WritersRecord,
    tally: Tally,
}

impl FollowRecord {
    /// What was read.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Each segment known, by the digest of its first line, and how many of its bytes were read.
    pub fn positions(&self) -> impl Iterator<Item = (String, u64)> {
        self.segments.positions()
    }
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Whether anything was read.
    pub changed: bool,
    /// Whether files moved under the round, so that another should follow at once.
    pub again: bool,
    /// Whether it was stopped before its end.
    pub stopped: bool,
}

/// What the one who runs a round says between two batches of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// Go on.
    On,
    /// Stop here; the next round goes on from here.
    Stop,
}

impl Follower {
    /// A follower that has read nothing yet.
    pub fn new(journal: &Path, metrics: Metrics, bounds: Bounds) -> Follower {
        Follower::restore(journal, metrics, FollowRecord::default(), bounds)
    }

    /// A follower that goes on from a record.
    pub fn restore(journal: &Path, metrics: Metrics, record: FollowRecord, bounds: Bounds) -> Follower {
        Follower {
            journal: journal.to_owned(),
            line_bytes: bounds.line_bytes,
            metrics,
            segments: Segments::restore(record.segments, bounds.segments),
            writers: Writers::restore(record.writers, bounds.writers),
            tally: record.tally,
            lookout: Lookout::default(),
            seen: HashMap::new(),
            growing: HashMap::new(),
            failing: HashMap::new(),
            told: HashSet::new(),
            failed: None,
            state: JournalState::default(),
            buffer: Vec::new(),
            glancer: Glancer::default(),
            scratch: Vec::new(),
        }
    }

    /// What a later process needs to go on from here, beside the metrics.
    pub fn record(&self) -> FollowRecord {
        FollowRecord {
            segments: self.segments.record(),
            writers: self.writers.record(),
            tally: self.tally.clone(),
        }
    }

    /// The path it follows.
    pub fn journal(&self) -> &Path {
        &self.journal
    }

    /// What was counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What was read.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How the journal was found.
    pub fn state(&self) -> JournalState {
        JournalState {
            segments: self.segments.len(),
            rewinds: self.segments.rewinds(),
            writers: self.writers.len(),
            writers_forgotten: self.writers.forgotten(),
            missing: self.writers.missing(),
            ..self.state.clone()
        }
    }

    /// Looks at all there is and reads what was not read yet, oldest first. `between` is asked after each batch.
    pub fn round(&mut self, between: &mut dyn FnMut(&Follower) -> Go) -> Round {
        let look = self.lookout.look(&self.journal);
        self.round_over(look, between)
    }

    /// Reads segments given by hand, each once, oldest first, whatever they are called.
    ///
    /// # Errors
    ///
    /// The first file that cannot be read. What was read before it counts.
    pub fn replay(
        &mut self,
        paths: &[PathBuf],
        between: &mut dyn FnMut(&Follower) -> Go,
    ) -> Result<(), (PathBuf, io::Error)> {
        let mut files = Vec::new();
        for path in paths {
            files.push(look::file(path).map_err(|error| (path.clone(), error))?);
        }
        self.round_over(Look { files, trouble: None }, between);
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Reads a stream as if it were a segment.
    ///
    /// # Errors
    ///
    /// If the stream fails. What was read before counts.
    pub fn replay_stream(&mut self, name: &Path, content: &mut dyn Read) -> io::Result<()> {
        let key = Front::of_file(u64::MAX, u64::MAX).key;
        let mut buffer = vec![0; READ_BYTES];
        let (number, _) = self.segments.begin(key);
        let source = Source { key, version: (number, Version::default()), path: name, compressed: None };
        self.batches(&source, content, &mut buffer, &mut |_| Go::On)?;
        Ok(())
    }

    fn round_over(&mut self, look: Look, between: &mut dyn FnMut(&Follower) -> Go) -> Round {
        let Look { files, trouble } = look;
        let mut round = Round::default();
        self.failed = None;
        self.state = JournalState { trouble, files: files.len(), ..JournalState::default() };
        let is_there = |path: &PathBuf| files.iter().any(|found| found.path == *path);
        self.seen.retain(|path, _| is_there(path));
        self.growing.retain(|path, _| is_there(path));
        self.failing.retain(|path, _| is_there(path));
        let waiting = self.changed_files(files, &mut round);
        self.state.behind = waiting.iter().map(|(found, front)| self.unread(found, front)).sum();
        let fronts: Vec<_> = waiting.iter().map(|(found, front)| (front.clone(), found.active)).collect();
        let mut left_behind = 0;
        for at in reading_order(&fronts) {
            let (found, front) = &waiting[at];
            if self.is_in_the_making(found, front, &waiting) {
                continue;
            }
            match self.read(found, front, &mut round, between) {
                Ok(()) => {}
                Err(error) => {
                    self.cannot_read(found, front, &error);
                    left_behind += self.unread(found, front);
                }
            }
            if round.stopped {
                return round;
            }
        }
        self.state.behind = left_behind;
        round
    }

    /// The files that look otherwise than when they were last read, with what their fronts say.
    fn changed_files(&mut self, files: Vec<Found>, round: &mut Round) -> Vec<(Found, Front)> {
        let mut changed = Vec::new();
        for found in files {
            let before = self.seen.get(&found.path);
            if let Some(before) = before
                && before.is_settled
                && before.stamp == found.stamp
            {
                self.state.unreadable += usize::from(before.is_damaged);
                continue;
            }
            let known = before.filter(|before| before.goes_on_as(&found)).map(|before| before.front.clone());
            let front = match known {
                Some(front) => Ok(Some(front)),
                None => found.front(before.map(|before| &before.front)),
            };
            let nameless = Front::of_file(found.stamp.device, found.stamp.inode);
            match front {
                Ok(Some(front)) => {
                    self.segments.rename(nameless.key, front.key);
                    changed.push((found, front));
                }
                Ok(None) => round.again = true,
                Err(error) => self.cannot_read(&found, &nameless, &error),
            }
        }
        changed
    }

    /// Whether a compressed file is being made from a plain one that is still there: it changes from look to look.
    /// Looking into it at each of its growths would cost more than all other reading.
    fn is_in_the_making(&mut self, found: &Found, front: &Front, waiting: &[(Found, Front)]) -> bool {
        let Some(plain) = found.plain() else { return false };
        let has_plain = waiting.iter().any(|(other, of)| other.path == plain && of.key == front.key)
            || self.seen.get(&plain).is_some_and(|before| before.front.key == front.key);
        has_plain && self.growing.insert(found.path.clone(), found.stamp) != Some(found.stamp)
    }

    /// Bytes of the file that were not read. Of a compressed one only its size on disk is known.
    fn unread(&mut self, found: &Found, front: &Front) -> u64 {
        if found.is_compressed() {
            let finished = self.segments.is_finished(front.key, found.stamp.size, found.stamp.modified);
            return if finished { 0 } else { found.stamp.size };
        }
        found.stamp.size.saturating_sub(self.segments.offset(front.key))
    }

    /// Reads what lies beyond the known position of one file.
    fn read(
        &mut self,
        found: &Found,
        front: &Front,
        round: &mut Round,
        between: &mut dyn FnMut(&Follower) -> Go,
    ) -> io::Result<()> {
        let (key, stamp) = (front.key, found.stamp);
        if found.active && matches!(key, SegmentKey::Line(_)) && self.tally.active != Some(key) {
            self.tally.rotations += u64::from(self.tally.active.is_some());
            self.tally.active = Some(key);
        }
        if !found.is_compressed() || !self.segments.is_finished(key, stamp.size, stamp.modified) {
            let Some((mut content, version)) = self.open(found, key)? else {
                round.again = true;
                return Ok(());
            };
            let compressed = found.is_compressed().then_some((stamp.size, stamp.modified));
            let source = Source { key, version, path: &found.path, compressed };
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(READ_BYTES, 0);
            let ended = self.batches(&source, &mut content, &mut buffer, between);
            self.buffer = buffer;
            let Batches { changed, stopped } = ended?;
            round.changed |= changed;
            round.stopped |= stopped;
            if stopped {
                return Ok(());
            }
        }
        self.failing.remove(&found.path);
        self.remember(found, front, false);
        self.tally.begun |= matches!(key, SegmentKey::Line(_));
        Ok(())
    }

    fn remember(&mut self, found: &Found, front: &Front, is_damaged: bool) {
        let (stamp, is_settled) = (found.stamp, !found.is_fresh);
        self.seen.insert(found.path.clone(), Seen { stamp, is_settled, is_damaged, front: front.clone() });
    }

    /// Opens a file where it is to be read on: at the position of the version that it holds, else at its start.
    fn open(&mut self, found: &Found, key: SegmentKey) -> io::Result<Option<(Content, (usize, Version))>> {
        let versions = self.segments.versions(key);
        let is_known = !versions.is_empty();
        for (number, version) in versions {
            let Some(mut content) = found.open()? else { return Ok(None) };
            if content.go_to(&version.position)? {
                return Ok(Some((content, (number, version))));
            }
        }
        if self.seen.get(&found.path).is_some_and(|before| before.goes_on_as(found)) {
            // It is not: what its front says has to be looked at.
            self.seen.remove(&found.path);
            return Ok(None);
        }
        let Some(content) = found.open()? else { return Ok(None) };
        if is_known {
            tracing::warn!(
                file = %found.path.display(),
                "a segment stands here in another version than those that were read; reading it from its start, \
                 lines that were counted are recognised"
            );
        }
        Ok(Some((content, self.segments.begin(key))))
    }

    fn cannot_read(&mut self, found: &Found, front: &Front, error: &io::Error) {
        if found.active {
            self.state.trouble = Some(error.to_string());
        }
        self.state.unreadable += 1;
        let is_news = self.failing.insert(found.path.clone(), error.kind()) != Some(error.kind());
        // Of the active one, who looks after its state tells; of one that was given by hand, who gave it.
        if is_news && found.belongs && !found.active {
            tracing::warn!(file = %found.path.display(), %error, "a segment cannot be read, or not to its end");
        }
        if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::Unsupported) {
            self.remember(found, front, true);
        }
        if self.failed.is_none() {
            self.failed = Some((found.path.clone(), io::Error::new(error.kind(), error.to_string())));
        }
    }
}
