//! Sources whose last run failed, and the Commands that failed in it.
//!
//! An agent writes the lines of a run's Commands before the line of the run. So the Commands that failed since the run
//! before are those of this run. Two runs of one Source that overlap may share them.

use std::collections::BTreeMap;

use journal_schema::event::Mode;
use serde::{Deserialize, Serialize};

/// Sources kept. A host has a few dozen; beyond it the page counts them and names no Commands.
const MAX_SOURCES: usize = 200;

/// Commands kept of a Source. A failing Command mostly ends the run.
const MAX_COMMANDS: usize = 20;

/// By name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sources(BTreeMap<String, Source>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    /// Commands that failed since its last run ended.
    pending: Vec<FailedCommand>,
    /// Present while its last run is one that failed.
    failing: Option<Failing>,
}

/// A Source whose last run failed, or ended in a way that is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failing {
    /// When the first run of this row ended, in milliseconds since 1970.
    pub(crate) since: i64,
    /// When the last one did.
    last: i64,
    /// Whether the last one is known to have failed.
    pub(crate) is_known: bool,
    /// Commands that failed in the last one, at most [`MAX_COMMANDS`].
    pub(crate) commands: Vec<FailedCommand>,
}

/// A Command whose change or remove script failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailedCommand {
    pub(crate) id: String,
    pub(crate) mode: Mode,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
}

impl Sources {
    pub(super) fn failing(&self, name: &str) -> Option<&Failing> {
        self.0.get(name)?.failing.as_ref()
    }

    pub(super) fn any_fails(&self) -> bool {
        !self.0.is_empty()
    }

    /// A Command failed. Whether it did not fail in the last run either.
    pub(super) fn command_failed(&mut self, source: &str, command: FailedCommand) -> bool {
        let Some(source) = self.at(source) else { return true };
        let is_same = |other: &FailedCommand| other.id == command.id && other.mode == command.mode;
        let before = source.failing.as_ref().map(|failing| failing.commands.as_slice()).unwrap_or_default();
        let is_news = !before.iter().chain(&source.pending).any(is_same);
        if !source.pending.iter().any(is_same) && source.pending.len() < MAX_COMMANDS {
            source.pending.push(command);
        }
        is_news
    }

    /// A run ended, and not with success; `is_known` says that it failed. Whether the run before was another.
    pub(super) fn run_failed(&mut self, source: &str, at: i64, is_known: bool) -> bool {
        let Some(source) = self.at(source) else { return true };
        let commands = std::mem::take(&mut source.pending);
        match &mut source.failing {
            // A late line says nothing of now.
            Some(failing) if at < failing.last => false,
            Some(failing) => {
                *failing = Failing { since: failing.since, last: at, is_known, commands };
                false
            }
            None => {
                source.failing = Some(Failing { since: at, last: at, is_known, commands });
                true
            }
        }
    }

    /// A run succeeded. Whether the one before it did not.
    pub(super) fn run_succeeded(&mut self, source: &str, at: i64) -> bool {
        let Some(known) = self.0.get(source) else { return false };
        if known.failing.as_ref().is_some_and(|failing| at < failing.last) {
            return false;
        }
        self.0.remove(source).is_some_and(|known| known.failing.is_some())
    }

    /// The entry of this name; `None` if there is no room for it.
    fn at(&mut self, name: &str) -> Option<&mut Source> {
        if self.0.len() >= MAX_SOURCES && !self.0.contains_key(name) {
            return None;
        }
        Some(self.0.entry(name.to_owned()).or_default())
    }
}
