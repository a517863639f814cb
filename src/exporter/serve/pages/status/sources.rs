//! Sources on the status page: how each one's last run ended, and which ones fail.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::super::values::{Clock, Text};
use super::table::Table;
use super::{MAX_ROWS, State};
use crate::metrics::Table as Series;
use crate::metrics::Tables;
use crate::metrics::recent::{FailedCommand, Failing, Recent};

/// What is known of one Source. Times are milliseconds since 1970, 0 for never.
#[derive(Default)]
pub(super) struct Row {
    run: i64,
    success: i64,
    change: i64,
    runs: u64,
    failed: u64,
}

impl Row {
    fn succeeded(&self) -> bool {
        self.success >= self.run
    }
}

/// All Sources by name: those whose last run did not succeed first, then by their last run.
pub(super) fn rows(tables: &Tables) -> Vec<(String, Row)> {
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
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|(_, row)| (row.succeeded(), -row.run));
    rows
}

/// How many of these Sources fail.
pub(super) fn failing(rows: &[(String, Row)]) -> usize {
    rows.iter().filter(|(_, row)| !row.succeeded()).count()
}

/// The Sources that fail, with their failing Commands.
pub(super) fn show_failing(rows: &[(String, Row)], recent: &Recent, clock: Clock, out: &mut String) {
    let count = failing(rows);
    if count == 0 {
        return;
    }
    let _ = writeln!(out, "<h3 id=\"failing\">Failing Sources: {count}</h3>");
    let mut table = Table::new("failing", &["Source", "Result", "Failing since", "Failing Commands"], out);
    for (name, row) in rows.iter().filter(|(_, row)| !row.succeeded()).take(MAX_ROWS) {
        let known = recent.failing(name);
        let since = match known {
            Some(failing) => clock.at(failing.since).to_string(),
            None if row.success > 0 => format!("after {}", clock.at(row.success)),
            None => format!("its first run; the last was {}", clock.at(row.run)),
        };
        table.row(&[&Text(name), &verdict(row, known), &since, &Commands(known)]);
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
            &verdict(row, state.snapshot.recent.failing(name)),
            &state.clock.at(row.run),
            &state.clock.at(row.success),
            &state.clock.at(row.change),
            &row.runs,
            &row.failed,
        ]);
    }
    table.end(rows.len().saturating_sub(MAX_ROWS));
}

fn verdict(row: &Row, failing: Option<&Failing>) -> &'static str {
    if row.succeeded() {
        "<span class=\"good\">succeeded</span>"
    } else if failing.is_none_or(|failing| failing.is_known) {
        "<span class=\"bad\">failed</span>"
    } else {
        "<span class=\"bad\">not known</span>"
    }
}

/// The Commands that failed in the last run.
struct Commands<'a>(Option<&'a Failing>);

impl fmt::Display for Commands<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = |f: &mut fmt::Formatter<'_>, text| write!(f, "<span class=\"none\">{text}</span>");
        match self.0.map(|failing| failing.commands.as_slice()) {
            None => none(f, "not known: the run was before this exporter kept them"),
            Some([]) => none(f, "none: the run failed outside its Commands"),
            Some(commands) => {
                for (at, FailedCommand { id, mode, .. }) in commands.iter().enumerate() {
                    let comma = if at > 0 { ", " } else { "" };
                    write!(f, "{comma}{} ({})", Text(id), super::mode(*mode))?;
                }
                Ok(())
            }
        }
    }
}
