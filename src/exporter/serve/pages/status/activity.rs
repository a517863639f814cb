//! Who did what lately: shells, pushes, and events worth a look.

use std::fmt::{self, Write as _};

use super::super::values::{Span, Text, Whole};
use super::State;
use super::sources::script;
use super::table::Table;
use crate::metrics::Tables;
use crate::metrics::recent::{MAX_LISTED, MAX_NOTES, Note, Push, PushOutcome, ShellNote, What, Who};

/// What "the last day" is, in seconds.
const DAY: i64 = 86_400;

/// Shells that are open.
pub(super) fn open_shells(state: &State<'_>, out: &mut String) {
    let open = &state.snapshot.open_shells;
    let _ = writeln!(out, "<h2 id=\"shells\">Shells open now: {}</h2>", open.count);
    if open.count == 0 {
        out.push_str("<p class=\"none\">No shell is open.</p>\n");
        return;
    }
    let mut table = Table::new("shells", &["Source", "Key", "Address", "Opened", "Open for"], out);
    for &(series, opened) in &open.latest {
        let value = |name| state.snapshot.tables.sources_shells.label(series, name);
        let (name, key, address) = (value("name"), value("public_key"), value("remote_addr"));
        let open_for = Span(state.clock.now.as_millisecond().saturating_sub(opened));
        table.row(&[&Text(&name), &Text(&key), &Text(&address), &state.clock.at(opened), &open_for]);
    }
    table.end(open.count - open.latest.len());
}

/// Shells of the last day.
pub(super) fn shells(state: &State<'_>, out: &mut String) {
    let all: Vec<_> = state.snapshot.recent.shells().collect();
    let day: Vec<_> =
        all.iter().filter(|shell| state.clock.seconds_since(shell.latest()) < DAY).copied().collect();
    heading("shells-day", "Shells of the last day", day.len(), "No shell was opened or closed.", out);
    kept_since(state, DAY, out);
    if day.is_empty() {
        return;
    }
    const COLUMNS: &[&str] = &["Source", "Key", "Address", "Opened", "Duration", "Closed because"];
    let mut table = Table::new("shells-day", COLUMNS, out);
    for shell in &day {
        let ShellNote { opened, closed, .. } = shell;
        let who = shell.who.names(&state.snapshot.tables);
        let at = opened.map_or_else(
            || "<span class=\"none\">not known</span>".to_owned(),
            |at| state.clock.at(at).to_string(),
        );
        let end = closed.as_ref().map_or(state.clock.now.as_millisecond(), |(at, _)| *at);
        let duration = opened.map_or_else(
            || "<span class=\"none\">not known</span>".to_owned(),
            |opened| Span(end.saturating_sub(opened)).to_string(),
        );
        let reason = match closed {
            None => "<span class=\"bad\">still open</span>".to_owned(),
            Some((_, reason)) => Text(reason).to_string(),
        };
        table.row(&[&Text(&who.source), &Text(&who.key), &Text(&who.address), &at, &duration, &reason]);
    }
    table.end(0);
    only_the_latest(day.len(), all.len(), out);
}

/// Pushes of the last day, refused ones as well.
pub(super) fn pushes(state: &State<'_>, out: &mut String) {
    let all: Vec<_> = state.snapshot.recent.pushes().collect();
    let day: Vec<_> = all.iter().filter(|push| state.clock.seconds_since(push.at) < DAY).copied().collect();
    heading("pushes-day", "Pushes of the last day", day.len(), "There was no push.", out);
    kept_since(state, DAY, out);
    if day.is_empty() {
        return;
    }
    let mut table = Table::new("pushes-day", &["Source", "Key", "Address", "Ended", "Outcome"], out);
    for Push { at, who, outcome } in day.iter().copied() {
        let who = who.names(&state.snapshot.tables);
        table.row(&[
            &Text(&who.source),
            &Text(&who.key),
            &Text(&who.address),
            &state.clock.at(*at),
            &Outcome(outcome),
        ]);
    }
    table.end(0);
    only_the_latest(day.len(), all.len(), out);
}

/// Events worth a look.
pub(super) fn events(state: &State<'_>, out: &mut String) {
    let notes = state.snapshot.recent.notes();
    heading("events", "Events worth a look", notes.len(), "There is none yet.", out);
    kept_since(state, i64::MAX, out);
    if notes.is_empty() {
        return;
    }
    let mut table = Table::new("events", &["Event", "Source", "Key", "Address", "When"], out);
    for (note, times) in notes {
        let who = note.who.names(&state.snapshot.tables);
        table.row(&[
            &Event { note, count: times.count, tables: &state.snapshot.tables },
            &Text(&who.source),
            &Text(&who.key),
            &Text(&who.address),
            &state.clock.at(times.at),
        ]);
    }
    table.end(0);
    let _ = writeln!(
        out,
        "<p class=\"none\">At most {MAX_NOTES}, the latest first. Equal events are one row with the latest time.</p>"
    );
}

fn heading(id: &str, title: &str, count: usize, none: &str, out: &mut String) {
    let _ = writeln!(out, "<h2 id=\"{id}\">{title}: {count}</h2>");
    if count == 0 {
        let _ = writeln!(out, "<p class=\"none\">{none}</p>");
    }
}

/// Says so where a list does not reach as far back as its heading, in seconds.
fn kept_since(state: &State<'_>, reach: i64, out: &mut String) {
    if let Some(since) = state.snapshot.recent.kept_since()
        && state.clock.seconds_since(since) < reach
    {
        let _ = writeln!(
            out,
            "<p class=\"none\">Kept since {}: the exporter before an upgrade kept none.</p>",
            state.clock.at(since)
        );
    }
}

/// Says so where there may have been more.
fn only_the_latest(shown: usize, kept: usize, out: &mut String) {
    if shown == kept && kept == MAX_LISTED {
        let _ = writeln!(
            out,
            "<p class=\"none\">Only the latest {MAX_LISTED} are kept here. The journal has all of them: \
             <code>etcha-journal tail</code>.</p>"
        );
    }
}

/// How a push ended.
struct Outcome<'a>(&'a PushOutcome);

impl fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            PushOutcome::Succeeded { changed: 0, removed: 0 } => {
                f.write_str("<span class=\"good\">succeeded</span>")
            }
            PushOutcome::Succeeded { changed, removed } => {
                write!(f, "<span class=\"good\">succeeded</span>, {changed} changed, {removed} removed")
            }
            PushOutcome::Failed => f.write_str("<span class=\"bad\">failed</span>"),
            PushOutcome::Unknown => f.write_str("<span class=\"bad\">not known</span>"),
            PushOutcome::Refused { reason, count } => {
                write!(
                    f,
                    "<span class=\"bad\">refused</span>: {}",
                    Whole(&reason.as_str().replace('_', " "))
                )?;
                if *count > 1 { write!(f, ", {count} times") } else { Ok(()) }
            }
        }
    }
}

/// What happened, as a sentence of a few words.
struct Event<'a> {
    note: &'a Note,
    count: u64,
    tables: &'a Tables,
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.note.what {
            What::AgentStarted { version } if version.is_empty() => f.write_str("agent started"),
            What::AgentStarted { version } => write!(f, "agent started, version {}", Text(version)),
            What::AgentStopped => f.write_str("agent stopped"),
            What::ShellOpened => f.write_str("shell opened"),
            What::ShellClosed { reason } if reason.is_empty() => f.write_str("shell closed"),
            What::ShellClosed { reason } => write!(f, "shell closed: {}", Text(reason)),
            What::Pushed => f.write_str("push"),
            What::Changed => f.write_str("changed or removed something"),
            What::BeganToFail => f.write_str("<span class=\"bad\">Source began to fail</span>"),
            What::EndUnknown => f.write_str("run ended, its result is not known"),
            What::Recovered => f.write_str("<span class=\"good\">Source succeeded again</span>"),
            What::CommandFailed => {
                f.write_str("<span class=\"bad\">Command failed</span>")?;
                let Who::Command(series) = self.note.who else { return Ok(()) };
                let label = |name| self.tables.commands.label(series, name);
                write!(f, ": {} ({})", Text(&label("id")), script(&label("mode")))
            }
            What::Refused { action, reason } => {
                let (action, reason) = (action.as_str(), reason.as_str().replace('_', " "));
                write!(f, "<span class=\"bad\">{action} refused</span>: {}", Whole(&reason))
            }
        }?;
        if self.count > 1 { write!(f, ", {} times", self.count) } else { Ok(()) }
    }
}
