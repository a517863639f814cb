//! How a program ends: the exit status, and the line on standard error that says why. One form for all programs:
//! `etcha-xxx: what went wrong`. Knows a program only by its name.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::printable;

/// Exit status of work that failed.
pub const FAILED: u8 = 1;

/// Exit status of a command line, a configuration or an input that cannot be used: nothing was done.
pub const UNUSABLE: u8 = 2;

/// What clap writes before an error.
const CLAP_PREFIX: &str = "error:";

/// Says on standard error what went wrong. It may hold foreign text, so what could harm a terminal is escaped.
pub fn say(program: &str, what: &impl Display) {
    // Without a reader of standard error there is no place left to say it.
    let _ = writeln!(io::stderr(), "{}", line(program, what));
}

fn line(program: &str, what: &impl Display) -> String {
    format!("{program}: {}", printable::text(&what.to_string()))
}

/// Says what went wrong, and how the program shall exit.
pub fn failed(program: &str, what: &impl Display) -> ExitCode {
    say(program, what);
    ExitCode::from(FAILED)
}

/// Says what cannot be used, and how the program shall exit.
pub fn unusable(program: &str, what: &impl Display) -> ExitCode {
    say(program, what);
    ExitCode::from(UNUSABLE)
}

/// Prints what clap has to say: help and version where they were asked for, or what is wrong with the command line.
pub fn usage(program: &str, error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A reader that has left, as `head` does, has seen enough.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    // Colours are dropped where standard error is not a terminal.
    let said = error.render().ansi().to_string().replacen(CLAP_PREFIX, &format!("{program}:"), 1);
    let _ = write!(anstream::stderr(), "{said}");
    ExitCode::from(UNUSABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_in_an_error_does_nothing_to_a_terminal_and_lines_stay_lines() {
        assert_eq!(line("etcha-x", &"no\u{1b}[2J\r\nsecond\tpart"), "etcha-x: no\\u{1b}[2J\nsecond\tpart");
    }
}
