//! Segments: what is known of each file of the journal, by what stands in it and not by what it is called.
//!
//! The first usable line of a segment carries `(writer, seq, time)`, so its digest names the segment: it survives
//! rename, copy, compression, backup and the reuse of an inode, and it changes when a file is truncated and written
//! anew. A copy may have gone on otherwise after the first line, so a segment may have several versions, each with how far it
//! was read. This module decides where to read on; it is pure and opens nothing.
//!
//! A segment that a file on disk holds is never forgotten. Of the others the one that left first goes first.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::fmt;

use jiff::Timestamp;
use journal_schema::Envelope;
use serde::{Deserialize, Serialize};

use super::position::{Mark, Version};

/// Default of `--max-segments`: more files than a directory is kept well with, some ten megabytes when there are so many.
/// Those that are gone are remembered within it, so that a segment which comes back from a backup is recognised.
pub(crate) const DEFAULT_MAX_SEGMENTS: usize = 65_536;

/// Versions remembered of a segment: the file itself and some copies of it that were made earlier or went on
/// otherwise.
const MAX_VERSIONS: usize = 16;

/// What names a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum SegmentKey {
    /// Digest of its first usable line.
    Line([u8; 16]),
    /// A file without a usable line at its front so far. It has no events to lose.
    File { device: u64, inode: u64 },
}

/// What the front of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Front {
    pub(crate) key: SegmentKey,
    /// The first usable line's writer, number and time, for the order of segments.
    pub(crate) first: Option<(String, u64, Timestamp)>,
    /// Where that line stands.
    pub(crate) mark: Option<Mark>,
    /// Whether the file is compressed, by its first bytes.
    pub(crate) is_compressed: bool,
}

impl Front {
    /// The front of a file whose first usable line is this one, without its LF, and stands at `start`.
    pub(crate) fn of_line(line: &[u8], start: u64, envelope: &Envelope<'_>) -> Front {
        let first = Some((envelope.writer.clone().into_owned(), envelope.seq, envelope.time));
        let mark = Mark::new(line, start);
        Front { key: SegmentKey::Line(mark.digest), first, mark: Some(mark), is_compressed: false }
    }

    /// The front of a file without a usable line.
    pub(crate) fn of_file(device: u64, inode: u64) -> Front {
        Front { key: SegmentKey::File { device, inode }, first: None, mark: None, is_compressed: false }
    }
}

/// All segments that are known.
#[derive(Clone, Debug)]
pub(crate) struct Segments {
    known: HashMap<SegmentKey, Segment>,
    /// How many files on disk hold each.
    present: HashMap<SegmentKey, u32>,
    /// Those that no file holds, the one that left first at the front.
    gone: BTreeSet<(u64, SegmentKey)>,
    max: usize,
    clock: u64,
    rewinds: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    /// In the order in which they were met. Mostly one: files that begin with the same line and hold the same up to
    /// where one of them was read share a version.
    pub(super) versions: Vec<Version>,
    /// When it was last begun or left the disk, by the count of such events.
    pub(super) seen: u64,
}

impl Segments {
    /// A file on disk holds this segment.
    pub(crate) fn appear(&mut self, key: SegmentKey) {
        *self.present.entry(key).or_default() += 1;
        self.place(key);
    }

    /// A file that held this segment is gone, or holds another one.
    pub(crate) fn vanish(&mut self, key: SegmentKey) {
        if let Some(files) = self.present.get_mut(&key) {
            *files -= 1;
            if *files == 0 {
                self.present.remove(&key);
            }
        }
        self.place(key);
    }

    /// Whether a file on disk holds it.
    pub(crate) fn is_present(&self, key: SegmentKey) -> bool {
        self.present.contains_key(&key)
    }

    /// Puts a segment among those that are gone, or takes it from there.
    fn place(&mut self, key: SegmentKey) {
        let Some(segment) = self.known.get_mut(&key) else { return };
        self.gone.remove(&(segment.seen, key));
        if !self.present.contains_key(&key) {
            self.clock += 1;
            segment.seen = self.clock;
            self.gone.insert((segment.seen, key));
        }
    }

    /// The versions of the segment, those that were read the farthest first.
    pub(crate) fn versions(&self, key: SegmentKey) -> Vec<Version> {
        let mut versions = self.known.get(&key).map_or_else(Vec::new, |segment| segment.versions.clone());
        versions.sort_by_key(|version| Reverse(version.position.offset));
        versions
    }

    /// How far the segment was read, in the version that was read the farthest.
    pub(crate) fn offset(&self, key: SegmentKey) -> u64 {
        let versions = self.known.get(&key).map_or(&[][..], |segment| &segment.versions);
        versions.iter().map(|version| version.position.offset).max().unwrap_or(0)
    }

    /// A version begins: the first one, or one that holds what the version `of` holds up to its mark at an offset, and
    /// then differs, as a restored backup does. It is read from there; lines that were counted are recognised by their
    /// numbers. `None` if there is room for no further segment; the active one always has room.
    pub(crate) fn begin(
        &mut self,
        key: SegmentKey,
        of: Option<(&Version, u64)>,
        is_active: bool,
    ) -> Option<Version> {
        if !self.make_room(key) && !is_active {
            return None;
        }
        let mut version = Version { told: self.offset(key), ..Version::default() };
        if let Some((other, mark)) = of {
            version.trail = other.trail.up_to(mark);
            version.position.offset = mark;
        }
        let segment = self.known.entry(key).or_default();
        self.rewinds += u64::from(!segment.versions.is_empty());
        if segment.versions.len() >= MAX_VERSIONS {
            let shortest = (0..segment.versions.len()).min_by_key(|&at| segment.versions[at].position.offset);
            shortest.map(|at| segment.versions.remove(at));
        }
        version.number = segment.versions.iter().map(|other| other.number + 1).max().unwrap_or(0);
        segment.versions.push(version.clone());
        self.place(key);
        Some(version)
    }

    /// A version, to be moved on.
    pub(crate) fn version_mut(&mut self, key: SegmentKey, number: u32) -> Option<&mut Version> {
        self.known.get_mut(&key)?.versions.iter_mut().find(|version| version.number == number)
    }

    /// A file that had no usable line has one now.
    pub(crate) fn rename(&mut self, from: SegmentKey, to: SegmentKey) {
        if !self.known.contains_key(&to)
            && let Some(segment) = self.known.remove(&from)
        {
            self.gone.remove(&(segment.seen, from));
            self.known.insert(to, segment);
            self.place(to);
        }
    }

    /// Whether a compressed file of this size and time was read to its end.
    pub(crate) fn is_finished(&self, key: SegmentKey, size: u64, time: i128) -> bool {
        let versions = self.known.get(&key).map_or(&[][..], |segment| &segment.versions);
        versions.iter().any(|version| version.finished == Some((size, time)))
    }

    /// A compressed file of this size and time, which holds this version, was read to its end.
    pub(crate) fn finish(&mut self, key: SegmentKey, number: u32, size: u64, time: i128) {
        if let Some(version) = self.version_mut(key, number) {
            version.finished = Some((size, time));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Versions that had to be read though lines of theirs were read before.
    pub(crate) fn rewinds(&self) -> u64 {
        self.rewinds
    }

    /// Forgets segments that are gone, until there is room for this one. Says whether there is.
    fn make_room(&mut self, key: SegmentKey) -> bool {
        while self.known.len() >= self.max && !self.known.contains_key(&key) {
            let Some((_, oldest)) = self.gone.pop_first() else { return false };
            self.known.remove(&oldest);
        }
        true
    }
}

/// [`Segments`] as a checkpoint keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentsRecord {
    pub(super) known: Vec<(SegmentKey, Segment)>,
    pub(super) clock: u64,
    pub(super) rewinds: u64,
}

impl SegmentsRecord {
    /// Names and offsets, those seen last first; a segment of several versions several times.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (String, u64)> {
        let mut known: Vec<_> = self.known.iter().collect();
        known.sort_by_key(|(_, segment)| Reverse(segment.seen));
        known.into_iter().flat_map(|(key, segment)| {
            segment.versions.iter().map(|version| (key.to_string(), version.position.offset))
        })
    }
}

impl fmt::Display for SegmentKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SegmentKey::Line(digest) => digest.iter().try_for_each(|byte| write!(out, "{byte:02x}")),
            SegmentKey::File { device, inode } => {
                write!(out, "without a usable line (inode {device}:{inode})")
            }
        }
    }
}

impl Segments {
    pub(crate) fn record(&self) -> SegmentsRecord {
        let mut known: Vec<_> = self.known.iter().map(|(key, segment)| (*key, segment.clone())).collect();
        known.sort_by_key(|(key, _)| *key);
        SegmentsRecord { known, clock: self.clock, rewinds: self.rewinds }
    }

    /// Goes on from a record. A position that contradicts itself is forgotten: that version is read anew.
    pub(crate) fn restore(record: SegmentsRecord, max: usize) -> Segments {
        let mut known = record.known;
        for (_, segment) in &mut known {
            segment.versions.retain(Version::is_sound);
            segment.versions.truncate(MAX_VERSIONS);
        }
        known.sort_by_key(|(_, segment)| Reverse(segment.seen));
        known.truncate(max.max(1));
        // Until the files are looked at, none is known to be there.
        let gone = known.iter().map(|(key, segment)| (segment.seen, *key)).collect();
        Segments {
            known: known.into_iter().collect(),
            present: HashMap::new(),
            gone,
            max: max.max(1),
            clock: record.clock,
            rewinds: record.rewinds,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use journal_schema::SplitState;

    /// The front of a segment that begins with this line.
    pub(in crate::follow) fn front(writer: &str, seq: u64, second: i64) -> Front {
        let time = Timestamp::from_second(second).unwrap();
        let envelope = Envelope { writer: writer.into(), seq, time };
        Front::of_line(format!("{writer} {seq} {second}").as_bytes(), 0, &envelope)
    }

    #[test]
    fn a_segment_is_the_same_whatever_its_file_is_called_and_another_after_a_rewrite() {
        assert_eq!(front("a", 1, 5).key, front("a", 1, 5).key);
        assert_ne!(front("a", 1, 5).key, front("a", 2, 5).key);
    }

    /// Begins a version and reads so many bytes of it.
    fn read_to(segments: &mut Segments, key: SegmentKey, offset: u64) -> Version {
        let version = segments.begin(key, None, false).unwrap();
        segments.version_mut(key, version.number).unwrap().position.offset = offset;
        version
    }

    #[test]
    fn a_file_that_gets_its_first_line_keeps_its_position() {
        let mut segments = Segments::restore(SegmentsRecord::default(), 9);
        let (junk, named) = (Front::of_file(1, 2).key, front("a", 1, 5).key);
        read_to(&mut segments, junk, 7);
        segments.rename(junk, named);
        assert_eq!(segments.offset(named), 7);
        assert_eq!((segments.len(), segments.rewinds()), (1, 0));
    }

    #[test]
    fn versions_keep_their_own_positions_and_the_shortest_of_too_many_is_forgotten() {
        let mut segments = Segments::restore(SegmentsRecord::default(), 9);
        let key = front("a", 1, 5).key;
        for offset in 1..=MAX_VERSIONS as u64 + 1 {
            let told = segments.offset(key);
            assert_eq!(read_to(&mut segments, key, offset * 10).told, told);
        }
        let offsets: Vec<_> = segments.versions(key).iter().map(|version| version.position.offset).collect();
        assert_eq!(
            offsets,
            (2..=MAX_VERSIONS as u64 + 1).rev().map(|offset| offset * 10).collect::<Vec<_>>()
        );
        assert_eq!(segments.rewinds(), MAX_VERSIONS as u64);
    }

    #[test]
    fn a_version_that_differs_from_a_mark_on_begins_there() {
        let mut segments = Segments::restore(SegmentsRecord::default(), 9);
        let key = front("a", 1, 5).key;
        let version = segments.begin(key, None, false).unwrap();
        let line = format!("{:99}\n", "x").repeat(1000);
        segments.version_mut(key, version.number).unwrap().advance(
            line.as_bytes(),
            None,
            SplitState::LineStart,
        );
        let long = &segments.versions(key)[0];
        let mark = long.trail.points(100_000).nth(7).unwrap();
        let short = segments.begin(key, Some((long, mark.at)), false).unwrap();
        assert_eq!((short.position.offset, short.told), (mark.at, 100_000));
        assert_eq!(short.trail.points(mark.at).last(), Some(mark));
        assert_ne!(short.number, long.number);
    }

    #[test]
    fn a_segment_on_disk_is_never_forgotten_and_of_the_others_the_one_that_left_first() {
        let mut segments = Segments::restore(SegmentsRecord::default(), 3);
        let key = |seq| front("a", seq, 0).key;
        for seq in 1..=3 {
            segments.appear(key(seq));
            read_to(&mut segments, key(seq), seq);
        }
        assert!(segments.begin(key(4), None, false).is_none(), "there is no room for a further file");
        assert!(segments.begin(key(4), None, true).is_some(), "but there is for the active one");
        segments.vanish(key(2));
        segments.vanish(key(1));
        segments.appear(key(5));
        read_to(&mut segments, key(5), 5);
        let known: Vec<_> = (1..=5).map(|seq| segments.offset(key(seq))).collect();
        assert_eq!(known, [1, 0, 3, 0, 5]);
        assert_eq!(Segments::restore(segments.record(), 3).record(), segments.record());
    }

    #[test]
    fn a_scan_over_as_many_files_as_are_remembered_forgets_none_of_them() {
        let mut segments = Segments::restore(SegmentsRecord::default(), 1000);
        let keys: Vec<_> = (1..=1000).map(|seq| front("a", seq, 0).key).collect();
        keys.iter().for_each(|&key| drop(read_to(&mut segments, key, 9)));
        let mut segments = Segments::restore(segments.record(), 1000);
        keys.iter().for_each(|&key| segments.appear(key));
        assert!(keys.iter().all(|&key| segments.offset(key) == 9));
    }
}
