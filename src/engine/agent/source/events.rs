//! Events: those that Commands fire, and the engine's own. Whoever receives one runs what it has, with what happened in
//! its variables; what it fires itself goes nowhere.
//!
//! # The engine's own events
//!
//! `pull`, `push` and `shell` say that a token was fetched, that one was pushed, that a shell was opened, whatever came of
//! it. Etcha's documents leave open what their variables hold; here `ETCHA_EVENT_ID` is the name of the Source that was
//! pulled, pushed to or opened, and `ETCHA_EVENT_OUTPUT` why its run failed, empty if it went well. They need no
//! `eventsSend`: a Source cannot keep from others what was done to it.

use std::collections::BTreeMap;

use super::Sources;
use crate::agent::record::{Origin, Trigger};
use crate::config::Source;
use crate::run::Output;

/// An event of the engine itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// A token was fetched.
    Pull,
    /// A token was pushed.
    Push,
    /// A shell was opened.
    Shell,
}

impl System {
    /// The name by which it is received.
    pub fn name(self) -> &'static str {
        match self {
            System::Pull => "pull",
            System::Push => "push",
            System::Shell => "shell",
        }
    }
}

/// Who is behind an event.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a> {
    /// Name of the Source that it comes from.
    pub source: &'a str,
    /// Id of the key that signed what ran; empty if none did.
    pub public_key: &'a str,
    /// IP address from which it was asked for; empty if the engine did so itself.
    pub remote_addr: &'a str,
}

impl<'a> From<&'a Origin> for Cause<'a> {
    fn from(origin: &'a Origin) -> Cause<'a> {
        Cause { source: &origin.source, public_key: &origin.public_key, remote_addr: &origin.remote_addr }
    }
}

impl Sources {
    /// Runs the Sources that receive `event`, one after the other, in this thread. `failure` says why what it tells of
    /// failed, and is empty if it did not.
    pub fn send_system(&self, event: System, cause: Cause<'_>, failure: &str) {
        for name in self.receivers(cause.source, event.name()) {
            self.receive(name, cause, event.name(), cause.source, failure);
        }
    }

    /// Runs the Sources that receive the events of `fired`, by event name, then by Source.
    pub(super) fn send(&self, sender: &Source, origin: &Origin, fired: &[Output]) {
        let Some(sends) = &sender.events_send else { return };
        let mut events: BTreeMap<&str, Vec<&Output>> = BTreeMap::new();
        for output in fired {
            for event in output.events.iter().filter(|event| sends.is_match(event)) {
                events.entry(event).or_default().push(output);
            }
        }
        for (event, outputs) in events {
            for name in self.receivers(&origin.source, event) {
                for output in &outputs {
                    self.receive(name, origin.into(), event, &output.id, &output.output);
                }
            }
        }
    }

    /// Names of the Sources that receive `event`, but for the one that it comes from.
    fn receivers(&self, sender: &str, event: &str) -> impl Iterator<Item = &str> {
        let receives = move |(name, source): &(&String, &Source)| {
            *name != sender && source.events_receive.iter().any(|wanted| wanted == event)
        };
        self.config.sources.iter().filter(receives).map(|(name, _)| name.as_str())
    }

    fn receive(&self, name: &str, cause: Cause<'_>, event: &str, id: &str, output: &str) {
        let origin = Origin {
            source: name.to_owned(),
            trigger: Trigger::Event,
            public_key: cause.public_key.to_owned(),
            remote_addr: cause.remote_addr.to_owned(),
        };
        let variables = [
            ("ETCHA_EVENT_ID", id),
            ("ETCHA_EVENT_NAME", event),
            ("ETCHA_EVENT_OUTPUT", output),
            ("ETCHA_EVENT_PUBLIC_KEY", cause.public_key),
            ("ETCHA_EVENT_SRC", cause.remote_addr),
            ("ETCHA_SOURCE_NAME", name),
            ("ETCHA_SOURCE_TRIGGER", "event"),
        ];
        // Without a limit there always comes a turn.
        if let Ok(None) = self.run_current(name, &origin, &variables, None) {
            tracing::warn!(source = name, event, "event: there is no pattern to run yet");
        }
    }
}
