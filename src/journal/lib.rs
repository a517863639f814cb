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

use std::fmt;
use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    etcha-journal tail --shells --since 2026-01-01 --until 2026-02-01";

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

/// Why a subcommand ended early.
#[derive(Debug, thiserror::Error)]
enum ToolError {
    /// Nobody reads the output any more: the pager was closed, or `head` had enough.
    #[error("nothing reads the output")]
    BrokenPipe,
    /// What to say, and the exit code to end with.
    #[error("{text}")]
    Message {
        /// Where, what, and what to do.
        text: String,
        /// 1 for work that failed, 2 for input that cannot be used.
        code: u8,
    },
}

impl ToolError {
    /// The usual failure.
    fn new(message: impl fmt::Display) -> ToolError {
        ToolError::Message { text: message.to_string(), code: 1 }
    }

    /// A command line that asks for what cannot be.
    fn usage(message: impl fmt::Display) -> ToolError {
        ToolError::Message { text: message.to_string(), code: 2 }
    }

    /// A failure to read what was to be read.
    fn unreadable(message: impl fmt::Display) -> ToolError {
        ToolError::Message { text: message.to_string(), code: 2 }
    }
}

/// For errors of the output; those of the input name the file.
impl From<io::Error> for ToolError {
    fn from(error: io::Error) -> ToolError {
        match error.kind() {
            io::ErrorKind::BrokenPipe => ToolError::BrokenPipe,
            _ => ToolError::new(format_args!("output: {error}")),
        }
    }
}

/// Reads the arguments of the process and does what they ask for.
pub fn main() -> ExitCode {
    let result = match Arguments::parse().command {
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
        Err(ToolError::Message { text: message, code }) => {
            anstream::eprintln!("etcha-journal: {message}");
            ExitCode::from(code)
        }
    }
}
