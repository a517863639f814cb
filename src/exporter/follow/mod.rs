//! Following the journal: which bytes of which files are read, each once. Bytes to lines.
//!
//! # Layout
//!
//! * `look`: which files there are, and which may have changed. `content`: one of them, opened. These two and `front`,
//!   what its first line says, touch the file system.
//! * `segments`: what is known of each file. `position`: how far it was read. `trail`: digests of what was read. `order`: in
//!   which order files are read. Pure.
//! * `reading`: the bytes of one file from a position on, handed to `count` batch by batch.
//! * `seen`: what each file was like when it was last read. `skipping`: files that are left out, and why.
//! * `state`: how the journal was found. `replay`: segments that are given by hand.
//! * `tail`: the thread that does this again and again; the `watch` tells it when to hurry, `pace` when not to.
//! * this file: one round of it.
//!
//! The file system is the truth: a round looks at what may have changed and reads what lies beyond the known positions. It
//! does not matter what happened in between, or whether a notification came.

mod content;
mod front;
mod look;
mod order;
mod pace;
mod position;
mod reading;
mod replay;
mod seen;
mod segments;
mod skipping;
mod state;
pub(crate) mod tail;
mod trail;
mod v1;
mod v2;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use journal_schema::limits::MAX_LINE_BYTES;
use serde::{Deserialize, Serialize};

use self::look::{Found, Look, Lookout, Stamp};
use self::order::reading_order;
use self::reading::{End, Opened, Reading};
use self::seen::Seen;
use self::segments::{Front, SegmentKey, Segments, SegmentsRecord};
use super::count::{Counter, CounterRecord};
use super::metrics::Metrics;

pub(crate) use self::segments::DEFAULT_MAX_SEGMENTS;
pub use self::state::{JournalState, Skip};
pub(crate) use self::v1::FollowRecordV1;
pub(crate) use self::v2::FollowRecordV2;
pub(crate) use super::count::DEFAULT_MAX_WRITERS;
pub use super::count::Tally;

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

/// Files looked into to see whether a journal is a known one under another path.
const KNOWN_LOOKED_FOR: usize = 1000;

/// Follows one journal.
#[derive(Debug)]
pub struct Follower {
    journal: PathBuf,
    bounds: Bounds,
    counter: Counter,
    segments: Segments,
    /// The segment that was active at the last look.
    active: Option<SegmentKey>,
    lookout: Lookout,
    /// What each file was like when it was last read, or left out.
    seen: HashMap<PathBuf, Seen>,
    /// Time of the earliest first line of these.
    oldest: Option<Timestamp>,
    is_oldest_stale: bool,
    /// Files that were read as far as their turn went.
    paused: HashMap<PathBuf, Reading>,
    /// Compressed files that stood beside the plain ones they are made from, at the last look.
    growing: HashMap<PathBuf, Stamp>,
    /// Files that are left out, and why, so that it is said once.
    skipped: HashMap<PathBuf, Skip>,
    /// The first file that could not be read in the last round.
    failed: Option<(PathBuf, io::Error)>,
    state: JournalState,
    /// Why the journal cannot be read, as the log says by now.
    logged_trouble: Option<String>,
    buffer: Vec<u8>,
    /// Grows with whatever a checkpoint keeps.
    revision: u64,
}

/// What a checkpoint keeps of a follower beside the metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowRecord {
    segments: SegmentsRecord,
    counter: CounterRecord,
    active: Option<SegmentKey>,
}

impl FollowRecord {
    /// What was read.
    pub(crate) fn tally(&self) -> &Tally {
        &self.counter.tally
    }

    /// Each segment known, by the digest of its first line, and how many of its bytes were read.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (String, u64)> {
        self.segments.positions()
    }
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Whether anything was read.
    pub changed: bool,
    /// Whether files moved under the round, or there is more to read, so that another should follow without a pause.
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
            bounds,
            counter: Counter::restore(metrics, record.counter, bounds.line_bytes, bounds.writers),
            segments: Segments::restore(record.segments, bounds.segments),
            active: record.active,
            lookout: Lookout::default(),
            seen: HashMap::new(),
            oldest: None,
            is_oldest_stale: false,
            paused: HashMap::new(),
            growing: HashMap::new(),
            skipped: HashMap::new(),
            failed: None,
            state: JournalState::default(),
            logged_trouble: None,
            buffer: Vec::new(),
            revision: 0,
        }
    }

    /// What a later process needs to go on from here, beside the metrics.
    pub fn record(&self) -> FollowRecord {
        FollowRecord { segments: self.segments.record(), counter: self.counter.record(), active: self.active }
    }

    /// Grows whenever [`Follower::record`] would be another.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The path it follows.
    pub(crate) fn journal(&self) -> &Path {
        &self.journal
    }

    /// What was counted.
    pub fn metrics(&self) -> &Metrics {
        self.counter.metrics()
    }

    /// What was read.
    pub fn tally(&self) -> &Tally {
        self.counter.tally()
    }

    /// How the journal was found.
    pub fn state(&self) -> JournalState {
        let writers = self.counter.writers();
        let mut skipped = [0; Skip::ALL.len()];
        self.skipped.values().for_each(|&skip| skipped[skip as usize] += 1);
        let others = skipped[Skip::NotASegment as usize];
        JournalState {
            files: self.state.files.saturating_sub(others),
            segments: self.segments.len(),
            max_segments: self.bounds.segments,
            rewinds: self.segments.rewinds(),
            writers: writers.len(),
            max_writers: self.bounds.writers,
            writers_forgotten: writers.forgotten(),
            missing: writers.missing(),
            oldest_event: self.oldest.map(Timestamp::as_millisecond),
            unreadable: skipped.iter().sum::<usize>() - others,
            skipped,
            ..self.state.clone()
        }
    }

    /// Looks at what may have changed and reads what was not read yet, oldest first. `between` is asked after each batch.
    pub fn round(&mut self, between: &mut dyn FnMut(&Follower) -> Go) -> Round {
        let look = self.lookout.look(&self.journal);
        self.round_over(look, between)
    }

    /// Whether any file of the journal holds a segment that is known.
    pub(crate) fn knows_a_file(&mut self) -> bool {
        Lookout::default().look(&self.journal).files.iter().take(KNOWN_LOOKED_FOR).any(|found| {
            let front = front::front_of(found, None, &mut || false);
            front.is_ok_and(|front| front.is_some_and(|front| self.segments.offset(front.key) > 0))
        })
    }

    fn round_over(&mut self, look: Look, between: &mut dyn FnMut(&Follower) -> Go) -> Round {
        let Look { files, gone, total, trouble, is_missing } = look;
        let mut round = Round::default();
        self.failed = None;
        let awaited = is_missing && files.is_empty() && self.segments.len() == 0;
        let trouble = trouble.filter(|_| !awaited);
        let state = JournalState { trouble, awaited, files: total, ..JournalState::default() };
        let before = std::mem::replace(&mut self.state, state);
        gone.iter().for_each(|path| self.forget(path));
        if self.state.trouble.is_some() {
            self.forget(&self.journal.clone());
        }
        let waiting = self.changed_files(files, &mut round, between);
        if round.stopped {
            return round;
        }
        self.notice_rotation(&waiting);
        self.state.behind = waiting.iter().map(|(found, front)| self.unread(found, front)).sum();
        let fronts: Vec<_> = waiting.iter().map(|(found, front)| (front.clone(), found.active)).collect();
        let mut left_behind = 0;
        for at in reading_order(&fronts) {
            let (found, front) = &waiting[at];
            if self.is_in_the_making(found, front) {
                continue;
            }
            if let Err(error) = self.read(found, front, &mut round, between) {
                if content::is_stopped(&error) {
                    round.stopped = true;
                } else {
                    self.cannot_read(found, front, &error);
                    left_behind += self.unread(found, front);
                }
            }
            if round.stopped {
                return round;
            }
        }
        if std::mem::take(&mut self.is_oldest_stale) {
            let firsts = self.seen.values().filter_map(|seen| seen.front.first.as_ref());
            self.oldest = firsts.map(|(_, _, time)| *time).min();
        }
        self.state.behind = left_behind + self.paused.values().filter_map(Reading::size).sum::<u64>();
        if !round.again {
            self.counter.settle();
        }
        self.log_trouble(before.trouble.as_ref());
        round
    }

    /// Another file is active than before: it was rotated, or another was put in its place.
    fn notice_rotation(&mut self, waiting: &[(Found, Front)]) {
        let Some((_, front)) = waiting.iter().find(|(found, _)| found.active) else { return };
        if !matches!(front.key, SegmentKey::Line(_)) || self.active == Some(front.key) {
            return;
        }
        let former = self.active.replace(front.key);
        self.revision += 1;
        let Some(former) = former else { return };
        self.counter.tally_mut().rotations += 1;
        if !self.segments.is_present(former) {
            self.counter.tally_mut().lost += 1;
            tracing::warn!(
                journal = %self.journal.display(),
                segment = %former,
                "the former active segment is no longer at the path of the journal, and not beside it; lines that were \
                 written to it after the last look are not counted. Keep rotated segments beside the journal, under a \
                 name that begins with its name"
            );
        }
    }

    /// Bytes of the file that were not read. Of a compressed one only its size on disk is known.
    fn unread(&self, found: &Found, front: &Front) -> u64 {
        if found.plain().is_some() {
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
        if matches!(key, SegmentKey::File { .. }) && found.belongs && !found.active {
            self.leave_alone(found)?;
            self.remember(found, front);
            return Ok(());
        }
        if !(front.is_compressed && self.segments.is_finished(key, stamp.size, stamp.modified)) {
            let mut reading = match self.paused.remove(&found.path) {
                Some(reading) if reading.is_of(key, &stamp) => Box::new(reading),
                _ => match self.open(found, key, between)? {
                    Opened::At(reading) => reading,
                    Opened::Changed => {
                        round.again = true;
                        return Ok(());
                    }
                    Opened::NoRoom => {
                        self.skip(
                            found,
                            Skip::NoRoom,
                            "more files than --max-segments stand beside the journal",
                        );
                        return Ok(());
                    }
                },
            };
            let has_turn = found.belongs && !found.active;
            let progress = self.read_on(&found.path, &mut reading, has_turn, between)?;
            round.changed |= progress.changed;
            round.again |= progress.end == End::Turn;
            round.stopped |= progress.end == End::Stopped;
            if progress.end == End::Broken && !(reading.ends_early() && self.has_plain(found, Some(front))) {
                return Err(reading.broken());
            }
            if matches!(progress.end, End::Turn | End::Stopped) {
                if reading.compressed.is_some() {
                    self.paused.insert(found.path.clone(), *reading);
                }
                return Ok(());
            }
        }
        self.skipped.remove(&found.path);
        self.remember(found, front);
        Ok(())
    }
}
