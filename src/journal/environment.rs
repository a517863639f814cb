//! Values that an Etcha agent hands to the Commands it runs, for `append --from-env`.
//!
//! An event handler runs with `ETCHA_EVENT_*` and `ETCHA_SOURCE_*` in its environment. They speak of the event and of
//! the Source that *handles* it; the one that sent it has no variable, so `--name` or `--source` often has to say more.

use std::env;

use crate::Failure;

/// What Etcha's variables say, or nothing without `--from-env`.
#[derive(Default)]
pub(crate) struct Environment {
    pub(crate) event_id: Option<String>,
    pub(crate) event_name: Option<String>,
    pub(crate) public_key: Option<String>,
    pub(crate) remote_addr: Option<String>,
    pub(crate) source_name: Option<String>,
    pub(crate) source_trigger: Option<String>,
}

impl Environment {
    /// The environment of this process.
    pub(crate) fn of_etcha() -> Result<Environment, Failure> {
        Ok(Environment {
            event_id: variable("ETCHA_EVENT_ID")?,
            event_name: variable("ETCHA_EVENT_NAME")?,
            public_key: variable("ETCHA_EVENT_PUBLIC_KEY")?,
            remote_addr: variable("ETCHA_EVENT_SRC")?,
            source_name: variable("ETCHA_SOURCE_NAME")?,
            source_trigger: variable("ETCHA_SOURCE_TRIGGER")?,
        })
    }

    /// What set the run off that the event tells of: the events `pull` and `push` are named after it, and for others
    /// it is what set off this handler.
    pub(crate) fn trigger(&self) -> Option<&str> {
        match self.event_name.as_deref() {
            Some(name @ ("pull" | "push")) => Some(name),
            _ => self.source_trigger.as_deref(),
        }
    }

    /// The event `shell` is sent when one is opened, and none when it is closed.
    pub(crate) fn shell_state(&self) -> Option<&str> {
        (self.event_name.as_deref() == Some("shell")).then_some("opened")
    }
}

/// An empty variable says as little as an absent one.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Failure::new(format_args!("{name} is not UTF-8"))),
    }
}
