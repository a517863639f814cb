//! What is wrong now: the agent, failing Sources, the journal, the exporter itself.

use std::fmt::Write as _;

use super::super::values::{Text, Whole};
use super::sources::{self, Row};
use super::{State, pipeline};

/// Seconds without a heartbeat after which an agent that writes one a minute is called silent, as in its alert.
const SILENT_AFTER: i64 = 300;

/// Seconds without a look at the journal after which the exporter is called stuck. It looks every 30 seconds at
/// least.
const STUCK_AFTER: i64 = 60;

/// What is wrong now, as sentences in HTML. Of the journal's content it says nothing before it has been read.
pub(super) fn problems(state: &State<'_>) -> Vec<String> {
    let State { snapshot, clock } = state;
    let mut problems = Vec::new();
    if snapshot.caught_up {
        problems.extend(agent_problem(state));
    }
    if let Some(trouble) = &snapshot.journal.trouble {
        problems.push(format!("The journal cannot be read: {}.", Whole(trouble)));
    }
    match snapshot.journal.unreadable {
        0 => {}
        1 => problems.push("1 file of the journal cannot be read; the exporter's log names it.".to_owned()),
        many => problems
            .push(format!("{many} files of the journal cannot be read; the exporter's log names them.")),
    }
    // Before the first look there is no time yet.
    if snapshot.looked > 0 && clock.seconds_since(snapshot.looked) > STUCK_AFTER {
        problems.push(format!(
            "The exporter hangs: it last looked at the journal {}. This whole page shows that moment.",
            clock.at(snapshot.looked)
        ));
    }
    let failures = snapshot.checkpoint.failures;
    if failures > 0 {
        let written = clock.at(pipeline::written_at(snapshot));
        problems.push(format!("Writing a checkpoint failed {failures} times; last written: {written}."));
    }
    problems
}

fn agent_problem(state: &State<'_>) -> Option<String> {
    let State { snapshot, clock } = state;
    let engine = &snapshot.tables.engine;
    match snapshot.agent_up {
        Some(false) if engine.started == Some(true) => Some(format!(
            "The agent is <span class=\"bad\">stopped</span>. It wrote no last line, so it was probably killed. \
             It started {}.",
            clock.at(engine.start)
        )),
        Some(false) => Some(format!(
            "The agent is <span class=\"bad\">stopped</span>. It started {}.",
            clock.at(engine.start)
        )),
        _ => {
            let heartbeat = engine.heartbeat?;
            let is_silent = clock.seconds_since(heartbeat) > SILENT_AFTER;
            is_silent.then(|| format!("The agent is silent: its last heartbeat was {}.", clock.at(heartbeat)))
        }
    }
}

/// The section.
pub(super) fn show(state: &State<'_>, problems: &[String], rows: &[(String, Row)], out: &mut String) {
    out.push_str("<h2 id=\"now\">What is wrong now</h2>\n");
    if !state.snapshot.caught_up {
        out.push_str(
            "<p class=\"bad\">Still reading the journal: the state of the agent is not known yet.</p>\n",
        );
    }
    if !problems.is_empty() {
        out.push_str("<ul class=\"problems\">\n");
        for problem in problems {
            let _ = writeln!(out, "<li>{problem}</li>");
        }
        out.push_str("</ul>\n");
    }
    if !state.snapshot.caught_up {
        return;
    }
    if problems.is_empty() && sources::failing(rows) == 0 {
        out.push_str(
            "<p class=\"good\">Nothing: the journal is read, and the last run of each Source succeeded.</p>\n",
        );
    }
    sources::show_failing(rows, state.clock, out);
    agent(state, out);
}

/// Says of the agent what `etcha_engine_up` says.
fn agent(state: &State<'_>, out: &mut String) {
    let State { snapshot, clock } = state;
    let engine = &snapshot.tables.engine;
    let is_up = match snapshot.agent_up {
        Some(true) => "<span class=\"good\">running</span>",
        Some(false) => "<span class=\"bad\">stopped</span>",
        None => "<span class=\"none\">not known: the journal has no line about its start</span>",
    };
    let _ = write!(out, "<p>Agent: {is_up}");
    if !engine.version.is_empty() {
        let _ = write!(out, ", version {}", Text(&engine.version));
    }
    if snapshot.agent_up.is_some() {
        let _ = write!(out, ", started {}", clock.at(engine.start));
    }
    let _ = writeln!(out, ". Latest event: {}.</p>", clock.at(snapshot.tally.last_event));
}
