//! `run`: a command whose run is in the journal, with its duration and outcome.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use journal_schema::Trigger;

use crate::ToolError;
use crate::append::{address, word};
use crate::guard::{Task, What, absolute, wrap};

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
    /// The journal to append to
    #[arg(long, env = "ETCHA_JOURNAL", default_value = crate::input::JOURNAL, value_name = "PATH")]
    journal: PathBuf,
    /// Name under which the run is recorded
    #[arg(long, allow_hyphen_values = true, value_name = "NAME")]
    source: String,
    /// What set it off: pull for a schedule, event, push, webhook or init
    #[arg(long, value_parser = word::<Trigger>, default_value = "pull")]
    trigger: Trigger,
    /// Id of the key or the user on whose behalf it runs
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "ID",
        default_value = "",
        hide_default_value = true
    )]
    public_key: String,
    /// IP address that it was set off from; what stands behind the first space, a port, brackets and zone are left out
    #[arg(long, value_name = "IP", default_value = "", hide_default_value = true)]
    remote_addr: String,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, ToolError> {
    let task = Task {
        journal: absolute(&arguments.journal)?,
        what: What::Run {
            name: arguments.source,
            trigger: arguments.trigger,
            public_key: arguments.public_key,
            remote_addr: address(&arguments.remote_addr),
        },
    };
    Ok(wrap(&task, &arguments.command))
}
