//! The log, on standard error. What comes from outside, a script's output, an id, a name in a request, can neither begin a
//! line of its own nor do anything to a terminal.

use std::fmt::{self, Debug};
use std::io;

use clap::ValueEnum;
use terminal::printable;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

/// The field that is written without its name.
const MESSAGE: &str = "message";

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogLevel {
    None,
    Error,
    Info,
    Debug,
}

/// Begins to log.
pub(super) fn to_stderr(level: LogLevel) {
    let level = match level {
        LogLevel::None => return,
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
    };
    tracing_subscriber::fmt()
        .fmt_fields(debug_fn(field).delimited(" "))
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(terminal::colour::has_colour(&io::stderr()))
        .with_target(false)
        // What cannot be logged is lost. Saying so, where nothing can be said, would end the program.
        .log_internal_errors(false)
        .init();
}

fn field(out: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    let value = one_line(&format!("{value:?}"));
    if field.name() == MESSAGE { write!(out, "{value}") } else { write!(out, "{field}={value}") }
}

/// The text without line ends and all that a terminal would act on. Backslashes stay, so that what was quoted reads as it did.
fn one_line(text: &str) -> String {
    printable::text(text).replace('\n', "\\n").replace('\t', "\\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line_whatever_it_speaks_of() {
        let hostile = "exit status 1: no\r\n2026-01-01T00:00:00Z  INFO push client=192.0.2.1\u{1b}[2J\u{202e}\u{9b}A\tx\\n";
        let line = one_line(hostile);
        assert_eq!(
            line,
            r"exit status 1: no\n2026-01-01T00:00:00Z  INFO push client=192.0.2.1\u{1b}[2J\u{202e}\u{9b}A\tx\n"
        );
        assert!(!line.contains(char::is_control));
    }
}
