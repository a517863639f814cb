//! `append`: one event from flags, or many from standard input.
//!
//! Every value is checked before the journal is opened. The line itself is the library's [`Writer`].

mod given;
mod lines;

use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use journal_schema::{Event, Options, Rejected, Sync, Writer, decode_event};

use crate::environment::Environment;
use crate::{Expected, ToolError, say};
use given::{Given, remote_addr};
pub(crate) use given::{address, word};
use lines::Lines;

const EXAMPLES: &str = "\
Examples:
  etcha-journal append command --id nginx --source web --mode changed --duration-seconds 1.25
  etcha-journal append source --name web --trigger pull --error
  etcha-journal append shell --name web --session \"$$\" --state opened --public-key ops

  As the Command of an Etcha Source that receives the events pull, push and shell of the Source web:
    etcha-journal append --from-env --source web

  What happened yesterday and is recorded now:
    etcha-journal append --time 2026-01-31T09:30:00Z source --name web --trigger push --error=false

  Many events, one JSON object per line, without v, writer and seq:
    printf '%s\\n' '{\"event\":\"engine\",\"state\":\"started\"}' | etcha-journal append --stdin

Each call continues the numbers of the one before, kept in .journal.jsonl.append beside the journal, so that a line that is
lost shows as a gap. The journal is never rotated here, and no segment removed, unless --max-bytes and --keep say so.";

/// Append events to the journal
///
/// Adds the envelope (version, writer, number, time), and makes the journal if there is none. Several processes may
/// append at the same time. Prints nothing when all is well.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, subcommand_value_name = "EVENT", subcommand_help_heading = "Events")]
pub(crate) struct Arguments {
    /// The journal to append to
    #[arg(long, global = true, help_heading = "Journal options", env = "ETCHA_JOURNAL", default_value = crate::input::JOURNAL, value_name = "PATH")]
    journal: PathBuf,
    /// Read events from standard input, one JSON object per line without envelope, except for a `time`. Fields that the
    /// contract does not know are left out. Bad lines are reported with their numbers, good ones are appended
    #[arg(long)]
    stdin: bool,
    /// The Source that the event is about, with --from-env and no event on the command line
    #[arg(long, allow_hyphen_values = true, value_name = "NAME", requires = "from_env")]
    source: Option<String>,
    /// Take values that no flag gives from the variables that Etcha sets for Commands that handle events:
    /// ETCHA_EVENT_ID, ETCHA_EVENT_NAME, ETCHA_EVENT_PUBLIC_KEY, ETCHA_EVENT_SRC. Values that these do not contain
    /// are not guessed
    #[arg(long, global = true, help_heading = "Journal options")]
    from_env: bool,
    /// When it happened, if not now: a time such as 2026-01-31T09:30:00Z, or how long ago, such as 90m or 2d
    #[arg(long, global = true, help_heading = "Journal options", value_name = "WHEN", value_parser = past)]
    time: Option<Timestamp>,
    /// When lines are synced to the disk: `never`, `always`, or an interval. `shell` and `engine` events wait for no
    /// interval
    #[arg(long, global = true, help_heading = "Journal options", default_value = "1s", value_name = "WHEN")]
    sync: Sync,
    /// Size in bytes above which the journal is rotated; 0 leaves that to the agent or to logrotate
    #[arg(long, global = true, help_heading = "Journal options", default_value_t = 0, value_name = "BYTES")]
    max_bytes: u64,
    /// Rotated segments to keep, at least 1, when --max-bytes rotates [default: all]
    #[arg(long, global = true, help_heading = "Journal options", value_name = "N")]
    keep: Option<usize>,
    /// Say what was appended
    #[arg(short, long, global = true, help_heading = "Journal options")]
    verbose: bool,
    #[command(subcommand)]
    event: Option<Given>,
}

pub(crate) fn run(mut arguments: Arguments) -> Result<ExitCode, ToolError> {
    let environment = if arguments.from_env { Environment::of_etcha()? } else { Environment::default() };
    let given = match (arguments.event.take(), arguments.stdin) {
        (Some(_), _) if arguments.source.is_some() => {
            return Err(ToolError::usage("give --source after the event, or with --from-env and no event"));
        }
        (Some(given), false) => Some(given),
        (None, true) => None,
        (Some(_), true) => return Err(ToolError::usage("--stdin takes no event on the command line")),
        (None, false) if arguments.from_env => Some(Given::of(&environment, arguments.source.take())?),
        (None, false) => {
            let message =
                "say which event (command, source, shell, engine), or give --from-env or --stdin; see --help";
            return Err(ToolError::usage(message));
        }
    };
    // Everything is checked before the journal is opened.
    let events = given.as_ref().map(|given| given.events(&environment)).transpose()?;
    let mut appender = Appender::open(&arguments)?;
    let good = match events {
        Some(events) => {
            for event in &events {
                appender.append(event, arguments.time)?;
            }
            true
        }
        None => appender.append_lines(io::stdin().lock(), arguments.time)?,
    };
    appender.writer.close()?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Why a line of standard input is not appended.
#[derive(Debug, thiserror::Error)]
enum LineError<'a> {
    /// It is no line of text. Says why.
    #[error("{0}")]
    Damaged(&'static str),
    /// It is no event of the contract.
    #[error("{0}")]
    Rejected(Rejected<'a>),
    /// It is about what has not happened.
    #[error("time is in the future")]
    Future,
    /// The journal does not take it.
    #[error(transparent)]
    Append(#[from] ToolError),
}

struct Appender {
    writer: Writer,
    verbose: bool,
}

impl Appender {
    fn open(arguments: &Arguments) -> Result<Appender, ToolError> {
        let options = Options {
            max_bytes: arguments.max_bytes,
            keep: arguments.keep.unwrap_or(usize::MAX),
            sync: arguments.sync,
            ..Options::default()
        };
        let writer = Writer::open_continued(&arguments.journal, options)?;
        let mut appender = Appender { writer, verbose: arguments.verbose };
        appender.warn();
        Ok(appender)
    }

    fn warn(&mut self) {
        if let Some(warning) = self.writer.take_warning() {
            say(warning);
        }
    }

    fn append(&mut self, event: &Event<'_>, time: Option<Timestamp>) -> Result<(), ToolError> {
        let result = match time {
            Some(time) => self.writer.append_at(event, time),
            None => self.writer.append(event),
        };
        self.warn();
        let seq = result?;
        if self.verbose {
            anstream::println!(
                "{}: seq {seq} of writer {}",
                self.writer.path().display(),
                self.writer.name()
            );
        }
        Ok(())
    }

    /// Whether every line was good. A line that could not be written is reported like a bad one, and the next one is
    /// tried.
    fn append_lines(&mut self, mut input: impl Read, time: Option<Timestamp>) -> Result<bool, ToolError> {
        let mut lines = Lines::default();
        let mut good = true;
        loop {
            let end = lines
                .fill(&mut input)
                .map_err(|source| ToolError::Unreadable { name: "standard input".to_owned(), source })?;
            while let Some(line) = lines.next() {
                if let Err(error) = self.append_line(&line, time) {
                    good = false;
                    // If it cannot be said, the next line is tried anyway.
                    let _ = writeln!(anstream::stderr(), "-:{}: {error}", lines.number);
                }
            }
            if end {
                return Ok(good);
            }
        }
    }

    fn append_line<'a>(
        &mut self,
        line: &'a Result<Vec<u8>, &'static str>,
        time: Option<Timestamp>,
    ) -> Result<(), LineError<'a>> {
        let line = line.as_ref().map_err(|damage| LineError::Damaged(damage))?;
        let (mut event, own_time) = decode_event(line).map_err(LineError::Rejected)?;
        let address = match &mut event {
            Event::Command(command) => Some(&mut command.remote_addr),
            Event::Source(source) => Some(&mut source.remote_addr),
            Event::Shell(shell) => Some(&mut shell.remote_addr),
            Event::Run(run) => Some(&mut run.remote_addr),
            Event::Refused(refused) => Some(&mut refused.remote_addr),
            Event::Engine(_) | Event::Heartbeat(_) => None,
        };
        if let Some(address) = address {
            *address = remote_addr("remote_addr", address);
        }
        if own_time.is_some_and(|time| time > Timestamp::now()) {
            return Err(LineError::Future);
        }
        Ok(self.append(&event, own_time.or(time))?)
    }
}

/// A time that has come already: one of the future would be the last event for a long time.
fn past(text: &str) -> Result<Timestamp, Expected> {
    let time = crate::time::when(text)?;
    if time > Timestamp::now() { Err(Expected("a time that is not in the future")) } else { Ok(time) }
}
