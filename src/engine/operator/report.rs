//! What people see of a run on a terminal: what was done, and how long it took. Checks that find nothing to do are
//! quiet. Ids and output are not this program's words, so nothing in them acts on the terminal.

use std::io::{self, Write};
use std::time::Duration;

use terminal::printable;

use crate::run::{Mode, Step, Summary};

/// One line for a step that did something, and what it said, indented.
///
/// # Errors
///
/// It cannot be written.
pub(crate) fn step(out: &mut impl Write, step: &Step<'_>, check_only: bool) -> io::Result<()> {
    let word = match (step.mode, step.error) {
        (Mode::Check, true) if check_only => "needed",
        (Mode::Check, _) => return Ok(()),
        (Mode::Change, false) => "changed",
        (Mode::Remove, false) => "removed",
        (Mode::Change | Mode::Remove, true) => "failed",
    };
    let display = step.parents.display(step.id);
    let display = printable::line(&display);
    let via = step.via.join(", ");
    let via = if via.is_empty() { String::new() } else { format!(" (set off by {})", printable::line(&via)) };
    let Some(finished) = step.finished else { return writeln!(out, "{word:8} {display}{via}") };
    writeln!(out, "{word:8} {display}{via} [{}]", duration(finished.duration))?;
    if step.error && step.mode != Mode::Check {
        writeln!(out, "         {}", printable::line(&finished.ending.to_string()))?;
    }
    for line in printable::text(&finished.output.text).split_terminator('\n') {
        writeln!(out, "         | {line}")?;
    }
    Ok(())
}

/// One line for the whole run.
///
/// # Errors
///
/// It cannot be written.
pub(crate) fn summary(out: &mut impl Write, summary: &Summary, check_only: bool) -> io::Result<()> {
    let took = duration(summary.duration);
    let (changed, removed) = (summary.changed().count(), summary.removed().count());
    if let Some(failure) = &summary.failure {
        let failure = failure.to_string();
        let failure = printable::line(&failure);
        return writeln!(out, "{changed} changed, {removed} removed, then it failed in {took}: {failure}");
    }
    if check_only {
        let needed = summary.outputs.iter().filter(|output| output.needed).count();
        return writeln!(out, "{needed} to do, checked in {took}");
    }
    match changed + removed {
        0 => writeln!(out, "nothing to do, checked in {took}"),
        _ => writeln!(out, "{changed} changed, {removed} removed in {took}"),
    }
}

/// A duration as people read it.
pub(super) fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        0..60 => format!("{:.2} s", duration.as_secs_f64()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}
