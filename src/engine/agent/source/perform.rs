//! What every run of a Source does: choose what is to run, plan it, run it, keep it.
//!
//! What cannot be kept is not run: a token is written before its Pattern runs and renamed after that went well, so no
//! start of the engine falls back behind a run that was said to be good.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use regex::Regex;

use super::plan::Plan;
use super::triggers::Triggers;
use super::{Base, ConfiguredSource, Current, NoTurn, Outcome, Sources, Token, lock};
use crate::agent::record::Origin;
use crate::agent::state::{Kept, Staged};
use crate::exec::process::RunLimits;
use crate::pattern::Pattern;
use crate::pattern::command::Command;
use crate::program::{self, ProgramError};
use crate::run::{CommandResult, Failure, Pending, Phase, RunContext, Step, Summary, run};

/// The event that ends the engine, after everybody who receives events of the same run.
const EXIT: &str = "exit";

/// Patterns of which pushes with a filter may have left something to remove. Each is kept with its token.
const MAX_BASES: usize = 8;

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

/// Why a run failed, or did not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    /// The token does not render to a Pattern.
    #[error("pattern: {0}")]
    Program(#[from] ProgramError),
    /// More would be left to remove than can be kept.
    #[error("{MAX_BASES} pushes with a filter left something to remove; push the pattern without a filter")]
    TooManyBases,
    /// The state directory does not take what is to be kept.
    #[error("state directory: {0}")]
    State(#[from] io::Error),
    /// A Command failed.
    #[error(transparent)]
    Command(#[from] Failure),
}

/// What came of a run.
#[derive(Debug)]
pub(super) struct RunResult {
    pub(super) outcome: Outcome,
    /// Commands that had to act.
    pub(super) outputs: Vec<CommandResult>,
    /// Why it failed, if it did.
    pub(super) failure: Option<RunError>,
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

/// What is to be there next.
struct Chosen {
    /// What was there, and what earlier runs left of others, the oldest first; nothing if nothing is to be compared.
    before: Vec<Arc<Pattern>>,
    new: Arc<Pattern>,
    token: Option<Arc<Token>>,
    /// The token is not the one that is kept.
    is_new: bool,
    /// Where it waits to be kept.
    staged: Option<Staged>,
}

/// What is run, and for whom.
struct Work<'a> {
    configured: &'a ConfiguredSource,
    origin: &'a Origin,
    pattern: &'a Pattern,
    variables: &'a BTreeMap<String, String>,
    options: &'a RunOptions,
    /// What was set off in Commands that the Pattern does not have.
    others: &'a Triggers,
}

impl Sources {
    /// Runs what `token` renders to, or without one what is there. In case of success that is what is there next.
    pub(super) fn run_pattern(
        &self,
        configured: &ConfiguredSource,
        origin: &Origin,
        token: Option<Arc<Token>>,
        options: &RunOptions,
    ) -> RunResult {
        let mut chosen = match choose(configured, token) {
            Ok(Some(chosen)) => chosen,
            Ok(None) => return RunResult::without_outputs(Outcome::Nothing),
            Err(why) => return self.not_run(origin, why.into()),
        };
        if !options.check_only
            && let Err(why) = self.stage(configured, &mut chosen, options)
        {
            return self.not_run(origin, why);
        }
        if configured.source().trigger_only && !options.check_only {
            return self.store(configured, origin, chosen);
        }
        let triggers = mem::take(&mut lock(&configured.state.current).triggers);
        let new = Arc::clone(&chosen.new);
        let plan = Plan::new(&chosen.before, new, triggers, options.filter.as_ref(), &configured.name);
        self.carry_out(configured, origin, chosen, plan, options)
    }

    fn carry_out(
        &self,
        configured: &ConfiguredSource,
        origin: &Origin,
        chosen: Chosen,
        mut plan: Plan,
        options: &RunOptions,
    ) -> RunResult {
        let check_only = options.check_only || configured.source().check_only;
        let mut pending = mem::take(&mut plan.pending);
        let work = Work {
            configured,
            origin,
            pattern: &plan.new,
            variables: &BTreeMap::new(),
            options: &RunOptions { check_only, ..options.clone() },
            others: &plan.others,
        };
        let mut summary = self.execute(&work, &plan.stages(), &mut pending);
        let outputs = mem::take(&mut summary.outputs);
        let mut failure = summary.failure.take().map(RunError::Command);
        let mut triggers = Triggers::of(&pending, &plan.new.run);
        if failure.is_some() || options.check_only {
            // What is there stays, and with it what was left to do of it.
            triggers.merge(plan.others);
            let kept = self.settle(configured, &mut lock(&configured.state.current), triggers);
            failure = failure.or(kept.err().map(RunError::State));
            self.unstage(&chosen);
        } else if let Err(why) = self.keep(configured, chosen, plan.leaves_removals, triggers) {
            failure = Some(RunError::State(why));
        }
        summary.outputs = outputs;
        self.record(origin, &summary, failure.as_ref());
        let outcome = if failure.is_some() { Outcome::Failed } else { Outcome::Done };
        RunResult { outcome, outputs: summary.outputs, failure }
    }

    /// Runs what is there of the Source `name`, because a webhook or an event asks for it. Nothing if there is nothing. A
    /// webhook may wait as long as `patience`; an event has none and waits for ever.
    pub(super) async fn run_current(
        self: &Arc<Self>,
        name: &str,
        origin: Origin,
        variables: Vec<(&'static str, String)>,
        patience: Option<Duration>,
    ) -> Result<Option<Summary>, NoTurn> {
        let Some(configured) = self.configured(name) else { return Ok(None) };
        let (turns, multi) = (&configured.state.turns, configured.source().run_multi);
        let turn = match patience {
            Some(patience) => turns.take_for_hook(multi, patience, &self.stop).await?,
            None => turns.take(multi, None, &self.stop).await?,
        };
        let _working = self.work.begin(origin.clone());
        let ran = self.blocking(move |sources| {
            let limit = configured.source().run_timeout;
            let time = patience.map_or(limit, |patience| patience.min(limit));
            let summary = sources.run_stored(&configured, &origin, variables, time);
            drop(turn);
            summary
        });
        Ok(ran.await.flatten())
    }

    fn run_stored(
        &self,
        configured: &ConfiguredSource,
        origin: &Origin,
        variables: Vec<(&'static str, String)>,
        time: Duration,
    ) -> Option<Summary> {
        self.restore(configured);
        let (pattern, triggers) = {
            let mut current = lock(&configured.state.current);
            let pattern = current.pattern.clone()?;
            (pattern, mem::take(&mut current.triggers))
        };
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let (mut pending, others) = triggers.split(&pattern.run);
        let options = RunOptions { time, ..RunOptions::default() };
        let (pattern, variables, options) = (&*pattern, &variables, &options);
        let work = Work { configured, origin, pattern, variables, options, others: &others };
        let stages = [(Phase::Change, pattern.run.as_slice())];
        let summary = self.execute(&work, &stages, &mut pending);
        let mut triggers = Triggers::of(&pending, &pattern.run);
        triggers.merge(others);
        let kept = self.settle(configured, &mut lock(&configured.state.current), triggers);
        let failure = summary.failure.clone().map(RunError::Command).or(kept.err().map(RunError::State));
        self.record(origin, &summary, failure.as_ref());
        Some(summary)
    }

    /// Records a run that did not come to run anything.
    fn not_run(&self, origin: &Origin, why: RunError) -> RunResult {
        tracing::error!(source = origin.source, "{why}");
        self.journal.source_failed(origin);
        RunResult { failure: Some(why), ..RunResult::without_outputs(Outcome::Failed) }
    }

    /// Makes what was chosen what is there, without running it.
    fn store(&self, configured: &ConfiguredSource, origin: &Origin, chosen: Chosen) -> RunResult {
        let is_token = chosen.token.is_some();
        let triggers = mem::take(&mut lock(&configured.state.current).triggers);
        if let Err(why) = self.keep(configured, chosen, false, triggers) {
            return self.not_run(origin, why.into());
        }
        if is_token {
            self.journal.source_stored(origin);
        }
        RunResult::without_outputs(Outcome::Done)
    }

    /// Writes the token where only a rename makes it the one that is kept.
    fn stage(
        &self,
        configured: &ConfiguredSource,
        chosen: &mut Chosen,
        options: &RunOptions,
    ) -> Result<(), RunError> {
        if options.filter.is_some() && lock(&configured.state.current).bases.len() >= MAX_BASES {
            return Err(RunError::TooManyBases);
        }
        if let Some(token) =
            chosen.token.as_ref().filter(|_| chosen.is_new && !configured.source().no_restore)
        {
            chosen.staged = Some(self.state.stage_token(&configured.name, &token.text)?);
        }
        Ok(())
    }

    fn unstage(&self, chosen: &Chosen) {
        let dropped = chosen.staged.as_ref().map(|staged| self.state.drop_staged(staged));
        if let Some(Err(error)) = dropped {
            tracing::debug!("state directory: {error}");
        }
    }

    /// Makes what was chosen what is there, for the next start, too.
    fn keep(
        &self,
        configured: &ConfiguredSource,
        chosen: Chosen,
        leaves_removals: bool,
        triggers: Triggers,
    ) -> io::Result<()> {
        let current = &mut *lock(&configured.state.current);
        let renamed = match &chosen.staged {
            Some(staged) => self.state.take_staged(staged),
            None => Ok(()),
        };
        if renamed.is_ok() && chosen.is_new {
            current.kept.clone_from(&chosen.token);
        }
        if leaves_removals {
            let old = current.pattern.take().map(|pattern| Base { pattern, token: current.token.clone() });
            current.bases.extend(old);
        } else if !configured.source().trigger_only {
            current.bases.clear();
        }
        current.pattern = Some(chosen.new);
        if chosen.token.is_some() {
            current.token = chosen.token;
        }
        renamed.and(self.settle(configured, current, triggers))
    }

    /// Keeps what is still to do of a Source, if that has changed.
    fn settle(
        &self,
        configured: &ConfiguredSource,
        current: &mut Current,
        triggers: Triggers,
    ) -> io::Result<()> {
        current.triggers.merge(triggers);
        if configured.source().no_restore {
            return Ok(());
        }
        let tokens = current.bases.iter().filter_map(|base| Some(base.token.as_ref()?.text.clone()));
        let kept = Kept { triggers: current.triggers.clone(), bases: tokens.collect() };
        if kept == current.kept_pending {
            return Ok(());
        }
        // It differs until it is written: each run tries again.
        self.state.keep_pending(&configured.name, &kept)?;
        current.kept_pending = kept;
        Ok(())
    }

    /// Runs `stages`. What they set off is kept as soon as it is: the change that did so is not made again.
    fn execute(&self, work: &Work<'_>, stages: &[(Phase, &[Command])], pending: &mut Pending) -> Summary {
        let Work { configured, origin, pattern, variables, options, others } = work;
        let exec = configured.config.exec.with(&configured.source().exec).with(&pattern.run_exec);
        let deadline = Instant::now().checked_add(options.time);
        tracing::debug!(source = origin.source, trigger = ?origin.trigger, limit = ?options.time, "running");
        let limits = RunLimits { deadline, stop: self.stop.clone() };
        let context = RunContext {
            source: &origin.source,
            exec: &exec,
            filter: options.filter.as_ref(),
            check_only: options.check_only,
            limits: &limits,
        };
        let mut report = |step: &Step<'_>| self.journal.command(origin, step);
        let mut set_off = |pending: &Pending| {
            let mut triggers = Triggers::of(pending, &pattern.run);
            triggers.merge((*others).clone());
            let current = &mut *lock(&configured.state.current);
            let before = current.triggers.clone();
            if let Err(why) = self.settle(configured, current, triggers) {
                tracing::error!(source = configured.name, "{}", RunError::State(why));
            }
            // They are still this run's.
            current.triggers = before;
        };
        run(context, stages, variables, pending, &mut report, &mut set_off)
    }

    /// Records a run that has ended, and why it failed if it did.
    fn record(&self, origin: &Origin, summary: &Summary, failure: Option<&RunError>) {
        if let Some(failure) = failure {
            tracing::error!(source = origin.source, "{failure}");
        }
        self.journal.source(origin, summary, failure.is_some());
        log(origin, summary, failure.is_some());
    }
}

/// What `token` renders to, or without one what is there; nothing if nothing is.
fn choose(configured: &ConfiguredSource, token: Option<Arc<Token>>) -> Result<Option<Chosen>, ProgramError> {
    let (old, bases, is_new) = {
        let current = lock(&configured.state.current);
        let is_kept =
            token.as_ref().zip(current.kept.as_ref()).is_some_and(|(token, kept)| Arc::ptr_eq(token, kept));
        let bases: Vec<_> = current.bases.iter().map(|base| Arc::clone(&base.pattern)).collect();
        (current.pattern.clone(), bases, !is_kept)
    };
    let new = match &token {
        None => old.clone(),
        Some(token) => {
            let ConfiguredSource { config, name, .. } = configured;
            let render = || program::of_claims(config, name, &token.claims, &token.text);
            Some(Arc::new(configured.state.renderings.when_free(render)?))
        }
    };
    let Some(new) = new else { return Ok(None) };
    let is_compared = token.is_some() && !configured.source().no_remove;
    let before = if is_compared { bases.into_iter().chain(old).collect() } else { Vec::new() };
    Ok(Some(Chosen { before, new, token, is_new, staged: None }))
}

fn log(origin: &Origin, summary: &Summary, failed: bool) {
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
        failed,
        seconds = summary.duration.as_secs_f64(),
        "ran"
    );
}
