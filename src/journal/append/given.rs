//! An event as flags and Etcha's variables give it.
//!
//! Whatever comes out of here is right: addresses are addresses, numbers are in their range, nothing required is missing.

use std::borrow::Cow;
use std::net::IpAddr;

use clap::Subcommand;
use journal_schema::limits::MAX_COUNT;
use journal_schema::{Command, Engine, EngineState, Event, Mode, Shell, ShellState, Source, Trigger};
use serde::de::DeserializeOwned;
use serde::de::value::{Error, StrDeserializer};

use crate::Failure;
use crate::environment::Environment;

/// An event as flags give it. Labels may be any text, also one that begins like a flag.
#[derive(Subcommand)]
pub(super) enum Given {
    /// One step of a Command ran: its check, its change or its remove script
    Command {
        /// Id of the Command [with --from-env: ETCHA_EVENT_ID]
        #[arg(long, allow_hyphen_values = true)]
        id: Option<String>,
        /// Name of the Source [with --from-env: ETCHA_SOURCE_NAME]
        #[arg(long, allow_hyphen_values = true, value_name = "NAME")]
        source: Option<String>,
        /// Which script ran: check, changed or remove
        #[arg(long, value_parser = word::<Mode>)]
        mode: Mode,
        #[command(flatten)]
        outcome: Outcome,
        /// Ids of the groups around the Command, such as `web > packages`
        #[arg(long, allow_hyphen_values = true, value_name = "ID")]
        parent_id: Option<String>,
        #[command(flatten)]
        origin: Origin,
        /// How long the script took
        #[arg(long, value_name = "SECONDS", value_parser = duration, allow_negative_numbers = true)]
        duration_seconds: Option<f64>,
    },
    /// A run of a Source ended
    Source {
        /// Name of the Source [with --from-env: ETCHA_SOURCE_NAME]
        #[arg(long, allow_hyphen_values = true)]
        name: Option<String>,
        /// What set it off: event, pull, push, webhook or init [with --from-env: ETCHA_EVENT_NAME if that is pull or
        /// push, otherwise ETCHA_SOURCE_TRIGGER]
        #[arg(long, value_parser = word::<Trigger>)]
        trigger: Option<Trigger>,
        #[command(flatten)]
        outcome: Outcome,
        #[command(flatten)]
        origin: Origin,
        /// How many Commands were changed
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=MAX_COUNT))]
        changed: Option<u64>,
        /// How many Commands were removed
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=MAX_COUNT))]
        removed: Option<u64>,
        /// How long the run took
        #[arg(long, value_name = "SECONDS", value_parser = duration, allow_negative_numbers = true)]
        duration_seconds: Option<f64>,
    },
    /// A shell session was opened or closed
    Shell {
        /// Name of the Source whose shell it is [with --from-env: ETCHA_SOURCE_NAME]
        #[arg(long, allow_hyphen_values = true)]
        name: Option<String>,
        /// Names the session: the same for opened and closed, and never used again
        #[arg(long, allow_hyphen_values = true, value_name = "ID")]
        session: String,
        /// Opened or closed, in small letters [with --from-env: opened if ETCHA_EVENT_NAME is shell]
        #[arg(long, value_parser = word::<ShellState>)]
        state: Option<ShellState>,
        #[command(flatten)]
        origin: Origin,
        /// Why it closed, such as `exit` or `timeout`
        #[arg(long, allow_hyphen_values = true, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// The agent itself started or stopped
    Engine {
        /// Started or stopped, in small letters
        #[arg(long, value_parser = word::<EngineState>)]
        state: EngineState,
        /// Version of the agent
        #[arg(long, allow_hyphen_values = true, id = "engine-version", value_name = "TEXT")]
        version: Option<String>,
        /// Process id of the agent
        #[arg(long, value_name = "N")]
        pid: Option<u32>,
    },
}

#[derive(clap::Args)]
pub(super) struct Outcome {
    /// It failed; for a check: action is needed
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true)]
    error: bool,
}

#[derive(clap::Args)]
pub(super) struct Origin {
    /// Id of the key that signed it, or of who opened the shell [with --from-env: ETCHA_EVENT_PUBLIC_KEY]
    #[arg(long, allow_hyphen_values = true, value_name = "ID")]
    public_key: Option<String>,
    /// IP address it came from, without port and brackets [with --from-env: ETCHA_EVENT_SRC]
    #[arg(long, value_name = "IP")]
    remote_addr: Option<String>,
}

impl Given {
    /// The event, with what no flag gives taken from the environment.
    pub(super) fn event<'a>(&'a self, environment: &'a Environment) -> Result<Event<'a>, Failure> {
        let text = |value: &'a Option<String>| Cow::from(value.as_deref().unwrap_or_default());
        Ok(match self {
            Given::Command { id, source, mode, outcome, parent_id, origin, duration_seconds } => {
                Event::Command(Command {
                    id: required("--id", id, environment.event_id.as_deref(), "ETCHA_EVENT_ID")?,
                    mode: *mode,
                    error: outcome.error,
                    parent_id: text(parent_id),
                    source: required(
                        "--source",
                        source,
                        environment.source_name.as_deref(),
                        "ETCHA_SOURCE_NAME",
                    )?,
                    public_key: origin.public_key(environment),
                    remote_addr: origin.remote_addr(environment)?,
                    duration_seconds: *duration_seconds,
                })
            }
            Given::Source { name, trigger, outcome, origin, changed, removed, duration_seconds } => {
                let variable = "ETCHA_SOURCE_TRIGGER";
                Event::Source(Source {
                    name: required("--name", name, environment.source_name.as_deref(), "ETCHA_SOURCE_NAME")?,
                    trigger: choice("--trigger", *trigger, environment.trigger(), variable)?,
                    error: outcome.error,
                    outcome: None,
                    public_key: origin.public_key(environment),
                    remote_addr: origin.remote_addr(environment)?,
                    changed: *changed,
                    removed: *removed,
                    duration_seconds: *duration_seconds,
                })
            }
            Given::Shell { name, session, state, origin, reason } => {
                let variable = "ETCHA_EVENT_NAME=shell";
                Event::Shell(Shell {
                    name: required("--name", name, environment.source_name.as_deref(), "ETCHA_SOURCE_NAME")?,
                    session: session.into(),
                    state: choice("--state", *state, environment.shell_state(), variable)?,
                    public_key: origin.public_key(environment),
                    remote_addr: origin.remote_addr(environment)?,
                    reason: text(reason),
                })
            }
            Given::Engine { state, version, pid } => {
                Event::Engine(Engine { state: *state, version: text(version), pid: *pid })
            }
        })
    }
}

impl Origin {
    fn public_key<'a>(&'a self, environment: &'a Environment) -> Cow<'a, str> {
        self.public_key.as_ref().or(environment.public_key.as_ref()).map_or(Cow::from(""), Cow::from)
    }

    fn remote_addr(&self, environment: &Environment) -> Result<Cow<'static, str>, Failure> {
        let (name, address) = match (&self.remote_addr, &environment.remote_addr) {
            (Some(flag), _) => ("--remote-addr", flag),
            (None, Some(variable)) => ("ETCHA_EVENT_SRC", variable),
            (None, None) => return Ok(Cow::from("")),
        };
        if address.is_empty() {
            return Ok(Cow::from(""));
        }
        ip(name, address).map(Cow::from).map_err(Failure::new)
    }
}

fn required<'a>(
    flag: &str,
    given: &'a Option<String>,
    from_environment: Option<&'a str>,
    variable: &str,
) -> Result<Cow<'a, str>, Failure> {
    let value = given.as_deref().or(from_environment);
    value.map(Cow::from).ok_or_else(|| missing(flag, variable))
}

fn choice<T: DeserializeOwned>(
    flag: &str,
    given: Option<T>,
    from_environment: Option<&str>,
    variable: &str,
) -> Result<T, Failure> {
    match (given, from_environment) {
        (Some(given), _) => Ok(given),
        (None, Some(text)) => word(text)
            .map_err(|_| Failure::new(format_args!("{variable} holds no value of {flag}; give the flag"))),
        (None, None) => Err(missing(flag, variable)),
    }
}

fn missing(flag: &str, variable: &str) -> Failure {
    Failure::Told(format!("{flag} is missing: give it, or --from-env where {variable} is set"), 2)
}

/// One spelling for each address: two of them would be two series.
pub(super) fn ip(name: &str, text: &str) -> Result<String, String> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_canonical().to_string()),
        Err(_) => Err(format!(
            "{name} is an IP address without port and brackets, such as 192.0.2.7 or 2001:db8::7"
        )),
    }
}

fn duration(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(seconds),
        _ => Err("a number of seconds, not below 0, such as 1.25".to_owned()),
    }
}

/// One of the words that the contract knows for this type.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    T::deserialize(StrDeserializer::<Error>::new(text)).map_err(|error| error.to_string())
}
