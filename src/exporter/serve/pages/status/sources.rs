//! Sources on the status page: how each one's last run ended, and which ones fail.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::super::values::{Clock, Text};
use super::table::Table;
use super::{MAX_ROWS, State};
use crate::metrics::Table as Series;
use crate::metrics::Tables;
use crate::metrics::recent::{Failing, Recent};

/// What is known of one Source. Times are milliseconds since 1970, 0 for never.
#[derive(Default)]
pub(super) struct Row {
    run: i64,
    success: i64,
    change: i64,
    runs: u64,
    failed: u64,
    /// What is known of its failing runs.
    failing: Option<Failing>,
    /// Ids of the Commands that failed in the last one, and which script of theirs.
    commands: Vec<(String, &'static str)>,
}

impl Row {
    fn succeeded(&self) -> bool {
        self.success >= self.run
    }
}

/// All Sources by name: those whose last run did not succeed first, then by their last run.
pub(super) fn rows(tables: &Tables, recent: &Recent) -> Vec<(String, Row)> {
    let mut rows = BTreeMap::<String, Row>::new();
    let times = |table: &Series<i64>, rows: &mut BTreeMap<String, Row>, set: fn(&mut Row) -> &mut i64| {
        for series in (0..).take(table.len()) {
            *set(rows.entry(table.label(series, "name").into_owned()).or_default()) = *table.value(series);
        }
    };
    times(&tables.source_last_run, &mut rows, |row| &mut row.run);
    times(&tables.source_last_success, &mut rows, |row| &mut row.success);
    times(&tables.source_last_change, &mut rows, |row| &mut row.change);
    let sources = &tables.sources;
    for series in (0..).take(sources.len()) {
        let row = rows.entry(sources.label(series, "name").into_owned()).or_default();
        row.runs += sources.value(series);
        if sources.label(series, "error") == "1" {
            row.failed += sources.value(series);
        }
    }
    for (series, failing) in recent.failing() {
        if let Some(row) = rows.get_mut(&*tables.source_last_run.label(series, "name")) {
            row.failing = Some(failing);
        }
    }
    for command in recent.failed_commands() {
        let label = |name| tables.commands.label(command.series, name);
        let Some(row) = rows.get_mut(&*label("source")) else { continue };
        if row.failing.is_some_and(|failing| failing.covers(command.at, row.success)) {
            row.commands.push((label("id").into_owned(), script(&label("mode"))));
        }
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|(_, row)| (row.succeeded(), -row.run));
    rows
}

/// How many of these Sources fail.
pub(super) fn failing(rows: &[(String, Row)]) -> usize {
    rows.iter().filter(|(_, row)| !row.succeeded()).count()
}

/// The Sources that fail, with their failing Commands.
pub(super) fn show_failing(rows: &[(String, Row)], clock: Clock, out: &mut String) {
    let count = failing(rows);
    if count == 0 {
        return;
    }
    let _ = writeln!(out, "<h3 id=\"failing\">Failing Sources: {count}</h3>");
    let mut table = Table::new("failing", &["Source", "Result", "Failing since", "Failing Commands"], out);
    for (name, row) in rows.iter().filter(|(_, row)| !row.succeeded()).take(MAX_ROWS) {
        let since = match row.failing {
            Some(failing) => clock.at(failing.since).to_string(),
            None if row.success > 0 => format!("after {}", clock.at(row.success)),
            None => format!("its first run; the last was {}", clock.at(row.run)),
        };
        table.row(&[&Text(name), &verdict(row), &since, &Commands(row)]);
    }
    table.end(count.saturating_sub(MAX_ROWS));
}

/// All Sources.
pub(super) fn show(rows: &[(String, Row)], state: &State<'_>, out: &mut String) {
    let _ = writeln!(out, "<h2 id=\"sources\">Sources: {}</h2>", rows.len());
    if rows.is_empty() {
        out.push_str("<p class=\"none\">No Source has run yet.</p>\n");
        return;
    }
    const COLUMNS: &[&str] =
        &["Source", "Result", "Last run", "Last success", "Last change", "Runs", "Failed runs"];
    let mut table = Table::new("sources", COLUMNS, out);
    for (name, row) in rows.iter().take(MAX_ROWS) {
        table.row(&[
            &Text(name),
            &verdict(row),
            &state.clock.at(row.run),
            &state.clock.at(row.success),
            &state.clock.at(row.change),
            &row.runs,
            &row.failed,
        ]);
    }
    table.end(rows.len().saturating_sub(MAX_ROWS));
}

fn verdict(row: &Row) -> &'static str {
    if row.succeeded() {
        "<span class=\"good\">succeeded</span>"
    } else if row.failing.is_none_or(|failing| failing.is_known) {
        "<span class=\"bad\">failed</span>"
    } else {
        "<span class=\"bad\">not known</span>"
    }
}

/// The Commands that failed in the last run.
struct Commands<'a>(&'a Row);

impl fmt::Display for Commands<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = |f: &mut fmt::Formatter<'_>, text| write!(f, "<span class=\"none\">{text}</span>");
        if self.0.failing.is_none() {
            return none(f, "not known: the run was before this exporter started");
        }
        if self.0.commands.is_empty() {
            return none(f, "none: the run failed outside its Commands");
        }
        for (at, (id, script)) in self.0.commands.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{} ({script})", Text(id))?;
        }
        Ok(())
    }
}

/// The script of a Command, in words, by its label `mode`.
pub(super) fn script(mode: &str) -> &'static str {
    match mode {
        "check" => "check",
        "changed" => "change",
        "remove" => "remove",
        _ => "not known",
    }
}
