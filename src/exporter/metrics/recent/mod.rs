//! What happened lately, for the status page: failing Sources and Commands, shells, pushes, and events worth a look.
//!
//! Beside the series, not instead of them: it keeps each shell and each push apart, which a series does not, and forgets
//! what is old. It names them by their series, so that keeping one takes no text and costs a replay next to nothing. All
//! lists are bounded, and are read in the order of the events' times, so a segment that is read late falls into its
//! place. Knows no HTML.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::DefaultHashBuilder;
use indexmap::IndexMap;
use journal_schema::event::{Action, Engine, EngineState, Refusal, Refused};
use serde::{Deserialize, Serialize};

use super::sessions::SessionId;
use super::tables::Tables;

/// Notes kept.
pub(crate) const MAX_NOTES: usize = 50;

/// Shells kept, pushes kept, and Commands that failed.
pub(crate) const MAX_LISTED: usize = 100;

/// Failing Sources kept. A host has a few dozen Sources; of those beyond it only the time of the last run is shown.
const MAX_FAILING: usize = 200;

/// Bytes of a text that are kept, so that a hostile client cannot fill memory. Key ids and addresses are far shorter.
const MAX_TEXT_BYTES: usize = 256;

/// What happened lately. A clone copies a few kilobytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    /// Since when it is kept, in milliseconds since 1970, where that is not the journal's beginning.
    since: Option<i64>,
    /// In no order: most lines count one that is there, which then need not move.
    #[serde(with = "kept_notes")]
    notes: Notes,
    shells: VecDeque<ShellNote>,
    pushes: VecDeque<Push>,
    failed_commands: VecDeque<FailedCommand>,
    /// By their series in `etcha_source_last_run_timestamp_seconds`.
    failing: BTreeMap<u32, Failing>,
}

type Notes = IndexMap<Note, Times, DefaultHashBuilder>;

/// An event worth a look. Equal ones are one note.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Note {
    pub(crate) who: Who,
    pub(crate) what: What,
}

/// When and how often an event happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// Milliseconds since 1970; the latest time if it happened more than once.
    pub(crate) at: i64,
    pub(crate) count: u64,
}

/// Which Source something is about, and which client set it off.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Who {
    /// The agent itself.
    Agent,
    /// Those of a series of `etcha_commands_total`.
    Command(u32),
    /// Those of a series of `etcha_sources_total`.
    Run(u32),
    /// Those of a series of `etcha_sources_shells`.
    Shell(u32),
    /// What no series names.
    Named(Box<Names>),
}

/// [`Who`] in words. Each is empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Names {
    pub(crate) source: String,
    pub(crate) key: String,
    pub(crate) address: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum What {
    AgentStarted {
        version: Box<str>,
    },
    AgentStopped,
    ShellOpened,
    ShellClosed {
        reason: Box<str>,
    },
    Pushed,
    /// A run that was not pushed changed or removed something.
    Changed,
    /// A Source failed whose run before did not.
    BeganToFail,
    /// How a run ended is not known.
    EndUnknown,
    /// A Source succeeded whose run before failed.
    Recovered,
    /// The change or remove script of a Command failed.
    CommandFailed,
    /// A request was refused.
    Refused {
        action: Action,
        reason: Refusal,
    },
}

/// A shell session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShellNote {
    id: SessionId,
    pub(crate) who: Who,
    /// Milliseconds since 1970; `None` if its opening was not read.
    pub(crate) opened: Option<i64>,
    /// When it closed and why; `None` while it is open.
    pub(crate) closed: Option<(i64, Box<str>)>,
}

/// A push, or several that were refused alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Push {
    /// When it ended, in milliseconds since 1970.
    pub(crate) at: i64,
    pub(crate) who: Who,
    pub(crate) outcome: PushOutcome,
}

/// How a push ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PushOutcome {
    Succeeded { changed: u64, removed: u64 },
    Failed,
    Unknown,
    Refused { reason: Refusal, count: u64 },
}

/// A Source whose last run failed, or ended in a way that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failing {
    /// When the first run of this row ended, in milliseconds since 1970.
    pub(crate) since: i64,
    /// When the last one did, and the one before it if that is one of this row. Between them its Commands ran.
    last: i64,
    before: Option<i64>,
    /// Whether the last one is known to have failed.
    pub(crate) is_known: bool,
}

/// A Command whose change or remove script failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailedCommand {
    /// Its series in `etcha_commands_total`.
    pub(crate) series: u32,
    /// When it failed last, in milliseconds since 1970.
    pub(crate) at: i64,
}

/// How a run of a Source ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunOutcome {
    Succeeded,
    Failed,
    Unknown,
}

/// A run of a Source that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Its series in `etcha_sources_total`.
    pub(super) series: u32,
    /// Its Source's series in `etcha_source_last_run_timestamp_seconds`.
    pub(super) source: u32,
    pub(super) is_push: bool,
    pub(super) outcome: RunOutcome,
    pub(super) changed: u64,
    pub(super) removed: u64,
    /// Milliseconds since 1970.
    pub(super) at: i64,
}

impl Who {
    /// What no series names, as far as it is kept.
    pub(crate) fn named(source: &str, key: &str, address: &str) -> Who {
        Who::Named(Box::new(Names { source: kept(source), key: kept(key), address: kept(address) }))
    }

    /// In the words of the tables that it was counted in.
    pub(crate) fn names(&self, tables: &Tables) -> Names {
        let names = |source, value: &dyn Fn(&str) -> String| Names {
            source: value(source),
            key: value("public_key"),
            address: value("remote_addr"),
        };
        match self {
            Who::Agent => Names::default(),
            Who::Command(at) => names("source", &|label| tables.commands.label(*at, label).into_owned()),
            Who::Run(at) => names("name", &|label| tables.sources.label(*at, label).into_owned()),
            Who::Shell(at) => names("name", &|label| tables.sources_shells.label(*at, label).into_owned()),
            Who::Named(names) => Names::clone(names),
        }
    }
}

impl ShellNote {
    /// When it was last heard of, in milliseconds since 1970.
    pub(crate) fn latest(&self) -> i64 {
        self.closed.as_ref().map(|(at, _)| *at).or(self.opened).unwrap_or(i64::MIN)
    }
}

impl Failing {
    /// Whether what happened then belongs to its last run, if its last success was at `success`.
    pub(crate) fn covers(&self, at: i64, success: i64) -> bool {
        at <= self.last && at > success && self.before.is_none_or(|before| at > before)
    }
}

impl Run {
    fn is_change(&self) -> bool {
        self.changed + self.removed > 0
    }
}

impl Recent {
    /// Nothing yet, kept from now on, `at` milliseconds since 1970: what was counted before is not known.
    pub(crate) fn since(at: i64) -> Recent {
        Recent { since: Some(at), ..Recent::default() }
    }

    /// Since when it is kept, in milliseconds since 1970; `None` if since the journal's beginning.
    pub(crate) fn kept_since(&self) -> Option<i64> {
        self.since
    }

    /// Whether all series that it names are in these tables.
    pub(super) fn fits(&self, tables: &Tables) -> bool {
        let is_there = |series: u32, len: usize| (series as usize) < len;
        let whose = self.notes.keys().map(|note| &note.who);
        let whose = whose.chain(self.shells.iter().map(|shell| &shell.who));
        let mut whose = whose.chain(self.pushes.iter().map(|push| &push.who));
        let mut commands = self.failed_commands.iter();
        whose.all(|who| match who {
            Who::Agent | Who::Named(_) => true,
            Who::Command(series) => is_there(*series, tables.commands.len()),
            Who::Run(series) => is_there(*series, tables.sources.len()),
            Who::Shell(series) => is_there(*series, tables.sources_shells.len()),
        }) && commands.all(|failed| is_there(failed.series, tables.commands.len()))
            && self.failing.keys().all(|series| is_there(*series, tables.source_last_run.len()))
    }

    /// Events worth a look, the latest first; at most [`MAX_NOTES`].
    pub(crate) fn notes(&self) -> Vec<(&Note, Times)> {
        let mut notes = by_time(&self.notes);
        notes.reverse();
        notes
    }

    /// Shells, the latest first; at most [`MAX_LISTED`].
    pub(crate) fn shells(&self) -> impl Iterator<Item = &ShellNote> {
        self.shells.iter().rev()
    }

    /// Pushes, the latest first; at most [`MAX_LISTED`].
    pub(crate) fn pushes(&self) -> impl Iterator<Item = &Push> {
        self.pushes.iter().rev()
    }

    /// Sources whose last run failed, by their series in `etcha_source_last_run_timestamp_seconds`.
    pub(crate) fn failing(&self) -> impl Iterator<Item = (u32, Failing)> {
        self.failing.iter().map(|(series, failing)| (*series, *failing))
    }

    /// Commands that failed, the earliest first; at most [`MAX_LISTED`].
    pub(crate) fn failed_commands(&self) -> impl Iterator<Item = FailedCommand> {
        self.failed_commands.iter().copied()
    }

    /// Whether a run changes anything here. Most do not.
    pub(super) fn matters(&self, run: &Run) -> bool {
        run.outcome != RunOutcome::Succeeded
            || run.is_push
            || run.is_change()
            || self.failing.contains_key(&run.source)
    }

    /// A run of a Source ended.
    pub(super) fn run(&mut self, run: &Run) {
        let &Run { series, at, changed, removed, .. } = run;
        if run.is_push {
            let outcome = match run.outcome {
                RunOutcome::Succeeded => PushOutcome::Succeeded { changed, removed },
                RunOutcome::Failed => PushOutcome::Failed,
                RunOutcome::Unknown => PushOutcome::Unknown,
            };
            insert(&mut self.pushes, Push { at, who: Who::Run(series), outcome }, MAX_LISTED, |push| push.at);
            self.note(at, 1, What::Pushed, Who::Run(series));
        } else if run.is_change() {
            self.note(at, 1, What::Changed, Who::Run(series));
        }
        match run.outcome {
            RunOutcome::Succeeded => {
                if self.failing.get(&run.source).is_some_and(|failing| at >= failing.last) {
                    self.failing.remove(&run.source);
                    self.note(at, 1, What::Recovered, Who::Run(series));
                }
            }
            RunOutcome::Failed => {
                if self.run_failed(run) {
                    self.note(at, 1, What::BeganToFail, Who::Run(series));
                }
            }
            RunOutcome::Unknown => {
                self.run_failed(run);
                self.note(at, 1, What::EndUnknown, Who::Run(series));
            }
        }
    }

    /// A run did not succeed. Whether it is the first one of a row.
    fn run_failed(&mut self, run: &Run) -> bool {
        let is_known = run.outcome == RunOutcome::Failed;
        match self.failing.get_mut(&run.source) {
            // A late line says nothing of now.
            Some(failing) if run.at < failing.last => false,
            Some(failing) => {
                let before = Some(failing.last);
                *failing = Failing { last: run.at, before, is_known, ..*failing };
                false
            }
            None => {
                if self.failing.len() < MAX_FAILING {
                    let failing = Failing { since: run.at, last: run.at, before: None, is_known };
                    self.failing.insert(run.source, failing);
                }
                true
            }
        }
    }

    /// The change or remove script of a Command failed, whose series in `etcha_commands_total` this is.
    pub(super) fn command_failed(&mut self, series: u32, at: i64) {
        let known = self.failed_commands.iter().rposition(|failed| failed.series == series);
        let earlier = known.and_then(|known| self.failed_commands.remove(known));
        let at_latest = earlier.map_or(at, |earlier| earlier.at.max(at));
        let failed = FailedCommand { series, at: at_latest };
        insert(&mut self.failed_commands, failed, MAX_LISTED, |failed| failed.at);
        self.note(at, 1, What::CommandFailed, Who::Command(series));
    }

    /// The agent started or stopped.
    pub(super) fn engine(&mut self, engine: &Engine<'_>, at: i64) {
        let what = match engine.state {
            EngineState::Started => What::AgentStarted { version: kept(&engine.version).into() },
            EngineState::Stopped => What::AgentStopped,
        };
        self.note(at, 1, what, Who::Agent);
    }

    /// Requests were refused.
    pub(super) fn refused(&mut self, refused: &Refused<'_>, at: i64) {
        let who = Who::named(&refused.name, &refused.public_key, &refused.remote_addr);
        let (action, reason) = (refused.action, refused.reason);
        let count = refused.count.unwrap_or(1);
        if action == Action::Push {
            let outcome = PushOutcome::Refused { reason, count };
            insert(&mut self.pushes, Push { at, who: who.clone(), outcome }, MAX_LISTED, |push| push.at);
        }
        self.note(at, count, What::Refused { action, reason }, who);
    }

    /// A shell was opened, whose series in `etcha_sources_shells` this is.
    pub(super) fn shell_opened(&mut self, id: SessionId, series: u32, at: i64) {
        let who = Who::Shell(series);
        if let Some(known) = self.shells.iter_mut().rev().find(|known| known.id == id) {
            // Its end was read first.
            known.opened = known.opened.or(Some(at));
            known.who = who;
            return;
        }
        let opened = ShellNote { id, who: who.clone(), opened: Some(at), closed: None };
        insert(&mut self.shells, opened, MAX_LISTED, ShellNote::latest);
        self.note(at, 1, What::ShellOpened, who);
    }

    /// A shell was closed at `at`. `who` and `opened` say whose it was, where that is not known here.
    pub(super) fn shell_closed(
        &mut self,
        id: SessionId,
        who: Who,
        opened: Option<i64>,
        at: i64,
        reason: &str,
    ) {
        let reason = kept(reason).into_boxed_str();
        self.note(at, 1, What::ShellClosed { reason: reason.clone() }, who.clone());
        let known =
            self.shells.iter().rposition(|known| known.id == id).and_then(|at| self.shells.remove(at));
        let mut shell = known.unwrap_or(ShellNote { id, who, opened, closed: None });
        shell.closed = Some((at, reason));
        insert(&mut self.shells, shell, MAX_LISTED, ShellNote::latest);
    }

    /// Adds a note in place of the oldest beyond the limit, or counts it with an equal one.
    fn note(&mut self, at: i64, count: u64, what: What, who: Who) {
        let known = self.notes.entry(Note { who, what }).or_insert(Times { at, count: 0 });
        known.at = known.at.max(at);
        known.count = known.count.saturating_add(count);
        if self.notes.len() > MAX_NOTES {
            let oldest = (0..self.notes.len()).min_by_key(|&note| self.notes[note].at);
            oldest.map(|oldest| self.notes.swap_remove_index(oldest));
        }
    }
}

/// Inserts by time, and drops the oldest beyond `limit`.
fn insert<T>(list: &mut VecDeque<T>, new: T, limit: usize, time: impl Fn(&T) -> i64) {
    let at = list.iter().rposition(|old| time(old) <= time(&new)).map_or(0, |before| before + 1);
    list.insert(at, new);
    if list.len() > limit {
        list.pop_front();
    }
}

/// The earliest first.
fn by_time(notes: &Notes) -> Vec<(&Note, Times)> {
    let mut list: Vec<_> = notes.iter().map(|(note, times)| (note, *times)).collect();
    list.sort_by_key(|(_, times)| times.at);
    list
}

/// How a checkpoint keeps notes: a list in the order of time, each with its times before it.
mod kept_notes {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::{Note, Notes, Times, What, Who, by_time};

    pub(super) fn serialize<S: Serializer>(notes: &Notes, output: S) -> Result<S::Ok, S::Error> {
        let list = by_time(notes);
        output.collect_seq(list.iter().map(|(note, times)| (times.at, times.count, &note.what, &note.who)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Notes, D::Error> {
        let list = Vec::<(i64, u64, What, Who)>::deserialize(input)?;
        Ok(list.into_iter().map(|(at, count, what, who)| (Note { who, what }, Times { at, count })).collect())
    }
}

/// As much of a text as is kept.
fn kept(text: &str) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    let mark = '…';
    let end = text.floor_char_boundary(MAX_TEXT_BYTES - mark.len_utf8());
    format!("{}{mark}", &text[..end])
}

#[cfg(test)]
mod tests;
