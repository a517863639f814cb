//! The program `etcha-exporter`: reads what it is asked to do, and has it done.

use std::process::ExitCode;

use exporter::config::{self, Surroundings};
use exporter::task;

fn main() -> ExitCode {
    match config::read(std::env::args_os(), &Surroundings::of_process()) {
        Ok(invocation) => task::run(invocation),
        Err(error) => error.report(),
    }
}
