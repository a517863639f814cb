//! From what was typed and written to what is meant: one [`Config`] whose every value is right, so that nobody checks
//! again. Opens nothing but the files it reads its own values from.
//!
//! Four layers, the first that names a value decides: flags, environment variables, the configuration file, defaults.
//!
//! # Layout
//!
//! * `settings`: each setting, defined once. The crate `settings` says what comes out of that.
//! * `args`: the command line: subcommands, and which settings each has.
//! * `layers`: what the settings mean together.
//! * `explain`: keys in the file that are not the exporter's.
//! * `keys`: where the keys to the metrics come from.
//! * `text`: a small file, read whole.
//! * `web`: the web configuration file that Prometheus' exporters share.
//! * `reread`: the same configuration once more, while the process runs.
//! * `summary`: what it all means, for `--check-config`.

mod address;
mod args;
mod explain;
mod keys;
mod layers;
mod reread;
mod settings;
mod summary;
mod text;
mod weak;
mod web;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ::settings::value::Parsed;
use ::settings::{Layers, Row};
use clap::ArgMatches;
use terminal::ending;

use self::args::VARIABLE_PREFIX;
use self::layers::{limits_of, log_of, serving, state_dir_of};
use super::log;
use super::serve::Access;
use https;

pub use self::address::ListenAddress;
pub(crate) use self::address::{DEFAULT_LISTEN, DEMO_LISTEN};
pub use self::reread::Reread;
pub(crate) use super::metrics::DEFAULT_MAX_SERIES;
pub(crate) use super::metrics::labels::DEFAULT_MAX_LABEL_BYTES;
pub(crate) use crate::checkpoint::writer::DEFAULT_CHECKPOINT_INTERVAL;
pub(crate) use crate::serve::Surface;
pub use ::settings::Problem;
pub use https::certificate::{Clients, Pem};
pub use https::policy::Policy;

/// The journal that is followed unless told otherwise.
pub(crate) const DEFAULT_JOURNAL: &str = "/var/lib/etcha/journal.jsonl";

/// Pause between two looks at the journal. A notification from the file system cuts it short.
pub(crate) const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Where state is kept unless told otherwise, by us or by systemd.
pub(crate) const DEFAULT_STATE_DIR: &str = "/var/lib/etcha-exporter";

/// Name of the program, before what it says of itself.
pub(crate) const PROGRAM: &str = "etcha-exporter";

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
    /// Where to listen: no address twice. Empty only if there is a textfile.
    pub listen: Vec<ListenAddress>,
    /// Who may read the metrics: at least one key or user, unless nothing listens or client certificates are
    /// verified.
    pub access: Access,
    /// Names of the places that the keys came from, for people.
    pub key_sources: Vec<String>,
    /// Files of the certificate, or `None` for the self-signed one.
    pub tls: Option<TlsFiles>,
    /// Whether clients have to show certificates, and whose.
    pub clients: Option<Clients>,
    /// What is negotiated with clients.
    pub policy: Policy,
    /// What is settled at start about the answers.
    pub surface: Surface,
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
    /// What is allowed but should be changed. To be logged once.
    pub warnings: Vec<String>,
    /// Files that it came from or that it names: when one changes, it is to be read again.
    pub files: Vec<PathBuf>,
    /// Its settings and their values, for people and to see what a restart is needed for.
    pub rows: Vec<Row>,
    /// How to read it again; `None` if it was not read from anywhere.
    pub reread: Option<Reread>,
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
        let limits = https::ConnectionLimits::default();
        Self { max: limits.connections, max_per_client: limits.connections_per_client }
    }
}

/// Series that one family may have, 1 to 4,000,000,000, and bytes that a label value may have, 64 to 1,000,000,000.
pub use super::metrics::Limits;

/// Bytes of a line, 1,024 to 65,536, and what is remembered so that a line that comes again is recognised: 1 to
/// 1,000,000 of each.
pub use super::follow::Bounds;

/// A certificate and its key, both readable when the configuration was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain.
    pub certificate: Pem,
    /// Private key.
    pub key: Pem,
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
    /// Whether the exporter is running. A certificate that cannot be read is then reported where it would be taken up,
    /// and holds up no other change.
    pub running: bool,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self {
            metrics_key: std::env::var_os(keys::KEY_VARIABLE),
            credentials_directory: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            state_directory: std::env::var_os("STATE_DIRECTORY"),
            terminal: io::stderr().is_terminal(),
            running: false,
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
            Self::Usage(error) => ending::usage(PROGRAM, error),
            Self::Config(problems) => {
                for problem in problems {
                    ending::say(PROGRAM, problem);
                }
                ExitCode::from(ending::UNUSABLE)
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
    match matches.subcommand() {
        None => {
            let config = Box::new(serving(&matches, around, reread).map_err(Error::Config)?);
            let checks = matches.get_flag(settings::CHECK_CONFIG.about.flag);
            let log = config.log;
            Ok(Invocation { log, task: if checks { Task::CheckConfig(config) } else { Task::Serve(config) } })
        }
        Some((name, of_it)) => subcommand(name, of_it, around).map_err(Error::Config),
    }
}

/// What a subcommand asks for. clap has made sure that it is one of these, and that what it needs is there.
fn subcommand(name: &str, matches: &ArgMatches, around: &Surroundings) -> Result<Invocation, Vec<Problem>> {
    let (name, matches) = match matches.subcommand() {
        Some((nested, of_it)) => (nested, of_it),
        None => (name, matches),
    };
    let mut layers = Layers::new(matches, VARIABLE_PREFIX, None);
    let log = log_of(&mut layers, around);
    let paths = |id: &str| matches.get_many::<PathBuf>(id).into_iter().flatten().cloned();
    let task = match name {
        "render" => {
            let (limits, line_bytes) = limits_of(&mut layers);
            Task::Render {
                files: paths("files").collect(),
                limits,
                bounds: Bounds { line_bytes, ..Bounds::default() },
            }
        }
        "demo" => {
            let Parsed(listen) = layers.get(&settings::DEMO_ADDRESS);
            Task::Demo { listen }
        }
        "show" => Task::ShowCheckpoint { state_dir: state_dir_of(&mut layers, around) },
        "reset" => Task::ResetCheckpoint { state_dir: state_dir_of(&mut layers, around) },
        _ => Task::Documents {
            command: Box::new(args::command()),
            directory: paths("directory").next().unwrap_or_default(),
        },
    };
    layers.end()?;
    Ok(Invocation { log, task })
}

/// The table of settings for the documentation, in Markdown.
pub fn table() -> String {
    ::settings::table::table(settings::SETTINGS)
}

#[cfg(test)]
mod tests;
