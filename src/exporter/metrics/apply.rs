//! What each event does: the table in the contract's section "From events to metrics", line by line.
//!
//! Every effect depends on the lines alone, never on the time of reading them: replaying a journal gives what
//! following it gave. Commands and Sources are here; shells and the agent's own state are in `sessions`, what is under
//! way and what was refused in `live`.

mod live;
mod sessions;

use journal_schema::event::{Command, Event, Line, Source};

use super::Metrics;
use super::catalogue::{FamilyId, RUN_BOUNDS};
use super::order::Moment;
use super::shortcut::TOGETHER;
use super::table::Table;
use super::tables::Tables;

impl Metrics {
    /// Counts one event.
    pub fn apply(&mut self, line: &Line<'_>) {
        match &line.event {
            Event::Command(command) => {
                self.command(command, line.envelope.time.as_millisecond());
            }
            Event::Source(source) => self.source(source, Moment::of(&line.envelope)),
            Event::Shell(shell) => self.shell(shell, Moment::of(&line.envelope)),
            Event::Engine(engine) => self.engine(engine, Moment::of(&line.envelope)),
            Event::Run(run) => self.run(run, Moment::of(&line.envelope)),
            Event::Heartbeat(_) => self.heartbeat(Moment::of(&line.envelope)),
            Event::Refused(refused) => self.refused(refused, line.envelope.time.as_millisecond()),
        }
    }

    /// The series of a command whose label bytes were understood before.
    pub(crate) fn shortcut(&self, labels: &[u8]) -> Option<u32> {
        self.shortcuts.find(labels)
    }

    /// The same for several, [`TOGETHER`] at most, in their order; together they cost less.
    pub(crate) fn shortcuts(&self, labels: &[&[u8]]) -> [Option<u32>; TOGETHER] {
        self.shortcuts.find_all(labels)
    }

    /// Counts commands whose series are known, one for each time that a series is named.
    pub(crate) fn count_all(&mut self, series: &[u32]) {
        self.tables.commands.change_all(series, |count| *count += 1);
    }

    /// Counts a command that happened `at`, in milliseconds since 1970, and remembers its series for `labels`, the
    /// bytes that say it. What is counted by the way each time, an overflow or a shortened label, is not remembered.
    pub(crate) fn count_and_learn(&mut self, command: &Command<'_>, at: i64, labels: &[u8]) {
        let oddities = |tables: &Tables| (tables.commands.overflowed(), tables.oddities.labels_shortened);
        let before = oddities(&self.tables);
        let series = self.command(command, at);
        if oddities(&self.tables) == before {
            self.shortcuts.learn(labels, series);
        }
    }

    fn command(&mut self, command: &Command<'_>, at: i64) -> u32 {
        self.label(&[
            ("error", error(command.error)),
            ("id", &command.id),
            ("mode", command.mode.as_str()),
            ("parent_id", &command.parent_id),
            ("public_key", &command.public_key),
            ("remote_addr", &command.remote_addr),
            ("source", &command.source),
        ]);
        let Metrics { tables, index, limits, text, .. } = self;
        let series = index.locate(FamilyId::Commands, &mut tables.commands, text, at, limits.room());
        *tables.commands.value_mut(series) += 1;
        series
    }

    fn source(&mut self, source: &Source<'_>, moment: Moment) {
        let at = moment.millisecond();
        if source.outcome.is_none() {
            self.source_sibling(source, at);
        }
        self.source_text(source, source_error(source));
        let Metrics { tables, index, limits, text, .. } = self;
        let series = index.locate(FamilyId::Sources, &mut tables.sources, text, at, limits.room());
        *tables.sources.value_mut(series) += 1;
        self.source_counts(source, moment);
        self.source_times(source, moment);
    }

    /// The series of the other outcome, at 0. It is born before the count it stands beside, so the first failure of a
    /// Source that only succeeded is a step from 0 to 1, which `increase` sees.
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

    fn source_counts(&mut self, source: &Source<'_>, moment: Moment) {
        for (mode, count) in [("changed", source.changed), ("remove", source.removed)] {
            let Some(count) = count else { continue };
            self.label(&[
                ("mode", mode),
                ("name", &source.name),
                ("public_key", &source.public_key),
                ("remote_addr", &source.remote_addr),
                ("trigger", source.trigger.as_str()),
            ]);
            let Metrics { tables, index, limits, text, order, .. } = self;
            let (family, table) = (FamilyId::SourcesCommands, &mut tables.sources_commands);
            let series = index.locate(family, table, text, moment.millisecond(), limits.room());
            if order.sets(family, series, moment) {
                *table.value_mut(series) = count;
            }
        }
    }

    fn source_times(&mut self, source: &Source<'_>, moment: Moment) {
        let at = moment.millisecond();
        self.label(&[("name", &source.name)]);
        let Metrics { tables, index, limits, text, order, .. } = self;
        let mut set = |family, table: &mut Table<i64>| {
            let series = index.locate(family, table, text, at, limits.room());
            if order.sets(family, series, moment) {
                *table.value_mut(series) = at;
            }
        };
        set(FamilyId::SourceLastRun, &mut tables.source_last_run);
        if source.succeeded() {
            set(FamilyId::SourceLastSuccess, &mut tables.source_last_success);
        }
        if source.changed.unwrap_or(0) + source.removed.unwrap_or(0) > 0 {
            set(FamilyId::SourceLastChange, &mut tables.source_last_change);
        }
        if let Some(seconds) = source.duration_seconds {
            let table = &mut tables.source_run_duration;
            let series = index.locate(FamilyId::SourceRunDuration, table, text, at, limits.room());
            table.value_mut(series).observe(seconds, RUN_BOUNDS);
        }
    }
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
