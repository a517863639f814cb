//! The program `etcha-exporter`: reads what it is asked to do, and has it done.

use std::process::ExitCode;

use exporter::commands;
use exporter::config::{self, Surroundings};

fn main() -> ExitCode {
    match config::read(std::env::args_os(), &Surroundings::of_process()) {
        Ok(invocation) => commands::run(invocation),
        Err(error) => error.report(),
    }
}
