//! What [`run`](crate::run) and [`shell`](crate::shell) ask for alike: a command, and under what it is recorded.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::ToolError;
use crate::append::address;
use crate::guard::{Task, What, absolute, wrap};

/// Arguments that both have.
#[derive(clap::Args)]
pub(crate) struct Wrapped {
    /// The journal to append to
    #[arg(long, env = "ETCHA_JOURNAL", default_value = crate::input::JOURNAL, value_name = "PATH")]
    journal: PathBuf,
    /// Name of the Source under which it is recorded
    #[arg(long, allow_hyphen_values = true, value_name = "NAME")]
    source: String,
    /// Id of the key or the user on whose behalf it runs
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "ID",
        default_value = "",
        hide_default_value = true
    )]
    public_key: String,
    /// IP address that it was asked for from; what stands behind the first space, a port, brackets and zone are left out
    #[arg(long, value_name = "IP", default_value = "", hide_default_value = true)]
    remote_addr: String,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What is recorded in the same way of both.
pub(crate) struct Origin {
    pub(crate) name: String,
    pub(crate) public_key: String,
    pub(crate) remote_addr: String,
}

impl Wrapped {
    /// Runs the command and records it as `what` says, with its exit status as this program's.
    pub(crate) fn run(self, what: impl FnOnce(Origin) -> What) -> Result<ExitCode, ToolError> {
        let origin = Origin {
            name: self.source,
            public_key: self.public_key,
            remote_addr: address(&self.remote_addr),
        };
        let task = Task { journal: absolute(&self.journal)?, what: what(origin) };
        Ok(wrap(&task, &self.command))
    }
}
