//! From what was typed and written to what is meant: one [`Config`] whose every value is right, so that nobody checks
//! again. Opens nothing but the files it reads its own values from.
//!
//! Four layers, the first that names a value decides: flags, environment variables, the configuration file, defaults.
//!
//! # Layout
//!
//! * `args`: command line and variables, what was typed.
//! * `file`: the configuration file, what was written; `json` reads it member by member.
//! * `keys`: where the keys to the metrics come from.
//! * `layers`: the strongest layer that names a value decides.
//! * `text`: a small file, read whole.
//! * `web`: the web configuration file that Prometheus' exporters share.
//! * `reread`: the same configuration once more, while the process runs.
//! * `address`, `value`: single values, read the same way wherever they stand.
//! * `problem`: what is wrong, all of it at once.
//! * `summary`: what it all means, for `--check-config`.

mod address;
mod args;
mod file;
mod json;
mod keys;
mod layers;
mod problem;
mod reread;
mod summary;
mod text;
mod value;
mod web;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::FromArgMatches as _;
use clap::parser::ValueSource;

use self::args::{CheckpointCommand, Cli, Command};
use self::file::Written;
use self::layers::{limits_of, line_bytes_of, log_of, serve, state_dir_of};
use super::log;
use super::serve::Access;
use https;

pub use self::address::{DEFAULT_LISTEN, DEMO_LISTEN, ListenAddress};
pub use self::problem::Problem;
pub use self::reread::Reread;
pub use self::value::DEFAULT_POLL_INTERVAL;
pub use super::metrics::DEFAULT_MAX_SERIES;
pub use super::metrics::labels::DEFAULT_MAX_LABEL_BYTES;
pub use crate::checkpoint::writer::DEFAULT_CHECKPOINT_INTERVAL;
pub use https::certificate::Version as TlsVersion;

/// The journal that is followed unless told otherwise.
pub const DEFAULT_JOURNAL: &str = "/var/lib/etcha/journal.jsonl";

/// Where state is kept unless told otherwise, by us or by systemd.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/etcha-exporter";

/// Exit status for wrong usage and wrong configuration.
const USAGE: u8 = 2;

/// What the process is asked to do, and how it shall log meanwhile.
#[derive(Debug)]
pub struct Invocation {
    /// How to log.
    pub log: Log,
    /// What to do.
    pub task: Task,
}

/// What the process is asked to do.
#[derive(Debug)]
pub enum Task {
    /// Follow the journal and serve.
    Serve(Box<Config>),
    /// Show the configuration, which is right, and exit.
    CheckConfig(Box<Config>),
    /// Print the metrics of journal files and exit.
    Render {
        /// The files in their order; `-` is standard input. At least one.
        files: Vec<PathBuf>,
        /// Limits on what is counted.
        limits: Limits,
        /// What is taken of the journals.
        bounds: Bounds,
    },
    /// Run an agent and serve what it does.
    Demo {
        /// Where to listen.
        listen: ListenAddress,
    },
    /// Show the saved state.
    ShowCheckpoint {
        /// Where it is.
        state_dir: PathBuf,
    },
    /// Set the saved state aside.
    ResetCheckpoint {
        /// Where it is.
        state_dir: PathBuf,
    },
    /// Write man pages and completions.
    Documents {
        /// The command line that they tell of.
        command: Box<clap::Command>,
        /// Where they go.
        directory: PathBuf,
    },
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a line looks.
    pub format: log::Format,
    /// The least important events that are logged.
    pub level: log::Level,
}

/// How to follow and serve.
#[derive(Clone, Debug)]
pub struct Config {
    /// The journal to follow. Need not exist.
    pub journal: PathBuf,
    /// Directory for checkpoint and certificate. Need not exist.
    pub state_dir: PathBuf,
    /// Where to listen: none twice; nowhere only if there is a textfile.
    pub listen: Vec<ListenAddress>,
    /// Who may read the metrics: at least one key or user, unless nothing listens.
    pub access: Access,
    /// Names of the places that the keys came from, for people.
    pub key_sources: Vec<String>,
    /// Files of the certificate, or `None` for the self-signed one.
    pub tls: Option<TlsFiles>,
    /// Whether clients have to show certificates, and whose.
    pub client_auth: Option<ClientAuth>,
    /// The oldest version of TLS that is spoken.
    pub least_tls: TlsVersion,
    /// Where the metrics are written, too.
    pub textfile: Option<PathBuf>,
    /// Limits on connections.
    pub connections: Connections,
    /// Longest pause between two looks at the journal, 10 ms to an hour.
    pub poll_interval: Duration,
    /// Pause between two checkpoints, 100 ms to a day.
    pub checkpoint_interval: Duration,
    /// Limits on what is counted.
    pub limits: Limits,
    /// What is taken of the journal, and how much of the past is remembered.
    pub bounds: Bounds,
    /// How to log.
    pub log: Log,
    /// What is not wrong, but should be changed. To be logged once.
    pub warnings: Vec<String>,
    /// Files that it came from or that it names: when one changes, it is to be read again.
    pub files: Vec<PathBuf>,
    /// How to read it again; `None` if it was not read from anywhere.
    pub reread: Option<Reread>,
}

/// Whose certificates clients have to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// Their authorities, PEM.
    pub authorities: PathBuf,
    /// Whether a client without certificate is turned away; one with a wrong certificate always is.
    pub required: bool,
}

/// Limits on connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Open at once, 2 to 65,536.
    pub max: usize,
    /// Open at once of one client, 1 to 65,536.
    pub max_per_client: usize,
}

impl Default for Connections {
    fn default() -> Self {
        let limits = https::Limits::default();
        Self { max: limits.connections, max_per_client: limits.connections_per_client }
    }
}

/// Limits on what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Series that one family may have, 1 to 4,000,000,000.
    pub max_series: usize,
    /// Bytes that a label value may have, 64 to 1,000,000,000.
    pub max_label_bytes: usize,
}

/// Bytes of a line, 1,024 to 65,536, and what is remembered so that a line that comes again is recognised: 1 to
/// 1,000,000 of each.
pub use super::follow::Bounds;

/// A certificate and its key, both readable when the configuration was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// What the configuration takes from around the process, besides the variables that stand for flags. Holds a key: not
/// for printing.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// `ETCHA_EXPORTER_METRICS_KEY`.
    pub metrics_key: Option<OsString>,
    /// systemd's `CREDENTIALS_DIRECTORY`.
    pub credentials_directory: Option<PathBuf>,
    /// systemd's `STATE_DIRECTORY`: one path, or several joined by colons.
    pub state_directory: Option<OsString>,
    /// Whether standard error is a terminal.
    pub terminal: bool,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self {
            metrics_key: std::env::var_os(keys::KEY_VARIABLE),
            credentials_directory: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            state_directory: std::env::var_os("STATE_DIRECTORY"),
            terminal: io::stderr().is_terminal(),
        }
    }

    fn state_dir(&self) -> PathBuf {
        let first = self.state_directory.as_ref().and_then(|all| all.as_bytes().split(|&b| b == b':').next());
        match first.filter(|first| !first.is_empty()) {
            Some(first) => PathBuf::from(std::ffi::OsStr::from_bytes(first)),
            None => PathBuf::from(DEFAULT_STATE_DIR),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum Error {
    /// The command line is wrong, or asks for help or the version, which clap treats alike.
    Usage(Box<clap::Error>),
    /// The configuration is wrong in these ways.
    Config(Vec<Problem>),
}

impl Error {
    /// Prints it where it belongs and says how the process shall exit.
    pub fn report(&self) -> ExitCode {
        match self {
            Self::Usage(error) => {
                // Nobody is left to tell when the terminal is gone.
                let _ = error.print();
                u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
            }
            Self::Config(problems) => {
                for problem in problems {
                    eprintln!("error: {problem}");
                }
                ExitCode::from(USAGE)
            }
        }
    }
}

/// Reads the configuration out of the command line (the program's name first), the environment, and the file that
/// they name.
///
/// # Errors
///
/// Everything that is wrong, and requests for help and version.
pub fn read<A>(args: impl IntoIterator<Item = A>, around: &Surroundings) -> Result<Invocation, Error>
where
    A: Into<OsString> + Clone,
{
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let reread = Reread::new(args.clone(), around.clone());
    let usage = |error| Error::Usage(Box::new(error));
    let matches = args::command().try_get_matches_from(args).map_err(usage)?;
    let cli = Cli::from_arg_matches(&matches).map_err(usage)?;
    let key_files_typed = matches.value_source("metrics_key_file") == Some(ValueSource::CommandLine);
    let log = log_of(&cli.log, &Written::default(), around);
    let task = match cli.command {
        None => return serve(cli.serve, &cli.log, key_files_typed, around, reread).map_err(Error::Config),
        Some(Command::Render(args)) => {
            let limits = limits_of(&args.limits, &Written::default());
            let line_bytes = line_bytes_of(&args.limits, &Written::default());
            Task::Render { files: args.files, limits, bounds: Bounds { line_bytes, ..Bounds::default() } }
        }
        Some(Command::Demo(args)) => Task::Demo { listen: args.listen_address },
        Some(Command::Checkpoint(CheckpointCommand::Show(args))) => {
            Task::ShowCheckpoint { state_dir: state_dir_of(args, None, around) }
        }
        Some(Command::Checkpoint(CheckpointCommand::Reset(args))) => {
            Task::ResetCheckpoint { state_dir: state_dir_of(args, None, around) }
        }
        Some(Command::Documents(args)) => {
            Task::Documents { command: Box::new(args::command()), directory: args.directory }
        }
    };
    Ok(Invocation { log, task })
}

#[cfg(test)]
mod tests;
