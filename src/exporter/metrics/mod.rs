//! Metrics: what events add up to. An event goes in, series change; nothing here knows files, text formats or HTTP.
//!
//! # Layout
//!
//! * [`catalogue`]: every family's name, type, labels, help.
//! * [`labels`]: label values into label text, and their limit.
//! * `table`: the series of a family; `column` is what makes a table cheap to publish.
//! * `shells`: which sessions are open; `histogram`: a histogram's value.
//! * this file: what each event does (the table in the contract's section "From events to metrics").
//!
//! Every effect depends on the lines alone, never on the time of reading them: replaying a journal gives what
//! following it gave.

pub mod catalogue;
mod column;
mod histogram;
pub mod labels;
mod shells;
mod table;

use journal_schema::event::{Command, Engine, EngineState, Event, Line, Shell, ShellState, Source};
use serde::{Deserialize, Serialize};

use self::catalogue::{Desc, FamilyId, RUN_BOUNDS, SHELL_BOUNDS};
use self::labels::{LabelLimit, push_label};
use self::shells::{OpenShell, Opened, SessionId, Shells, ShellsRecord};

pub(crate) use self::histogram::Histogram;
pub use self::shells::MAX_OPEN_SHELLS;
pub use self::table::OVERFLOW;
pub(crate) use self::table::{Index, Table};

/// Default of `--max-series`: ten times what a large agent runs in one push.
pub const DEFAULT_MAX_SERIES: usize = 100_000;

/// How much the metrics may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Series a family; what goes beyond is counted in the family's overflow series.
    pub series: usize,
    /// Bytes a label value.
    pub label: LabelLimit,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { series: DEFAULT_MAX_SERIES, label: LabelLimit::default() }
    }
}

/// Everything that events add up to, as of one moment. Clones share their storage.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tables {
    pub(crate) commands: Table<u64>,
    pub(crate) sources_commands: Table<u64>,
    pub(crate) sources_shells: Table<u64>,
    pub(crate) sources: Table<u64>,
    pub(crate) shell_duration: Table<Histogram>,
    pub(crate) shells_closed: Table<u64>,
    pub(crate) shells_opened: Table<u64>,
    /// Timestamps are milliseconds since 1970.
    pub(crate) source_last_change: Table<i64>,
    pub(crate) source_last_run: Table<i64>,
    pub(crate) source_last_success: Table<i64>,
    pub(crate) source_run_duration: Table<Histogram>,
    /// What is known of the agent.
    pub(crate) engine: EngineRecord,
    /// Oddities that cost nothing but are worth knowing.
    pub(crate) oddities: Oddities,
}

/// What is known of the agent from its own lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EngineRecord {
    /// Whether its last line of this kind was `started`; `None` before the first.
    pub(crate) started: Option<bool>,
    /// When it started, in milliseconds since 1970.
    pub(crate) start: i64,
    pub(crate) pid: Option<u32>,
    pub(crate) version: String,
    /// Starts seen.
    pub(crate) starts: u64,
}

/// Oddities counted on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Oddities {
    /// Label values that were shortened.
    pub(crate) labels_shortened: u64,
    /// Shells opened a second time.
    pub(crate) shells_reopened: u64,
    /// Shells closed that were not open: closed twice, or opened before the journal begins.
    pub(crate) shells_unopened: u64,
}

/// The one who counts: takes events, changes tables.
#[derive(Debug, Default)]
pub struct Metrics {
    tables: Tables,
    index: Index,
    shells: Shells,
    limits: Limits,
    /// Label text in the making; kept for its capacity.
    text: String,
}

/// What a checkpoint keeps of [`Metrics`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    pub(crate) tables: Tables,
    pub(crate) shells: ShellsRecord,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new(limits: Limits) -> Metrics {
        Metrics { limits, ..Metrics::default() }
    }

    /// The state as it is now.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// What a later process needs to go on from here.
    pub fn record(&self) -> Record {
        Record { tables: self.tables.clone(), shells: self.shells.record() }
    }

    /// Goes on from a record; `None` if its parts do not fit each other.
    pub fn restore(record: Record, limits: Limits) -> Option<Metrics> {
        if !record.tables.is_sound() {
            return None;
        }
        let shell_series = record.tables.sources_shells.len();
        if record.shells.open.iter().any(|shell| shell.series as usize >= shell_series) {
            return None;
        }
        let mut index = Index::default();
        record.tables.adopt_all(&mut index);
        Some(Metrics {
            tables: record.tables,
            index,
            shells: record.shells.into(),
            limits,
            text: String::new(),
        })
    }

    /// Counts one event.
    pub fn apply(&mut self, line: &Line<'_>) {
        let at = line.envelope.time.as_millisecond();
        match &line.event {
            Event::Command(command) => self.command(command, at),
            Event::Source(source) => self.source(source, at),
            Event::Shell(shell) => self.shell(shell, at),
            Event::Engine(engine) => self.engine(engine, at),
        }
    }

    fn command(&mut self, command: &Command<'_>, at: i64) {
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
        let series = index.locate(FamilyId::Commands, &mut tables.commands, text, at, limits.series);
        *tables.commands.value_mut(series) += 1;
    }

    fn source(&mut self, source: &Source<'_>, at: i64) {
        // The sibling first: it is born before the count it stands beside, so the first failure of a Source that
        // only succeeded is a step from 0 to 1, which `increase` sees.
        self.source_text(source, !source.error);
        let Metrics { tables, index, limits, text, .. } = self;
        let has_room = tables.sources.len() < limits.series;
        if has_room || index.find(FamilyId::Sources, &tables.sources, text).is_some() {
            index.locate(FamilyId::Sources, &mut tables.sources, text, at, limits.series);
        }
        self.source_text(source, source.error);
        let Metrics { tables, index, limits, text, .. } = self;
        let series = index.locate(FamilyId::Sources, &mut tables.sources, text, at, limits.series);
        *tables.sources.value_mut(series) += 1;
        self.source_counts(source, at);
        self.source_times(source, at);
    }

    fn source_text(&mut self, source: &Source<'_>, failed: bool) {
        self.label(&[
            ("error", error(failed)),
            ("name", &source.name),
            ("public_key", &source.public_key),
            ("remote_addr", &source.remote_addr),
            ("trigger", source.trigger.as_str()),
        ]);
    }

    fn source_counts(&mut self, source: &Source<'_>, at: i64) {
        for (mode, count) in [("changed", source.changed), ("remove", source.removed)] {
            let Some(count) = count else { continue };
            self.label(&[
                ("mode", mode),
                ("name", &source.name),
                ("public_key", &source.public_key),
                ("remote_addr", &source.remote_addr),
                ("trigger", source.trigger.as_str()),
            ]);
            let Metrics { tables, index, limits, text, .. } = self;
            let table = &mut tables.sources_commands;
            let series = index.locate(FamilyId::SourcesCommands, table, text, at, limits.series);
            *table.value_mut(series) = count;
        }
    }

    fn source_times(&mut self, source: &Source<'_>, at: i64) {
        self.label(&[("name", &source.name)]);
        let Metrics { tables, index, limits, text, .. } = self;
        let mut set = |family, table: &mut Table<i64>| {
            let series = index.locate(family, table, text, at, limits.series);
            *table.value_mut(series) = at;
        };
        set(FamilyId::SourceLastRun, &mut tables.source_last_run);
        if !source.error {
            set(FamilyId::SourceLastSuccess, &mut tables.source_last_success);
        }
        if source.changed.unwrap_or(0) + source.removed.unwrap_or(0) > 0 {
            set(FamilyId::SourceLastChange, &mut tables.source_last_change);
        }
        if let Some(seconds) = source.duration_seconds {
            let table = &mut tables.source_run_duration;
            let series = index.locate(FamilyId::SourceRunDuration, table, text, at, limits.series);
            table.value_mut(series).observe(seconds, RUN_BOUNDS);
        }
    }

    fn shell(&mut self, shell: &Shell<'_>, at: i64) {
        match shell.state {
            ShellState::Opened => self.shell_opened(shell, at),
            ShellState::Closed => self.shell_closed(shell, at),
        }
    }

    fn shell_opened(&mut self, shell: &Shell<'_>, at: i64) {
        self.label(&[
            ("name", &shell.name),
            ("public_key", &shell.public_key),
            ("remote_addr", &shell.remote_addr),
        ]);
        let Metrics { tables, index, limits, text, shells, .. } = self;
        let table = &mut tables.sources_shells;
        let series = index.locate(FamilyId::SourcesShells, table, text, at, limits.series);
        let id = SessionId::new(&shell.session);
        match shells.open(OpenShell { id, series, opened: at }) {
            Opened::New => *table.value_mut(series) = 1,
            Opened::Over => {}
            Opened::Already => {
                tables.oddities.shells_reopened += 1;
                return;
            }
        }
        let table = &mut tables.shells_opened;
        let series = index.locate(FamilyId::ShellsOpened, table, text, at, limits.series);
        *table.value_mut(series) += 1;
        if let Some(oldest) = self.shells.beyond_limit() {
            self.end_session(oldest, "limit", at);
        }
    }

    fn shell_closed(&mut self, shell: &Shell<'_>, at: i64) {
        let id = SessionId::new(&shell.session);
        if self.shells.is_over(id) {
            self.tables.oddities.shells_unopened += 1;
            return;
        }
        match self.shells.close(id) {
            // The labels of the line that opened it count: they say whose session it was.
            Some((open, left)) => self.count_end(open, left, &shell.reason, at),
            None => {
                self.tables.oddities.shells_unopened += 1;
                self.label(&[
                    ("name", &shell.name),
                    ("public_key", &shell.public_key),
                    ("reason", &shell.reason),
                    ("remote_addr", &shell.remote_addr),
                ]);
                self.count_closed(at);
            }
        }
    }

    fn engine(&mut self, engine: &Engine<'_>, at: i64) {
        let started = engine.state == EngineState::Started;
        // There is one agent a journal: whatever the one before it left open is over.
        let reason = if started { "orphaned" } else { "stopped" };
        for session in self.shells.ids() {
            self.end_session(session, reason, at);
        }
        let version = self.limits.label.apply(&engine.version);
        let record = &mut self.tables.engine;
        record.started = Some(started);
        if started {
            record.starts += 1;
            record.start = at;
            record.pid = engine.pid;
        }
        if started || !version.is_empty() {
            record.version = version.into_owned();
        }
    }

    fn end_session(&mut self, session: SessionId, reason: &str, at: i64) {
        if let Some((open, left)) = self.shells.close(session) {
            self.count_end(open, left, reason, at);
        }
    }

    /// A session that was open is over: gauge, total and duration.
    fn count_end(&mut self, open: OpenShell, left: u32, reason: &str, at: i64) {
        if left == 0 {
            *self.tables.sources_shells.value_mut(open.series) = 0;
        }
        // These values passed the limit when the session was opened; a second time would shorten them anew.
        let text = self.tables.sources_shells.text(open.series).to_owned();
        let labels = read_labels(&text);
        let value = |name: &str| {
            labels.iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value.as_str())
        };
        let reason = self.limits.label.apply(reason);
        self.text.clear();
        push_label(&mut self.text, "name", value("name"));
        push_label(&mut self.text, "public_key", value("public_key"));
        push_label(&mut self.text, "reason", &reason);
        push_label(&mut self.text, "remote_addr", value("remote_addr"));
        self.count_closed(at);
        self.text.clear();
        push_label(&mut self.text, "name", value("name"));
        let Metrics { tables, index, limits, text, .. } = self;
        let table = &mut tables.shell_duration;
        let series = index.locate(FamilyId::ShellDuration, table, text, at, limits.series);
        // A clock that was set back makes no session shorter than nothing.
        let milliseconds = at.saturating_sub(open.opened).max(0);
        table.value_mut(series).observe(seconds(milliseconds), SHELL_BOUNDS);
    }

    fn count_closed(&mut self, at: i64) {
        let Metrics { tables, index, limits, text, .. } = self;
        let table = &mut tables.shells_closed;
        let series = index.locate(FamilyId::ShellsClosed, table, text, at, limits.series);
        *table.value_mut(series) += 1;
    }

    /// Makes the label text of a series in `self.text`.
    fn label(&mut self, labels: &[(&str, &str)]) {
        self.text.clear();
        for (name, value) in labels {
            let kept = self.limits.label.apply(value);
            if matches!(kept, std::borrow::Cow::Owned(_)) {
                self.tables.oddities.labels_shortened += 1;
            }
            push_label(&mut self.text, name, &kept);
        }
    }
}

/// The values of one family, for whoever prints them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values<'t> {
    /// Whole numbers.
    Whole(&'t Table<u64>),
    /// Milliseconds, to be shown as seconds.
    Milliseconds(&'t Table<i64>),
    /// Histograms with their bounds.
    Histograms(&'t Table<Histogram>, &'static [f64]),
}

impl Tables {
    /// The table of a family.
    pub(crate) fn family(&self, family: FamilyId) -> (&'static Desc, Values<'_>) {
        let values = match family {
            FamilyId::Commands => Values::Whole(&self.commands),
            FamilyId::SourcesCommands => Values::Whole(&self.sources_commands),
            FamilyId::SourcesShells => Values::Whole(&self.sources_shells),
            FamilyId::Sources => Values::Whole(&self.sources),
            FamilyId::ShellsClosed => Values::Whole(&self.shells_closed),
            FamilyId::ShellsOpened => Values::Whole(&self.shells_opened),
            FamilyId::SourceLastChange => Values::Milliseconds(&self.source_last_change),
            FamilyId::SourceLastRun => Values::Milliseconds(&self.source_last_run),
            FamilyId::SourceLastSuccess => Values::Milliseconds(&self.source_last_success),
            FamilyId::ShellDuration => Values::Histograms(&self.shell_duration, SHELL_BOUNDS),
            FamilyId::SourceRunDuration => Values::Histograms(&self.source_run_duration, RUN_BOUNDS),
        };
        (family.desc(), values)
    }

    fn is_sound(&self) -> bool {
        FamilyId::GUIDE.iter().chain(&FamilyId::FURTHER).all(|&family| match self.family(family).1 {
            Values::Whole(table) => table.is_sound(),
            Values::Milliseconds(table) => table.is_sound(),
            Values::Histograms(table, bounds) => {
                table.is_sound() && (0..).take(table.len()).all(|series| table.value(series).fits(bounds))
            }
        })
    }

    fn adopt_all(&self, index: &mut Index) {
        for &family in FamilyId::GUIDE.iter().chain(&FamilyId::FURTHER) {
            match self.family(family).1 {
                Values::Whole(table) => index.adopt(family, table),
                Values::Milliseconds(table) => index.adopt(family, table),
                Values::Histograms(table, _) => index.adopt(family, table),
            }
        }
    }
}

impl Values<'_> {
    /// Series in the table, the overflow series included.
    pub(crate) fn len(self) -> usize {
        match self {
            Values::Whole(table) => table.len(),
            Values::Milliseconds(table) => table.len(),
            Values::Histograms(table, _) => table.len(),
        }
    }

    /// Events that went to the overflow series.
    pub(crate) fn overflowed(self) -> u64 {
        match self {
            Values::Whole(table) => table.overflowed(),
            Values::Milliseconds(table) => table.overflowed(),
            Values::Histograms(table, _) => table.overflowed(),
        }
    }
}

/// Milliseconds as seconds; exact, because 2^53 milliseconds are 285,000 years.
#[expect(clippy::cast_precision_loss, reason = "times of this era are exact")]
pub(crate) fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// Label text back into names and values.
pub(crate) fn read_labels(text: &str) -> Vec<(&str, String)> {
    let (mut labels, mut rest) = (Vec::new(), text);
    while let Some((name, quoted)) = rest.split_once("=\"") {
        let (mut value, mut chars) = (String::new(), quoted.char_indices());
        let mut end = quoted.len();
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                    None => {}
                },
                other => value.push(other),
            }
        }
        labels.push((name, value));
        rest = quoted[end..].strip_prefix(',').unwrap_or("");
    }
    labels
}

fn error(failed: bool) -> &'static str {
    if failed { "1" } else { "0" }
}
