//! The program `etcha-engine`: reads what it is asked to do, and has it done.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A child of the engine is this program, too.
    engine::exec::child::enter().unwrap_or_else(engine::cli::main)
}
