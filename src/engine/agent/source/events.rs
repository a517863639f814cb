//! Events: those that Commands fire, and the engine's own. A Source that receives one runs what it has, with what happened
//! in its variables; what it fires itself goes nowhere. Neither the sender nor its push waits for it.
//!
//! # The engine's own events
//!
//! `pull`, `push` and `shell` say that a token was fetched, that one was pushed, that a shell was opened, whatever came of
//! it. Etcha's documents leave open what their variables hold; here `ETCHA_EVENT_ID` is the name of the Source that was
//! pulled, pushed to or opened, and `ETCHA_EVENT_OUTPUT` why its run failed, empty if it went well. They need no
//! `eventsSend`: a Source cannot keep from others what was done to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::{ConfiguredSource, Sources};
use crate::agent::record::{Origin, Trigger};
use crate::run::CommandResult;

/// Events that may wait for one Source. Each keeps the output that it carries; a Source that hangs must not fill the
/// memory with them. Beyond that an event is a failed run.
pub(super) const MAX_WAITING: usize = 256;

/// An event of the engine itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    /// A token was fetched.
    Pull,
    /// A token was pushed.
    Push,
    /// A shell was opened.
    Shell,
}

impl System {
    /// The name by which it is received.
    pub(crate) fn name(self) -> &'static str {
        match self {
            System::Pull => "pull",
            System::Push => "push",
            System::Shell => "shell",
        }
    }
}

/// What is behind an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cause<'a> {
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

/// An event on its way to a Source.
pub(super) struct Delivery {
    origin: Origin,
    event: String,
    id: String,
    output: String,
}

impl Sources {
    /// Runs the Sources that receive `event`, and does not wait for them. `failure` says why what it is about failed, and
    /// is empty if it did not.
    pub(crate) fn send_system(self: &Arc<Self>, event: System, cause: Cause<'_>, failure: &str) {
        drop(self.deliver(self.system_deliveries(event, cause, failure)));
    }

    pub(super) fn system_deliveries(&self, event: System, cause: Cause<'_>, failure: &str) -> Vec<Delivery> {
        let names = self.receivers(cause.source, event.name()).into_iter();
        names.map(|name| Delivery::new(name, cause, event.name(), cause.source, failure)).collect()
    }

    /// The events of `fired`, by event name, then by Source that receives it.
    pub(super) fn deliveries(
        &self,
        sender: &ConfiguredSource,
        origin: &Origin,
        fired: &[CommandResult],
    ) -> Vec<Delivery> {
        let Some(sends) = &sender.source().events_send else { return Vec::new() };
        let mut events: BTreeMap<&str, Vec<&CommandResult>> = BTreeMap::new();
        for output in fired {
            for event in output.events.iter().filter(|event| sends.is_match(event)) {
                events.entry(event).or_default().push(output);
            }
        }
        let mut deliveries = Vec::new();
        for (event, outputs) in events {
            for name in self.receivers(&origin.source, event) {
                for output in &outputs {
                    let name = name.clone();
                    deliveries.push(Delivery::new(name, origin.into(), event, &output.id, &output.output));
                }
            }
        }
        deliveries
    }

    /// Runs the receivers side by side, each its events in order. What is returned completes when all of that is done;
    /// dropped, it goes on.
    pub(super) fn deliver(
        self: &Arc<Self>,
        deliveries: Vec<Delivery>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let mut by_source: BTreeMap<String, Vec<(Delivery, OwnedSemaphorePermit)>> = BTreeMap::new();
        for delivery in deliveries {
            let name = delivery.origin.source.clone();
            let Some(configured) = self.configured(&name) else { continue };
            match Arc::clone(&configured.state.events).try_acquire_owned() {
                Ok(place) => by_source.entry(name).or_default().push((delivery, place)),
                Err(_) => {
                    let event = delivery.event;
                    tracing::error!(source = name, event, "event: {MAX_WAITING} wait already; it is lost");
                    self.journal.source_failed(&delivery.origin);
                }
            }
        }
        let mut under_way = JoinSet::new();
        for (name, deliveries) in by_source {
            let (sources, working) = (Arc::clone(self), self.work.wait(&name));
            under_way.spawn(async move {
                for (delivery, place) in deliveries {
                    sources.receive(&name, delivery).await;
                    drop(place);
                }
                drop(working);
            });
        }
        // A set that is dropped would end its tasks.
        let all = tokio::spawn(async move { while under_way.join_next().await.is_some() {} });
        async move { drop(all.await) }
    }

    /// Names of the Sources that receive `event`, but for the one that it comes from.
    fn receivers(&self, sender: &str, event: &str) -> Vec<String> {
        let config = self.config();
        let receives = config.sources.iter().filter(|(name, source)| {
            *name != sender && source.events_receive.iter().any(|wanted| wanted == event)
        });
        receives.map(|(name, _)| name.clone()).collect()
    }

    async fn receive(self: &Arc<Self>, name: &str, delivery: Delivery) {
        let Delivery { origin, event, id, output } = delivery;
        let variables = vec![
            ("ETCHA_EVENT_ID", id),
            ("ETCHA_EVENT_NAME", event.clone()),
            ("ETCHA_EVENT_OUTPUT", output),
            ("ETCHA_EVENT_PUBLIC_KEY", origin.public_key.clone()),
            ("ETCHA_EVENT_SRC", origin.remote_addr.clone()),
            ("ETCHA_SOURCE_NAME", name.to_owned()),
            ("ETCHA_SOURCE_TRIGGER", "event".to_owned()),
        ];
        match self.run_current(name, origin, variables, None).await {
            Ok(Some(_)) => {}
            Ok(None) => tracing::warn!(source = name, event, "event: there is no pattern to run yet"),
            Err(_) => tracing::warn!(source = name, event, "event: the engine stops; it is lost"),
        }
    }
}

impl Delivery {
    fn new(name: String, cause: Cause<'_>, event: &str, id: &str, output: &str) -> Delivery {
        let origin = Origin {
            source: name,
            trigger: Trigger::Event,
            public_key: cause.public_key.to_owned(),
            remote_addr: cause.remote_addr.to_owned(),
            token: None,
        };
        Delivery { origin, event: event.to_owned(), id: id.to_owned(), output: output.to_owned() }
    }
}
