//! Which sessions are open: shells, and runs that are under way.
//!
//! Both begin and end alike. A session is known by its name alone, so one writer may open it and another close it, and lines may come out of
//! order. Knows no family: it says which series a session belongs to and how many sessions that series has left.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::order::Moment;

/// Sessions of one kind that may be open at once. Beyond it the oldest is given up, so that an agent that never closes
/// any costs a bounded amount of memory.
pub(crate) const MAX_OPEN_SHELLS: usize = 10_000;

/// Closed sessions remembered, so that a late or repeated line about one is recognised.
const CLOSED_REMEMBERED: usize = 4096;

/// Names a session in 16 bytes, however long its name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct SessionId([u8; 16]);

impl SessionId {
    pub(crate) fn new(session: &str) -> SessionId {
        let digest = Sha256::digest(session.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        SessionId(id)
    }
}

/// A session that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenSession {
    pub(crate) id: SessionId,
    /// Its series in `etcha_sources_shells`, or in `etcha_source_run_start_timestamp_seconds`.
    pub(crate) series: u32,
    pub(crate) opened: Moment,
}

/// All sessions that are open, and a memory of some that were.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    /// In the order in which they were opened.
    open: Vec<OpenSession>,
    /// Open sessions a series.
    per_series: HashMap<u32, u32>,
    closed: Closed,
}

/// Sessions that are shown to a person; the others are counted.
const SHOWN: usize = 200;

/// The sessions open at one moment, for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenShells {
    /// How many there are.
    pub count: usize,
    /// The latest of them, latest first: series in `etcha_sources_shells`, and opened at, in milliseconds since 1970.
    pub(crate) latest: Vec<(u32, i64)>,
}

/// What opening a session did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// It is open now.
    New,
    /// It was open before: the line is a repetition.
    Already,
    /// Its end was seen before its start: it is over, since then, in milliseconds since 1970. Without a time it was open
    /// before.
    Over(Option<i64>),
}

impl Sessions {
    pub(crate) fn open(&mut self, shell: OpenSession) -> Opened {
        if let Some(closed) = self.closed.known.get_mut(&shell.id) {
            return Opened::Over(closed.take());
        }
        if self.open.iter().any(|open| open.id == shell.id) {
            return Opened::Already;
        }
        self.open.push(shell);
        *self.per_series.entry(shell.series).or_default() += 1;
        Opened::New
    }

    /// The session, if it was open, and how many sessions its series has left. It is closed `closed`, in milliseconds
    /// since 1970.
    pub(crate) fn close(&mut self, id: SessionId, closed: i64) -> Option<(OpenSession, u32)> {
        let open = self.open.iter().position(|open| open.id == id);
        self.closed.remember(id, if open.is_none() { Some(closed) } else { None });
        let at = open?;
        let shell = self.open.remove(at);
        Some((shell, self.leave(shell.series)))
    }

    /// Whether this session's end was seen already.
    pub(crate) fn is_over(&self, id: SessionId) -> bool {
        self.closed.contains(id)
    }

    /// Takes the session that is open the longest, if there are more than [`MAX_OPEN_SHELLS`].
    pub(crate) fn beyond_limit(&self) -> Option<SessionId> {
        if self.open.len() > MAX_OPEN_SHELLS { self.open.first().map(|shell| shell.id) } else { None }
    }

    pub(crate) fn opened(&self) -> Vec<OpenSession> {
        self.open.clone()
    }

    /// Those that were opened before this.
    pub(crate) fn opened_before(&self, moment: Moment) -> Vec<SessionId> {
        self.open.iter().filter(|shell| moment.is_after(shell.opened)).map(|shell| shell.id).collect()
    }

    /// When the oldest one of a series was opened, in milliseconds since 1970.
    pub(crate) fn oldest(&self, series: u32) -> Option<i64> {
        let of_series = self.open.iter().filter(|session| session.series == series);
        of_series.map(|session| session.opened.millisecond()).min()
    }

    /// How many are open, and of the latest ones series and time of opening.
    pub(crate) fn latest(&self) -> OpenShells {
        let latest =
            self.open.iter().rev().take(SHOWN).map(|shell| (shell.series, shell.opened.millisecond()));
        OpenShells { count: self.open.len(), latest: latest.collect() }
    }

    fn leave(&mut self, series: u32) -> u32 {
        let Some(count) = self.per_series.get_mut(&series) else { return 0 };
        *count = count.saturating_sub(1);
        let left = *count;
        if left == 0 {
            self.per_series.remove(&series);
        }
        left
    }

    /// What a checkpoint keeps: the open sessions and the remembered ends.
    pub(crate) fn record(&self) -> SessionsRecord {
        SessionsRecord { open: self.open.clone(), closed: self.closed.record() }
    }
}

/// [`Sessions`] as a plain list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionsRecord {
    pub(crate) open: Vec<OpenSession>,
    closed: Vec<(SessionId, Option<i64>)>,
}

/// The same as version 1 of the checkpoint kept it.
#[derive(Debug, Deserialize)]
pub(crate) struct SessionsRecordV1 {
    open: Vec<OpenSessionV1>,
    closed: Vec<SessionId>,
}

#[derive(Debug, Deserialize)]
struct OpenSessionV1 {
    id: SessionId,
    series: u32,
    /// Milliseconds since 1970.
    opened: i64,
}

impl From<SessionsRecordV1> for SessionsRecord {
    fn from(record: SessionsRecordV1) -> SessionsRecord {
        let open = record.open.into_iter().map(|OpenSessionV1 { id, series, opened }| OpenSession {
            id,
            series,
            opened: Moment::at(opened),
        });
        let closed = record.closed.into_iter().map(|id| (id, None));
        SessionsRecord { open: open.collect(), closed: closed.collect() }
    }
}

impl From<SessionsRecord> for Sessions {
    fn from(record: SessionsRecord) -> Sessions {
        let mut shells = Sessions::default();
        for shell in record.open {
            shells.open(shell);
        }
        for (id, closed) in record.closed {
            shells.closed.remember(id, closed);
        }
        shells
    }
}

/// The last [`CLOSED_REMEMBERED`] ends.
#[derive(Clone, Debug, Default)]
struct Closed {
    order: VecDeque<SessionId>,
    /// When those were closed that were not open then.
    known: HashMap<SessionId, Option<i64>>,
}

impl Closed {
    fn contains(&self, id: SessionId) -> bool {
        self.known.contains_key(&id)
    }

    fn record(&self) -> Vec<(SessionId, Option<i64>)> {
        self.order.iter().map(|id| (*id, self.known.get(id).copied().flatten())).collect()
    }

    fn remember(&mut self, id: SessionId, closed: Option<i64>) {
        if self.contains(id) {
            return;
        }
        self.known.insert(id, closed);
        self.order.push_back(id);
        if self.order.len() > CLOSED_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(session: &str, series: u32) -> OpenSession {
        OpenSession { id: SessionId::new(session), series, opened: Moment::default() }
    }

    #[test]
    fn a_series_is_left_when_its_last_session_closes() {
        let mut shells = Sessions::default();
        for session in ["a", "b"] {
            assert_eq!(shells.open(shell(session, 7)), Opened::New);
        }
        assert_eq!(shells.open(shell("a", 7)), Opened::Already);
        assert_eq!(shells.close(SessionId::new("a"), 5).map(|(_, left)| left), Some(1));
        assert_eq!(shells.close(SessionId::new("a"), 5), None);
        assert_eq!(shells.close(SessionId::new("b"), 5).map(|(_, left)| left), Some(0));
    }

    #[test]
    fn a_session_that_closed_before_it_opened_is_over() {
        let mut shells = Sessions::default();
        assert_eq!(shells.close(SessionId::new("a"), 5), None);
        assert_eq!(shells.open(shell("a", 1)), Opened::Over(Some(5)));
        assert_eq!(shells.open(shell("a", 1)), Opened::Over(None));
    }

    #[test]
    fn the_memory_of_ends_is_bounded() {
        let mut shells = Sessions::default();
        for session in 0..=CLOSED_REMEMBERED {
            shells.close(SessionId::new(&session.to_string()), 5);
        }
        assert_eq!(shells.closed.known.len(), CLOSED_REMEMBERED);
        assert!(!shells.is_over(SessionId::new("0")));
        assert!(shells.is_over(SessionId::new("1")));
    }

    #[test]
    fn a_record_restores_what_it_was_made_of() {
        let mut shells = Sessions::default();
        for session in ["a", "b", "c"] {
            shells.open(shell(session, 3));
        }
        shells.close(SessionId::new("b"), 5);
        let restored = Sessions::from(shells.record());
        assert_eq!(restored.record(), shells.record());
        assert_eq!(restored.per_series, shells.per_series);
    }
}
