//! `shell`: a shell whose opening and closing are in the journal, whatever ends it.

use std::process::ExitCode;

use crate::ToolError;
use crate::guard::{What, session_name};
use crate::wrapped::{Origin, Wrapped};

const EXAMPLES: &str = "\
Examples:
  As the shell of a Source, in Etcha's configuration:
    shell: {command: 'etcha-journal shell --source web -- /bin/bash -l'}

  As the command that sshd runs for a key, in authorized_keys:
    command=\"etcha-journal shell --source ssh --public-key alice -- bash -l\"
  To record the client's address, add to it: --remote-addr \\\"$SSH_CLIENT\\\"

The session closes with the reason `exit`, `exit N`, `signal N`, `not started`,
or `wrapper died` if this program was killed; the shell is then hung up. The
exit status is the command's.";

/// Run a shell and record that it was opened and closed
///
/// The command has this program's terminal, input and output, and notices nothing but the variable `ETCHA_SESSION`, the
/// name of its session in the journal. A second process records the end, also when this one is killed. A journal that cannot be written is reported and does not stop the shell.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    wrapped: Wrapped,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, ToolError> {
    let session = session_name()?;
    arguments.wrapped.run(|Origin { name, public_key, remote_addr }| What::Shell {
        name,
        session,
        public_key,
        remote_addr,
    })
}
