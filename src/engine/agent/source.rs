//! The Sources of an engine: what each of them has to run, who may run when, and what one sets off in others.
//!
//! A run happens in the thread that asks for it. Runs of one Source wait for each other, unless it says `runMulti`.
//! Events go on only when the run that fired them has given its turn back, so no two Sources ever wait for each other.
//!
//! * `perform`: what every run does. It is asked for here, at the start and on schedule; in [`push`] and [`webhook`], by
//!   somebody else; and in [`events`], by another run.

pub mod events;
mod perform;
pub mod push;
mod turn;
pub mod webhook;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::agent::pull::{Fetched, Room};
use crate::agent::record::{Journal, Origin, Trigger};
use crate::agent::state::StateDir;
use crate::config::{Config, Source};
use crate::pattern::Pattern;
use crate::program;
use crate::run::Pending;
use crate::stop::{Stop, Stopper};
use crate::wire::client::Client;
use crate::wire::key::VerifyKey;
use crate::wire::token::{self, Claims};
use events::System;
use perform::{Ran, Wish};
pub use turn::NoTurn;
use turn::{Turn, Turns};

/// All Sources, and where their runs are recorded.
pub struct Sources {
    config: Config,
    journal: Journal,
    state: StateDir,
    stop: Stop,
    stopper: Stopper,
    client: Client,
    /// What all pulls together may hold of what nothing is known of.
    pulls: Room,
    states: BTreeMap<String, State>,
}

/// What changes of one Source.
#[derive(Default)]
struct State {
    turns: Turns,
    current: Mutex<Current>,
    /// What came from each place the last time, by its position in `pullPaths`.
    fetched: Mutex<BTreeMap<usize, Fetched>>,
}

#[derive(Default)]
struct Current {
    pattern: Option<Arc<Pattern>>,
    token: Option<Arc<Token>>,
    pending: Pending,
}

/// A verified token.
#[derive(Debug)]
pub struct Token {
    text: String,
    claims: Claims,
    key_id: String,
}

/// What came of asking a Source to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to run.
    Nothing,
    /// It ran, or its Pattern was stored.
    Done,
    /// It failed. The log and the journal say why.
    Failed,
}

impl Sources {
    /// The Sources of `config`, each with its static Commands or with the Pattern of its kept token. Nothing runs yet.
    pub fn new(config: Config, journal: Journal, state: StateDir, stop: Stop, stopper: Stopper) -> Sources {
        let states = config.sources.keys().map(|name| (name.clone(), State::default())).collect();
        let client = Client::new(config.trust.clone());
        let pulls = Room::new(config.max_token_bytes);
        let sources = Sources { config, journal, state, stop, stopper, client, pulls, states };
        for (name, source) in &sources.config.sources {
            let Some(state) = sources.states.get(name) else { continue };
            let mut current = lock(&state.current);
            current.pattern = source.commands.clone().map(Arc::new);
            if let Some((token, pattern)) = sources.restore(name, source) {
                (current.token, current.pattern) = (Some(Arc::new(token)), Some(Arc::new(pattern)));
            }
        }
        sources
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where runs are recorded.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The wish that all work ends.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Runs the Source `name` on the engine's own account, at its start or on its schedule, and then what its events
    /// set off. A pull that fails is a failed run; at the start, what is there already runs all the same.
    pub fn run(&self, name: &str, trigger: Trigger) -> Outcome {
        let Some((source, state)) = self.source(name) else { return Outcome::Nothing };
        let origin = |key_id: &str| Origin {
            source: name.to_owned(),
            trigger,
            public_key: key_id.to_owned(),
            remote_addr: String::new(),
        };
        let turn = take_turn(source, state, None);
        let pulled = match self.pull(name, source, state) {
            Ok(pulled) => pulled,
            Err(why) => {
                tracing::error!(source = name, "pull: {why}");
                if trigger != Trigger::Init || lock(&state.current).pattern.is_none() {
                    self.journal.source_failed(&origin(""));
                    return Outcome::Failed;
                }
                None
            }
        };
        let system = pulled.is_some().then_some(System::Pull);
        let token = self.newest(source, state, pulled);
        let origin = origin(token.as_ref().map_or("", |token| &token.key_id));
        let ran = self.run_pattern(source, state, &origin, token, Wish::default());
        drop(turn);
        self.set_off(source, &origin, &ran, system);
        ran.outcome
    }

    /// What a run sets off: events of its Commands, the engine's own, and the end of the engine if a Command asks for it.
    fn set_off(&self, source: &Source, origin: &Origin, ran: &Ran, system: Option<System>) {
        self.send(source, origin, &ran.outputs);
        if let Some(system) = system {
            self.send_system(system, origin.into(), ran.failure.as_deref().unwrap_or_default());
        }
        if ran.asks_for_exit() {
            tracing::info!(source = origin.source, "a command asks the engine to end");
            self.stopper.ask();
        }
    }

    fn source(&self, name: &str) -> Option<(&Source, &State)> {
        Some((self.config.sources.get(name)?, self.states.get(name)?))
    }

    /// The token that is to run from now on: the pulled one, unless it says the same as the present one.
    fn newest(&self, source: &Source, state: &State, pulled: Option<Token>) -> Option<Arc<Token>> {
        let current = lock(&state.current).token.clone();
        match (pulled, current) {
            (Some(pulled), Some(current)) if says_the_same(&pulled.claims, &current.claims, source) => {
                Some(current)
            }
            (Some(pulled), _) => Some(Arc::new(pulled)),
            (None, current) => current,
        }
    }

    /// The first token that can be fetched and trusted; nothing if the Source pulls none.
    fn pull(&self, name: &str, source: &Source, state: &State) -> Result<Option<Token>, String> {
        let keys = self.config.keys_of(source);
        let mut problems = Vec::new();
        for (index, place) in source.pull_paths.iter().enumerate() {
            let before = lock(&state.fetched).get(&index).cloned();
            let fetched = self.client.fetch(place, before.as_ref(), &self.pulls);
            let token =
                fetched.and_then(|fetched| verified(&fetched.text, &keys).map(|token| (fetched, token)));
            match token {
                Ok((fetched, token)) => {
                    tracing::debug!(source = name, %place, key = token.key_id, "pulled");
                    lock(&state.fetched).insert(index, fetched);
                    return Ok(Some(token));
                }
                Err(why) => problems.push(format!("{place}: {why}")),
            }
        }
        if problems.is_empty() { Ok(None) } else { Err(problems.join("; ")) }
    }

    /// The kept token of a Source, if it can still be trusted, and its Pattern.
    fn restore(&self, name: &str, source: &Source) -> Option<(Token, Pattern)> {
        if source.no_restore {
            return None;
        }
        let restored = (|| {
            let Some(text) = self.state.token(name).map_err(|error| error.to_string())? else {
                return Ok(None);
            };
            let token = verified(&text, &self.config.keys_of(source))?;
            let pattern = program::of_claims(&self.config, name, &token.claims, &token.text);
            pattern.map(|pattern| Some((token, pattern))).map_err(|error| error.to_string())
        })();
        restored.unwrap_or_else(|why: String| {
            let path = self.state.token_path(name);
            tracing::error!(source = name, "{}: not restored: {why}", path.display());
            None
        })
    }
}

/// Waits for the turn of the Source, if its runs have to, for `longest` at most.
fn take_turn<'a>(
    source: &Source,
    state: &'a State,
    longest: Option<Duration>,
) -> Result<Option<Turn<'a>>, NoTurn> {
    if source.run_multi { Ok(None) } else { state.turns.take(longest).map(Some) }
}

/// A holder that panicked has left nothing half done: values are only replaced as a whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn verified(text: &str, keys: &[VerifyKey]) -> Result<Token, String> {
    let verified = token::verify(text, keys, program::now()).map_err(|error| error.to_string())?;
    Ok(Token { text: text.trim().to_owned(), claims: verified.claims, key_id: verified.key_id })
}

/// Whether a pulled token is nothing new. Its times and variables are not compared.
fn says_the_same(one: &Claims, other: &Claims, source: &Source) -> bool {
    one.build_manifest == other.build_manifest
        && one.pattern == other.pattern
        && (source.pull_ignore_version || one.version == other.version)
}

#[cfg(test)]
mod tests;
