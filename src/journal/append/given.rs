//! An event as flags and Etcha's variables give it.
//!
//! Whatever comes out of here is right: addresses are addresses, numbers are in their range, nothing required is missing,
//! and nothing is guessed: see [`Environment`] for what Etcha's variables say and what they do not.

use std::borrow::Cow;

use clap::Subcommand;
use journal_schema::address::ip;
use journal_schema::limits::MAX_COUNT;
use journal_schema::{
    Command, Engine, EngineState, Event, Mode, Outcome, Shell, ShellState, Source, Trigger,
};
use serde::de::DeserializeOwned;
use serde::de::value::{Error, StrDeserializer};
use terminal::printable;

use crate::environment::Environment;
use crate::guard::session_name;
use crate::{Expected, ToolError};

/// An event as flags give it. Labels may be any text, also one that begins like a flag.
#[derive(Subcommand)]
pub(super) enum Given {
    /// One step of a Command ran: its check, its change or its remove script
    Command {
        /// Id of the Command [with --from-env: ETCHA_EVENT_ID of an event such as changed_SOURCE]
        #[arg(long, allow_hyphen_values = true)]
        id: Option<String>,
        /// Name of the Source [with --from-env: from an event such as changed_SOURCE]
        #[arg(long, allow_hyphen_values = true, value_name = "NAME")]
        source: Option<String>,
        /// Which script ran: check, changed or remove [with --from-env: from such an event]
        #[arg(long, value_parser = word::<Mode>)]
        mode: Option<Mode>,
        /// It failed; for a check: action is needed [default: false; with --from-env: from such an event]
        #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
        error: Option<bool>,
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
        /// Name of the Source that ran [with --from-env: ETCHA_SOURCE_NAME, in a run of a webhook alone]
        #[arg(long, allow_hyphen_values = true)]
        name: Option<String>,
        /// What set it off: event, pull, push, webhook or init [with --from-env: ETCHA_EVENT_NAME if that is pull or
        /// push]
        #[arg(long, value_parser = word::<Trigger>)]
        trigger: Option<Trigger>,
        /// Whether it failed: true, false or unknown [default: false; with --from-env: unknown]
        #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = ending)]
        error: Option<Ending>,
        #[command(flatten)]
        origin: Origin,
        /// Id of the signed token that ran
        #[arg(long, allow_hyphen_values = true, value_name = "ID")]
        token_id: Option<String>,
        /// Subject of that token
        #[arg(long, allow_hyphen_values = true, value_name = "TEXT")]
        subject: Option<String>,
        /// SHA-256 of what ran, in hexadecimal digits
        #[arg(long, value_name = "HEX")]
        digest: Option<String>,
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
        /// Name of the Source whose shell it is
        #[arg(long, allow_hyphen_values = true)]
        name: Option<String>,
        /// Names the session: the same for opened and closed, and never used again [with --from-env: a random one]
        #[arg(long, allow_hyphen_values = true, value_name = "ID")]
        session: Option<String>,
        /// Opened or closed, in small letters [with --from-env: both, if ETCHA_EVENT_NAME is shell, because Etcha tells
        /// of no end]
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

/// How a run of a Source ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Succeeded,
    Failed,
    Unknown,
}

#[derive(clap::Args)]
pub(super) struct Origin {
    /// Id of the key that signed it, or of who opened the shell [with --from-env: ETCHA_EVENT_PUBLIC_KEY]
    #[arg(long, allow_hyphen_values = true, value_name = "ID")]
    public_key: Option<String>,
    /// IP address it came from; port, brackets and zone are taken off [with --from-env: ETCHA_EVENT_SRC]
    #[arg(long, value_name = "IP")]
    remote_addr: Option<String>,
}

impl Given {
    /// What the event behind Etcha's variables is, where its name says so. `source` is the Source that it speaks of.
    pub(super) fn of(environment: &Environment, source: Option<String>) -> Result<Given, ToolError> {
        let origin = Origin { public_key: None, remote_addr: None };
        let run = |name| Given::Source {
            name,
            trigger: None,
            error: None,
            origin: Origin { public_key: None, remote_addr: None },
            token_id: None,
            subject: None,
            digest: None,
            changed: None,
            removed: None,
            duration_seconds: None,
        };
        match environment.event_name.as_deref() {
            Some("pull" | "push") => Ok(run(source)),
            Some("shell") => {
                Ok(Given::Shell { name: source, session: None, state: None, origin, reason: None })
            }
            None if environment.webhook_source().is_some() => Ok(run(source)),
            Some(_) if environment.step().is_some() => Ok(Given::Command {
                id: None,
                source,
                mode: None,
                error: None,
                parent_id: None,
                origin,
                duration_seconds: None,
            }),
            _ => Err(ToolError::usage(format_args!(
                "--from-env: ETCHA_EVENT_NAME is {}; events that say what happened are pull, push, shell, and your \
                 own of the form changed_SOURCE, failed_SOURCE and removed_SOURCE; give the kind of event otherwise",
                environment
                    .event_name
                    .as_deref()
                    .map_or("not set".into(), |name| format!("`{}`", printable::line(name))),
            ))),
        }
    }

    /// The events, with what no flag gives taken from the environment. One, but for a shell of which Etcha says that it
    /// was opened and will never say that it was closed.
    pub(super) fn events<'a>(&'a self, environment: &'a Environment) -> Result<Vec<Event<'a>>, ToolError> {
        Ok(vec![match self {
            Given::Command { .. } => Event::Command(self.command(environment)?),
            Given::Source { .. } => Event::Source(self.source(environment)?),
            Given::Shell { .. } => return self.shell(environment),
            Given::Engine { state, version, pid } => {
                Event::Engine(Engine { state: *state, version: text(version), pid: *pid })
            }
        }])
    }

    fn command<'a>(&'a self, environment: &'a Environment) -> Result<Command<'a>, ToolError> {
        let Given::Command { id, source, mode, error, parent_id, origin, duration_seconds } = self else {
            unreachable!("asked of a command alone")
        };
        let step = environment.step();
        let form = "an event of the form changed_SOURCE sets ETCHA_EVENT_NAME";
        let known_id = step.as_ref().and(environment.event_id.as_deref());
        let known_source = step.as_ref().map(|step| step.source);
        let mode = mode.or(step.as_ref().map(|step| step.mode));
        let failed = match (error, &step) {
            (Some(error), _) => *error,
            (None, Some(step)) => step.failed,
            (None, None) if environment.is_asked => {
                return Err(missing("--error or --error=false", form));
            }
            (None, None) => false,
        };
        Ok(Command {
            id: required("--id", id, known_id, form)?,
            mode: mode.ok_or_else(|| missing("--mode", form))?,
            error: failed,
            parent_id: text(parent_id),
            source: required("--source", source, known_source, form)?,
            public_key: origin.public_key(environment),
            remote_addr: origin.remote_addr(environment),
            duration_seconds: *duration_seconds,
        })
    }

    fn source<'a>(&'a self, environment: &'a Environment) -> Result<Source<'a>, ToolError> {
        let Given::Source {
            name,
            trigger,
            error,
            origin,
            token_id,
            subject,
            digest,
            changed,
            removed,
            duration_seconds,
        } = self
        else {
            unreachable!("asked of a source alone")
        };
        let unsaid = if environment.is_asked { Ending::Unknown } else { Ending::Succeeded };
        let ending = error.unwrap_or(unsaid);
        Ok(Source {
            name: match (name, environment.webhook_source()) {
                (Some(name), _) => name.into(),
                (None, Some(name)) => name.into(),
                (None, None) if environment.is_asked => return Err(unnamed()),
                (None, None) => return Err(missing("--name", "")),
            },
            trigger: match trigger.or(environment.trigger()) {
                Some(trigger) => trigger,
                None => return Err(missing("--trigger", "ETCHA_EVENT_NAME is pull or push")),
            },
            error: ending != Ending::Succeeded,
            outcome: (ending == Ending::Unknown).then_some(Outcome::Unknown),
            public_key: origin.public_key(environment),
            remote_addr: origin.remote_addr(environment),
            token_id: text(token_id),
            subject: text(subject),
            digest: text(digest),
            changed: *changed,
            removed: *removed,
            duration_seconds: *duration_seconds,
        })
    }

    fn shell<'a>(&'a self, environment: &'a Environment) -> Result<Vec<Event<'a>>, ToolError> {
        let Given::Shell { name, session, state, origin, reason } = self else {
            unreachable!("asked of a shell alone")
        };
        let has_event = environment.event_name.as_deref() == Some("shell");
        let session = match session {
            Some(session) => session.clone(),
            None if environment.is_asked => session_name()?,
            None => return Err(missing("--session", "")),
        };
        let of = |state, reason: &'a str| {
            Event::Shell(Shell {
                name: name.as_deref().unwrap_or_default().into(),
                session: session.clone().into(),
                state,
                public_key: origin.public_key(environment),
                remote_addr: origin.remote_addr(environment),
                reason: reason.into(),
            })
        };
        if name.is_none() {
            return Err(if environment.is_asked { unnamed() } else { missing("--name", "") });
        }
        match state {
            Some(state) => Ok(vec![of(*state, reason.as_deref().unwrap_or_default())]),
            // Open for ever would be wrong, and an alert that never ends.
            None if has_event => Ok(vec![of(ShellState::Opened, ""), of(ShellState::Closed, END_NOT_SEEN)]),
            None => Err(missing("--state", "ETCHA_EVENT_NAME is shell")),
        }
    }
}

/// Why a shell is closed of which only the opening is known.
const END_NOT_SEEN: &str = "end not seen";

impl Origin {
    fn public_key<'a>(&'a self, environment: &'a Environment) -> Cow<'a, str> {
        self.public_key.as_ref().or(environment.public_key.as_ref()).map_or(Cow::from(""), Cow::from)
    }

    fn remote_addr(&self, environment: &Environment) -> Cow<'static, str> {
        let (name, address) = match (&self.remote_addr, &environment.remote_addr) {
            (Some(flag), _) => ("--remote-addr", flag),
            (None, Some(variable)) => ("ETCHA_EVENT_SRC", variable),
            (None, None) => return Cow::from(""),
        };
        remote_addr(name, address)
    }
}

/// One spelling for each address: two of them would be two series. What is no address is left out with a word about
/// it: the event is worth more.
pub(super) fn remote_addr(name: &str, text: &str) -> Cow<'static, str> {
    match ip(text) {
        Some(address) => address.to_string().into(),
        None => {
            if !text.is_empty() {
                let text = printable::short(text, 60);
                crate::say(format_args!("{name}: `{text}` is not an IP address; recorded without it"));
            }
            Cow::from("")
        }
    }
}

/// The address of `--remote-addr` in what programs hand on, such as `192.0.2.7 51234 22` of sshd.
pub(crate) fn address(text: &str) -> String {
    remote_addr("--remote-addr", text.split_whitespace().next().unwrap_or_default()).into_owned()
}

fn text(value: &Option<String>) -> Cow<'_, str> {
    Cow::from(value.as_deref().unwrap_or_default())
}

fn required<'a>(
    flag: &str,
    given: &'a Option<String>,
    from_environment: Option<&'a str>,
    variable: &str,
) -> Result<Cow<'a, str>, ToolError> {
    let value = given.as_deref().or(from_environment);
    value.map(Cow::from).ok_or_else(|| missing(flag, variable))
}

fn missing(flag: &str, otherwise: &str) -> ToolError {
    if otherwise.is_empty() {
        return ToolError::usage(format_args!("{flag} is missing"));
    }
    ToolError::usage(format_args!("{flag} is missing; give it, or --from-env where {otherwise}"))
}

/// Etcha's variables name the Source that handles an event, and not the one that the event is about.
fn unnamed() -> ToolError {
    ToolError::usage(
        "--from-env: Etcha's variables do not say which Source was pulled, pushed to or opened (ETCHA_SOURCE_NAME is the \
         Source that handles the event); give its name",
    )
}

fn duration(text: &str) -> Result<f64, Expected> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(seconds),
        _ => Err(Expected("a number of seconds, not below 0, such as 1.25")),
    }
}

/// One of the words that the contract knows for this type.
pub(crate) fn word<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    T::deserialize(StrDeserializer::new(text))
}

fn ending(text: &str) -> Result<Ending, Expected> {
    match text {
        "true" => Ok(Ending::Failed),
        "false" => Ok(Ending::Succeeded),
        "unknown" => Ok(Ending::Unknown),
        _ => Err(Expected("true, false or unknown")),
    }
}
