//! Man pages and shell completions, out of the flags.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::ToolError;

/// Write man pages and shell completions into a directory, for packages
#[derive(clap::Args)]
#[command(hide = true)]
pub(crate) struct Arguments {
    /// Where they go; has to exist
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, ToolError> {
    let directory = &arguments.directory;
    terminal::documents::write(crate::Arguments::command(), directory)
        .map_err(|source| ToolError::Path { path: directory.clone(), source })?;
    Ok(ExitCode::SUCCESS)
}
