//! A line of a journal as people like to read it: aligned, coloured, and harmless to the terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use journal_schema::{
    Command, Engine, EngineState, Event, Line, Mode, Refused, Rejected, Run, RunState, Shell, ShellState,
    Source,
};
use terminal::printable::{line as label, short};

use crate::quantity::seconds;

/// Widest that the column of Sources grows.
const SOURCE_WIDTH: usize = 24;

const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const NEEDED: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const SHELL: Style = AnsiColor::Magenta.on_default().bold();
const ENGINE: Style = AnsiColor::Cyan.on_default().bold();
const PLAIN: Style = Style::new();

/// How a Command ended, in a word. A check that finds work to do is no failure.
pub(crate) fn command_result(command: &Command<'_>) -> &'static str {
    match (command.error, command.mode) {
        (false, _) => "ok",
        (true, Mode::Check) => "needed",
        (true, _) => "failed",
    }
}

/// How a run ended, in a word.
pub(crate) fn source_result(source: &Source<'_>) -> &'static str {
    match (source.failed(), source.succeeded()) {
        (true, _) => "failed",
        (_, true) => "ok",
        _ => "unknown",
    }
}

pub(crate) fn shell_state(state: ShellState) -> &'static str {
    match state {
        ShellState::Opened => "opened",
        ShellState::Closed => "closed",
    }
}

pub(crate) fn engine_state(state: EngineState) -> &'static str {
    match state {
        EngineState::Started => "started",
        EngineState::Stopped => "stopped",
    }
}

pub(crate) fn run_state(state: RunState) -> &'static str {
    match state {
        RunState::Started => "started",
        RunState::Ended => "ended",
    }
}

/// The same word for a column of a terminal.
fn styled(result: &'static str) -> (&'static str, Style) {
    match result {
        "ok" => ("ok", GOOD),
        "failed" => ("FAILED", BAD),
        other => (other, NEEDED),
    }
}

/// Writes lines one below the other. The column of Sources grows with what it has seen.
pub(crate) struct View {
    zone: TimeZone,
    source_width: usize,
}

/// The columns between the time and what is particular to an event.
struct Columns<'a> {
    event: (&'static str, Style),
    what: &'a str,
    result: (&'static str, Style),
    source: &'a str,
}

impl View {
    /// A view with times of the given zone.
    pub(crate) fn new(zone: TimeZone) -> View {
        View { zone, source_width: 8 }
    }

    /// One line of text, without its end.
    pub(crate) fn line(&mut self, line: &Line<'_>) -> String {
        let mut out = self.time(line.envelope.time);
        match &line.event {
            Event::Command(command) => self.command(&mut out, command),
            Event::Source(source) => self.source(&mut out, source),
            Event::Shell(shell) => self.shell(&mut out, shell),
            Event::Engine(engine) => self.engine(&mut out, engine),
            Event::Run(run) => self.run(&mut out, run),
            Event::Refused(refused) => self.refused(&mut out, refused),
            Event::Heartbeat(_) => {
                let _ = write!(out, "{DIM}alive{DIM:#}");
            }
        }
        out.truncate(out.trim_end().len());
        out
    }

    /// The same for what is no line.
    pub(crate) fn rejected(rejected: &Rejected<'_>) -> String {
        format!("{BAD}bad line{BAD:#} {}", label(&rejected.to_string()))
    }

    fn time(&self, time: Timestamp) -> String {
        let time = time.to_zoned(self.zone.clone());
        format!("{DIM}{}{DIM:#}  ", time.strftime("%Y-%m-%d %H:%M:%S%.3f"))
    }

    fn command(&mut self, out: &mut String, command: &Command<'_>) {
        let result = styled(command_result(command));
        let (event, what) = (("command", PLAIN), command.mode.as_str());
        self.columns(out, &Columns { event, what, result, source: &command.source });
        out.push_str(&label(&command.id));
        if !command.parent_id.is_empty() {
            let _ = write!(out, "  {DIM}in {}{DIM:#}", label(&command.parent_id));
        }
        took(out, command.duration_seconds);
        origin(out, &command.public_key, &command.remote_addr);
    }

    fn source(&mut self, out: &mut String, source: &Source<'_>) {
        let result = styled(source_result(source));
        let (event, what) = (("source", PLAIN.bold()), source.trigger.as_str());
        self.columns(out, &Columns { event, what, result, source: &source.name });
        match (source.changed, source.removed) {
            (None, None) => out.push('-'),
            (changed, removed) => {
                let _ = write!(out, "{} changed, {} removed", changed.unwrap_or(0), removed.unwrap_or(0));
            }
        }
        took(out, source.duration_seconds);
        origin(out, &source.public_key, &source.remote_addr);
        for (name, value) in [("token", &source.token_id), ("subject", &source.subject)] {
            if !value.is_empty() {
                let _ = write!(out, "  {DIM}{name}{DIM:#} {}", label(value));
            }
        }
    }

    fn shell(&mut self, out: &mut String, shell: &Shell<'_>) {
        let what = shell_state(shell.state);
        self.columns(
            out,
            &Columns { event: ("shell", SHELL), what, result: ("", PLAIN), source: &shell.name },
        );
        let _ = write!(out, "session {}", label(&shell.session));
        if !shell.reason.is_empty() {
            let _ = write!(out, "  {}", label(&shell.reason));
        }
        origin(out, &shell.public_key, &shell.remote_addr);
    }

    fn engine(&mut self, out: &mut String, engine: &Engine<'_>) {
        let what = engine_state(engine.state);
        self.columns(out, &Columns { event: ("engine", ENGINE), what, result: ("", PLAIN), source: "" });
        out.push_str(&label(&engine.version));
        if let Some(pid) = engine.pid {
            let _ = write!(out, "  {DIM}pid {pid}{DIM:#}");
        }
    }

    fn run(&mut self, out: &mut String, run: &Run<'_>) {
        let (event, what) = (("run", PLAIN), run.trigger.as_str());
        let result = (run_state(run.state), PLAIN);
        self.columns(out, &Columns { event, what, result, source: &run.name });
        let _ = write!(out, "run {}", label(&run.run));
        match (run.state, run.duration_seconds) {
            (RunState::Started, Some(so_far)) => {
                let _ = write!(out, "  {DIM}for {} so far{DIM:#}", seconds(so_far));
            }
            (_, duration) => took(out, duration),
        }
        origin(out, &run.public_key, &run.remote_addr);
    }

    fn refused(&mut self, out: &mut String, refused: &Refused<'_>) {
        let (event, what) = (("refused", BAD), refused.action.as_str());
        self.columns(out, &Columns { event, what, result: ("", PLAIN), source: &refused.name });
        out.push_str(refused.reason.as_str());
        if let Some(count) = refused.count {
            let _ = write!(out, "  {count} times");
        }
        origin(out, &refused.public_key, &refused.remote_addr);
    }

    fn columns(&mut self, out: &mut String, columns: &Columns<'_>) {
        let Columns { event: (event, event_style), what, result: (result, result_style), source } = columns;
        let source = short(source, SOURCE_WIDTH);
        self.source_width = self.source_width.max(source.chars().count());
        let width = self.source_width;
        let _ = write!(out, "{event_style}{event:7}{event_style:#}  {what:7}  ");
        let _ = write!(out, "{result_style}{result:7}{result_style:#}  {source:width$}  ");
    }
}

fn took(out: &mut String, duration: Option<f64>) {
    if let Some(duration) = duration {
        let _ = write!(out, "  {DIM}took {}{DIM:#}", seconds(duration));
    }
}

fn origin(out: &mut String, public_key: &str, remote_addr: &str) {
    if !public_key.is_empty() {
        let _ = write!(out, "  {DIM}key{DIM:#} {}", label(public_key));
    }
    if !remote_addr.is_empty() {
        let _ = write!(out, "  {DIM}from{DIM:#} {}", label(remote_addr));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn view(event: &str) -> String {
        let line =
            format!(r#"{{"v":1,"writer":"w","seq":1,"time":"2026-01-31T09:30:00.125Z","event":{event}}}"#);
        let text = View::new(TimeZone::UTC).line(&journal_schema::decode(line.as_bytes()).unwrap());
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn each_event_has_its_columns() {
        for (event, expected) in [
            (
                r#""command","id":"nginx","mode":"check","error":true,"parent_id":"web","source":"web""#,
                "2026-01-31 09:30:00.125  command  check    needed   web       nginx  in web",
            ),
            (
                r#""source","name":"web","trigger":"push","error":true,"public_key":"ops","remote_addr":"::1","changed":2"#,
                "2026-01-31 09:30:00.125  source   push     FAILED   web       2 changed, 0 removed  key ops  from ::1",
            ),
            (
                r#""shell","name":"web","session":"s1","state":"closed","reason":"exit""#,
                "2026-01-31 09:30:00.125  shell    closed            web       session s1  exit",
            ),
            (
                r#""engine","state":"started","version":"1.0","pid":7"#,
                "2026-01-31 09:30:00.125  engine   started                     1.0  pid 7",
            ),
            (
                r#""source","name":"web","trigger":"push","error":false,"token_id":"t\u001b","subject":"7""#,
                r"2026-01-31 09:30:00.125  source   push     ok       web       -  token t\u{1b}  subject 7",
            ),
            (
                r#""run","name":"web","trigger":"pull","run":"r1","state":"started","duration_seconds":5"#,
                "2026-01-31 09:30:00.125  run      pull     started  web       run r1  for 5.00 s so far",
            ),
            (
                r#""refused","action":"push","reason":"signature","count":12,"remote_addr":"::1""#,
                "2026-01-31 09:30:00.125  refused  push                        signature  12 times  from ::1",
            ),
            (r#""heartbeat""#, "2026-01-31 09:30:00.125  alive"),
        ] {
            assert_eq!(view(event), expected);
        }
    }

    #[test]
    fn a_label_cannot_write_to_the_terminal() {
        let shown =
            view(r#""command","id":"\u001b]0;x\u0007\n","mode":"check","error":false,"source":"\u009b2J""#);
        assert!(shown.ends_with(r"ok       \u{9b}2J  \u{1b}]0;x\u{7}\n"), "{shown}");
    }
}
