//! `run`: a command whose run is in the journal, with its duration and outcome.

use std::process::ExitCode;

use journal_schema::Trigger;

use crate::ToolError;
use crate::append::word;
use crate::guard::What;
use crate::wrapped::{Origin, Wrapped};

const EXAMPLES: &str = "\
Examples:
  A cron job:
    0 3 * * * root etcha-journal run --source backup -- /usr/local/bin/backup

  A systemd unit:
    ExecStart=etcha-journal run --source backup -- /usr/local/bin/backup

  An Ansible play, from the host that it is run on:
    etcha-journal run --source site --trigger push -- ansible-playbook site.yml

The run has failed if the exit status is not 0. If this program is killed, the outcome is recorded as unknown. The exit status
is the command's; 127 means that there is none of this name, 126 that it cannot be started.";

/// Run a command and record how it ended and how long it took
///
/// Appends a `source` event at the end. Input and output are the command's, untouched. A journal that cannot be written is
/// reported and does not stop the command.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    wrapped: Wrapped,
    /// What set it off: pull for a schedule, event, push, webhook or init
    #[arg(long, value_parser = word::<Trigger>, default_value = "pull")]
    trigger: Trigger,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, ToolError> {
    let Arguments { wrapped, trigger } = arguments;
    wrapped.run(|Origin { name, public_key, remote_addr }| What::Run {
        name,
        trigger,
        public_key,
        remote_addr,
    })
}
