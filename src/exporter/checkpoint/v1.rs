//! Version 1 of the format, which is still read: an upgrade goes on where the version before it was.

use std::path::PathBuf;

use serde::Deserialize;

use super::Checkpoint;
use crate::follow::FollowRecordV1;
use crate::metrics::RecordV1;

/// The number in the header.
pub(super) const VERSION: u32 = 1;

#[derive(Debug, Deserialize)]
struct CheckpointV1 {
    #[serde(deserialize_with = "super::path::deserialize")]
    journal: PathBuf,
    taken: i64,
    metrics: RecordV1,
    follow: FollowRecordV1,
}

/// The checkpoint that a payload of this version holds.
pub(super) fn decode(payload: &[u8]) -> Result<Checkpoint, postcard::Error> {
    let CheckpointV1 { journal, taken, metrics, follow } = postcard::from_bytes(payload)?;
    Ok(Checkpoint { journal, taken, metrics: metrics.into(), follow: follow.into() })
}
