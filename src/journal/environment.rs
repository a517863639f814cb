//! What an Etcha agent says in the variables of the Commands that handle its events, for `append --from-env`.
//!
//! The variables describe the event. `ETCHA_SOURCE_NAME` is the Source that *handles* it. No variable names the Source
//! that was pulled, pushed to or opened, and none gives the outcome. The name of one of your own events may contain
//! both. What the variables do not give is not guessed: it comes from a flag, or it is unknown.

use std::env;

use journal_schema::{Mode, Trigger};

use crate::ToolError;

/// What Etcha's variables say, or nothing without `--from-env`.
#[derive(Default)]
pub(crate) struct Environment {
    /// Whether the variables were asked for.
    pub(crate) is_asked: bool,
    pub(crate) event_id: Option<String>,
    pub(crate) event_name: Option<String>,
    pub(crate) public_key: Option<String>,
    pub(crate) remote_addr: Option<String>,
    source_name: Option<String>,
    source_trigger: Option<String>,
}

/// What the name of an event says that a Command sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step<'a> {
    pub(crate) mode: Mode,
    pub(crate) failed: bool,
    pub(crate) source: &'a str,
}

impl Environment {
    /// The environment of this process.
    pub(crate) fn of_etcha() -> Result<Environment, ToolError> {
        Ok(Environment {
            is_asked: true,
            event_id: variable("ETCHA_EVENT_ID")?,
            event_name: variable("ETCHA_EVENT_NAME")?,
            public_key: variable("ETCHA_EVENT_PUBLIC_KEY")?,
            remote_addr: variable("ETCHA_EVENT_SRC")?,
            source_name: variable("ETCHA_SOURCE_NAME")?,
            source_trigger: variable("ETCHA_SOURCE_TRIGGER")?,
        })
    }

    /// What set the run off that the event tells of: the events `pull` and `push` are named after it.
    pub(crate) fn trigger(&self) -> Option<Trigger> {
        match self.event_name.as_deref() {
            Some("pull") => Some(Trigger::Pull),
            Some("push") => Some(Trigger::Push),
            _ => self.webhook_source().map(|_| Trigger::Webhook),
        }
    }

    /// The Source whose Commands run for a webhook: there is no event then, and `ETCHA_SOURCE_NAME` is the Source
    /// itself.
    pub(crate) fn webhook_source(&self) -> Option<&str> {
        let is_webhook = self.event_name.is_none() && self.source_trigger.as_deref() == Some("webhook");
        self.source_name.as_deref().filter(|_| is_webhook)
    }

    /// What the event's name says where it has the form `VERB_SOURCE` or `VERB_SOURCE_ID`, with the verb `changed`,
    /// `failed` or `removed`, and with the id of the Command that sent it.
    pub(crate) fn step(&self) -> Option<Step<'_>> {
        let (verb, rest) = self.event_name.as_deref()?.split_once('_')?;
        let (mode, failed) = match verb {
            "changed" => (Mode::Changed, false),
            "failed" => (Mode::Changed, true),
            "removed" => (Mode::Remove, false),
            _ => return None,
        };
        let id = self.event_id.as_deref()?;
        let source = rest.strip_suffix(id).and_then(|rest| rest.strip_suffix('_')).unwrap_or(rest);
        (!source.is_empty()).then_some(Step { mode, failed, source })
    }
}

/// An empty variable says as little as an absent one.
fn variable(name: &str) -> Result<Option<String>, ToolError> {
    match env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(ToolError::NotUnicode(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_event_says_what_happened_to_which_command_or_nothing() {
        let step = |name: &str| {
            let (event_name, event_id) = (Some(name.to_owned()), Some("nginx".to_owned()));
            let environment = Environment { event_name, event_id, ..Environment::default() };
            environment.step().map(|step| (step.mode, step.failed, step.source.to_owned()))
        };
        let web = |mode, failed| Some((mode, failed, "web".to_owned()));
        assert_eq!(step("changed_web_nginx"), web(Mode::Changed, false));
        assert_eq!(step("changed_web"), web(Mode::Changed, false));
        assert_eq!(step("failed_web"), web(Mode::Changed, true));
        assert_eq!(step("removed_web"), web(Mode::Remove, false));
        assert_eq!(step("changed_a_b_nginx"), Some((Mode::Changed, false, "a_b".to_owned())));
        for other in ["push", "pull", "shell", "restart_web", "changed", "changed_", "web_changed"] {
            assert_eq!(step(other), None, "{other}");
        }
    }

    #[test]
    fn the_source_that_handles_an_event_is_not_taken_for_the_one_that_sent_it() {
        let handler = Environment {
            event_name: Some("push".to_owned()),
            source_name: Some("audit".to_owned()),
            source_trigger: Some("event".to_owned()),
            ..Environment::default()
        };
        assert_eq!((handler.webhook_source(), handler.trigger()), (None, Some(Trigger::Push)));
        let webhook = Environment {
            source_name: Some("hook".to_owned()),
            source_trigger: Some("webhook".to_owned()),
            ..Environment::default()
        };
        assert_eq!((webhook.webhook_source(), webhook.trigger()), (Some("hook"), Some(Trigger::Webhook)));
    }
}
