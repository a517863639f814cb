//! The same configuration once more, while the process runs: from the same command line and environment, out of files
//! that may have changed.

use std::ffi::OsString;
use std::fmt;

use settings::layers::needs_restart;

use super::{Config, Error, Problem, Surroundings, Task, read};

/// How to read the configuration again. Holds a key: shows nothing.
#[derive(Clone)]
pub struct Reread {
    args: Vec<OsString>,
    around: Surroundings,
}

impl Reread {
    pub(super) fn new(args: Vec<OsString>, around: Surroundings) -> Self {
        Self { args, around: Surroundings { running: true, ..around } }
    }

    /// The configuration as it is now.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub(crate) fn config(&self) -> Result<Box<Config>, Vec<Problem>> {
        match read(&self.args, &self.around).map(|invocation| invocation.task) {
            Ok(Task::Serve(config) | Task::CheckConfig(config)) => Ok(config),
            Ok(_) => Err(vec![Problem::new("", "the command line asks for something else")]),
            Err(Error::Config(problems)) => Err(problems),
            // It was right when the process started, and does not change.
            Err(Error::Usage(error)) => Err(vec![Problem::new("", error.kind().to_string())]),
        }
    }
}

impl fmt::Debug for Reread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reread").finish_non_exhaustive()
    }
}

impl Config {
    /// What differs in `other` and takes a restart, by the names that `--check-config` shows.
    pub(crate) fn needs_restart(&self, other: &Config) -> Vec<&'static str> {
        needs_restart(&self.rows, &other.rows)
    }
}
