//! `stats`: a journal summed up for people, or as JSON. What is counted is `summary`'s part.

use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use rustix::stdio::stdout;
use rustix::termios::tcgetwinsize;
use terminal::printable::{line as label, short};

use crate::ToolError;
use crate::input::{Journal, Progress, Segment, report, unreadable};
use crate::quantity::{counted, seconds};
use crate::report::{End, Report, Session};
use crate::summary::Summary;
use crate::table::{Table, bar, columns};

/// Width of a bar, in characters.
const BAR_WIDTH: u32 = 20;

/// Widest that a label is shown.
const LABEL_WIDTH: usize = 40;

const HEADING: Style = Style::new().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

const EXAMPLES: &str = "\
Examples:
  etcha-journal stats
  etcha-journal stats --since 24h
  etcha-journal stats --since 2026-01-31 --journal /srv/etcha/journal.jsonl
  etcha-journal stats --json | jq '.shells[] | select(.end == \"open\")'";

/// Sum up journals: runs, failures, slowest Commands, shells
///
/// Reads all segments of the journal, or the files that are given, in any order. Lines that are there twice count once.
/// Durations are known where the journal has them.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    journal: Journal,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    /// Count only what happened since: a time such as 2026-01-31T09:30:00Z, or how long ago, such as 90m, 24h or 7d
    #[arg(long, value_name = "WHEN", value_parser = crate::time::when)]
    since: Option<Timestamp>,
    /// Count only what happened before this time
    #[arg(long, value_name = "WHEN", value_parser = crate::time::when)]
    until: Option<Timestamp>,
    /// Commands in each list, and shells
    #[arg(long, default_value_t = 10, value_name = "N")]
    top: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, ToolError> {
    let mut summary = Summary::between(arguments.since, arguments.until);
    let segments = arguments.journal.segments()?;
    let progress = Progress::through(&segments);
    let mut code = 0;
    for segment in segments {
        if let Err(failure) = read(segment, &progress, &mut summary) {
            code = report(failure, &progress)?;
        }
    }
    let code = ExitCode::from(code);
    progress.finish();
    let report = summary.report(arguments.top);
    if arguments.json {
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &report).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(code);
    }
    let width = width_of_terminal();
    Page { report: &report, top: arguments.top, width, out: anstream::stdout().lock() }.write()?;
    Ok(code)
}

fn read(mut segment: Segment, progress: &Progress, summary: &mut Summary) -> Result<(), ToolError> {
    let mut input = segment.open(progress)?;
    while let Some(record) = input.next().map_err(|error| unreadable(&segment.path, error))? {
        match &record.content {
            Ok(line) => summary.line(line),
            Err(_) => summary.bad(),
        }
    }
    Ok(())
}

/// Where a report is written.
struct Page<'a, W> {
    report: &'a Report,
    top: usize,
    /// Characters in a line of the terminal, if it goes to one. Bars are for terminals.
    width: Option<usize>,
    out: W,
}

/// Characters in a line of standard output, if that is a terminal.
fn width_of_terminal() -> Option<usize> {
    let size = tcgetwinsize(stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

impl<W: Write> Page<'_, W> {
    fn write(&mut self) -> io::Result<()> {
        self.overview()?;
        self.sources()?;
        self.failing()?;
        self.slowest()?;
        self.shells()
    }

    fn heading(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "\n{HEADING}{text}{HEADING:#}")
    }

    fn overview(&mut self) -> io::Result<()> {
        let report = self.report;
        match report.first.zip(report.last) {
            None => writeln!(self.out, "no events")?,
            Some((first, last)) => {
                let events = counted(report.lines, "event");
                writeln!(self.out, "{events} from {} to {} UTC", time(first), time(last))?;
            }
        }
        if report.bad_lines > 0 {
            let bad = counted(report.bad_lines, "bad line");
            writeln!(self.out, "{BAD}{bad}{BAD:#}, which `etcha-journal check` explains")?;
        }
        if report.duplicate_lines > 0 {
            let lines = counted(report.duplicate_lines, "line");
            writeln!(self.out, "{lines} came twice, and count once")?;
        }
        if self.width.is_some() && report.activity.lines.len() > 1 {
            let step = seconds(report.activity.step_seconds as f64);
            writeln!(self.out, "  {}  {step} each", columns(&report.activity.lines))?;
        }
        Ok(())
    }

    fn sources(&mut self) -> io::Result<()> {
        if self.report.sources.is_empty() {
            return Ok(());
        }
        self.heading("Runs of Sources")?;
        let most = self.report.sources.iter().map(|source| source.runs).max().unwrap_or(0);
        let headings =
            ["Source", "trigger", ">runs", ">failed", ">changed", ">removed", ">median", "last", ""];
        let mut table = Table::new(&headings);
        for source in &self.report.sources {
            table.row(vec![
                short(&source.source, LABEL_WIDTH),
                source.trigger.to_owned(),
                source.runs.to_string(),
                source.failed.to_string(),
                source.changed.to_string(),
                source.removed.to_string(),
                source.seconds.as_ref().map_or(String::new(), |spread| seconds(spread.p50)),
                time(source.last),
                self.bar(source.runs as f64, most as f64),
            ]);
        }
        table.write(&mut self.out, self.width)
    }

    fn failing(&mut self) -> io::Result<()> {
        if self.report.failing.is_empty() {
            return Ok(());
        }
        self.heading("Failing Commands")?;
        let most = self.report.failing.iter().map(|command| command.failed).max().unwrap_or(0);
        let mut table = Table::new(&["Source", "Command", "mode", ">failed", ">of", "last failed", ""]);
        for command in &self.report.failing {
            table.row(vec![
                short(&command.source, LABEL_WIDTH),
                short(&command.id, LABEL_WIDTH),
                command.mode.to_owned(),
                command.failed.to_string(),
                command.runs.to_string(),
                command.last_failed.map_or(String::new(), time),
                self.bar(command.failed as f64, most as f64),
            ]);
        }
        table.write(&mut self.out, self.width)
    }

    fn slowest(&mut self) -> io::Result<()> {
        if self.report.slowest.is_empty() {
            return Ok(());
        }
        self.heading("Slowest Commands")?;
        let longest = self.report.slowest.first().map_or(0.0, |command| command.seconds.max);
        let headings = ["Source", "Command", "mode", ">runs", ">mean", ">median", ">p95", ">max", ""];
        let mut table = Table::new(&headings);
        for command in &self.report.slowest {
            let spread = &command.seconds;
            table.row(vec![
                short(&command.source, LABEL_WIDTH),
                short(&command.id, LABEL_WIDTH),
                command.mode.to_owned(),
                spread.count.to_string(),
                seconds(spread.mean),
                seconds(spread.p50),
                seconds(spread.p95),
                seconds(spread.max),
                self.bar(spread.max, longest),
            ]);
        }
        table.write(&mut self.out, self.width)
    }

    /// The last ones; those still open in any case.
    fn shells(&mut self) -> io::Result<()> {
        let shells = &self.report.shells;
        if shells.is_empty() {
            return Ok(());
        }
        let open = shells.iter().filter(|shell| shell.end == End::Open).count();
        self.heading(&format!("Shells: {} in all, {open} open", shells.len()))?;
        let hidden = shells.len().saturating_sub(self.top);
        let mut table = Table::new(&["opened", ">how long", "Source", "key", "from", "end"]);
        for (_, shell) in
            shells.iter().enumerate().filter(|(place, shell)| *place >= hidden || shell.end == End::Open)
        {
            table.row(vec![
                shell.opened.map_or("before".to_owned(), time),
                shell.seconds.map_or(String::new(), seconds),
                short(&shell.source, LABEL_WIDTH),
                short(&shell.public_key, LABEL_WIDTH),
                label(&shell.remote_addr).into_owned(),
                end_of(shell),
            ]);
        }
        table.write(&mut self.out, self.width)
    }

    fn bar(&self, value: f64, largest: f64) -> String {
        if self.width.is_some() { bar(value, largest, BAR_WIDTH) } else { String::new() }
    }
}

fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn end_of(shell: &Session) -> String {
    let end = match shell.end {
        End::Open => "still open",
        End::Closed => "closed",
        End::Stopped => "agent stopped",
        End::Orphaned => "agent died",
    };
    match shell.reason.as_str() {
        "" => end.to_owned(),
        reason => format!("{end}: {}", short(reason, LABEL_WIDTH)),
    }
}
