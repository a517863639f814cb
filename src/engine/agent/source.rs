//! The Sources of an engine: what each of them has to run, who may run when, and what one sets off in others.
//!
//! Each run is a task. Runs of one Source wait for each other in the order in which they came, unless it says `runMulti`;
//! Sources wait for no other. Events are tasks of their own, so a receiver never holds up who fired. Every wait ends with
//! the wish to stop.
//!
//! * `perform`: what every run does. It is asked for here, at the start and on schedule; in [`push`] and [`webhook`], by
//!   requests; and in [`events`], by another run.
//! * `plan`: what such a run is to do; `triggers`: what was set off and has not run yet.
//! * `fetch`: tokens that are pulled, and those that were kept. `turn`: who may run;
//!   `rendering`: how many Patterns are rendered at a time. `work`: what is under way.

pub(crate) mod events;
mod fetch;
mod perform;
mod plan;
pub(crate) mod push;
mod rendering;
pub(super) mod triggers;
mod turn;
pub(crate) mod webhook;
mod work;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;

use crate::agent::pull::{FetchBudget, Fetched};
use crate::agent::record::{Action, Journal, Origin, Refused, Trigger};
use crate::agent::refusals::{Denied, Refusals};
use crate::agent::state::{Kept, StateDir};
use crate::config::{Config, Source};
use crate::pattern::Pattern;
use crate::stop::{Stop, Stopper};
use crate::wire::client::Client;
use crate::wire::token::Claims;
use events::System;
use fetch::PullError;
use perform::{RunOptions, RunResult};
use rendering::Renderings;
use triggers::Triggers;
pub(crate) use turn::NoTurn;
use turn::Turns;
use work::Work;

/// Files of one Source that are read at once. A read that never returns, as on a dead mount, keeps its thread: so that
/// not each pull costs one more.
const MAX_READS: usize = 4;

/// All Sources, and where their runs are recorded.
pub(crate) struct Sources {
    settings: watch::Sender<Settings>,
    journal: Journal,
    state: StateDir,
    stop: Stop,
    stopper: Stopper,
    /// What all pulls together may hold of what nothing is known of.
    pulls: FetchBudget,
    states: Mutex<BTreeMap<String, Arc<State>>>,
    work: Work,
    refusals: Refusals,
}

/// What a reload replaces.
#[derive(Clone)]
struct Settings {
    config: Arc<Config>,
    client: Arc<Client>,
    /// Grows by one with each reload.
    generation: u64,
}

/// What changes of one Source.
struct State {
    turns: Turns,
    renderings: Renderings,
    current: Mutex<Current>,
    /// What came from each place the last time, by its position in `pullPaths`.
    fetched: Mutex<BTreeMap<usize, Fetched>>,
    /// Files that may still be read.
    reads: Arc<Semaphore>,
    /// Events that may still wait for it.
    events: Arc<Semaphore>,
}

#[derive(Default)]
struct Current {
    /// The settings under which what was kept was looked for; 0 if it was not yet.
    generation: u64,
    pattern: Option<Arc<Pattern>>,
    token: Option<Arc<Token>>,
    /// The token that the state directory has.
    kept: Option<Arc<Token>>,
    /// What was there before and still has to be removed, the oldest first: pushes with a filter removed nothing.
    bases: Vec<Base>,
    /// What was set off and no run under way has taken up.
    triggers: Triggers,
    /// What the state directory has of that.
    kept_pending: Kept,
}

/// A Pattern that was there, with the token that it came in if it came in one.
struct Base {
    pattern: Arc<Pattern>,
    token: Option<Arc<Token>>,
}

/// A Source as it is configured when a run begins, and what changes of it.
#[derive(Clone)]
struct ConfiguredSource {
    config: Arc<Config>,
    client: Arc<Client>,
    generation: u64,
    name: String,
    state: Arc<State>,
}

/// A verified token.
#[derive(Debug)]
pub(crate) struct Token {
    text: String,
    claims: Claims,
    key_id: String,
}

/// What came of asking a Source to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There was nothing to run.
    Nothing,
    /// It ran, or its Pattern was stored.
    Done,
    /// It failed. The log and the journal say why.
    Failed,
}

impl State {
    fn new() -> State {
        State {
            turns: Turns::new(),
            renderings: Renderings::default(),
            current: Mutex::default(),
            fetched: Mutex::default(),
            reads: Arc::new(Semaphore::new(MAX_READS)),
            events: Arc::new(Semaphore::new(events::MAX_WAITING)),
        }
    }
}

impl ConfiguredSource {
    fn source(&self) -> &Source {
        // It was found there when this was made, and a configuration is only replaced as a whole.
        &self.config.sources[&self.name]
    }
}

impl Sources {
    /// The Sources of `config`. Nothing runs yet; what was kept of each is looked for by its first run.
    pub(crate) fn new(
        config: Config,
        journal: Journal,
        state: StateDir,
        stop: Stop,
        stopper: Stopper,
    ) -> Arc<Sources> {
        let client = Arc::new(Client::new(config.trust.clone()));
        let pulls = FetchBudget::new(config.max_token_bytes);
        let settings = watch::Sender::new(Settings { config: Arc::new(config), client, generation: 1 });
        let (states, work, refusals) = (Mutex::default(), Work::default(), Refusals::default());
        Arc::new(Sources { settings, journal, state, stop, stopper, pulls, states, work, refusals })
    }

    /// The configuration, as it is now.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.settings().config
    }

    /// Replaces the configuration. Each Source begins anew, as after a restart of the engine, with its next run; runs under
    /// way go on as they began.
    pub(crate) fn reload(&self, config: Config) {
        let client = Arc::new(Client::new(config.trust.clone()));
        self.settings.send_modify(|settings| {
            let generation = settings.generation + 1;
            *settings = Settings { config: Arc::new(config), client, generation };
        });
    }

    /// Completes when the configuration is another one than `seen`.
    pub(crate) async fn reloaded(&self, seen: &Arc<Config>) {
        // It fails only without a sender, and here is one.
        let _ = self.settings.subscribe().wait_for(|now| !Arc::ptr_eq(&now.config, seen)).await;
    }

    /// Where runs are recorded.
    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The wish that all work ends.
    pub(crate) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Completes when no run is under way.
    pub(crate) async fn idle(&self) {
        self.work.idle().await;
    }

    /// Sources with a run that is under way for longer than `least`, and for how long.
    pub(crate) fn under_way(&self, least: Duration) -> Vec<(String, Duration)> {
        self.work.longer_than(least)
    }

    /// Whether [`Sources::record_runs`] has anything to do.
    pub(super) fn has_runs_to_record(&self, least: Duration) -> bool {
        self.work.has_news(least)
    }

    /// Records runs that are under way for longer than `least`, and those that were recorded and are over. Whether all of
    /// it is in the journal.
    pub(super) fn record_runs(&self, least: Duration) -> bool {
        let mut well = true;
        for run in self.work.unrecorded(least) {
            if self.journal.run_started(&run) {
                let seconds = run.time.as_secs_f64();
                tracing::info!(source = run.origin.source, trigger = ?run.origin.trigger, seconds, "under way");
                self.work.recorded(&run);
            } else {
                well = false;
            }
        }
        for run in self.work.take_over() {
            if !self.journal.run_ended(&run) {
                self.work.give_back(run);
                well = false;
            }
        }
        well
    }

    /// A request was refused: records it now, if that is within the limits, or later with others. Does not wait.
    pub(super) fn refused(
        self: &Arc<Self>,
        action: Action,
        client: Option<IpAddr>,
        source: &str,
        denied: &Denied,
    ) {
        let Some(count) = self.refusals.note(client, (action, denied.reason), Instant::now()) else { return };
        let refused = Refused {
            action,
            reason: denied.reason,
            // Names that nobody configured are a client's own words, and may be anything.
            source: if self.config().sources.contains_key(source) {
                source.to_owned()
            } else {
                String::new()
            },
            public_key: denied.public_key.clone(),
            remote_addr: client.map(|client| client.to_string()).unwrap_or_default(),
            count,
        };
        let sources = Arc::clone(self);
        drop(spawn_blocking(move || sources.journal.refused(&refused)));
    }

    /// Whether [`Sources::record_refusals`] has anything to do.
    pub(super) fn has_refusals_to_record(&self) -> bool {
        self.refusals.has_left_out()
    }

    /// Records refusals that got no line when they happened, all of a kind in one.
    pub(super) fn record_refusals(&self) {
        for ((action, reason), count) in self.refusals.take_left_out() {
            let (source, public_key, remote_addr) = Default::default();
            self.journal.refused(&Refused { action, reason, source, public_key, remote_addr, count });
        }
    }

    /// Records that the engine is alive, after a look behind each lock that a run takes: where one of them is never given
    /// back, this does not return.
    pub(super) fn heartbeat(&self) {
        let states: Vec<_> = lock(&self.states).values().cloned().collect();
        for state in states {
            drop(lock(&state.current));
            drop(lock(&state.fetched));
        }
        self.journal.heartbeat();
    }

    /// Runs the Source `name` on the engine's own account, at its start or on its schedule, and then sets off its events. A
    /// pull that fails is a failed run; at the start, what is there already runs anyway.
    pub(crate) async fn run(self: &Arc<Self>, name: &str, trigger: Trigger) -> Outcome {
        let Some(configured) = self.configured(name) else { return Outcome::Nothing };
        let Ok(turn) = configured.state.turns.take(configured.source().run_multi, None, &self.stop).await
        else {
            return Outcome::Nothing;
        };
        // Which key signed what runs is only known once it was fetched.
        let (public_key, remote_addr) = Default::default();
        let working = self.work.begin(Origin {
            source: name.to_owned(),
            trigger,
            public_key,
            remote_addr,
            token: None,
        });
        let pulled = tokio::select! {
            biased;
            () = self.stop.asked() => return Outcome::Nothing,
            pulled = self.pull(&configured) => pulled,
        };
        let system = matches!(pulled, Ok(Some(_))).then_some(System::Pull);
        let ran = self.blocking(move |sources| {
            let ran = sources.run_own(&configured, trigger, pulled);
            drop(turn);
            (configured, ran)
        });
        let Some((configured, (origin, ran))) = ran.await else { return Outcome::Failed };
        self.set_off(&configured, &origin, &ran, system);
        drop(working);
        ran.outcome
    }

    /// Runs in a thread that may wait, with what was pulled.
    fn run_own(
        &self,
        configured: &ConfiguredSource,
        trigger: Trigger,
        pulled: Result<Option<Token>, PullError>,
    ) -> (Origin, RunResult) {
        self.restore(configured);
        let origin = |key_id: &str| Origin {
            source: configured.name.clone(),
            trigger,
            public_key: key_id.to_owned(),
            remote_addr: String::new(),
            token: None,
        };
        let pulled = match pulled {
            Ok(pulled) => pulled,
            Err(why) => {
                tracing::error!(source = configured.name, "pull: {why}");
                if trigger != Trigger::Init || lock(&configured.state.current).pattern.is_none() {
                    let origin = origin("");
                    self.journal.source_failed(&origin);
                    return (origin, RunResult::without_outputs(Outcome::Failed));
                }
                None
            }
        };
        let token = configured.newest(pulled);
        let origin = origin(token.as_ref().map_or("", |token| &token.key_id));
        let options = RunOptions { time: configured.source().run_timeout, ..RunOptions::default() };
        let ran = self.run_pattern(configured, &origin, token, &options);
        (origin, ran)
    }

    /// What a run triggers: the events of its Commands, the engine's own events, and the stop of the engine if a
    /// Command asks for it.
    fn set_off(
        self: &Arc<Self>,
        configured: &ConfiguredSource,
        origin: &Origin,
        ran: &RunResult,
        system: Option<System>,
    ) {
        let mut deliveries = self.deliveries(configured, origin, &ran.outputs);
        if let Some(system) = system {
            let failure = ran.failure.as_ref().map(ToString::to_string).unwrap_or_default();
            deliveries.extend(self.system_deliveries(system, origin.into(), &failure));
        }
        let delivered = self.deliver(deliveries);
        if ran.asks_for_exit() {
            tracing::info!(source = origin.source, "a command asks the engine to end");
            let (stopper, patience) = (self.stopper.clone(), configured.config.timeout_stop);
            tokio::spawn(async move {
                // They start before the stop forbids new work, but a slow one does not keep the engine.
                let _ = tokio::time::timeout(patience, delivered).await;
                stopper.ask();
            });
        }
    }

    /// The Source `name` as it is configured now.
    fn configured(&self, name: &str) -> Option<ConfiguredSource> {
        let Settings { config, client, generation } = self.settings();
        if !config.sources.contains_key(name) {
            return None;
        }
        let state = {
            let mut states = lock(&self.states);
            Arc::clone(states.entry(name.to_owned()).or_insert_with(|| Arc::new(State::new())))
        };
        Some(ConfiguredSource { config, client, generation, name: name.to_owned(), state })
    }

    fn settings(&self) -> Settings {
        self.settings.borrow().clone()
    }

    /// Does `work` in a thread that may wait. Nothing if it panicked.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Sources) -> T + Send + 'static,
    ) -> Option<T> {
        let sources = Arc::clone(self);
        let done = spawn_blocking(move || work(&sources)).await;
        done.inspect_err(|error| tracing::error!("a run broke off: {error}")).ok()
    }
}

/// A holder that panicked has left nothing half done: values are only replaced as a whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
