//! `append`: one event from flags, or many from standard input.
//!
//! Every value is checked before the journal is opened. The line itself is the library's [`Writer`].

mod given;
mod lines;

use std::borrow::Cow;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use jiff::SignedDuration;
use journal_schema::limits::{DEFAULT_KEEP, DEFAULT_MAX_BYTES};
use journal_schema::{Event, Options, Sync, Writer, decode_event};

use crate::Failure;
use crate::environment::Environment;
use given::{Given, ip};
use lines::Lines;

const EXAMPLES: &str = "\
Examples:
  etcha-journal append command --id nginx --source web --mode changed --duration-seconds 1.25
  etcha-journal append source --name web --trigger pull --error
  etcha-journal append shell --name web --session \"$$\" --state opened --public-key ops

  As the Command of an Etcha Source that receives events:
    etcha-journal append --from-env source --changed 1

  Many events, one JSON object per line, without v, writer, seq and time:
    printf '%s\\n' '{\"event\":\"engine\",\"state\":\"started\"}' | etcha-journal append --stdin";

/// Append events to the journal
///
/// Adds the envelope (version, writer, number, time), makes the journal if there is none, and rotates it by size. Several processes may
/// append at once. Prints nothing when all is well.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, subcommand_value_name = "EVENT", subcommand_help_heading = "Events")]
pub(crate) struct Arguments {
    /// The journal to append to
    #[arg(long, global = true, help_heading = "Journal options", env = "ETCHA_JOURNAL", default_value = crate::input::JOURNAL, value_name = "PATH")]
    journal: PathBuf,
    /// Read events from standard input, one JSON object per line without envelope. Fields that the contract does not know
    /// are left out. Bad lines are told with their numbers, good ones are appended all the same
    #[arg(long)]
    stdin: bool,
    /// Take what no flag gives from the variables that Etcha sets for Commands: ETCHA_EVENT_ID, ETCHA_EVENT_NAME,
    /// ETCHA_EVENT_PUBLIC_KEY, ETCHA_EVENT_SRC, ETCHA_SOURCE_NAME, ETCHA_SOURCE_TRIGGER
    #[arg(long, global = true, help_heading = "Journal options")]
    from_env: bool,
    /// When lines are synced to the disk: `never`, `always`, or an interval. `shell` and `engine` events wait for no
    /// interval
    #[arg(long, global = true, help_heading = "Journal options", default_value = "1s", value_name = "WHEN", value_parser = sync)]
    sync: Sync,
    /// Size in bytes above which the journal is rotated; 0 leaves that to somebody else
    #[arg(long, global = true, help_heading = "Journal options", default_value_t = DEFAULT_MAX_BYTES, value_name = "BYTES")]
    max_bytes: u64,
    /// Rotated segments to keep, at least 1
    #[arg(long, global = true, help_heading = "Journal options", default_value_t = DEFAULT_KEEP, value_name = "N")]
    keep: usize,
    /// Say what was appended
    #[arg(short, long, global = true, help_heading = "Journal options")]
    verbose: bool,
    #[command(subcommand)]
    event: Option<Given>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let environment = if arguments.from_env { Environment::of_etcha()? } else { Environment::default() };
    let event = match (&arguments.event, arguments.stdin) {
        (Some(given), false) => Some(given.event(&environment)?),
        (None, true) => None,
        (Some(_), true) => return Err(Failure::Told("--stdin takes no event on the command line".into(), 2)),
        (None, false) => {
            let message = "say which event (command, source, shell, engine) or give --stdin; see --help";
            return Err(Failure::Told(message.into(), 2));
        }
    };
    let options = Options {
        max_bytes: arguments.max_bytes,
        keep: arguments.keep,
        sync: arguments.sync,
        ..Options::default()
    };
    let mut appender = Appender {
        writer: Writer::open(&arguments.journal, options).map_err(Failure::new)?,
        verbose: arguments.verbose,
    };
    let good = match event {
        Some(event) => {
            appender.append(&event)?;
            true
        }
        None => appender.append_lines(io::stdin().lock())?,
    };
    appender.writer.close().map_err(Failure::new)?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Appender {
    writer: Writer,
    verbose: bool,
}

impl Appender {
    fn append(&mut self, event: &Event<'_>) -> Result<(), Failure> {
        let result = self.writer.append(event);
        if let Some(warning) = self.writer.take_warning() {
            anstream::eprintln!("etcha-journal: {warning}");
        }
        let seq = result.map_err(Failure::new)?;
        if self.verbose {
            anstream::println!(
                "{}: seq {seq} of writer {}",
                self.writer.path().display(),
                self.writer.name()
            );
        }
        Ok(())
    }

    /// Whether every line was good. A line that could not be written is told like a bad one, and the next one is tried.
    fn append_lines(&mut self, mut input: impl Read) -> Result<bool, Failure> {
        let mut lines = Lines::default();
        let mut good = true;
        loop {
            let end = lines
                .fill(&mut input)
                .map_err(|error| Failure::unreadable(format_args!("standard input: {error}")))?;
            while let Some(line) = lines.next() {
                if let Err(message) = self.append_line(&line) {
                    good = false;
                    anstream::eprintln!("-:{}: {message}", lines.number);
                }
            }
            if end {
                return Ok(good);
            }
        }
    }

    fn append_line(&mut self, line: &Result<Vec<u8>, &'static str>) -> Result<(), String> {
        let line = line.as_ref().map_err(|damage| (*damage).to_owned())?;
        let mut event = decode_event(line).map_err(|rejected| rejected.to_string())?;
        let address = match &mut event {
            Event::Command(command) => Some(&mut command.remote_addr),
            Event::Source(source) => Some(&mut source.remote_addr),
            Event::Shell(shell) => Some(&mut shell.remote_addr),
            Event::Engine(_) => None,
        };
        if let Some(address) = address.filter(|address| !address.is_empty()) {
            *address = Cow::Owned(ip("remote_addr", address)?);
        }
        self.append(&event).map_err(|failure| match failure {
            Failure::Told(message, _) => message,
            Failure::BrokenPipe => "nobody reads the output".to_owned(),
        })
    }
}

fn sync(text: &str) -> Result<Sync, String> {
    match text {
        "never" => Ok(Sync::Never),
        "always" => Ok(Sync::Always),
        interval => interval
            .parse::<SignedDuration>()
            .ok()
            .and_then(|interval| Duration::try_from(interval).ok())
            .map(Sync::Interval)
            .ok_or_else(|| "`never`, `always` or an interval such as 500ms or 2s".to_owned()),
    }
}
