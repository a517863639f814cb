//! What can go wrong with what was asked for on the command line, and the exit status that says so.

use std::io;
use std::path::{Path, PathBuf};

use terminal::ending;

use crate::agent::AgentError;
use crate::config::ConfigError;
use crate::config::signing::KeyError;
use crate::jsonnet::JsonnetError;
use crate::operator::build::BuildError;
use crate::operator::local::LocalError;
use crate::operator::push::PushError;
use crate::operator::shell::ShellError;
use crate::program::ProgramError;
use crate::wire::key::GenerateError;
use crate::wire::token::TokenError;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The configuration was checked, and the engine could not start with it.
    #[error(transparent)]
    Check(AgentError),
    /// The engine cannot start.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// A pattern was not run here.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// A pattern was not pushed.
    #[error(transparent)]
    Push(#[from] PushError),
    /// A pattern was not built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A program does not render.
    #[error(transparent)]
    Jsonnet(#[from] JsonnetError),
    /// A program is no pattern.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The claims of a token are no JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A token cannot be trusted.
    #[error("{}: {source}", path.display())]
    Token {
        /// The file with it.
        path: PathBuf,
        /// Why not.
        source: TokenError,
    },
    /// No key was made.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// A file or directory that was named cannot be used.
    #[error("{}: {source}", path.display())]
    Path {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Standard output cannot be written.
    #[error("output: {0}")]
    Output(#[source] io::Error),
    /// The system gives no thread, pipe or signal.
    #[error("the operating system refuses: {0}")]
    System(#[source] io::Error),
    /// A shell needs a key, and none is given.
    #[error(
        "a shell needs a key that the other side verifies with; set `build_signingKeyPath` (`etcha-engine generate-keys \
         -o FILE` makes one)"
    )]
    NoKey,
    /// The key cannot be used.
    #[error(transparent)]
    Key(KeyError),
    /// The target that was named for a shell is not configured.
    #[error("the configuration has no target `{0}`; name one that it has, or give --host")]
    UnknownTarget(String),
    /// There are several targets for a shell, or none.
    #[error("the configuration does not have exactly one target; name one, or give --host")]
    WhichTarget,
    /// A shell did not open, or was lost.
    #[error("{host}:{port}: {source}")]
    Shell {
        /// Where.
        host: String,
        /// Its port.
        port: u16,
        /// Why.
        source: ShellError,
    },
}

impl CliError {
    /// For what the system says of `path`.
    pub(super) fn of_path(path: &Path) -> impl FnOnce(io::Error) -> CliError {
        move |source| CliError::Path { path: path.to_owned(), source }
    }

    /// The exit status of the program.
    pub(super) fn status(&self) -> u8 {
        match self {
            CliError::Config(_) | CliError::Check(_) | CliError::Agent(AgentError::NoSources) => {
                ending::UNUSABLE
            }
            _ => ending::FAILED,
        }
    }
}

/// The key to sign with is only looked for where it is needed.
impl From<KeyError> for CliError {
    fn from(error: KeyError) -> CliError {
        match error {
            KeyError::None => CliError::NoKey,
            error => CliError::Key(error),
        }
    }
}
