//! `shell`: a shell whose opening and closing are in the journal, whatever ends it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::ToolError;
use crate::append::address;
use crate::guard::{Task, What, absolute, wrap};

const EXAMPLES: &str = "\
Examples:
  As the shell of a Source, in Etcha's configuration:
    shell: {command: 'etcha-journal shell --source web -- /bin/bash -l'}

  As the command that sshd runs for a key, in authorized_keys:
    command=\"etcha-journal shell --source ssh --public-key alice --remote-addr \\\"$SSH_CLIENT\\\" -- /bin/bash -l\"

The session closes with the reason `exit`, `exit N`, `signal N`, `not started`, or `wrapper died` if this program was killed;
the shell is then hung up. The exit status is the command's.";

/// Run a shell and record that it was opened and closed
///
/// The command has this program's terminal, input and output, and notices nothing but the variable `ETCHA_SESSION`, the
/// name of its session in the journal. A second process records the end, also
/// when this one is killed. A journal that cannot be written is reported and does not stop the shell.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The journal to append to
    #[arg(long, env = "ETCHA_JOURNAL", default_value = crate::input::JOURNAL, value_name = "PATH")]
    journal: PathBuf,
    /// Name of the Source whose shell it is
    #[arg(long, allow_hyphen_values = true, value_name = "NAME")]
    source: String,
    /// Id of the key of the user who opened the shell
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "ID",
        default_value = "",
        hide_default_value = true
    )]
    public_key: String,
    /// IP address of that user; what stands behind the first space, a port, brackets and zone are left out
    #[arg(long, value_name = "IP", default_value = "", hide_default_value = true)]
    remote_addr: String,
    /// The shell and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, ToolError> {
    let task = Task {
        journal: absolute(&arguments.journal)?,
        what: What::Shell {
            name: arguments.source,
            session: session_name()?,
            public_key: arguments.public_key,
            remote_addr: address(&arguments.remote_addr),
        },
    };
    Ok(wrap(&task, &arguments.command))
}

/// A name for a session that was never used before.
pub(crate) fn session_name() -> Result<String, ToolError> {
    let number = getrandom::u64().map_err(|error| ToolError::new(format_args!("no randomness: {error}")))?;
    Ok(format!("{number:016x}"))
}
