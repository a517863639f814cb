//! The program `etcha-engine`: reads what it is asked to do, and has it done.

use std::process::ExitCode;

fn main() -> ExitCode {
    engine::cli::main()
}
