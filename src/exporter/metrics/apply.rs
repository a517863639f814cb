//! What each event does: the table in the contract's section "From events to metrics", line by line.
//!
//! Every effect depends on the lines alone, never on the time of reading them: replaying a journal gives what
//! following it gave. Commands and Sources are here; shells and the agent's own state are in `sessions`, what is under
//! way and what was refused in `live`.
//!
//! A command or a run of a Source is counted in two steps: its labels name the series that it touches, which are born
//! here if they are new; then these series change. Where the labels were seen before, a shortcut takes the place of the
//! first step, and the second is the same. A further family that such an event counts gets a field in
//! [`CommandSeries`] or [`SourceSeries`] and a line in either step.

mod live;
mod sessions;

use std::sync::Arc;

use journal_schema::event::{Command, Event, Line, Mode, Outcome, Source, Trigger};
use journal_schema::glance::{Glance, Kind, Measurements};

use super::Metrics;
use super::catalogue::{FamilyId, RUN_BOUNDS};
use super::order::Moment;
use super::recent::{Run, RunOutcome};
use super::shortcut::{Shortcuts, TOGETHER};
use super::table::Table;
use super::tables::Tables;

/// Bytes of labels kept of commands: twice what 100,000 series of an ordinary agent take.
const COMMAND_BYTES: usize = 48 * 1024 * 1024;

/// Bytes of labels kept of Sources, of which there are far fewer.
const SOURCE_BYTES: usize = 4 * 1024 * 1024;

/// The series that a command touches, and whether it is of a change or removal that failed. Packed into four bytes, because
/// there are many and they are looked for in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommandSeries(u32);

/// No table has so many series: their texts alone would take a hundred gigabytes.
const FAILED: u32 = 1 << 31;

impl CommandSeries {
    fn new(runs: u32, has_failed: bool) -> CommandSeries {
        CommandSeries(if has_failed { runs | FAILED } else { runs })
    }

    fn runs(self) -> u32 {
        self.0 & !FAILED
    }

    fn has_failed(self) -> bool {
        self.0 & FAILED != 0
    }
}

/// The series that a run of a Source touches. Those that not every run touches are there once one has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceSeries {
    runs: u32,
    changed: Option<u32>,
    removed: Option<u32>,
    last_run: u32,
    last_success: Option<u32>,
    last_change: Option<u32>,
    duration: Option<u32>,
    is_push: bool,
    outcome: RunOutcome,
}

/// The series that an event touches whose labels were seen before.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Known {
    Command(CommandSeries),
    Source(SourceSeries, Measurements),
}

/// What is known of label bytes.
#[derive(Debug)]
pub(super) struct Learned {
    commands: Shortcuts<CommandSeries>,
    sources: Shortcuts<SourceSeries>,
}

impl Default for Learned {
    fn default() -> Learned {
        Learned { commands: Shortcuts::new(COMMAND_BYTES), sources: Shortcuts::new(SOURCE_BYTES) }
    }
}

impl SourceSeries {
    /// Whether a run with these measurements touches no others.
    fn cover(&self, measured: &Measurements) -> bool {
        let is_there = |is_needed: bool, series: Option<u32>| !is_needed || series.is_some();
        is_there(measured.changed.is_some(), self.changed)
            && is_there(measured.removed.is_some(), self.removed)
            && is_there(measured.duration_seconds.is_some(), self.duration)
            && is_there(is_change(measured), self.last_change)
    }

    /// With those of an earlier run that this one did not touch.
    fn and(self, earlier: SourceSeries) -> SourceSeries {
        SourceSeries {
            changed: self.changed.or(earlier.changed),
            removed: self.removed.or(earlier.removed),
            last_change: self.last_change.or(earlier.last_change),
            duration: self.duration.or(earlier.duration),
            ..self
        }
    }
}

impl Metrics {
    /// Counts one event.
    pub fn apply(&mut self, line: &Line<'_>) {
        let at = line.envelope.time.as_millisecond();
        match &line.event {
            Event::Command(command) => {
                let series = self.command_series(command, at);
                self.count_commands(&[series]);
                self.look(series, at);
            }
            Event::Source(source) => {
                let (series, measured) = (self.source_series(source, at), measurements(source));
                self.count_source(series, &measured, Moment::of(&line.envelope));
            }
            Event::Shell(shell) => self.shell(shell, Moment::of(&line.envelope)),
            Event::Engine(engine) => self.engine(engine, Moment::of(&line.envelope)),
            Event::Run(run) => self.run(run, Moment::of(&line.envelope)),
            Event::Heartbeat(_) => self.heartbeat(Moment::of(&line.envelope)),
            Event::Refused(refused) => self.refused(refused, line.envelope.time.as_millisecond()),
        }
    }

    /// Keeps what a person should see of a command.
    #[inline]
    pub(crate) fn look(&mut self, series: CommandSeries, at: i64) {
        if series.has_failed() {
            Arc::make_mut(&mut self.recent).command_failed(series.runs(), at);
        }
    }

    /// The series that a line touches, if its label bytes were understood before.
    pub(crate) fn find(&self, glance: &Glance<'_>) -> Option<Known> {
        match glance.kind {
            Kind::Command => self.learned.commands.find(glance.labels).map(Known::Command),
            Kind::Source => {
                let series = self.learned.sources.find(glance.labels)?;
                let measured = glance.measurements();
                series.cover(&measured).then_some(Known::Source(series, measured))
            }
            Kind::Shell => None,
        }
    }

    /// [`Metrics::find`] for the commands among these lines, [`TOGETHER`] at most; together they cost less. Sources are so few
    /// that what is known of them lies in the nearer caches anyway.
    pub(crate) fn find_commands<'g>(
        &self,
        glances: impl Iterator<Item = &'g Glance<'g>> + Clone,
    ) -> [Option<CommandSeries>; TOGETHER] {
        let labels = |glance: &'g Glance<'g>| (glance.kind == Kind::Command).then_some(glance.labels);
        self.learned.commands.find_all(glances.map(labels))
    }

    /// Counts `event`, which is what `glance` says, and remembers the series that its labels name. What is counted by the
    /// way each time, an overflow or a shortened label, is not remembered.
    pub(crate) fn count_and_learn(&mut self, event: &Event<'_>, glance: &Glance<'_>) {
        let before = self.tables.asides();
        match event {
            Event::Command(command) => {
                let series = self.command_series(command, glance.millisecond);
                self.count_commands(&[series]);
                self.look(series, glance.millisecond);
                if self.tables.asides() == before {
                    self.learned.commands.learn(glance.labels, series);
                }
            }
            Event::Source(source) => {
                let series = self.source_series(source, glance.millisecond);
                self.count_known_source(series, &measurements(source), glance);
                if self.tables.asides() == before {
                    let earlier = self.learned.sources.find(glance.labels);
                    self.learned
                        .sources
                        .learn(glance.labels, earlier.map_or(series, |earlier| series.and(earlier)));
                }
            }
            Event::Shell(shell) => {
                let moment = self.order.moment_of(glance);
                self.shell(shell, moment);
            }
            // A glance takes no others apart.
            _ => {}
        }
    }

    /// The series of `family` with the labels in `self.text`, born `at` if it is new. `table` is its table.
    fn locate<V: Clone + Default>(
        &mut self,
        family: FamilyId,
        at: i64,
        table: impl Fn(&mut Tables) -> &mut Table<V>,
    ) -> u32 {
        let Metrics { tables, index, limits, text, .. } = self;
        index.locate(family, table(tables), text, at, limits.room())
    }

    fn command_series(&mut self, command: &Command<'_>, at: i64) -> CommandSeries {
        self.label(&[
            ("error", error(command.error)),
            ("id", &command.id),
            ("mode", command.mode.as_str()),
            ("parent_id", &command.parent_id),
            ("public_key", &command.public_key),
            ("remote_addr", &command.remote_addr),
            ("source", &command.source),
        ]);
        let runs = self.locate(FamilyId::Commands, at, |tables| &mut tables.commands);
        // A check that "fails" says that there is something to do.
        CommandSeries::new(runs, command.error && command.mode != Mode::Check)
    }

    /// Counts commands, one for each time that its series are there. Together they cost less.
    pub(crate) fn count_commands(&mut self, commands: &[CommandSeries]) {
        self.tables.commands.change_all(commands.iter().map(|series| series.runs()), |count| *count += 1);
    }

    /// Counts a run of a Source that `glance` is of.
    pub(crate) fn count_known_source(
        &mut self,
        series: SourceSeries,
        measured: &Measurements,
        glance: &Glance<'_>,
    ) {
        let moment = self.order.moment_of(glance);
        self.count_source(series, measured, moment);
    }

    fn source_series(&mut self, source: &Source<'_>, at: i64) -> SourceSeries {
        if source.outcome.is_none() {
            self.source_sibling(source, at);
        }
        self.source_text(source, source_error(source));
        let runs = self.locate(FamilyId::Sources, at, |tables| &mut tables.sources);
        let mut count_series = |mode, count: Option<u64>| {
            count.map(|_| {
                self.label(&[
                    ("mode", mode),
                    ("name", &source.name),
                    ("public_key", &source.public_key),
                    ("remote_addr", &source.remote_addr),
                    ("trigger", source.trigger.as_str()),
                ]);
                self.locate(FamilyId::SourcesCommands, at, |tables| &mut tables.sources_commands)
            })
        };
        let changed = count_series("changed", source.changed);
        let removed = count_series("remove", source.removed);
        self.label(&[("name", &source.name)]);
        let last_run = self.locate(FamilyId::SourceLastRun, at, |tables| &mut tables.source_last_run);
        let last_success = source
            .succeeded()
            .then(|| self.locate(FamilyId::SourceLastSuccess, at, |tables| &mut tables.source_last_success));
        let last_change = is_change(&measurements(source))
            .then(|| self.locate(FamilyId::SourceLastChange, at, |tables| &mut tables.source_last_change));
        let duration = source
            .duration_seconds
            .map(|_| self.locate(FamilyId::SourceRunDuration, at, |tables| &mut tables.source_run_duration));
        let is_push = source.trigger == Trigger::Push;
        let outcome = match (source.outcome, source.error) {
            (Some(Outcome::Unknown), _) => RunOutcome::Unknown,
            (None, true) => RunOutcome::Failed,
            (None, false) => RunOutcome::Succeeded,
        };
        SourceSeries {
            runs,
            changed,
            removed,
            last_run,
            last_success,
            last_change,
            duration,
            is_push,
            outcome,
        }
    }

    /// The series of the other outcome, at 0. It appears no later than the counted series, so that the first failure
    /// of a Source that only succeeded is a step from 0 to 1, which `increase` sees.
    fn source_sibling(&mut self, source: &Source<'_>, at: i64) {
        self.source_text(source, error(!source.error));
        let Metrics { tables, index, limits, text, .. } = self;
        let has_room = index.has_room(&tables.sources, text, limits.room());
        if has_room || index.find(FamilyId::Sources, &tables.sources, text).is_some() {
            index.locate(FamilyId::Sources, &mut tables.sources, text, at, limits.room());
        }
    }

    fn source_text(&mut self, source: &Source<'_>, error: &str) {
        self.label(&[
            ("error", error),
            ("name", &source.name),
            ("public_key", &source.public_key),
            ("remote_addr", &source.remote_addr),
            ("trigger", source.trigger.as_str()),
        ]);
    }

    fn count_source(&mut self, series: SourceSeries, measured: &Measurements, moment: Moment) {
        let Metrics { tables, order, .. } = self;
        *tables.sources.value_mut(series.runs) += 1;
        for (series, count) in [(series.changed, measured.changed), (series.removed, measured.removed)] {
            if let (Some(series), Some(count)) = (series, count)
                && order.sets(FamilyId::SourcesCommands, series, moment)
                // Mostly it is what it was, and a table that is shared need not be copied for that.
                && *tables.sources_commands.value(series) != count
            {
                *tables.sources_commands.value_mut(series) = count;
            }
        }
        let mut set = |family, table: &mut Table<i64>, series| {
            if order.sets(family, series, moment) {
                *table.value_mut(series) = moment.millisecond();
            }
        };
        set(FamilyId::SourceLastRun, &mut tables.source_last_run, series.last_run);
        if let Some(series) = series.last_success {
            set(FamilyId::SourceLastSuccess, &mut tables.source_last_success, series);
        }
        if let Some(series) = series.last_change.filter(|_| is_change(measured)) {
            set(FamilyId::SourceLastChange, &mut tables.source_last_change, series);
        }
        if let (Some(series), Some(seconds)) = (series.duration, measured.duration_seconds) {
            tables.source_run_duration.value_mut(series).observe(seconds, RUN_BOUNDS);
        }
        self.look_at_run(series, measured, moment.millisecond());
    }

    /// Keeps what a person should see of a run.
    fn look_at_run(&mut self, series: SourceSeries, measured: &Measurements, at: i64) {
        let run = Run {
            series: series.runs,
            source: series.last_run,
            is_push: series.is_push,
            outcome: series.outcome,
            changed: measured.changed.unwrap_or(0),
            removed: measured.removed.unwrap_or(0),
            at,
        };
        if self.recent.matters(&run) {
            Arc::make_mut(&mut self.recent).run(&run);
        }
    }
}

fn measurements(source: &Source<'_>) -> Measurements {
    let Source { changed, removed, duration_seconds, .. } = *source;
    Measurements { changed, removed, duration_seconds }
}

/// Whether a run changed or removed something.
fn is_change(measured: &Measurements) -> bool {
    measured.changed.unwrap_or(0) + measured.removed.unwrap_or(0) > 0
}

/// A run of which the writer did not see the end is neither a success nor a failure.
fn source_error(source: &Source<'_>) -> &'static str {
    if source.outcome.is_some() { "unknown" } else { error(source.error) }
}

fn error(failed: bool) -> &'static str {
    if failed { "1" } else { "0" }
}

#[cfg(test)]
mod tests;
