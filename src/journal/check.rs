//! `check`: is every line of a journal one, and is any missing?

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use journal_schema::{Reason, Record};
use terminal::printable::line as label;

use crate::ToolError;
use crate::input::{Journal, Progress, Segment, report, unreadable};
use crate::quantity::counted;
use crate::sequence::{Sequences, Verdict};

/// Bad lines shown without `--all`: enough to see a pattern, few enough for a screen.
const SHOWN: u64 = 20;

/// Writers shown without `--all`.
const WRITERS_SHOWN: usize = 10;

const BAD: Style = AnsiColor::Red.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();

const EXAMPLES: &str = "\
Exit code: 0 all lines are good, 1 some are not, 2 a file could not be read.

Examples:
  etcha-journal check
  etcha-journal check journal.jsonl.20260131T093000.000000000Z.gz journal.jsonl
  ssh host cat /var/lib/etcha/journal.jsonl | etcha-journal check -";

/// Check journals and report bad lines
///
/// Reports every line that a reader cannot use as `file:line: reason: detail`. Then sums up lines, events, bad lines by
/// reason, missing numbers of each writer, and duplicate lines. Without FILE, all segments of the journal are read. If
/// you name files, name all segments, in any order: a line in a file that you leave out may count as missing.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    journal: Journal,
    /// Show every bad line and every writer, not the first few
    #[arg(long)]
    all: bool,
    /// Show the summary alone
    #[arg(short, long)]
    quiet: bool,
}

/// What was found so far, over all files.
#[derive(Default)]
struct Findings {
    lines: u64,
    bytes: u64,
    events: BTreeMap<&'static str, u64>,
    /// By the reason's place in [`Reason::ALL`].
    bad: [u64; Reason::ALL.len()],
    /// Bytes after the last LF, and the file.
    unfinished: Vec<(String, usize)>,
    sequences: Sequences,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, ToolError> {
    let segments = arguments.journal.segments()?;
    let progress = Progress::through(&segments);
    let mut findings = Findings::default();
    let mut out = anstream::stdout().lock();
    let mut failure = None;
    for segment in segments {
        if let Err(error) = findings.read(segment, arguments, &progress, &mut out) {
            failure = Some(report(error, &progress)?);
        }
    }
    progress.finish();
    if failure.is_none() || findings.lines > 0 {
        findings.summarize(arguments, &mut out)?;
    }
    let bad = findings.bad.iter().any(|&count| count > 0);
    Ok(ExitCode::from(failure.unwrap_or(u8::from(bad))))
}

impl Findings {
    fn read(
        &mut self,
        mut segment: Segment,
        arguments: &Arguments,
        progress: &Progress,
        out: &mut impl Write,
    ) -> Result<(), ToolError> {
        let mut input = segment.open(progress)?;
        let path = &segment.path;
        let name = path.display().to_string();
        let name = label(&name);
        while let Some(record) = input.next().map_err(|error| unreadable(path, error))? {
            let Some((line, rejected)) = self.note(&record) else { continue };
            let bad: u64 = self.bad.iter().sum();
            if !arguments.quiet && (arguments.all || bad <= SHOWN) {
                progress.above(|| writeln!(out, "{name}:{line}: {}", label(&rejected)))?;
            }
            if !arguments.quiet && !arguments.all && bad == SHOWN + 1 {
                progress.above(|| writeln!(out, "further bad lines are not shown; --all shows them"))?;
            }
        }
        if input.unfinished() > 0 {
            self.unfinished.push((name.into_owned(), input.unfinished()));
        }
        Ok(())
    }

    /// Counts a record; what is wrong with it is to be shown.
    fn note(&mut self, record: &Record<'_>) -> Option<(u64, String)> {
        self.lines += 1;
        self.bytes += record.bytes;
        match &record.content {
            Ok(line) => {
                *self.events.entry(line.event.name()).or_default() += 1;
                self.sequences.see(&line.envelope.writer, line.envelope.seq);
                None
            }
            Err(rejected) => {
                let place = Reason::ALL.iter().position(|&reason| reason == rejected.reason);
                if let Some(count) = place.and_then(|place| self.bad.get_mut(place)) {
                    *count += 1;
                }
                if let Some(envelope) = &rejected.envelope {
                    self.sequences.see(&envelope.writer, envelope.seq);
                }
                Some((record.line, rejected.to_string()))
            }
        }
    }

    fn summarize(&self, arguments: &Arguments, out: &mut impl Write) -> io::Result<()> {
        let bad: u64 = self.bad.iter().sum();
        let (style, verdict) = if bad == 0 { (GOOD, "good") } else { (BAD, "bad") };
        let (lines, bytes) = (counted(self.lines, "line"), counted(self.bytes, "byte"));
        write!(out, "{style}{verdict}{style:#}: {lines}, {bytes}")?;
        write_counts(out, self.events.iter().map(|(name, count)| (*name, *count)))?;
        if bad > 0 {
            write!(out, "{BAD}{bad} bad{BAD:#}")?;
            let reasons = Reason::ALL.iter().map(|reason| reason.as_str()).zip(self.bad);
            write_counts(out, reasons.filter(|(_, count)| *count > 0))?;
        }
        for (path, bytes) in &self.unfinished {
            writeln!(out, "{path}: {bytes} bytes after the last line feed; that line is not there yet")?;
        }
        self.summarize_writers(arguments, out)
    }

    /// Writers of whom something is missing, or came twice.
    fn summarize_writers(&self, arguments: &Arguments, out: &mut impl Write) -> io::Result<()> {
        // Wide enough for the gaps of any number of writers: one may be 2^53 long.
        let mut missing = 0_u128;
        let (mut writers, mut duplicates, mut begun) = (0, 0, 0);
        let mut shown: Vec<Verdict<'_>> = Vec::new();
        for verdict in self.sequences.verdicts() {
            writers += 1;
            missing += u128::from(verdict.missing);
            duplicates += verdict.duplicates;
            begun += u64::from(verdict.first > 1);
            if verdict.missing + verdict.duplicates > 0 || verdict.first > 1 {
                shown.push(verdict);
            }
        }
        let (writers, noun) = (counted(writers, "writer"), if missing == 1 { "line" } else { "lines" });
        writeln!(out, "{writers}, {missing} {noun} missing, {} twice", counted(duplicates, "line"))?;
        if begun > 0 {
            writeln!(out, "{} began before the first line given here", counted(begun, "writer"))?;
        }
        let limit = if arguments.all { usize::MAX } else { WRITERS_SHOWN };
        for Verdict { writer, first, last, missing, gap, duplicates } in shown.iter().take(limit) {
            write!(out, "  {writer}: {first} to {last}")?;
            match gap {
                Some((from, to)) if from == to => write!(out, ", {missing} missing, the first is {from}")?,
                Some((from, to)) => write!(out, ", {missing} missing, the first are {from} to {to}")?,
                None => {}
            }
            if *duplicates > 0 {
                write!(out, ", {duplicates} twice")?;
            }
            writeln!(out)?;
        }
        if shown.len() > limit {
            writeln!(out, "  and {} more; --all shows them", shown.len() - limit)?;
        }
        Ok(())
    }
}

/// `: 3 command, 1 engine`, to the end of the line.
fn write_counts<'a>(out: &mut impl Write, counts: impl Iterator<Item = (&'a str, u64)>) -> io::Result<()> {
    for (place, (name, count)) in counts.enumerate() {
        write!(out, "{} {count} {name}", if place == 0 { ":" } else { "," })?;
    }
    writeln!(out)
}
