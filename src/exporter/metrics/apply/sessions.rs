//! Sessions and the agent's own state: sessions open and end, and an agent that starts or stops ends what is open.
//! Which sessions are open is kept in [`super::super::sessions`]; here are the series that follow from it.

use std::sync::Arc;

use journal_schema::event::{Engine, EngineState, Shell, ShellState};

use super::super::Metrics;
use super::super::catalogue::{FamilyId, SHELL_BOUNDS};
use super::super::labels::push_label;
use super::super::order::Moment;
use super::super::recent::Who;
use super::super::sessions::{OpenSession, Opened, SessionId};
use super::super::tables::seconds;

impl Metrics {
    pub(super) fn shell(&mut self, shell: &Shell<'_>, moment: Moment) {
        match shell.state {
            ShellState::Opened => self.shell_opened(shell, moment),
            ShellState::Closed => self.shell_closed(shell, moment.millisecond()),
        }
    }

    fn shell_opened(&mut self, shell: &Shell<'_>, moment: Moment) {
        let at = moment.millisecond();
        self.label(&[
            ("name", &shell.name),
            ("public_key", &shell.public_key),
            ("remote_addr", &shell.remote_addr),
        ]);
        let Metrics { tables, index, limits, text, shells, order, is_late, .. } = self;
        let table = &mut tables.sources_shells;
        let series = index.locate(FamilyId::SourcesShells, table, text, at, limits.room());
        let id = SessionId::new(&shell.session);
        Arc::make_mut(&mut self.recent).shell_opened(id, series, at);
        let mut late = None;
        match shells.open(OpenSession { id, series, opened: moment }) {
            // If the agent has ended or another has started since, the line is read late and the shell is over.
            Opened::New if order.engine_after(moment).is_some() => *is_late = true,
            Opened::New => *table.value_mut(series) = 1,
            Opened::Over(closed) => late = closed,
            Opened::Already => {
                tables.oddities.shells_reopened += 1;
                return;
            }
        }
        let table = &mut tables.shells_opened;
        let series = index.locate(FamilyId::ShellsOpened, table, text, at, limits.room());
        *table.value_mut(series) += 1;
        // Its end was read before its start, and could not tell how long it was open.
        if let Some(closed) = late {
            self.label(&[("name", &shell.name)]);
            self.observe_shell(moment, closed);
        }
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
        match self.shells.close(id, at) {
            // The labels of the line that opened it count: they say whose session it was.
            Some((open, left)) => self.count_end(open, left, &shell.reason, at),
            None => {
                let who = Who::named(&shell.name, &shell.public_key, &shell.remote_addr);
                Arc::make_mut(&mut self.recent).shell_closed(id, who, None, at, &shell.reason);
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

    pub(super) fn engine(&mut self, engine: &Engine<'_>, moment: Moment) {
        let started = engine.state == EngineState::Started;
        Arc::make_mut(&mut self.recent).engine(engine, moment.millisecond());
        // There is one agent a journal: whatever the one before it left open is over.
        for session in self.shells.opened_before(moment) {
            self.end_session(session, engine_reason(started), moment.millisecond());
        }
        self.end_runs_before(moment);
        self.order.engine(moment, started);
        // Whether this one writes any is not known yet.
        let silences = started && self.order.heartbeat.take(moment);
        let (version, _) = self.limits.label.apply(&engine.version);
        let record = &mut self.tables.engine;
        record.starts += u64::from(started);
        if silences {
            record.heartbeat = None;
        }
        if self.order.state.take(moment) {
            record.started = Some(started);
        }
        if started && self.order.start.take(moment) {
            record.start = moment.millisecond();
            record.pid = engine.pid;
        }
        if (started || !version.is_empty()) && self.order.version.take(moment) {
            record.version = version.into_owned();
        }
    }

    fn end_session(&mut self, session: SessionId, reason: &str, at: i64) {
        if let Some((open, left)) = self.shells.close(session, at) {
            self.count_end(open, left, reason, at);
        }
    }

    /// All that was there has been read. A shell whose opening was read late and whose end was not is ended by what the
    /// agent did next. Should its end be read later still, it is one too many and counted as such.
    pub(crate) fn settle(&mut self) {
        if !std::mem::take(&mut self.is_late) {
            return;
        }
        for shell in self.shells.opened() {
            if let Some((engine, started)) = self.order.engine_after(shell.opened) {
                self.end_session(shell.id, engine_reason(started), engine.millisecond());
            }
        }
    }

    /// A session that was open is over: gauge, total and duration.
    fn count_end(&mut self, open: OpenSession, left: u32, reason: &str, at: i64) {
        if left == 0 {
            *self.tables.sources_shells.value_mut(open.series) = 0;
        }
        // These values passed the limit when the session was opened; a second time would shorten them anew.
        let Metrics { tables, text, limits, recent, .. } = self;
        let value = |name| tables.sources_shells.label(open.series, name);
        let opened = Some(open.opened.millisecond());
        Arc::make_mut(recent).shell_closed(open.id, Who::Shell(open.series), opened, at, reason);
        let (reason, _) = limits.label.apply(reason);
        text.clear();
        push_label(text, "name", &value("name"));
        push_label(text, "public_key", &value("public_key"));
        push_label(text, "reason", &reason);
        push_label(text, "remote_addr", &value("remote_addr"));
        self.count_closed(at);
        self.text.clear();
        push_label(&mut self.text, "name", &self.tables.sources_shells.label(open.series, "name"));
        self.observe_shell(open.opened, at);
    }

    /// A session of the Source whose label is in `self.text` was open until `at`.
    fn observe_shell(&mut self, opened: Moment, at: i64) {
        let Metrics { tables, index, limits, text, .. } = self;
        let table = &mut tables.shell_duration;
        let series = index.locate(FamilyId::ShellDuration, table, text, at, limits.room());
        // A clock that was set back makes no session shorter than nothing.
        let milliseconds = at.saturating_sub(opened.millisecond()).max(0);
        table.value_mut(series).observe(seconds(milliseconds), SHELL_BOUNDS);
    }

    fn count_closed(&mut self, at: i64) {
        let Metrics { tables, index, limits, text, .. } = self;
        let table = &mut tables.shells_closed;
        let series = index.locate(FamilyId::ShellsClosed, table, text, at, limits.room());
        *table.value_mut(series) += 1;
    }
}

/// Why the agent's start or end closes a shell.
fn engine_reason(started: bool) -> &'static str {
    if started { "orphaned" } else { "stopped" }
}
