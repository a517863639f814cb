//! The Sources of an engine: what each of them has to run, who may run when, and what one sets off in others.
//!
//! A run happens in the thread that asks for it. Runs of one Source wait for each other, unless it says `runMulti`.
//! Events go on only when the run that fired them has given its turn back, so no two Sources ever wait for each other.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::{Config, Source};
use super::diff;
use super::exec::process::Limits;
use super::key::VerifyKey;
use super::pattern::Pattern;
use super::program;
use super::pull::{Client, Fetched};
use super::record::{Journal, Origin, Trigger};
use super::run::{Output, Pending, Phase, Setting, Step, Summary, run};
use super::state::StateDir;
use super::stop::{Stop, Stopper};
use super::token::{self, Claims};

/// The event that ends the engine, after everybody who receives events of the same run.
const EXIT: &str = "exit";

/// All Sources, and where their runs are recorded.
pub struct Sources {
    config: Config,
    journal: Journal,
    state: StateDir,
    stop: Stop,
    stopper: Stopper,
    client: Client,
    states: BTreeMap<String, State>,
}

/// What changes of one Source.
#[derive(Default)]
struct State {
    /// Held by the run whose turn it is.
    turn: Mutex<()>,
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
struct Token {
    text: String,
    claims: Claims,
    key_id: String,
}

/// What came of asking a Source to run.
#[derive(Debug, PartialEq, Eq)]
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
        let sources = Sources { config, journal, state, stop, stopper, client: Client::default(), states };
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

    /// Runs the Source `name` on the engine's own account, at its start or on its schedule, and then what its events
    /// set off. A pull that fails is a failed run; at the start, what is there already runs all the same.
    pub fn run(&self, name: &str, trigger: Trigger) -> Outcome {
        let (Some(source), Some(state)) = (self.config.sources.get(name), self.states.get(name)) else {
            return Outcome::Nothing;
        };
        let origin = |key_id: &str| Origin {
            source: name.to_owned(),
            trigger,
            public_key: key_id.to_owned(),
            remote_addr: String::new(),
        };
        let turn = (!source.run_multi).then(|| lock(&state.turn));
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
        let token = self.newest(source, state, pulled);
        let origin = origin(token.as_ref().map_or("", |token| &token.key_id));
        let (outcome, fired) = self.run_pattern(source, state, &origin, token);
        drop(turn);
        self.send(source, &origin, &fired);
        if fired.iter().any(|output| output.events.iter().any(|event| event == EXIT)) {
            tracing::info!(source = name, "a command asks the engine to end");
            self.stopper.ask();
        }
        outcome
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

    /// Runs what `token` renders to, or without one what is there. In case of success that is what is there next.
    fn run_pattern(
        &self,
        source: &Source,
        state: &State,
        origin: &Origin,
        token: Option<Arc<Token>>,
    ) -> (Outcome, Vec<Output>) {
        let (old, pending) = {
            let mut current = lock(&state.current);
            (current.pattern.clone(), mem::take(&mut current.pending))
        };
        let new = match &token {
            None => old.clone(),
            Some(token) => {
                match program::of_claims(&self.config, &origin.source, &token.claims, &token.text) {
                    Ok(pattern) => Some(Arc::new(pattern)),
                    Err(error) => {
                        tracing::error!(source = origin.source, "pattern: {error}");
                        lock(&state.current).pending.merge(pending);
                        self.journal.source_failed(origin);
                        return (Outcome::Failed, Vec::new());
                    }
                }
            }
        };
        let Some(new) = new else { return (Outcome::Nothing, Vec::new()) };
        if source.trigger_only {
            let is_pulled = token.is_some();
            let outcome = self.keep(source, state, origin, &new, token, pending);
            if is_pulled {
                self.journal.source_stored(origin);
            }
            return (outcome, Vec::new());
        }
        // The numbers of another Pattern mean nothing in this one.
        let same = token.is_none() || old.as_ref().is_some_and(|old| old.rendered == new.rendered);
        let mut pending = if same { pending } else { Pending::default() };
        let compared = old.filter(|_| !source.no_remove && token.is_some());
        let removals = compared.map(|old| diff::removals(&old.run, &new.run)).unwrap_or_default();
        let stages = [
            (Phase::Remove, removals.before.as_slice()),
            (Phase::Change, new.run.as_slice()),
            (Phase::Remove, removals.after.as_slice()),
        ];
        let mut summary =
            self.stages(source, origin, &new, &stages, &BTreeMap::new(), &mut pending, source.check_only);
        let fired = mem::take(&mut summary.outputs);
        if let Some(failure) = &summary.failure {
            tracing::error!(source = origin.source, "{failure}");
            if same {
                lock(&state.current).pending.merge(pending);
            }
            return (Outcome::Failed, fired);
        }
        (self.keep(source, state, origin, &new, token, pending), fired)
    }

    /// Makes `new` what is there, and keeps its token for the next start.
    fn keep(
        &self,
        source: &Source,
        state: &State,
        origin: &Origin,
        new: &Arc<Pattern>,
        token: Option<Arc<Token>>,
        pending: Pending,
    ) -> Outcome {
        let mut current = lock(&state.current);
        let is_new = match (&token, &current.token) {
            (Some(token), Some(present)) => !Arc::ptr_eq(token, present),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if let Some(token) = token.as_ref().filter(|_| is_new && !source.no_restore)
            && let Err(error) = self.state.keep_token(&origin.source, &token.text)
        {
            // The run is done; only the next start will not know of it.
            tracing::error!(source = origin.source, "state directory: {error}");
        }
        current.pattern = Some(Arc::clone(new));
        current.pending.merge(pending);
        if token.is_some() {
            current.token = token;
        }
        Outcome::Done
    }

    /// Runs `stages` and records them.
    #[expect(clippy::too_many_arguments, reason = "what a run is made of, in two places")]
    fn stages(
        &self,
        source: &Source,
        origin: &Origin,
        pattern: &Pattern,
        stages: &[(Phase, &[super::command::Command])],
        variables: &BTreeMap<String, String>,
        pending: &mut Pending,
        check_only: bool,
    ) -> Summary {
        let exec = self.config.exec.with(&source.exec).with(&pattern.run_exec);
        let limits = Limits { deadline: None, stop: self.stop.clone() };
        let setting =
            Setting { source: &origin.source, exec: &exec, filter: None, check_only, limits: &limits };
        let summary = run(setting, stages, variables, pending, &mut |step: &Step<'_>| {
            self.journal.command(origin, step);
        });
        self.journal.source(origin, &summary);
        tell(origin, &summary);
        summary
    }

    /// Runs the Sources that receive the events of `fired`, by event name, then by Source. What they fire goes nowhere.
    fn send(&self, sender: &Source, origin: &Origin, fired: &[Output]) {
        let Some(sends) = &sender.events_send else { return };
        let mut events: BTreeMap<&str, Vec<&Output>> = BTreeMap::new();
        for output in fired {
            for event in output.events.iter().filter(|event| sends.is_match(event)) {
                events.entry(event).or_default().push(output);
            }
        }
        for (event, outputs) in events {
            for (name, source) in &self.config.sources {
                if *name == origin.source || !source.events_receive.iter().any(|wanted| wanted == event) {
                    continue;
                }
                for output in &outputs {
                    self.receive(name, source, origin, event, output);
                }
            }
        }
    }

    fn receive(&self, name: &str, source: &Source, from: &Origin, event: &str, output: &Output) {
        let Some(state) = self.states.get(name) else { return };
        let _turn = (!source.run_multi).then(|| lock(&state.turn));
        let (pattern, mut pending) = {
            let mut current = lock(&state.current);
            (current.pattern.clone(), mem::take(&mut current.pending))
        };
        let Some(pattern) = pattern else {
            tracing::warn!(source = name, event, "event: there is no pattern to run yet");
            return;
        };
        let origin = Origin {
            source: name.to_owned(),
            trigger: Trigger::Event,
            public_key: from.public_key.clone(),
            remote_addr: from.remote_addr.clone(),
        };
        let variables = [
            ("ETCHA_EVENT_ID", output.id.as_str()),
            ("ETCHA_EVENT_NAME", event),
            ("ETCHA_EVENT_OUTPUT", &output.output),
            ("ETCHA_EVENT_PUBLIC_KEY", &from.public_key),
            ("ETCHA_EVENT_SRC", &from.remote_addr),
            ("ETCHA_SOURCE_NAME", name),
            ("ETCHA_SOURCE_TRIGGER", "event"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let stages = [(Phase::Change, pattern.run.as_slice())];
        let summary = self.stages(source, &origin, &pattern, &stages, &variables, &mut pending, false);
        lock(&state.current).pending.merge(pending);
        if let Some(failure) = summary.failure {
            tracing::error!(source = name, event, "{failure}");
        }
    }

    /// The first token that can be fetched and trusted; nothing if the Source pulls none.
    fn pull(&self, name: &str, source: &Source, state: &State) -> Result<Option<Token>, String> {
        let keys = self.config.keys_of(source);
        let mut problems = Vec::new();
        for (index, place) in source.pull_paths.iter().enumerate() {
            let before = lock(&state.fetched).get(&index).cloned();
            let fetched = self.client.fetch(place, before.as_ref());
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

fn tell(origin: &Origin, summary: &Summary) {
    let (changed, removed) = (summary.changed().count(), summary.removed().count());
    for output in &summary.outputs {
        tracing::debug!(
            command = output.display,
            changed = output.changed,
            removed = output.removed,
            "acted"
        );
    }
    tracing::info!(
        source = origin.source,
        trigger = ?origin.trigger,
        changed,
        removed,
        failed = summary.failure.is_some(),
        seconds = summary.duration.as_secs_f64(),
        "ran"
    );
}

#[cfg(test)]
mod tests;
