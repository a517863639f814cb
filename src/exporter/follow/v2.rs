//! What the second format of a checkpoint kept of a follower: fewer events had a count.

use serde::Deserialize;

use super::FollowRecord;
use super::segments::{SegmentKey, SegmentsRecord};
use crate::count::{CounterRecord, Tally, WritersRecord};

/// A follower, as version 2 kept it.
#[derive(Debug, Deserialize)]
pub(crate) struct FollowRecordV2 {
    segments: SegmentsRecord,
    counter: CounterRecordV2,
    active: Option<SegmentKey>,
}

#[derive(Debug, Deserialize)]
struct CounterRecordV2 {
    writers: WritersRecord,
    tally: TallyV2,
    begun: bool,
}

#[derive(Debug, Deserialize)]
struct TallyV2 {
    events: [u64; 4],
    rejected: [u64; 9],
    duplicates: u64,
    bytes: u64,
    last_event: i64,
    rotations: u64,
    lost: u64,
}

impl From<FollowRecordV2> for FollowRecord {
    fn from(record: FollowRecordV2) -> FollowRecord {
        let FollowRecordV2 { segments, counter, active } = record;
        let CounterRecordV2 { writers, tally, begun } = counter;
        let TallyV2 { events, rejected, duplicates, bytes, last_event, rotations, lost } = tally;
        let events = Tally::all_events(events);
        let tally = Tally { events, rejected, duplicates, bytes, last_event, rotations, lost };
        FollowRecord { segments, counter: CounterRecord { writers, tally, begun }, active }
    }
}
