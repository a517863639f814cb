//! What is under way and what was refused: events beside those that say what was done. They came to version 1 later;
//! a reader that does not know them counts them as unknown and goes on.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ADDRESS_PATTERN, Trigger, address, count, seconds};
use crate::limits::MAX_COUNT;

/// A run of a Source is under way, or no longer. A writer may leave both lines out for short runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run<'a> {
    /// Name of the Source.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// What set the run off.
    pub trigger: Trigger,
    /// Names the run, alone and for ever.
    #[serde(borrow)]
    pub run: Cow<'a, str>,
    /// Which of the two.
    pub state: RunState,
    /// Id of the key that signed what runs; empty if unsigned or not known yet.
    #[serde(default, borrow, skip_serializing_if = "str::is_empty")]
    pub public_key: Cow<'a, str>,
    /// IP address, without port, from which it was pushed; empty if it was not.
    #[serde(default, borrow, deserialize_with = "address", skip_serializing_if = "str::is_empty")]
    #[schemars(regex(pattern = ADDRESS_PATTERN))]
    pub remote_addr: Cow<'a, str>,
    /// How long the run had been under way when the line was written, in seconds.
    #[serde(default, with = "seconds", skip_serializing_if = "seconds::is_unusable")]
    #[schemars(with = "f64", range(min = 0.0))]
    pub duration_seconds: Option<f64>,
}

/// Whether a run is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// It is under way, since `duration_seconds` before the line's time.
    Started,
    /// It is over. How it ended is in its `source` line.
    Ended,
}

/// The agent is alive: written at intervals of at most two minutes by an agent that writes any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat {}

/// Requests to the agent were refused. A writer limits how many such lines it writes; `count` keeps the number right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refused<'a> {
    /// What was asked for.
    pub action: Action,
    /// Why it was refused.
    pub reason: Refusal,
    /// Name of the Source, if there is one of this name. Never a name that the client made up.
    #[serde(default, borrow, skip_serializing_if = "str::is_empty")]
    pub name: Cow<'a, str>,
    /// Id of the key, if its signature held.
    #[serde(default, borrow, skip_serializing_if = "str::is_empty")]
    pub public_key: Cow<'a, str>,
    /// IP address, without port, of the client; empty if the line is about several.
    #[serde(default, borrow, deserialize_with = "address", skip_serializing_if = "str::is_empty")]
    #[schemars(regex(pattern = ADDRESS_PATTERN))]
    pub remote_addr: Cow<'a, str>,
    /// How many refusals of this action and reason the line stands for; 1 if absent.
    #[serde(default, with = "count", skip_serializing_if = "count::is_unusable")]
    #[schemars(with = "u64", range(max = MAX_COUNT))]
    pub count: Option<u64>,
}

/// What a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// To run a Pattern.
    Push,
    /// To open a shell, or to type into one.
    Shell,
    /// To run a Source by its webhook path.
    Webhook,
    /// Anything else, such as a path that nothing has.
    Other,
}

impl Action {
    /// The value of the `action` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Push => "push",
            Action::Shell => "shell",
            Action::Webhook => "webhook",
            Action::Other => "other",
        }
    }
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// There is no such Source, session or path.
    Unknown,
    /// The Source does not take what was asked for.
    NotAllowed,
    /// What was sent is too long, did not come whole, or is not a signed token.
    Malformed,
    /// No key that is trusted with this has signed it.
    Signature,
    /// It is not valid now: it has expired, or is not valid yet.
    Expired,
    /// It is meant for another agent or another Source, or for none.
    NotMeant,
    /// It was accepted before, or is older than the Pattern in force.
    Repeated,
    /// There are too many of them.
    Limit,
    /// Anything else.
    Other,
}

impl Refusal {
    /// The value of the `reason` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::Unknown => "unknown",
            Refusal::NotAllowed => "not_allowed",
            Refusal::Malformed => "malformed",
            Refusal::Signature => "signature",
            Refusal::Expired => "expired",
            Refusal::NotMeant => "not_meant",
            Refusal::Repeated => "repeated",
            Refusal::Limit => "limit",
            Refusal::Other => "other",
        }
    }
}
