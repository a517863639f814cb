//! What a line says: the envelope that every line carries, and the four events.
//!
//! The fields stand in the order in which they are written: labels first, measurements last. Nothing here knows
//! about bytes (that is [`crate::line`]) or files.

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::limits::MAX_COUNT;

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

/// An address without port, brackets and zone; see [`address::plain`](crate::address::plain).
pub(crate) fn address<'de: 'a, 'a, D: Deserializer<'de>>(input: D) -> Result<Cow<'a, str>, D::Error> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    Text::deserialize(input).map(|text| crate::address::plain(text.0))
}

/// A value that may be absent, but is no `null` where it is given.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(input: D) -> Result<Option<T>, D::Error> {
    T::deserialize(input).map(Some)
}

/// A process id.
fn pid<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u32>, D::Error> {
    let number = Integer::deserialize(input)?.0;
    u32::try_from(number).map(Some).map_err(|_| D::Error::custom("a process id is at most 4294967295"))
}

/// An integer, not below 0, in any spelling that JSON has for it: `100`, `100.0`, `1e2`; `-0` is 0. A JSON Schema cannot
/// tell these apart, so neither does a reader.
pub(crate) struct Integer(pub(crate) u64);

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Integer, D::Error> {
        input.deserialize_any(IntegerVisitor).map(Integer)
    }
}

struct IntegerVisitor;

impl Visitor<'_> for IntegerVisitor {
    type Value = u64;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an integer, not below 0")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<u64, E> {
        // 2^64, the first that does not fit.
        const BEYOND: f64 = 18_446_744_073_709_551_616.0;
        if number.fract() == 0.0 && (0.0..BEYOND).contains(&number) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is whole and fits"
            )]
            Ok(number as u64)
        } else {
            Err(E::custom("an integer, not below 0, is wanted here"))
        }
    }
}

/// A duration in seconds: finite and not negative, because a clock that jumped is no measurement.
mod seconds {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Option<f64>, D::Error> {
        let seconds = f64::deserialize(input)?;
        if is_usable(seconds) {
            // -0 is 0, and is written so.
            Ok(Some(seconds + 0.0))
        } else {
            Err(D::Error::custom("a duration is a finite number of seconds, not below 0"))
        }
    }

    /// What a reader would refuse is not written: that loses a measurement, not the event.
    #[expect(clippy::ref_option, reason = "the signature serde calls")]
    pub(super) fn is_unusable(seconds: &Option<f64>) -> bool {
        !seconds.is_some_and(is_usable)
    }

    fn is_usable(seconds: f64) -> bool {
        seconds.is_finite() && seconds >= 0.0
    }

    #[expect(clippy::ref_option, reason = "the signature serde calls")]
    pub(super) fn serialize<S: Serializer>(seconds: &Option<f64>, output: S) -> Result<S::Ok, S::Error> {
        match seconds {
            Some(seconds) => output.serialize_f64(*seconds),
            None => output.serialize_none(),
        }
    }
}

/// A number of things: at most [`MAX_COUNT`], so that it stays exact in a metric.
mod count {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{Integer, MAX_COUNT};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
        match Integer::deserialize(input)?.0 {
            count if count <= MAX_COUNT => Ok(Some(count)),
            _ => Err(D::Error::custom("a count is at most 2^53")),
        }
    }

    /// What a reader would refuse is not written: that loses a measurement, not the event.
    #[expect(clippy::ref_option, reason = "the signature serde calls")]
    pub(super) fn is_unusable(count: &Option<u64>) -> bool {
        !count.is_some_and(|count| count <= MAX_COUNT)
    }

    #[expect(clippy::ref_option, reason = "the signature serde calls")]
    pub(super) fn serialize<S: Serializer>(count: &Option<u64>, output: S) -> Result<S::Ok, S::Error> {
        match count {
            Some(count) => output.serialize_u64(*count),
            None => output.serialize_none(),
        }
    }
}
