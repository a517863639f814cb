//! The answer to a push.

use serde::{Deserialize, Serialize};

/// What came of a push, as it is told to whoever pushed. Lists are absent rather than empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PushResult {
    /// Ids of Commands that were changed, or would be where only that was asked.
    #[serde(rename = "changedIDs")]
    pub changed_ids: Option<Vec<String>>,
    /// What each of them said: its change script, or its check where only that was asked.
    #[serde(rename = "changedOutputs")]
    pub changed_outputs: Option<Vec<String>>,
    /// Why it failed; empty if it did not.
    pub err: String,
    /// Whether a Command has asked the engine to end.
    pub exit: bool,
    /// Ids of Commands that were removed, in the same sense.
    #[serde(rename = "removedIDs")]
    pub removed_ids: Option<Vec<String>>,
    /// What each of them said.
    #[serde(rename = "removedOutputs")]
    pub removed_outputs: Option<Vec<String>>,
}
