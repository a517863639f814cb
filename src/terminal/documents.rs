//! Man pages and shell completions of a program, made from its flags, for packages. Knows no program.

use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;

/// Shells that Debian has directories of completions for.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Writes into `directory`, which has to exist: a man page for the program and one for each subcommand
/// (`etcha-engine.1`, `etcha-engine-run.1`), and completions under the names that each shell looks for.
///
/// # Errors
///
/// A file cannot be written.
pub fn write(mut command: Command, directory: &Path) -> io::Result<()> {
    clap_mangen::generate_to(command.clone(), directory)?;
    let name = command.get_name().to_owned();
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut command, &name, directory)?;
    }
    Ok(())
}
