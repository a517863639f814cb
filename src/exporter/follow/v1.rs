//! What the first format of a checkpoint kept of a follower, and how the present one goes on from it. Of what was read
//! before there are no digests, only positions; writers that it forgot stay forgotten.

use serde::Deserialize;

use super::FollowRecord;
use super::position::{Position, Version};
use super::segments::{Segment, SegmentKey, SegmentsRecord};
use super::trail::Trail;
use crate::count::{CounterRecord, Tally, WritersRecordV1};

/// A follower, as version 1 kept it.
#[derive(Debug, Deserialize)]
pub(crate) struct FollowRecordV1 {
    segments: SegmentsV1,
    writers: WritersRecordV1,
    tally: TallyV1,
}

#[derive(Debug, Deserialize)]
struct SegmentsV1 {
    known: Vec<(SegmentKey, SegmentV1)>,
    clock: u64,
    rewinds: u64,
}

#[derive(Debug, Deserialize)]
struct SegmentV1 {
    versions: Vec<VersionV1>,
    seen: u64,
}

#[derive(Debug, Deserialize)]
struct VersionV1 {
    position: Position,
    told: u64,
    finished: Option<(u64, i128)>,
}

#[derive(Debug, Deserialize)]
struct TallyV1 {
    events: [u64; 4],
    rejected: [u64; 9],
    duplicates: u64,
    bytes: u64,
    last_event: i64,
    rotations: u64,
    active: Option<SegmentKey>,
    begun: bool,
}

impl From<FollowRecordV1> for FollowRecord {
    fn from(record: FollowRecordV1) -> FollowRecord {
        let FollowRecordV1 { segments, writers, tally } = record;
        let known = segments.known.into_iter().map(|(key, segment)| (key, segment.into())).collect();
        let TallyV1 { events, rejected, duplicates, bytes, last_event, rotations, active, begun } = tally;
        let events = Tally::all_events(events);
        let tally = Tally { events, rejected, duplicates, bytes, last_event, rotations, lost: 0 };
        FollowRecord {
            segments: SegmentsRecord { known, clock: segments.clock, rewinds: segments.rewinds },
            counter: CounterRecord { writers: writers.into(), tally, begun },
            active,
        }
    }
}

impl From<SegmentV1> for Segment {
    fn from(segment: SegmentV1) -> Segment {
        let versions = (0..).zip(segment.versions).map(|(number, version)| Version {
            number,
            trail: Trail::from(version.position.offset),
            position: version.position,
            told: version.told,
            finished: version.finished,
        });
        Segment { versions: versions.collect(), seen: segment.seen }
    }
}
