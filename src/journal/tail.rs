//! `tail`: the end of a journal for people, and what comes after it.
//!
//! Follows by polling: simple, and right on every file system. A rotated file is read to its end, and looked at once
//! more in the next round, because another writer may have been about to write to it. A segment that came and went
//! between two looks is not shown: this is a view, and counting is the exporter's.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use jiff::tz::TimeZone;
use journal_schema::compressed::Compression;
use journal_schema::{Event, Line, Mode, Reader, Record};

use crate::Failure;
use crate::input::unreadable;
use crate::view::View;

/// Time between two looks at the journal: short enough to feel immediate, long enough to cost nothing.
const POLL: Duration = Duration::from_millis(200);

/// Bytes read at once when looking for the last lines from the end.
const BLOCK_BYTES: usize = 65_536;

const EXAMPLES: &str = "\
Columns: time (UTC), event, what (mode, trigger or state), result, Source, then what is particular to the event.
A check whose result is `needed` found that action is needed; that is no failure.

Examples:
  etcha-journal tail -f
  etcha-journal tail -n 1000 --errors
  etcha-journal tail -f --shells --local
  etcha-journal tail -n 100 --source web --json | jq .duration_seconds";

/// Show the end of a journal, aligned and coloured
///
/// Colours are for terminals, and NO_COLOR is respected. Control characters in labels are shown, not obeyed.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The journal to show
    #[arg(long, env = "ETCHA_JOURNAL", default_value = crate::input::JOURNAL, value_name = "PATH")]
    journal: PathBuf,
    /// The journal to show, for those who leave out --journal
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Lines to begin with; with filters, lines that pass them
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    lines: usize,
    /// Go on with what is appended, across rotations
    #[arg(short, long)]
    follow: bool,
    /// Only lines of this Source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only Commands with this id
    #[arg(long)]
    id: Option<String>,
    /// Only failures. With --shells: failures and shells
    #[arg(long)]
    errors: bool,
    /// Only shells
    #[arg(long)]
    shells: bool,
    /// Show lines as they stand in the journal
    #[arg(long)]
    json: bool,
    /// Show local time
    #[arg(long, conflicts_with = "json")]
    local: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let path = arguments.file.as_ref().unwrap_or(&arguments.journal);
    let zone = if arguments.local { TimeZone::system() } else { TimeZone::UTC };
    let mut pane = Pane { arguments, view: View::new(zone), out: anstream::stdout() };
    let mut current = match Segment::open(path) {
        Ok(segment) => segment,
        Err(error) if error.kind() == io::ErrorKind::NotFound && arguments.follow => {
            anstream::eprintln!("etcha-journal: {} does not exist yet, waiting for it", path.display());
            wait_for(path)?
        }
        Err(error) => return Err(unreadable(path, &error)),
    };
    if !arguments.filters() {
        current.seek_to_last(arguments.lines).map_err(|error| unreadable(path, &error))?;
    }
    pane.show_last(path, &mut current)?;
    if arguments.follow {
        follow(path, current, &mut pane)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    fn filters(&self) -> bool {
        self.source.is_some() || self.id.is_some() || self.errors || self.shells
    }

    fn wants(&self, line: &Line<'_>) -> bool {
        let (source, id, failed) = match &line.event {
            Event::Command(command) => {
                let failed = command.error && command.mode != Mode::Check;
                (Some(&*command.source), Some(&*command.id), failed)
            }
            Event::Source(source) => (Some(&*source.name), None, source.failed()),
            Event::Shell(shell) => (Some(&*shell.name), None, false),
            Event::Engine(_) => (None, None, false),
        };
        let shell = matches!(line.event, Event::Shell(_));
        let kind = match (self.errors, self.shells) {
            (false, false) => true,
            (errors, shells) => errors && failed || shells && shell,
        };
        kind && self.source.as_deref().is_none_or(|wanted| source == Some(wanted))
            && self.id.as_deref().is_none_or(|wanted| id == Some(wanted))
    }
}

/// Where lines are shown.
struct Pane<'a> {
    arguments: &'a Arguments,
    view: View,
    out: anstream::Stdout,
}

impl Pane<'_> {
    /// Shows the last lines that are there.
    fn show_last(&mut self, path: &Path, segment: &mut Segment) -> Result<(), Failure> {
        let mut last = VecDeque::new();
        while let Some(record) = segment.reader.next().map_err(|error| unreadable(path, &error))? {
            last.extend(self.text(&record));
            if last.len() > self.arguments.lines {
                last.pop_front();
            }
        }
        for text in last {
            writeln!(self.out, "{text}")?;
        }
        Ok(())
    }

    /// Shows what came since.
    fn show_new(&mut self, path: &Path, segment: &mut Segment) -> Result<(), Failure> {
        while let Some(record) = segment.reader.next().map_err(|error| unreadable(path, &error))? {
            if let Some(text) = self.text(&record) {
                writeln!(self.out, "{text}")?;
            }
        }
        Ok(())
    }

    /// A record as it is shown, if it is. What is no line is shown unless a filter asks for something else.
    fn text(&mut self, record: &Record<'_>) -> Option<String> {
        match &record.content {
            Ok(line) if !self.arguments.wants(line) => None,
            Ok(_) if self.arguments.json => {
                // It was decoded, so it is text.
                let text = std::str::from_utf8(record.text).unwrap_or_default();
                Some(terminal::printable::json(text.trim_ascii()).into_owned())
            }
            Ok(line) => Some(self.view.line(line)),
            Err(_) if self.arguments.filters() || self.arguments.json => None,
            Err(rejected) => Some(View::rejected(rejected)),
        }
    }
}

/// A file that is or was the journal.
struct Segment {
    reader: Reader<File>,
    identity: (u64, u64),
}

impl Segment {
    fn open(path: &Path) -> io::Result<Segment> {
        if Compression::of(path).is_some() {
            return Err(io::Error::other("is compressed; unpack it first, or sum it up with `stats`"));
        }
        // Looked at first: opening a FIFO would wait for somebody to write to it.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("is no regular file"));
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        Ok(Segment { reader: Reader::new(file), identity: (metadata.dev(), metadata.ino()) })
    }

    /// Goes to the beginning of the last `lines` lines. A line without its LF is none.
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
                feeds += 1;
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

/// Between two looks. Whoever watches ends the program, and with it this.
#[expect(clippy::disallowed_methods, reason = "see above")]
fn pause() {
    thread::sleep(POLL);
}

fn wait_for(path: &Path) -> Result<Segment, Failure> {
    loop {
        pause();
        match Segment::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other.map_err(|error| unreadable(path, &error)),
        }
    }
}

fn follow(path: &Path, mut current: Segment, pane: &mut Pane<'_>) -> Result<(), Failure> {
    let mut previous: Option<Segment> = None;
    loop {
        if let Some(mut previous) = previous.take() {
            pane.show_new(path, &mut previous)?;
        }
        pane.show_new(path, &mut current)?;
        pane.out.flush()?;
        pause();
        // Gone for the moment, or not readable yet: the next round looks again.
        let Ok(metadata) = std::fs::metadata(path) else { continue };
        let mut file = current.reader.get_ref();
        let position = file.stream_position().map_err(|error| unreadable(path, &error))?;
        let replaced = (metadata.dev(), metadata.ino()) != current.identity;
        if !replaced && metadata.len() >= position {
            continue;
        }
        if let Ok(next) = Segment::open(path) {
            if !replaced {
                anstream::eprintln!("etcha-journal: {} was truncated", path.display());
            }
            let old = std::mem::replace(&mut current, next);
            previous = replaced.then_some(old);
            if let Some(previous) = &mut previous {
                pane.show_new(path, previous)?;
            }
        }
    }
}
