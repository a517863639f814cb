//! What every run of a Source does: render, compare with what was there, run, record, keep.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use regex::Regex;

use super::{Bound, NoTurn, Outcome, Sources, Token, lock};
use crate::agent::record::Origin;
use crate::exec::process::Limits;
use crate::pattern::Pattern;
use crate::pattern::command::Command;
use crate::pattern::diff;
use crate::program;
use crate::run::{Output, Pending, Phase, Setting, Step, Summary, run};

/// The event that ends the engine, after everybody who receives events of the same run.
const EXIT: &str = "exit";

/// What a run is asked for beside what its Source says.
#[derive(Clone, Debug, Default)]
pub(super) struct RunOptions {
    /// Ask, but do not act, and leave everything as it is.
    pub(super) check_only: bool,
    /// Only Commands whose parents this matches.
    pub(super) filter: Option<Regex>,
    /// How long it may run.
    pub(super) time: Duration,
}

/// What came of a run.
#[derive(Debug)]
pub(super) struct RunResult {
    pub(super) outcome: Outcome,
    /// Commands that had to act.
    pub(super) outputs: Vec<Output>,
    /// Why it failed, if it did.
    pub(super) failure: Option<String>,
}

impl RunResult {
    pub(super) fn without_outputs(outcome: Outcome) -> RunResult {
        RunResult { outcome, outputs: Vec::new(), failure: None }
    }

    /// Whether a Command wants the engine to end.
    pub(super) fn asks_for_exit(&self) -> bool {
        self.outputs.iter().any(|output| output.events.iter().any(|event| event == EXIT))
    }
}

/// What is run, and for whom.
struct Work<'a> {
    bound: &'a Bound,
    origin: &'a Origin,
    pattern: &'a Pattern,
    variables: &'a BTreeMap<String, String>,
}

impl Sources {
    /// Runs what `token` renders to, or without one what is there. In case of success that is what is there next.
    pub(super) fn run_pattern(
        &self,
        bound: &Bound,
        origin: &Origin,
        token: Option<Arc<Token>>,
        wish: &RunOptions,
    ) -> RunResult {
        let (source, state) = (bound.source(), &bound.state);
        let (old, pending) = {
            let mut current = lock(&state.current);
            (current.pattern.clone(), mem::take(&mut current.pending))
        };
        let new = match &token {
            None => old.clone(),
            Some(token) => {
                match program::of_claims(&bound.config, &origin.source, &token.claims, &token.text) {
                    Ok(pattern) => Some(Arc::new(pattern)),
                    Err(error) => {
                        tracing::error!(source = origin.source, "pattern: {error}");
                        lock(&state.current).pending.merge(pending);
                        self.journal.source_failed(origin);
                        let failure = Some(format!("pattern: {error}"));
                        return RunResult { failure, ..RunResult::without_outputs(Outcome::Failed) };
                    }
                }
            }
        };
        let Some(new) = new else { return RunResult::without_outputs(Outcome::Nothing) };
        if source.trigger_only && !wish.check_only {
            if token.is_some() {
                self.journal.source_stored(origin);
            }
            return RunResult::without_outputs(self.keep(bound, origin, &new, token, pending));
        }
        // The numbers of another Pattern mean nothing in this one.
        let same = token.is_none() || old.as_ref().is_some_and(|old| old.rendered == new.rendered);
        let (mut pending, others) = if same { (pending, None) } else { (Pending::default(), Some(pending)) };
        let compared = old.filter(|_| !source.no_remove && token.is_some());
        let removals = compared.map(|old| diff::removals(&old.run, &new.run)).unwrap_or_default();
        let stages = [
            (Phase::Remove, removals.before.as_slice()),
            (Phase::Change, new.run.as_slice()),
            (Phase::Remove, removals.after.as_slice()),
        ];
        let work = Work { bound, origin, pattern: &new, variables: &BTreeMap::new() };
        let asked = RunOptions { check_only: wish.check_only || source.check_only, ..wish.clone() };
        let mut summary = self.stages(&work, &stages, asked, &mut pending);
        let outputs = mem::take(&mut summary.outputs);
        let failure = summary.failure.map(|failure| failure.to_string());
        if let Some(failure) = &failure {
            tracing::error!(source = origin.source, "{failure}");
        }
        if failure.is_some() || wish.check_only {
            // What is there stays, and with it what was left to do of it.
            lock(&state.current).pending.merge(others.unwrap_or(pending));
            let outcome = if failure.is_some() { Outcome::Failed } else { Outcome::Done };
            return RunResult { outcome, outputs, failure };
        }
        let outcome = self.keep(bound, origin, &new, token, pending);
        RunResult { outcome, outputs, failure }
    }

    /// Runs what is there of the Source `name`, because a request or an event asks for it. Nothing if there is nothing. It
    /// may wait as long as `patience`, for ever without it.
    pub(super) async fn run_current(
        self: &Arc<Self>,
        name: &str,
        origin: Origin,
        variables: Vec<(&'static str, String)>,
        patience: Option<Duration>,
    ) -> Result<Option<Summary>, NoTurn> {
        let Some(bound) = self.bound(name) else { return Ok(None) };
        let turn = bound.state.turns.take(bound.source().run_multi, patience, &self.stop).await?;
        let _working = self.work.begin(name);
        let ran = self.blocking(move |sources| {
            let limit = bound.source().run_timeout;
            let time = patience.map_or(limit, |patience| patience.min(limit));
            let summary = sources.run_stored(&bound, &origin, variables, time);
            drop(turn);
            summary
        });
        Ok(ran.await.flatten())
    }

    fn run_stored(
        &self,
        bound: &Bound,
        origin: &Origin,
        variables: Vec<(&'static str, String)>,
        time: Duration,
    ) -> Option<Summary> {
        self.restore(bound);
        let (pattern, mut pending) = {
            let mut current = lock(&bound.state.current);
            let pattern = current.pattern.clone()?;
            (pattern, mem::take(&mut current.pending))
        };
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let work = Work { bound, origin, pattern: &pattern, variables: &variables };
        let stages = [(Phase::Change, pattern.run.as_slice())];
        let options = RunOptions { time, ..RunOptions::default() };
        let summary = self.stages(&work, &stages, options, &mut pending);
        lock(&bound.state.current).pending.merge(pending);
        if let Some(failure) = &summary.failure {
            tracing::error!(source = bound.name, "{failure}");
        }
        Some(summary)
    }

    /// Makes `new` what is there, and keeps its token for the next start.
    fn keep(
        &self,
        bound: &Bound,
        origin: &Origin,
        new: &Arc<Pattern>,
        token: Option<Arc<Token>>,
        pending: Pending,
    ) -> Outcome {
        let (source, state) = (bound.source(), &bound.state);
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
    fn stages(
        &self,
        work: &Work<'_>,
        stages: &[(Phase, &[Command])],
        wish: RunOptions,
        pending: &mut Pending,
    ) -> Summary {
        let Work { bound, origin, pattern, variables } = work;
        let exec = bound.config.exec.with(&bound.source().exec).with(&pattern.run_exec);
        let deadline = Instant::now().checked_add(wish.time);
        let limits = Limits { deadline, stop: self.stop.clone() };
        let RunOptions { check_only, filter, .. } = wish;
        let filter = filter.as_ref();
        let setting = Setting { source: &origin.source, exec: &exec, filter, check_only, limits: &limits };
        let summary = run(setting, stages, variables, pending, &mut |step: &Step<'_>| {
            self.journal.command(origin, step);
        });
        self.journal.source(origin, &summary);
        tell(origin, &summary);
        summary
    }
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
