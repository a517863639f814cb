//! Version 2 of the format, which is still read: it has no runs under way, no heartbeats and no refusals.

use std::path::PathBuf;

use serde::Deserialize;

use super::Checkpoint;
use crate::follow::FollowRecordV2;
use crate::metrics::RecordV2;

/// The number in the header.
pub(super) const VERSION: u32 = 2;

#[derive(Debug, Deserialize)]
struct CheckpointV2 {
    #[serde(deserialize_with = "super::path::deserialize")]
    journal: PathBuf,
    taken: i64,
    metrics: RecordV2,
    follow: FollowRecordV2,
}

/// The checkpoint that a payload of this version holds.
pub(super) fn decode(payload: &[u8]) -> Result<Checkpoint, postcard::Error> {
    let CheckpointV2 { journal, taken, metrics, follow } = postcard::from_bytes(payload)?;
    Ok(Checkpoint { journal, taken, metrics: metrics.into(), follow: follow.into() })
}
