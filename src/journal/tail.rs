//! `tail`: the end of a journal for people, or all of it that a filter wants, and what comes after it.
//!
//! The past is read from all segments, the newest first, until there are as many lines as were asked for. What comes is
//! followed by polling: simple, and right on every file system. A rotated file is read to its end, and looked at once
//! more in the next round, because another writer may have been about to write to it. A segment that came and went
//! between two looks is not shown: this is a view, and counting is the exporter's.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use jiff::tz::TimeZone;
use journal_schema::compressed::Compression;
use journal_schema::{Reader, Record};
use terminal::file;

use crate::filter::Filter;
use crate::input::{self, Progress, Segment, unreadable};
use crate::sequence::Sequences;
use crate::view::View;
use crate::{ToolError, csv};

/// Lines that are shown unless a number or a span of time is given.
const LINES: usize = 10;

/// Time between two looks at the journal: short enough to feel immediate, long enough to cost nothing.
const POLL: Duration = Duration::from_millis(200);

/// Bytes read at once when looking for the last lines from the end.
const BLOCK_BYTES: usize = 65_536;

const EXAMPLES: &str = "\
Columns: time (UTC), event, what (mode, trigger or state), result, Source, then what is particular to the event.
A check whose result is `needed` found that action is needed; that is not a failure.

Examples:
  etcha-journal tail -f
  etcha-journal tail -n 1000 --errors
  etcha-journal tail -f --shells --local

  Who opened a shell on this host last month?
    etcha-journal tail --shells --since 2026-01-01 --until 2026-02-01

  Who pushed in the last two days, from one network, as a table?
    etcha-journal tail --kind source --trigger push --since 2d --address 192.0.2.0/24 --csv";

/// Show the end of a journal, or what a filter wants of all of it
///
/// Reads all segments of the journal, compressed ones as well. Colours are for terminals, and NO_COLOR is respected.
/// Control characters in labels are shown, not obeyed.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The journal to show, with all its segments
    #[arg(long, env = "ETCHA_JOURNAL", default_value = crate::input::JOURNAL, value_name = "PATH")]
    journal: PathBuf,
    /// Show this file alone: plain, compressed with gzip or zstd, or - for standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Lines to begin with; with filters, lines that pass them [default: 10, or all with --since or --until]
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    /// Go on with what is appended, across rotations
    #[arg(short, long, conflicts_with = "until")]
    follow: bool,
    #[command(flatten)]
    filter: Filter,
    /// Show lines as they stand in the journal
    #[arg(long)]
    json: bool,
    /// Show lines as rows in CSV, under a heading
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Show local time
    #[arg(long, conflicts_with_all = ["json", "csv"])]
    local: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, ToolError> {
    let zone = if arguments.local { TimeZone::system() } else { TimeZone::UTC };
    let mut pane = Pane {
        arguments,
        view: View::new(zone),
        out: anstream::stdout(),
        shown: Sequences::default(),
        code: 0,
    };
    let path = arguments.file.as_ref().unwrap_or(&arguments.journal);
    let mut current = match Followed::open(path) {
        Ok(followed) => Some(followed),
        // It is shown whole, as older segments are.
        Err(_) if arguments.file.is_some() && !arguments.follow => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(path, error)),
    };
    if arguments.csv {
        writeln!(pane.out, "{}", csv::HEADING)?;
    }
    pane.show_past(path, current.as_mut())?;
    if arguments.follow {
        let current = match current {
            Some(current) => current,
            None => {
                crate::say(format_args!("{} does not exist yet, waiting for it", path.display()));
                wait_for(path)?
            }
        };
        follow(path, current, &mut pane)?;
    }
    Ok(ExitCode::from(pane.code))
}

impl Arguments {
    /// How many lines of the past are shown; `None` for all.
    fn limit(&self) -> Option<usize> {
        let unsaid = (!self.filter.has_span()).then_some(LINES);
        self.lines.or(unsaid)
    }
}

/// Where lines are shown.
struct Pane<'a> {
    arguments: &'a Arguments,
    view: View,
    out: anstream::Stdout,
    /// Lines of the past that were taken: a segment may have a copy beside it.
    shown: Sequences,
    /// The exit code, so far.
    code: u8,
}

/// Lines as they are shown, oldest first.
type Lines = VecDeque<String>;

impl Pane<'_> {
    /// Shows what is there already: all of it, or the last lines.
    fn show_past(&mut self, path: &Path, active: Option<&mut Followed>) -> Result<(), ToolError> {
        match self.arguments.limit() {
            None => self.show_all(path, active),
            Some(limit) => self.show_last(path, active, limit),
        }
    }

    /// What there is beside the active file, oldest first.
    fn older(&self, path: &Path, has_active: bool) -> Result<Vec<Segment>, ToolError> {
        let older = match &self.arguments.file {
            Some(_) if has_active || self.arguments.follow => Vec::new(),
            Some(file) => vec![Segment::given(file)],
            None => input::rotated(path)?,
        };
        if !has_active && older.is_empty() && !self.arguments.follow {
            let error = fs::metadata(path).err().unwrap_or_else(|| io::ErrorKind::NotFound.into());
            return Err(unreadable(path, error));
        }
        Ok(older)
    }

    /// Shows everything that is wanted, oldest first, as it is read.
    fn show_all(&mut self, path: &Path, active: Option<&mut Followed>) -> Result<(), ToolError> {
        let older = self.older(path, active.is_some())?;
        let progress = Progress::through(&older);
        for mut segment in older {
            let opened = segment.open(&progress);
            let shown = opened.and_then(|mut input| self.show_new(&segment.path, &mut input, &progress));
            if let Err(failure) = shown {
                self.code = input::report(failure, &progress)?;
            }
        }
        progress.finish();
        match active {
            Some(active) => self.show_new(path, &mut active.reader, &progress),
            None => Ok(()),
        }
    }

    /// Shows the last lines: of the active file, and of older ones if that has too few.
    fn show_last(
        &mut self,
        path: &Path,
        active: Option<&mut Followed>,
        limit: usize,
    ) -> Result<(), ToolError> {
        let (mut parts, mut left) = (Vec::new(), limit);
        let has_active = active.is_some();
        if let Some(active) = active {
            if !self.arguments.filter.is_set() {
                active.seek_to_last(limit).map_err(|error| unreadable(path, error))?;
            }
            let (lines, failure) = self.last_of(path, &mut active.reader, left);
            failure.map_or(Ok(()), Err)?;
            left -= lines.len();
            parts.push(lines);
        }
        let mut older = if left > 0 { self.older(path, has_active)? } else { Vec::new() };
        let progress = Progress::through(&older);
        while let (true, Some(mut segment)) = (left > 0, older.pop()) {
            let (lines, failure) = match segment.open(&progress) {
                Ok(mut input) => self.last_of(&segment.path, &mut input, left),
                Err(failure) => (Lines::new(), Some(failure)),
            };
            left -= lines.len();
            parts.push(lines);
            if let Some(failure) = failure {
                self.code = input::report(failure, &progress)?;
            }
        }
        progress.finish();
        for text in parts.into_iter().rev().flatten() {
            writeln!(self.out, "{text}")?;
        }
        Ok(())
    }

    /// The last lines of a file that are wanted, `limit` at most; and why there are no more, if it is damaged.
    fn last_of<R: Read>(
        &mut self,
        path: &Path,
        reader: &mut Reader<R>,
        limit: usize,
    ) -> (Lines, Option<ToolError>) {
        let mut last = Lines::new();
        loop {
            let record = match reader.next() {
                Ok(Some(record)) => record,
                Ok(None) => return (last, None),
                Err(error) => return (last, Some(unreadable(path, error))),
            };
            if let Some(text) = self.text(&record)
                && self.is_new(&record)
            {
                last.push_back(text);
            }
            if last.len() > limit {
                last.pop_front();
            }
        }
    }

    /// Whether the line was not taken before, from a copy of its file.
    fn is_new(&mut self, record: &Record<'_>) -> bool {
        match &record.content {
            Ok(line) if self.arguments.file.is_none() => {
                self.shown.see(&line.envelope.writer, line.envelope.seq)
            }
            _ => true,
        }
    }

    /// Shows what was not read yet.
    fn show_new<R: Read>(
        &mut self,
        path: &Path,
        reader: &mut Reader<R>,
        progress: &Progress,
    ) -> Result<(), ToolError> {
        while let Some(record) = reader.next().map_err(|error| unreadable(path, error))? {
            if let Some(text) = self.text(&record)
                && self.is_new(&record)
            {
                progress.above(|| writeln!(self.out, "{text}"))?;
            }
        }
        Ok(())
    }

    /// A record as it is shown, if it is. What is no line is shown unless a filter asks for something else.
    fn text(&mut self, record: &Record<'_>) -> Option<String> {
        match &record.content {
            Ok(line) if !self.arguments.filter.wants(line) => None,
            Ok(_) if self.arguments.json => {
                // It was decoded, so it is text.
                let text = std::str::from_utf8(record.text).unwrap_or_default();
                Some(terminal::printable::json(text.trim_ascii()).into_owned())
            }
            Ok(line) if self.arguments.csv => Some(csv::row(line)),
            Ok(line) => Some(self.view.line(line)),
            Err(_) if self.arguments.filter.is_set() || self.arguments.json || self.arguments.csv => None,
            Err(rejected) => Some(View::rejected(rejected)),
        }
    }
}

/// A file that is or was the journal.
struct Followed {
    reader: Reader<File>,
    identity: (u64, u64),
}

impl Followed {
    fn open(path: &Path) -> io::Result<Followed> {
        let file = file::open_regular(path)?;
        let metadata = file.metadata()?;
        let mut magic = [0; Compression::MAGIC_BYTES];
        let read = file.read_at(&mut magic, 0)?;
        if Compression::of_content(&magic[..read]).is_some() {
            return Err(io::Error::other("is compressed, so nothing can be appended to it"));
        }
        Ok(Followed { reader: Reader::new(file), identity: (metadata.dev(), metadata.ino()) })
    }

    /// Goes to the beginning of the last `lines` lines, or before it. A line without its LF is none, and heartbeats, which
    /// are not shown, do not count.
    fn seek_to_last(&mut self, lines: usize) -> io::Result<()> {
        let mut file = self.reader.get_ref();
        let mut block = vec![0; BLOCK_BYTES];
        let mut end = file.metadata()?.len();
        let mut feeds = 0;
        while end > 0 {
            let start = end.saturating_sub(BLOCK_BYTES as u64);
            let mut part = &mut block[..usize::try_from(end - start).unwrap_or(BLOCK_BYTES)];
            file.read_exact_at(part, start)?;
            for at in memchr::memrchr_iter(b'\n', part) {
                // Of a line that reaches into another block it is not known. Reading too much shows no more.
                let is_shown = at >= HEARTBEAT.len() && !part[..at].ends_with(HEARTBEAT);
                feeds += usize::from(is_shown);
                if feeds > lines {
                    part = &mut part[..at];
                    file.seek(SeekFrom::Start(start + part.len() as u64 + 1))?;
                    return Ok(());
                }
            }
            end = start;
        }
        Ok(())
    }
}

/// What a heartbeat ends with.
const HEARTBEAT: &[u8] = b"\"event\":\"heartbeat\"}";

/// Between two looks. Whoever watches ends the program, and with it this.
#[expect(clippy::disallowed_methods, reason = "see above")]
fn pause() {
    thread::sleep(POLL);
}

fn wait_for(path: &Path) -> Result<Followed, ToolError> {
    loop {
        pause();
        match Followed::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other.map_err(|error| unreadable(path, error)),
        }
    }
}

fn follow(path: &Path, mut current: Followed, pane: &mut Pane<'_>) -> Result<(), ToolError> {
    let quiet = Progress::through(&[]);
    let mut previous: Option<Followed> = None;
    loop {
        if let Some(mut previous) = previous.take() {
            pane.show_new(path, &mut previous.reader, &quiet)?;
        }
        pane.show_new(path, &mut current.reader, &quiet)?;
        pane.out.flush()?;
        pause();
        // Gone for the moment, or not readable yet: the next round looks again.
        let Ok(metadata) = std::fs::metadata(path) else { continue };
        let mut file = current.reader.get_ref();
        let position = file.stream_position().map_err(|error| unreadable(path, error))?;
        let replaced = (metadata.dev(), metadata.ino()) != current.identity;
        if !replaced && metadata.len() >= position {
            continue;
        }
        if let Ok(next) = Followed::open(path) {
            if !replaced {
                crate::say(format_args!("{} was truncated", path.display()));
            }
            let old = std::mem::replace(&mut current, next);
            previous = replaced.then_some(old);
            if let Some(previous) = &mut previous {
                pane.show_new(path, &mut previous.reader, &quiet)?;
            }
        }
    }
}
