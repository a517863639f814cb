//! Man pages and shell completions, out of the flags.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::Failure;

/// Write man pages and shell completions into a directory, for packages
#[derive(clap::Args)]
#[command(hide = true)]
pub(crate) struct Arguments {
    /// Where they go; has to exist
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let directory = &arguments.directory;
    let unwritable = |error| Failure::new(format_args!("{}: {error}", directory.display()));
    let mut command = crate::Arguments::command();
    clap_mangen::generate_to(command.clone(), directory).map_err(unwritable)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "etcha-journal", directory).map_err(unwritable)?;
    }
    Ok(ExitCode::SUCCESS)
}
