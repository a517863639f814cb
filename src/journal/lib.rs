//! `etcha-journal`: appends to a journal, records runs and shells, checks a journal, shows it, and sums it up.
//!
//! The contract itself is the library's; here are a command line and views for people. Each subcommand has a file.

mod append;
mod check;
mod command;
mod csv;
mod documents;
mod environment;
mod filter;
mod guard;
mod input;
mod quantity;
mod report;
mod run;
mod schema;
mod sequence;
mod shell;
mod stats;
mod summary;
mod table;
mod tail;
mod time;
mod view;
mod wrapped;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use journal_schema::WriteError;
use terminal::ending;

const EXAMPLES: &str = "\
Examples:
  Record that a run of the Source web, pushed by 192.0.2.7, changed three Commands:
    etcha-journal append source --name web --trigger push --remote-addr 192.0.2.7 --changed 3

  Record how a cron job ended and how long it took:
    etcha-journal run --source backup -- /usr/local/bin/backup

  Watch what happens:
    etcha-journal tail -f

  Is the journal right, its rotated segments as well?
    etcha-journal check

  What fails, what is slow, who had a shell?
    etcha-journal stats --since 7d

  Who opened a shell in January?
    etcha-journal tail --shells --since 2026-01-01 --until 2026-02-01

Exit status: 0 done, 1 failed, 2 wrong usage, or a file cannot be read. `run` and `shell` exit as their command does.";

/// Append to, check, show and sum up the journal of an Etcha-compatible agent, and record runs and shells in it.
#[derive(Parser)]
#[command(name = "etcha-journal", version, after_help = EXAMPLES, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Append(append::Arguments),
    Run(run::Arguments),
    Shell(shell::Arguments),
    Check(check::Arguments),
    Tail(tail::Arguments),
    Stats(stats::Arguments),
    Schema(schema::Arguments),
    Documents(documents::Arguments),
    Guard(guard::Arguments),
}

/// The program's name, before what it says of itself.
const PROGRAM: &str = "etcha-journal";

/// Why a subcommand ended early.
#[derive(Debug, thiserror::Error)]
enum ToolError {
    /// Nothing reads the output any more: the pager was closed, or `head` had enough.
    #[error("nothing reads the output")]
    BrokenPipe,
    /// The output cannot be written.
    #[error("output: {0}")]
    Output(#[source] io::Error),
    /// The journal cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A path that is not the journal's to read.
    #[error("{}: {source}", path.display())]
    Path {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no randomness for the name of a session.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// A variable is no text.
    #[error("{0} is not UTF-8")]
    NotUnicode(String),
    /// The command line asks for what cannot be. Says what to do.
    #[error("{0}")]
    Usage(String),
    /// What was to be read cannot be read.
    #[error("{name}: {source}")]
    Unreadable {
        /// The file, or standard input.
        name: String,
        /// What the system says.
        source: io::Error,
    },
}

impl ToolError {
    /// A command line that asks for what cannot be.
    fn usage(message: impl fmt::Display) -> ToolError {
        ToolError::Usage(message.to_string())
    }

    /// The exit status to end with.
    fn status(&self) -> u8 {
        match self {
            ToolError::Usage(_) | ToolError::Unreadable { .. } => ending::UNUSABLE,
            _ => ending::FAILED,
        }
    }
}

/// For errors of the output; those of the input name the file.
impl From<io::Error> for ToolError {
    fn from(error: io::Error) -> ToolError {
        match error.kind() {
            io::ErrorKind::BrokenPipe => ToolError::BrokenPipe,
            _ => ToolError::Output(error),
        }
    }
}

/// What a flag takes, in words: what clap says behind the value that it was given instead.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
struct Expected(&'static str);

/// Says something beside the output: a warning, or an error that does not end the work.
fn say(what: impl fmt::Display) {
    ending::say(PROGRAM, &what);
}

/// Reads the arguments of the process and does what they ask for.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return ending::usage(PROGRAM, &error),
    };
    let result = match arguments.command {
        Command::Append(arguments) => append::run(arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Shell(arguments) => shell::run(arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Tail(arguments) => tail::run(&arguments),
        Command::Stats(arguments) => stats::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Documents(arguments) => documents::run(&arguments),
        Command::Guard(arguments) => guard::run(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(ToolError::BrokenPipe) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error);
            ExitCode::from(error.status())
        }
    }
}
