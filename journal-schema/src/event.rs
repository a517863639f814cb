//! What a line says: the envelope that every line carries, and the events.
//!
//! The fields stand in the order in which they are written: labels first, measurements last. Nothing here knows
//! about bytes (that is [`crate::line`]) or files.
//!
//! * `live`: what is under way and what was refused: runs, heartbeats, refusals.
//! * `values`: how the values of fields are read.

mod live;
mod values;

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::MAX_COUNT;
pub use live::{Action, Heartbeat, Refusal, Refused, Run, RunState};
pub(crate) use values::{Integer, address, given};
use values::{count, pid, seconds};

/// What the schema says of an address: the characters of an IPv4 or an IPv6 address, so that a port, brackets and a
/// zone are refused. Whether it is an address is more than a pattern can say.
const ADDRESS_PATTERN: &str =
    r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f]{0,4}){2,7}(\.[0-9]{1,3}){0,3})?$";

/// A decoded line: who wrote it, when, and what happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'a> {
    /// What every line carries.
    pub envelope: Envelope<'a>,
    /// What happened.
    pub event: Event<'a>,
}

/// What every line carries whatever its event. `(writer, seq)` names a line for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// One run of one writing process, or several that continue one numbering under a lock: 1 to 64 bytes of
    /// `[0-9A-Za-z_-]`, random.
    pub writer: Cow<'a, str>,
    /// 1, 2, 3 … for each writer, at most [`MAX_COUNT`].
    pub seq: u64,
    /// When the line was written, by the writer's clock.
    pub time: Timestamp,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event<'a> {
    /// The agent itself started or stopped.
    Engine(Engine<'a>),
    /// One step of a Command ran.
    Command(Command<'a>),
    /// A run of a Source ended.
    Source(Source<'a>),
    /// A shell session was opened or closed.
    Shell(Shell<'a>),
    /// A run of a Source is under way, or no longer.
    Run(Run<'a>),
    /// The agent is alive.
    Heartbeat(Heartbeat),
    /// Requests to the agent were refused.
    Refused(Refused<'a>),
}

impl Event<'_> {
    /// The event's name, as a line has it.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Engine(_) => "engine",
            Event::Command(_) => "command",
            Event::Source(_) => "source",
            Event::Shell(_) => "shell",
            Event::Run(_) => "run",
            Event::Heartbeat(_) => "heartbeat",
            Event::Refused(_) => "refused",
        }
    }
}

/// The agent itself started or stopped. There is one agent per journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Engine<'a> {
    /// Which of the two.
    pub state: EngineState,
    /// Version of the agent, free text.
    #[serde(default, borrow, skip_serializing_if = "str::is_empty")]
    pub version: Cow<'a, str>,
    /// Process id of the agent on its host.
    #[serde(default, deserialize_with = "pid", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(max = u32::MAX))]
    pub pid: Option<u32>,
}

/// Whether the agent started or stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineState {
    /// The agent started; whatever the one before it left open is closed.
    Started,
    /// The agent stopped in good order.
    Stopped,
}

/// One step of a Command ran: its check, its change or its remove script.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Command<'a> {
    /// Id of the Command. Not unique across Sources.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// Which script ran.
    pub mode: Mode,
    /// Whether it failed. With mode `check` it means "action needed" and is no failure.
    pub error: bool,
    /// Ids of the groups around the Command, `source > g1 > g2`; empty outside groups.
    #[serde(default, borrow, skip_serializing_if = "str::is_empty")]
    pub parent_id: Cow<'a, str>,
    /// Name of the Source.
    #[serde(borrow)]
    pub source: Cow<'a, str>,
    /// Id of the key that signed what ran; empty if unsigned.
    #[serde(default, borrow, skip_serializing_if = "str::is_empty")]
    pub public_key: Cow<'a, str>,
    /// IP address, without port, from which it was pushed; empty if it was not.
    #[serde(default, borrow, deserialize_with = "address", skip_serializing_if = "str::is_empty")]
    #[schemars(regex(pattern = ADDRESS_PATTERN))]
    pub remote_addr: Cow<'a, str>,
    /// How long the script took, in seconds.
    #[serde(default, with = "seconds", skip_serializing_if = "seconds::is_unusable")]
    #[schemars(with = "f64", range(min = 0.0))]
    pub duration_seconds: Option<f64>,
}

/// Which script of a Command ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The check: is action needed?
    Check,
    /// The change. Also read when spelled `change`, as the agent itself spells it.
    #[serde(alias = "change")]
    Changed,
    /// The remove.
    Remove,
}

/// By hand, because the derived schema would not tell of the second spelling that readers accept.
impl JsonSchema for Mode {
    fn schema_name() -> Cow<'static, str> {
        "Mode".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Which script of the Command ran. Write `changed`; readers accept `change`, too.",
            "type": "string",
            "enum": ["check", "changed", "remove", "change"],
        })
    }
}

impl Mode {
    /// The value of the `mode` label, as in Etcha's monitoring guide.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Check => "check",
            Mode::Changed => "changed",
            Mode::Remove => "remove",
        }
    }
}

/// A run of a Source ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Source<'a> {
    /// Name of the Source.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// What set the run off.
    pub trigger: Trigger,
    /// Whether the run failed.
    pub error: bool,
    /// Given where `error` does not say how the run ended.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Outcome")]
    pub outcome: Option<Outcome>,
    /// Id of the key that signed what ran; empty if unsigned.
    #[serde(default, borrow, skip_serializing_if = "str::is_empty")]
    pub public_key: Cow<'a, str>,
    /// IP address, without port, from which it was pushed; empty if it was not.
    #[serde(default, borrow, deserialize_with = "address", skip_serializing_if = "str::is_empty")]
    #[schemars(regex(pattern = ADDRESS_PATTERN))]
    pub remote_addr: Cow<'a, str>,
    /// Id of the signed token that ran (its claim `jti`). For people who read the journal; not a label of a metric.
    #[serde(default, borrow, skip_serializing_if = "str::is_empty")]
    pub token_id: Cow<'a, str>,
    /// Subject of that token (its claim `sub`). Not a label of a metric.
    #[serde(default, borrow, skip_serializing_if = "str::is_empty")]
    pub subject: Cow<'a, str>,
    /// Names the Pattern that ran by its content: SHA-256 in hexadecimal digits. Not a label of a metric.
    #[serde(default, borrow, skip_serializing_if = "str::is_empty")]
    pub digest: Cow<'a, str>,
    /// How many Commands were changed.
    #[serde(default, with = "count", skip_serializing_if = "count::is_unusable")]
    #[schemars(with = "u64", range(max = MAX_COUNT))]
    pub changed: Option<u64>,
    /// How many Commands were removed.
    #[serde(default, with = "count", skip_serializing_if = "count::is_unusable")]
    #[schemars(with = "u64", range(max = MAX_COUNT))]
    pub removed: Option<u64>,
    /// How long the run took, in seconds.
    #[serde(default, with = "seconds", skip_serializing_if = "seconds::is_unusable")]
    #[schemars(with = "f64", range(min = 0.0))]
    pub duration_seconds: Option<f64>,
}

/// How a run ended, beyond what `error` can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The writer saw that the Source ran and not how it ended. `error` is then `true`: a reader that does not know
    /// this field sees a failure rather than a success.
    Unknown,
}

impl Source<'_> {
    /// Whether the run is known to have failed.
    pub fn failed(&self) -> bool {
        self.error && self.outcome.is_none()
    }

    /// Whether the run is known to have succeeded.
    pub fn succeeded(&self) -> bool {
        !self.error && self.outcome.is_none()
    }
}

/// What set a run of a Source off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// An event that another Source sent.
    Event,
    /// The agent's own schedule.
    Pull,
    /// A push over the network.
    Push,
    /// A request to the Source's webhook path.
    Webhook,
    /// The start of the agent.
    Init,
}

impl Trigger {
    /// The value of the `trigger` label, as in Etcha's monitoring guide (which leaves out `init`).
    pub fn as_str(self) -> &'static str {
        match self {
            Trigger::Event => "event",
            Trigger::Pull => "pull",
            Trigger::Push => "push",
            Trigger::Webhook => "webhook",
            Trigger::Init => "init",
        }
    }
}

/// A shell session was opened or closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shell<'a> {
    /// Name of the Source whose shell it is.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Names the session, alone and for ever: one writer may open it and another close it.
    #[serde(borrow)]
    pub session: Cow<'a, str>,
    /// Which of the two.
    pub state: ShellState,
    /// Id of the key of who opened the shell.
    #[serde(default, borrow, skip_serializing_if = "str::is_empty")]
    pub public_key: Cow<'a, str>,
    /// IP address, without port, of who opened the shell.
    #[serde(default, borrow, deserialize_with = "address", skip_serializing_if = "str::is_empty")]
    #[schemars(regex(pattern = ADDRESS_PATTERN))]
    pub remote_addr: Cow<'a, str>,
    /// Why it closed, free text such as `exit` or `timeout`.
    #[serde(default, borrow, skip_serializing_if = "str::is_empty")]
    pub reason: Cow<'a, str>,
}

/// Whether a shell session was opened or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShellState {
    /// From now on somebody may type into it.
    Opened,
    /// It is over.
    Closed,
}
