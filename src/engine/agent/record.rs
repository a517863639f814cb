//! What the engine did, as events in the journal. The only file of the engine that names them.
//!
//! Recording never fails and never waits for anything but the one `write` of a line: what cannot be written is logged
//! once, and shows in the journal as numbers that are missing.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use journal_schema as journal;
use journal_schema::{Event, Options, WriteError, Writer};

pub(crate) use journal::{Action, Refusal};

use crate::run::{Mode, Step, Summary};

/// A request that was refused, or several of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// What was asked for.
    pub action: Action,
    /// Why it was refused.
    pub reason: Refusal,
    /// Name of the Source, if there is one of this name.
    pub source: String,
    /// Id of the key, if its signature held.
    pub public_key: String,
    /// IP address, without port, of the client; empty if there are several.
    pub remote_addr: String,
    /// How many there were.
    pub count: u64,
}

/// What set a run off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// An event of another Source.
    Event,
    /// The engine's own schedule.
    Pull,
    /// A push.
    Push,
    /// A request to a webhook path.
    Webhook,
    /// The start of the engine.
    Init,
}

/// Where a run comes from. It is the same for all of its events.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// Name of the Source.
    pub source: String,
    /// What set it off.
    pub trigger: Trigger,
    /// Id of the key that signed what runs; empty if nothing did.
    pub public_key: String,
    /// IP address, without port, from which it was pushed; empty if it was not.
    pub remote_addr: String,
    /// What was pushed, for people who read the journal.
    pub token: Option<Arc<TokenNames>>,
}

/// What names a signed token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenNames {
    /// Its claim `jti`, or the beginning of it.
    pub id: String,
    /// Its claim `sub`, or the beginning of it.
    pub subject: String,
    /// SHA-256 of its Pattern, in hexadecimal digits.
    pub digest: String,
}

/// A run that is under way for a while, or was.
#[derive(Clone, Debug)]
pub(crate) struct RunUnderWay {
    /// Names it within this process.
    pub number: u64,
    /// Names it alone and for ever.
    pub id: String,
    /// Where it comes from, as far as that was known when it began.
    pub origin: Origin,
    /// How long it has been under way, or was.
    pub time: Duration,
}

/// A shell session, and who opened it.
#[derive(Clone, Debug)]
pub(crate) struct ShellSession {
    /// Name of the Source.
    pub source: String,
    /// Names the session, alone and for ever.
    pub session: String,
    /// Id of the key that signed the request; empty if it has none.
    pub public_key: String,
    /// IP address, without port, of who opened it.
    pub remote_addr: String,
}

/// The journal, or none where there is no `journal` in the configuration.
pub(crate) struct Journal {
    recording: Option<Mutex<Recording>>,
}

struct Recording {
    path: PathBuf,
    options: Options,
    /// Not there until the journal could be opened.
    writer: Option<Writer>,
    /// Whether the start of the engine is still to be told.
    starting: bool,
    /// Events that were not written since the last one that was.
    lost: u64,
}

impl Journal {
    /// Records into the journal at `path`. It is opened with the first event; if that fails, with a later one.
    pub(crate) fn new(path: PathBuf, options: Options) -> Journal {
        let recording = Recording { path, options, writer: None, starting: false, lost: 0 };
        Journal { recording: Some(Mutex::new(recording)) }
    }

    /// Records nothing.
    pub(crate) fn none() -> Journal {
        Journal { recording: None }
    }

    /// The engine starts. Readers close the shells of whatever ran before, so this comes first whenever it comes.
    pub(crate) fn engine_started(&self) {
        let Some(recording) = &self.recording else { return };
        let mut recording = lock(recording);
        recording.starting = true;
        recording.start();
    }

    /// The engine stops in good order; everything before is made to survive a loss of power.
    pub(crate) fn engine_stopped(&self) {
        self.append(&engine(journal::EngineState::Stopped));
    }

    /// A Command was asked or has acted.
    pub(crate) fn command(&self, origin: &Origin, step: &Step<'_>) {
        self.append(&Event::Command(journal::Command {
            id: borrowed(step.id),
            mode: match step.mode {
                Mode::Check => journal::Mode::Check,
                Mode::Change => journal::Mode::Changed,
                Mode::Remove => journal::Mode::Remove,
            },
            error: step.error,
            parent_id: borrowed(step.parents.label()),
            source: borrowed(&origin.source),
            public_key: borrowed(&origin.public_key),
            remote_addr: borrowed(&origin.remote_addr),
            duration_seconds: step.finished.map(|finished| seconds(finished.duration)),
        }));
    }

    /// A run of a Source has ended.
    pub(crate) fn source(&self, origin: &Origin, summary: &Summary, failed: bool) {
        self.append(&Event::Source(journal::Source {
            changed: Some(summary.changed().count() as u64),
            removed: Some(summary.removed().count() as u64),
            duration_seconds: Some(seconds(summary.duration)),
            ..source(origin, failed)
        }));
    }

    /// A run of a Source did not come to run anything: nothing could be fetched, verified or rendered.
    pub(crate) fn source_failed(&self, origin: &Origin) {
        self.append(&Event::Source(source(origin, true)));
    }

    /// A run of a Source had its Pattern stored and nothing else to do.
    pub(crate) fn source_stored(&self, origin: &Origin) {
        self.append(&Event::Source(source(origin, false)));
    }

    /// A run of a Source is under way. Whether that is in the journal.
    pub(crate) fn run_started(&self, run: &RunUnderWay) -> bool {
        self.append(&under_way(run, journal::RunState::Started))
    }

    /// A run of a Source that was recorded as under way is over. Whether that is in the journal.
    pub(crate) fn run_ended(&self, run: &RunUnderWay) -> bool {
        self.append(&under_way(run, journal::RunState::Ended))
    }

    /// The engine is alive.
    pub(crate) fn heartbeat(&self) {
        self.append(&Event::Heartbeat(journal::Heartbeat {}));
    }

    /// Requests were refused.
    pub(crate) fn refused(&self, refused: &Refused) {
        self.append(&Event::Refused(journal::Refused {
            action: refused.action,
            reason: refused.reason,
            name: borrowed(&refused.source),
            public_key: borrowed(&refused.public_key),
            remote_addr: borrowed(&refused.remote_addr),
            count: Some(refused.count).filter(|count| *count != 1),
        }));
    }

    /// A shell session was opened.
    pub(crate) fn shell_opened(&self, visit: &ShellSession) {
        self.append(&shell(visit, journal::ShellState::Opened, ""));
    }

    /// A shell session is over, for this reason.
    pub(crate) fn shell_closed(&self, visit: &ShellSession, reason: &str) {
        self.append(&shell(visit, journal::ShellState::Closed, reason));
    }

    /// Whether the event is in the journal, or there is none.
    fn append(&self, event: &Event<'_>) -> bool {
        let Some(recording) = &self.recording else { return true };
        let mut recording = lock(recording);
        if recording.start() {
            recording.append(event)
        } else {
            recording.lost += 1;
            false
        }
    }
}

impl Recording {
    /// Opens the journal and tells of the start, where that is still to be done. Whether events can follow.
    fn start(&mut self) -> bool {
        if self.writer.is_none() {
            match Writer::open(&self.path, self.options.clone()) {
                Ok(writer) => self.writer = Some(writer),
                Err(error) => {
                    self.failed(&error);
                    return false;
                }
            }
        }
        if self.starting {
            self.starting = !self.append(&engine(journal::EngineState::Started));
        }
        true
    }

    /// Whether the event is in the journal.
    fn append(&mut self, event: &Event<'_>) -> bool {
        let Some(writer) = &mut self.writer else { return false };
        let appended = writer.append(event);
        if let Some(warning) = writer.take_warning() {
            tracing::warn!("journal: {warning}");
        }
        match appended {
            // The line is in the file, and syncing is tried again by itself.
            Err(error @ WriteError::Sync { .. }) => tracing::error!("journal: {error}"),
            Err(error) => {
                self.failed(&error);
                self.lost += 1;
                return false;
            }
            Ok(_) if self.lost > 0 => {
                tracing::info!(lost = self.lost, "journal: writing again");
                self.lost = 0;
            }
            Ok(_) => {}
        }
        true
    }

    /// Told once, not for each event.
    fn failed(&self, error: &WriteError) {
        if self.lost == 0 {
            tracing::error!("journal: {error}; work goes on, events are missing from now on");
        }
    }
}

fn engine(state: journal::EngineState) -> Event<'static> {
    let pid = Some(std::process::id());
    Event::Engine(journal::Engine { state, version: env!("CARGO_PKG_VERSION").into(), pid })
}

/// A writer that panicked has left a line out or torn, both of which the next line heals.
fn lock(writer: &Mutex<Recording>) -> MutexGuard<'_, Recording> {
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

fn source(origin: &Origin, error: bool) -> journal::Source<'_> {
    let names = origin.token.as_deref();
    journal::Source {
        name: borrowed(&origin.source),
        trigger: origin.trigger.into(),
        error,
        outcome: None,
        public_key: borrowed(&origin.public_key),
        remote_addr: borrowed(&origin.remote_addr),
        token_id: borrowed(names.map_or("", |names| &names.id)),
        subject: borrowed(names.map_or("", |names| &names.subject)),
        digest: borrowed(names.map_or("", |names| &names.digest)),
        changed: None,
        removed: None,
        duration_seconds: None,
    }
}

fn under_way(run: &RunUnderWay, state: journal::RunState) -> Event<'_> {
    Event::Run(journal::Run {
        name: borrowed(&run.origin.source),
        trigger: run.origin.trigger.into(),
        run: borrowed(&run.id),
        state,
        public_key: borrowed(&run.origin.public_key),
        remote_addr: borrowed(&run.origin.remote_addr),
        duration_seconds: Some(seconds(run.time)),
    })
}

impl From<Trigger> for journal::Trigger {
    fn from(trigger: Trigger) -> journal::Trigger {
        match trigger {
            Trigger::Event => journal::Trigger::Event,
            Trigger::Pull => journal::Trigger::Pull,
            Trigger::Push => journal::Trigger::Push,
            Trigger::Webhook => journal::Trigger::Webhook,
            Trigger::Init => journal::Trigger::Init,
        }
    }
}

fn shell<'a>(visit: &'a ShellSession, state: journal::ShellState, reason: &'a str) -> Event<'a> {
    Event::Shell(journal::Shell {
        name: borrowed(&visit.source),
        session: borrowed(&visit.session),
        state,
        public_key: borrowed(&visit.public_key),
        remote_addr: borrowed(&visit.remote_addr),
        reason: borrowed(reason),
    })
}

fn borrowed(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

/// Whole microseconds: more digits would only make lines longer.
fn seconds(duration: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "285 years of microseconds are exact")]
    let micros = duration.as_micros() as f64;
    micros / 1e6
}

#[cfg(test)]
mod tests;
