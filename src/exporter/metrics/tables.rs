//! The tables: all families as of one moment, and what is known of the agent beside them.

use serde::{Deserialize, Serialize};

use super::catalogue::{Desc, FamilyId, RUN_BOUNDS, SHELL_BOUNDS};
use super::histogram::Histogram;
use super::table::{Index, Table};

/// Everything that events add up to, as of one moment. Clones share their storage. `kept` says how a checkpoint keeps it.
#[derive(Clone, Debug, Default)]
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
    pub(crate) refusals: Table<u64>,
    /// [`ABSENT`] where no run is under way.
    pub(crate) source_run_start: Table<i64>,
    /// What is known of the agent.
    pub(crate) engine: EngineRecord,
    /// Oddities that cost nothing but are worth knowing.
    pub(crate) oddities: Oddities,
}

/// The value of a series that is held and not shown.
pub(crate) const ABSENT: i64 = i64::MIN;

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
    /// Its last heartbeat since its start, in milliseconds since 1970.
    pub(crate) heartbeat: Option<i64>,
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

/// The values of one family, for whoever prints them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values<'t> {
    /// Whole numbers.
    Whole(&'t Table<u64>),
    /// Milliseconds, to be shown as seconds; [`ABSENT`] is not shown.
    Milliseconds(&'t Table<i64>),
    /// Histograms with their bounds.
    Histograms(&'t Table<Histogram>, &'static [f64]),
}

/// [`Values`], for whoever fills them.
#[derive(Debug)]
pub(super) enum ValuesMut<'t> {
    Whole(&'t mut Table<u64>),
    Milliseconds(&'t mut Table<i64>),
    Histograms(&'t mut Table<Histogram>),
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
            FamilyId::Refusals => Values::Whole(&self.refusals),
            FamilyId::SourceRunStart => Values::Milliseconds(&self.source_run_start),
            FamilyId::ShellDuration => Values::Histograms(&self.shell_duration, SHELL_BOUNDS),
            FamilyId::SourceRunDuration => Values::Histograms(&self.source_run_duration, RUN_BOUNDS),
        };
        (family.desc(), values)
    }

    /// The same, to be filled.
    pub(super) fn family_mut(&mut self, family: FamilyId) -> ValuesMut<'_> {
        match family {
            FamilyId::Commands => ValuesMut::Whole(&mut self.commands),
            FamilyId::SourcesCommands => ValuesMut::Whole(&mut self.sources_commands),
            FamilyId::SourcesShells => ValuesMut::Whole(&mut self.sources_shells),
            FamilyId::Sources => ValuesMut::Whole(&mut self.sources),
            FamilyId::ShellsClosed => ValuesMut::Whole(&mut self.shells_closed),
            FamilyId::ShellsOpened => ValuesMut::Whole(&mut self.shells_opened),
            FamilyId::SourceLastChange => ValuesMut::Milliseconds(&mut self.source_last_change),
            FamilyId::SourceLastRun => ValuesMut::Milliseconds(&mut self.source_last_run),
            FamilyId::SourceLastSuccess => ValuesMut::Milliseconds(&mut self.source_last_success),
            FamilyId::Refusals => ValuesMut::Whole(&mut self.refusals),
            FamilyId::SourceRunStart => ValuesMut::Milliseconds(&mut self.source_run_start),
            FamilyId::ShellDuration => ValuesMut::Histograms(&mut self.shell_duration),
            FamilyId::SourceRunDuration => ValuesMut::Histograms(&mut self.source_run_duration),
        }
    }

    /// Events of which something was counted by the way: they went to an overflow series, or a label was shortened.
    pub(super) fn asides(&self) -> u64 {
        let families = FamilyId::all();
        let overflowed: u64 = families.map(|family| self.family(family).1.overflowed()).sum();
        overflowed + self.oddities.labels_shortened
    }

    pub(super) fn is_sound(&self) -> bool {
        FamilyId::all().all(|family| match self.family(family).1 {
            Values::Whole(table) => table.is_sound(),
            Values::Milliseconds(table) => table.is_sound(),
            Values::Histograms(table, bounds) => {
                table.is_sound() && (0..).take(table.len()).all(|series| table.value(series).fits(bounds))
            }
        })
    }

    pub(super) fn adopt_all(&self, index: &mut Index) {
        for family in FamilyId::all() {
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

    /// Whether no series is to be shown.
    pub(crate) fn is_hidden(self) -> bool {
        match self {
            Values::Milliseconds(table) => (0..).take(table.len()).all(|at| *table.value(at) == ABSENT),
            Values::Whole(_) | Values::Histograms(..) => self.len() == 0,
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
