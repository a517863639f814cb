//! Lines as rows of a table in CSV (RFC 4180), for spreadsheets. All events share the columns.
//!
//! A spreadsheet takes a field that begins with `=`, `+`, `-` or `@` for a formula, and labels come from outside; such a
//! field gets an apostrophe before it. Control characters and backslashes are shown escaped, as everywhere.

use journal_schema::{Event, Line};
use terminal::printable;

/// The first row.
pub(crate) const HEADING: &str = "time,event,what,result,source,id,parent_id,session,public_key,remote_addr,reason,changed,removed,\
                                  duration_seconds,version,pid,writer,seq,token_id,subject,digest,count";

/// The fields of a row that not every event has.
#[derive(Default)]
struct Row<'a> {
    event: &'a str,
    what: &'a str,
    result: &'a str,
    source: &'a str,
    id: &'a str,
    parent_id: &'a str,
    session: &'a str,
    public_key: &'a str,
    remote_addr: &'a str,
    reason: &'a str,
    changed: Option<u64>,
    removed: Option<u64>,
    duration_seconds: Option<f64>,
    version: &'a str,
    pid: Option<u32>,
    token_id: &'a str,
    subject: &'a str,
    digest: &'a str,
    count: Option<u64>,
}

/// The line as a row, without its end.
pub(crate) fn row(line: &Line<'_>) -> String {
    let row = Row::of(&line.event);
    let number = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
    [
        line.envelope.time.to_string(),
        text(row.event),
        text(row.what),
        text(row.result),
        text(row.source),
        text(row.id),
        text(row.parent_id),
        text(row.session),
        text(row.public_key),
        text(row.remote_addr),
        text(row.reason),
        number(row.changed),
        number(row.removed),
        row.duration_seconds.map_or_else(String::new, |seconds| seconds.to_string()),
        text(row.version),
        number(row.pid.map(u64::from)),
        text(&line.envelope.writer),
        line.envelope.seq.to_string(),
        text(row.token_id),
        text(row.subject),
        text(row.digest),
        number(row.count),
    ]
    .join(",")
}

impl<'a> Row<'a> {
    fn of(event: &'a Event<'_>) -> Row<'a> {
        match event {
            Event::Command(command) => Row {
                event: "command",
                what: command.mode.as_str(),
                result: crate::view::command_result(command),
                source: &command.source,
                id: &command.id,
                parent_id: &command.parent_id,
                public_key: &command.public_key,
                remote_addr: &command.remote_addr,
                duration_seconds: command.duration_seconds,
                ..Row::default()
            },
            Event::Source(source) => Row {
                event: "source",
                what: source.trigger.as_str(),
                result: crate::view::source_result(source),
                source: &source.name,
                public_key: &source.public_key,
                remote_addr: &source.remote_addr,
                changed: source.changed,
                removed: source.removed,
                duration_seconds: source.duration_seconds,
                token_id: &source.token_id,
                subject: &source.subject,
                digest: &source.digest,
                ..Row::default()
            },
            Event::Shell(shell) => Row {
                event: "shell",
                what: crate::view::shell_state(shell.state),
                source: &shell.name,
                session: &shell.session,
                public_key: &shell.public_key,
                remote_addr: &shell.remote_addr,
                reason: &shell.reason,
                ..Row::default()
            },
            Event::Run(run) => Row {
                event: "run",
                what: run.trigger.as_str(),
                result: crate::view::run_state(run.state),
                source: &run.name,
                session: &run.run,
                public_key: &run.public_key,
                remote_addr: &run.remote_addr,
                duration_seconds: run.duration_seconds,
                ..Row::default()
            },
            Event::Refused(refused) => Row {
                event: "refused",
                what: refused.action.as_str(),
                source: &refused.name,
                public_key: &refused.public_key,
                remote_addr: &refused.remote_addr,
                reason: refused.reason.as_str(),
                count: refused.count,
                ..Row::default()
            },
            Event::Heartbeat(_) => Row { event: "heartbeat", ..Row::default() },
            Event::Engine(engine) => Row {
                event: "engine",
                what: crate::view::engine_state(engine.state),
                version: &engine.version,
                pid: engine.pid,
                ..Row::default()
            },
        }
    }
}

/// A field, in quotes where it needs them.
fn text(text: &str) -> String {
    let shown = printable::line(text);
    let guard = if shown.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    if shown.contains(['"', ',']) {
        format!("\"{guard}{}\"", shown.replace('"', "\"\""))
    } else {
        format!("{guard}{shown}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_row_has_a_field_for_each_heading_and_no_formula() {
        let line = br#"{"v":1,"writer":"w","seq":1,"time":"2026-01-31T09:30:00.000Z","event":"command","id":"=1+1","mode":"changed","error":true,"source":"a,\"b\"\n","duration_seconds":0.5}"#;
        let row = row(&journal_schema::decode(line).unwrap());
        assert_eq!(
            row,
            r#"2026-01-31T09:30:00Z,command,changed,failed,"a,""b""\n",'=1+1,,,,,,,,0.5,,,w,1,,,,"#
        );
        assert_eq!(HEADING.split(',').count(), 22);
    }
}
