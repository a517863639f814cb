//! Sums a journal up: runs, failures, slow Commands, shells. Pure: lines in, a [`Report`] out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use journal_schema::{Command, EngineState, Event, Line, Mode, Shell, ShellState, Source};

use crate::report::{Activity, Distribution, End, FailingReport, Report, Session, SlowReport, SourceReport};
use crate::sequence::Sequences;

/// Seconds in one step of the activity that is kept.
const STEP_SECONDS: i64 = 60;

/// Gathers lines.
#[derive(Default)]
pub(crate) struct Summary {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    sequences: Sequences,
    lines: u64,
    bad: u64,
    duplicates: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    /// Lines in each step of time, by its number.
    activity: BTreeMap<i64, u64>,
    runs: BTreeMap<(String, &'static str), Runs>,
    commands: BTreeMap<(String, String, &'static str), Steps>,
    /// Shells in the order in which they were opened.
    shells: Vec<Session>,
    /// Places in `shells` of those still open.
    open: BTreeMap<String, usize>,
}

/// Runs of one Source with one trigger.
#[derive(Default)]
struct Runs {
    runs: u64,
    failed: u64,
    unknown: u64,
    changed: u64,
    removed: u64,
    last: Timestamp,
    seconds: Vec<f64>,
}

/// Runs of one script of one Command.
#[derive(Default)]
struct Steps {
    runs: u64,
    errors: u64,
    last_error: Option<Timestamp>,
    seconds: Vec<f64>,
}

impl Summary {
    /// A summary of what happened since one time and before another.
    pub(crate) fn between(since: Option<Timestamp>, until: Option<Timestamp>) -> Summary {
        Summary { since, until, ..Summary::default() }
    }

    /// Counts a line that cannot be used.
    pub(crate) fn bad(&mut self) {
        self.bad += 1;
    }

    /// Takes a line in. Shells are followed from before `since`, so that none of them seems to come from nowhere. Of what
    /// happened later than `until`, nothing is known.
    pub(crate) fn line(&mut self, line: &Line<'_>) {
        let time = line.envelope.time;
        if self.until.is_some_and(|until| time >= until) {
            return;
        }
        if !self.sequences.see(&line.envelope.writer, line.envelope.seq) {
            self.duplicates += 1;
            return;
        }
        match &line.event {
            Event::Shell(shell) => self.shell(shell, time),
            Event::Engine(engine) => self.close_all(time, engine.state),
            Event::Command(_)
            | Event::Source(_)
            | Event::Run(_)
            | Event::Heartbeat(_)
            | Event::Refused(_) => {}
        }
        if self.since.is_some_and(|since| time < since) {
            return;
        }
        self.lines += 1;
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
        *self.activity.entry(time.as_second().div_euclid(STEP_SECONDS)).or_default() += 1;
        match &line.event {
            Event::Command(command) => self.command(command, time),
            Event::Source(source) => self.source(source, time),
            Event::Shell(_) | Event::Engine(_) | Event::Run(_) | Event::Heartbeat(_) | Event::Refused(_) => {}
        }
    }

    fn command(&mut self, command: &Command<'_>, time: Timestamp) {
        let key = (command.source.to_string(), command.id.to_string(), command.mode.as_str());
        let steps = self.commands.entry(key).or_default();
        steps.runs += 1;
        if command.error {
            steps.errors += 1;
            steps.last_error = steps.last_error.max(Some(time));
        }
        steps.seconds.extend(command.duration_seconds);
    }

    fn source(&mut self, source: &Source<'_>, time: Timestamp) {
        let runs = self.runs.entry((source.name.to_string(), source.trigger.as_str())).or_default();
        runs.runs += 1;
        runs.failed += u64::from(source.failed());
        runs.unknown += u64::from(source.outcome.is_some());
        runs.changed = runs.changed.saturating_add(source.changed.unwrap_or(0));
        runs.removed = runs.removed.saturating_add(source.removed.unwrap_or(0));
        runs.last = runs.last.max(time);
        runs.seconds.extend(source.duration_seconds);
    }

    fn shell(&mut self, shell: &Shell<'_>, time: Timestamp) {
        let session = |opened| Session {
            source: shell.name.to_string(),
            session: shell.session.to_string(),
            public_key: shell.public_key.to_string(),
            remote_addr: shell.remote_addr.to_string(),
            opened,
            closed: None,
            seconds: None,
            end: End::Open,
            reason: String::new(),
        };
        match (shell.state, self.open.remove(&*shell.session)) {
            // Opened twice is opened once.
            (ShellState::Opened, Some(place)) => {
                self.open.insert(shell.session.to_string(), place);
            }
            (ShellState::Opened, None) => {
                self.open.insert(shell.session.to_string(), self.shells.len());
                self.shells.push(session(Some(time)));
            }
            (ShellState::Closed, Some(place)) => {
                self.shells[place].close(time, End::Closed);
                self.shells[place].reason = shell.reason.to_string();
            }
            (ShellState::Closed, None) => {
                // Closed already, with the agent: its own word about it comes late. Otherwise it was opened before
                // the first line.
                if !self.shells.iter().any(|known| known.session == *shell.session) {
                    let mut unopened = session(None);
                    unopened.close(time, End::Closed);
                    unopened.reason = shell.reason.to_string();
                    self.shells.push(unopened);
                }
            }
        }
    }

    fn close_all(&mut self, time: Timestamp, state: EngineState) {
        let end = match state {
            EngineState::Started => End::Orphaned,
            EngineState::Stopped => End::Stopped,
        };
        for (_, place) in std::mem::take(&mut self.open) {
            self.shells[place].close(time, end);
        }
    }

    /// The report, with at most `top` Commands in each list.
    pub(crate) fn report(self, top: usize) -> Report {
        let failing = self.failing(top);
        let (activity, since) = (self.activity(), self.since);
        let sources = self.runs.into_iter().map(|((source, trigger), runs)| SourceReport {
            source,
            trigger,
            runs: runs.runs,
            failed: runs.failed,
            unknown: runs.unknown,
            changed: runs.changed,
            removed: runs.removed,
            last: runs.last,
            seconds: Distribution::of(runs.seconds),
        });
        let mut slowest: Vec<_> = self
            .commands
            .into_iter()
            .filter_map(|((source, id, mode), steps)| {
                Some(SlowReport { source, id, mode, seconds: Distribution::of(steps.seconds)? })
            })
            .collect();
        slowest.sort_by(|one, other| other.seconds.max.total_cmp(&one.seconds.max));
        slowest.truncate(top);
        Report {
            lines: self.lines,
            bad_lines: self.bad,
            duplicate_lines: self.duplicates,
            first: self.first,
            last: self.last,
            activity,
            sources: sources.collect(),
            failing,
            slowest,
            shells: self.shells.into_iter().filter(|shell| shell.concerns(since)).collect(),
        }
    }

    fn failing(&self, top: usize) -> Vec<FailingReport> {
        let failed = |mode: &str, steps: &Steps| steps.errors > 0 && mode != Mode::Check.as_str();
        let mut failing: Vec<_> = self
            .commands
            .iter()
            .filter(|((_, _, mode), steps)| failed(mode, steps))
            .map(|((source, id, mode), steps)| FailingReport {
                source: source.clone(),
                id: id.clone(),
                mode,
                runs: steps.runs,
                failed: steps.errors,
                last_failed: steps.last_error,
            })
            .collect();
        failing.sort_by_key(|report| std::cmp::Reverse(report.failed));
        failing.truncate(top);
        failing
    }

    /// At most 60 steps, each as long as need be.
    fn activity(&self) -> Activity {
        let range = self.activity.first_key_value().zip(self.activity.last_key_value());
        let Some(((&first, _), (&last, _))) = range else {
            return Activity { step_seconds: STEP_SECONDS, lines: Vec::new() };
        };
        let together = (last - first) / 60 + 1;
        let mut lines = vec![0; usize::try_from((last - first) / together + 1).unwrap_or(0)];
        for (step, count) in &self.activity {
            let place = usize::try_from((step - first) / together).unwrap_or(0);
            if let Some(sum) = lines.get_mut(place) {
                *sum += count;
            }
        }
        Activity { step_seconds: STEP_SECONDS * together, lines }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Feeds events, one a minute, and reports.
    fn report(events: &[&str]) -> Report {
        let mut summary = Summary::default();
        for (minute, event) in events.iter().enumerate() {
            let line = format!(
                r#"{{"v":1,"writer":"w","seq":{},"time":"2026-01-31T09:{minute:02}:00.000Z","event":{event}}}"#,
                minute + 1
            );
            summary.line(&journal_schema::decode(line.as_bytes()).unwrap());
        }
        summary.report(10)
    }

    #[test]
    fn shells_end_closed_orphaned_or_stopped_or_not_at_all() {
        let shells = report(&[
            r#""shell","name":"s","session":"0","state":"closed""#,
            r#""shell","name":"s","session":"1","state":"opened""#,
            r#""shell","name":"s","session":"1","state":"closed","reason":"exit""#,
            r#""shell","name":"s","session":"2","state":"opened""#,
            r#""engine","state":"started""#,
            r#""shell","name":"s","session":"2","state":"closed""#,
            r#""shell","name":"s","session":"3","state":"opened""#,
            r#""engine","state":"stopped""#,
            r#""shell","name":"s","session":"4","state":"opened""#,
        ])
        .shells;
        let ends: Vec<_> = shells.iter().map(|shell| (&*shell.session, shell.end, shell.seconds)).collect();
        let expected = [
            ("0", End::Closed, None),
            ("1", End::Closed, Some(60.0)),
            ("2", End::Orphaned, Some(60.0)),
            ("3", End::Stopped, Some(60.0)),
            ("4", End::Open, None),
        ];
        assert_eq!(ends, expected);
    }

    #[test]
    fn a_check_that_finds_work_is_no_failure() {
        let failing = report(&[
            r#""command","id":"a","mode":"check","error":true,"source":"s""#,
            r#""command","id":"a","mode":"changed","error":true,"source":"s""#,
            r#""command","id":"a","mode":"changed","error":false,"source":"s""#,
        ])
        .failing;
        let failing: Vec<_> = failing.iter().map(|one| (one.mode, one.failed, one.runs)).collect();
        assert_eq!(failing, [("changed", 1, 2)]);
    }
}
