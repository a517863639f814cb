//! What happened lately, for the status page: failing Commands, shells, pushes, and events worth a look.
//!
//! Beside the series, not instead of them: it names each shell and each push, which a series does not, and forgets
//! what is old. All of it is bounded, in number and in bytes. Times are those of the events, so a segment that is read
//! late falls into its place. Knows no HTML.
//!
//! * `failing`: Sources whose last run failed, with the Commands that failed in it.
//! * this file: the lists, and what each event adds to them.

mod failing;

use std::collections::VecDeque;

use journal_schema::event::{Command, Engine, EngineState, Event, Mode, Refused, Shell, Source, Trigger};
use serde::{Deserialize, Serialize};

use super::sessions::SessionId;
use failing::Sources;
pub(crate) use failing::{FailedCommand, Failing};

/// Notes kept. Together with the other lists this is at most half a megabyte.
pub(crate) const MAX_NOTES: usize = 50;

/// Shells kept, and pushes kept.
pub(crate) const MAX_LISTED: usize = 100;

/// Bytes of a text that are kept, so that a hostile client cannot fill memory. Key ids and addresses are far shorter.
const MAX_TEXT_BYTES: usize = 256;

/// What happened lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    notes: VecDeque<Note>,
    shells: VecDeque<ShellNote>,
    pushes: VecDeque<Push>,
    sources: Sources,
}

/// An event worth a look. Equal ones are one note that counts them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// When it happened, in milliseconds since 1970; the latest time if it happened more than once.
    pub(crate) at: i64,
    /// How often.
    pub(crate) times: u64,
    pub(crate) what: What,
    pub(crate) who: Who,
}

/// Which Source it is about, and which client set it off. Each is empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Who {
    pub(crate) source: String,
    pub(crate) key: String,
    pub(crate) address: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum What {
    AgentStarted {
        version: String,
    },
    AgentStopped,
    ShellOpened,
    ShellClosed {
        reason: String,
    },
    Pushed,
    /// A run changed or removed something.
    Changed,
    /// A Source failed whose run before did not.
    BeganToFail,
    /// How a run ended is not known.
    EndUnknown,
    /// A Source succeeded whose run before failed.
    Recovered,
    /// A Command failed that did not fail in the run before.
    CommandFailed {
        id: String,
        mode: Mode,
    },
    /// A request was refused.
    Refused {
        action: String,
        reason: String,
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
    pub(crate) closed: Option<(i64, String)>,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PushOutcome {
    Succeeded { changed: u64, removed: u64 },
    Failed,
    Unknown,
    Refused { reason: String, count: u64 },
}

impl Who {
    pub(crate) fn new(source: &str, key: &str, address: &str) -> Who {
        Who { source: kept(source), key: kept(key), address: kept(address) }
    }
}

impl ShellNote {
    /// When it was last heard of, in milliseconds since 1970.
    pub(crate) fn latest(&self) -> i64 {
        self.closed.as_ref().map(|(at, _)| *at).or(self.opened).unwrap_or(i64::MIN)
    }
}

impl Recent {
    /// Events worth a look, the latest first.
    pub(crate) fn notes(&self) -> impl Iterator<Item = &Note> {
        self.notes.iter().rev()
    }

    /// Shells, the latest first; at most [`MAX_LISTED`].
    pub(crate) fn shells(&self) -> impl Iterator<Item = &ShellNote> {
        self.shells.iter().rev()
    }

    /// Pushes, the latest first; at most [`MAX_LISTED`].
    pub(crate) fn pushes(&self) -> impl Iterator<Item = &Push> {
        self.pushes.iter().rev()
    }

    /// What is known of a Source whose last run failed.
    pub(crate) fn failing(&self, source: &str) -> Option<&Failing> {
        self.sources.failing(source)
    }

    /// Whether a Source is known to fail: then each of its runs matters.
    pub(super) fn any_fails(&self) -> bool {
        self.sources.any_fails()
    }

    /// Takes an event of `at`, milliseconds since 1970. Shells have entries of their own, see [`Recent::shell_opened`].
    pub(super) fn take(&mut self, event: &Event<'_>, at: i64) {
        match event {
            Event::Command(command) => self.command(command, at),
            Event::Source(source) => self.source(source, at),
            Event::Engine(engine) => self.engine(engine, at),
            Event::Refused(refused) => self.refused(refused, at),
            Event::Shell(_) | Event::Run(_) | Event::Heartbeat(_) => {}
        }
    }

    fn command(&mut self, command: &Command<'_>, at: i64) {
        if !failed(command) {
            return;
        }
        let failed = FailedCommand { id: kept(&command.id), mode: command.mode, at };
        let what = What::CommandFailed { id: failed.id.clone(), mode: failed.mode };
        if self.sources.command_failed(&kept(&command.source), failed) {
            self.note(at, 1, what, Who::new(&command.source, &command.public_key, &command.remote_addr));
        }
    }

    fn source(&mut self, source: &Source<'_>, at: i64) {
        let who = Who::new(&source.name, &source.public_key, &source.remote_addr);
        let (changed, removed) = (source.changed.unwrap_or(0), source.removed.unwrap_or(0));
        if source.trigger == Trigger::Push {
            let outcome = if source.succeeded() {
                PushOutcome::Succeeded { changed, removed }
            } else if source.failed() {
                PushOutcome::Failed
            } else {
                PushOutcome::Unknown
            };
            insert(&mut self.pushes, Push { at, who: who.clone(), outcome }, MAX_LISTED, |push| push.at);
            self.note(at, 1, What::Pushed, who.clone());
        }
        if source.succeeded() {
            self.succeeded(&source.name, at);
        } else {
            let is_news = self.sources.run_failed(&who.source, at, source.failed());
            if source.outcome.is_some() {
                self.note(at, 1, What::EndUnknown, who.clone());
            } else if is_news {
                self.note(at, 1, What::BeganToFail, who.clone());
            }
        }
        if changed + removed > 0 {
            self.note(at, 1, What::Changed, who);
        }
    }

    /// A run of the Source of this name succeeded.
    pub(super) fn succeeded(&mut self, name: &str, at: i64) {
        let name = kept(name);
        if self.sources.run_succeeded(&name, at) {
            self.note(at, 1, What::Recovered, Who { source: name, ..Who::default() });
        }
    }

    fn engine(&mut self, engine: &Engine<'_>, at: i64) {
        let what = match engine.state {
            EngineState::Started => What::AgentStarted { version: kept(&engine.version) },
            EngineState::Stopped => What::AgentStopped,
        };
        self.note(at, 1, what, Who::default());
    }

    fn refused(&mut self, refused: &Refused<'_>, at: i64) {
        let who = Who::new(&refused.name, &refused.public_key, &refused.remote_addr);
        let (action, reason) = (refused.action.as_str(), refused.reason.as_str());
        let count = refused.count.unwrap_or(1);
        if action == "push" {
            let outcome = PushOutcome::Refused { reason: reason.to_owned(), count };
            insert(&mut self.pushes, Push { at, who: who.clone(), outcome }, MAX_LISTED, |push| push.at);
        }
        let what = What::Refused { action: action.to_owned(), reason: reason.to_owned() };
        self.note(at, count, what, who);
    }

    /// A shell was opened.
    pub(super) fn shell_opened(&mut self, id: SessionId, shell: &Shell<'_>, at: i64) {
        let who = Who::new(&shell.name, &shell.public_key, &shell.remote_addr);
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
        let reason = kept(reason);
        self.note(at, 1, What::ShellClosed { reason: reason.clone() }, who.clone());
        let known =
            self.shells.iter().rposition(|known| known.id == id).and_then(|at| self.shells.remove(at));
        let mut shell = known.unwrap_or(ShellNote { id, who, opened, closed: None });
        shell.closed = Some((at, reason));
        insert(&mut self.shells, shell, MAX_LISTED, ShellNote::latest);
    }

    /// Adds a note, or counts it with an equal one.
    fn note(&mut self, at: i64, times: u64, what: What, who: Who) {
        let same = self.notes.iter().rposition(|note| note.what == what && note.who == who);
        let earlier = same.and_then(|at| self.notes.remove(at));
        let (before, latest) = earlier.map_or((0, at), |note| (note.times, note.at.max(at)));
        let note = Note { at: latest, times: before.saturating_add(times), what, who };
        insert(&mut self.notes, note, MAX_NOTES, |note| note.at);
    }
}

/// Whether a Command failed. A check that "fails" says that action is needed.
pub(super) fn failed(command: &Command<'_>) -> bool {
    command.error && command.mode != Mode::Check
}

/// Whether a run of a Source adds to what is kept here, beyond that it succeeded.
pub(super) fn is_worth_a_look(source: &Source<'_>) -> bool {
    let is_change = source.changed.unwrap_or(0) + source.removed.unwrap_or(0) > 0;
    source.error || source.outcome.is_some() || source.trigger == Trigger::Push || is_change
}

/// Inserts by time, and drops the oldest beyond `limit`.
fn insert<T>(list: &mut VecDeque<T>, new: T, limit: usize, time: impl Fn(&T) -> i64) {
    let at = list.iter().rposition(|old| time(old) <= time(&new)).map_or(0, |before| before + 1);
    list.insert(at, new);
    if list.len() > limit {
        list.pop_front();
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
