//! The command line of `etcha-engine`: what is asked for is read here and done elsewhere.

mod error;
mod log;
mod shell;

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use regex::Regex;
use serde_json::{Map, json};
use tokio::runtime::{Builder, Runtime};

use crate::agent::{self, AgentError};
use crate::config::layers::Layers;
use crate::config::{Config, ConfigError};
use crate::exec;
use crate::exec::process::RunLimits;
use crate::jsonnet;
use crate::operator::build;
use crate::operator::local::{self, Local};
use crate::operator::push::{self, PushOptions};
use crate::operator::report;
use crate::program::{self, View};
use crate::stop;
use crate::wire::key::{self, Algorithm, VerifyKey};
use crate::wire::token;
use error::CliError;
use log::LogLevel;
use terminal::printed::Printed;
use terminal::{documents, ending, printable};

/// Threads for all that waits: they run no script and hardly ever work.
const WORKERS: usize = 2;

/// Threads for scripts and files, far more than Sources let run at once: each run takes one, and one that hangs keeps it.
const MAX_THREADS: usize = 4096;

/// Shown below the list of commands.
const EXAMPLES: &str = "\
Examples:
  Run a command on this host, if its check says that it is needed:
    etcha-engine local \\
        \"{id: 'motd', check: 'grep -q hi motd', change: 'echo hi > motd'}\"

  Look at what a pattern renders to, then run it, then undo it:
    etcha-engine render web.jsonnet
    etcha-engine local web.jsonnet
    etcha-engine local -r web.jsonnet

  Make a key pair, and sign a pattern with it:
    etcha-engine generate-keys -o web.key web
    etcha-engine -x build_signingKeyPath=web.key build web.jsonnet web.jwt

  Push it to a source of another engine, and trust the certificate that this one
  has made:
    etcha-engine -x build_signingKeyPath=web.key \\
        -x httpClient_tlsCAPath=tls-certificate.pem \\
        push --host web1 web web.jsonnet

  Open a shell of a source of another engine, or type into it from a script:
    etcha-engine -c operator.jsonnet shell web web1
    echo uptime | etcha-engine -c operator.jsonnet shell --host web1 web

  Run the sources of a configuration once, then on their schedules:
    etcha-engine -c etcha.jsonnet run --once
    etcha-engine -c etcha.jsonnet run

Configuration: a JSON or Jsonnet file; variables such as ETCHA_run_stateDir=/var
over it; -x over both. Every run of a source is recorded in the file that
`journal_path` names. A key for build_signingKeyPath may come from - (standard
input); never put it on a command line.

Exit status: 0 done, 1 failed, 2 wrong usage or configuration. `shell` exits as
the shell did, or with 255 if it fails itself.";

/// An agent that keeps hosts as their patterns describe, compatible with Etcha
#[derive(Debug, Parser)]
#[command(name = "etcha-engine", version, after_help = EXAMPLES, disable_help_subcommand = true, max_term_width = 80)]
struct Arguments {
    /// Configuration file; without a directory it is looked for here and above [default: etcha.jsonnet, if there is one]
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override a setting of the file; `_` joins the parts of its key, as in run_stateDir=/tmp
    #[arg(short = 'x', global = true, value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// How much is logged to standard error
    #[arg(short, long, global = true, value_name = "LEVEL", default_value = "info")]
    log: LogLevel,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run every source once, then on its schedule, until the engine is asked to stop
    Run {
        /// Stop after the first run of every source; fail if one of them did
        #[arg(short, long)]
        once: bool,
        /// Only check the configuration, and fail if it is wrong; run nothing
        #[arg(long, conflicts_with = "once")]
        check_config: bool,
    },
    /// Run a pattern, or commands given as text, on this host and say what changed
    Local {
        /// A pattern file, or one or more commands in Jsonnet
        #[arg(value_name = "PATH or TEXT")]
        argument: String,
        /// Only commands whose parents (source > group > …) match this regular expression
        #[arg(short, long, value_name = "REGEX")]
        filter: Option<Regex>,
        /// Remove, in reverse order, instead of change
        #[arg(short, long)]
        remove: bool,
        /// The source whose settings and variables apply
        #[arg(short, long, value_name = "NAME", default_value = "local")]
        source: String,
    },
    /// Push a pattern or a command to a source of other engines, several at once, and say what each changed
    Push {
        /// The source on the other engines
        source: String,
        /// A pattern file (….jsonnet) or a command [default: what `sourcePatterns` of each target says]
        #[arg(value_name = "PATH or COMMAND")]
        argument: Option<String>,
        /// Only say what would change
        #[arg(long)]
        check: bool,
        /// Only commands whose parents (source > group > …) match this regular expression
        #[arg(short, long, value_name = "REGEX")]
        filter: Option<Regex>,
        /// One host, which need not be among the targets
        #[arg(long, conflicts_with = "target")]
        host: Option<String>,
        /// Only targets whose names match this regular expression
        #[arg(short = 'n', long, value_name = "REGEX")]
        target: Option<Regex>,
        /// Port, instead of the configured one [default: 4001]
        #[arg(short, long)]
        port: Option<u16>,
        /// Path without the source, instead of the configured one [default: /etcha/v1/push]
        #[arg(short = 'u', long)]
        path: Option<String>,
    },
    /// Open a shell on another engine; its exit status becomes that of this program, 255 is this program's own
    Shell(shell::Shell),
    /// Print what a pattern renders to, as JSON
    Render {
        /// A pattern file, a signed pattern (.jwt), or one or more commands in Jsonnet
        #[arg(value_name = "PATH or TEXT")]
        argument: String,
        /// The source whose settings and variables apply
        #[arg(short, long, value_name = "NAME", default_value = "local")]
        source: String,
    },
    /// Run the build commands of a pattern, sign it with `build_signingKey` and write the token
    Build {
        /// A pattern file
        path: PathBuf,
        /// Where the token goes [default: `buildOutput` of the pattern, etcha.jwt]
        destination: Option<PathBuf>,
    },
    /// Verify a signed pattern with the configured keys and print what it says
    Jwt {
        /// A file with a token
        path: PathBuf,
    },
    /// Make a key pair, as JSON; the private half signs, the public half goes into `verifyKeys`
    GenerateKeys {
        /// A new file for the pair, which only you can read [default: print it; a file that it is printed into becomes
        /// yours alone, too]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Id of the key, which becomes the label `public_key` [default: ten random characters]
        name: Option<String>,
        /// Ed25519, or ECDSA on P-256
        #[arg(short, long, default_value = "ed25519")]
        algorithm: KeyKind,
    },
    /// Write man pages and shell completions into a directory, for packages
    #[command(hide = true)]
    Documents {
        /// Where they go; has to exist
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KeyKind {
    Ed25519,
    Ecp256,
}

/// Mode of a file with a private key.
const OWNER_ALONE: u32 = 0o600;

/// The program's name, before what it says of itself.
const PROGRAM: &str = "etcha-engine";

/// Reads the arguments of the process and does what they ask for.
pub fn main() -> ExitCode {
    // A child of the engine is this program, too.
    exec::child::enter(jsonnet::child::perform).unwrap_or_else(command_line)
}

fn command_line() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return ending::usage(PROGRAM, &error),
    };
    log::to_stderr(arguments.log);
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return ending::failed(PROGRAM, &CliError::System(error)),
    };
    let code = runtime.block_on(answer(&arguments));
    // A thread that hangs, in a look-up of a name or on a dead mount, is not waited for.
    runtime.shutdown_background();
    code
}

/// The one runtime of the program.
fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(MAX_THREADS)
        .enable_all()
        .thread_name("engine")
        .build()
}

async fn answer(arguments: &Arguments) -> ExitCode {
    if let Task::Shell(shell) = &arguments.task {
        let opened = async { shell.open(&configured(arguments)?).await };
        return opened.await.unwrap_or_else(|error: CliError| {
            ending::say(PROGRAM, &error);
            ExitCode::from(shell::OWN_FAILURE)
        });
    }
    match perform(arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            ending::say(PROGRAM, &error);
            ExitCode::from(error.status())
        }
    }
}

async fn perform(arguments: &Arguments) -> Result<bool, CliError> {
    if let Task::GenerateKeys { name, algorithm, output } = &arguments.task {
        return generate_keys(name.as_deref(), *algorithm, output.as_deref());
    }
    if let Task::Documents { directory } = &arguments.task {
        let written = documents::write(Arguments::command(), directory);
        return written.map(|()| true).map_err(CliError::of_path(directory));
    }
    let config = configured(arguments)?;
    if arguments
        .settings
        .iter()
        .any(|setting| setting.starts_with("build_signingKey=") && !setting.ends_with('='))
    {
        tracing::warn!(
            "others on this host can see a key on a command line; give `build_signingKeyPath` instead"
        );
    }
    if let Some(exposure) = config.build.signing.exposure() {
        tracing::warn!("{exposure}");
    }
    match &arguments.task {
        Task::Run { check_config: true, .. } => match config.sources.len() {
            0 => Err(AgentError::NoSources.into()),
            sources => {
                agent::check(&config).map_err(CliError::Check)?;
                print(&format!("the configuration is valid: {sources} sources\n"))
            }
        },
        Task::Run { once, .. } => {
            warn_of_keys(&config);
            let layers = layers(arguments);
            Ok(agent::run(config, Arc::new(move || layers.read()), *once).await?)
        }
        Task::Local { argument, filter, remove, source } => {
            let local = Local { argument, filter: filter.as_ref(), remove: *remove, source };
            Ok(local::local(&config, &local, &limits()?, &mut Printed)?)
        }
        Task::Push { source, argument, check, filter, host, target, port, path } => {
            let push = PushOptions {
                source,
                argument: argument.as_deref(),
                check: *check,
                filter: filter.as_ref(),
                targets: target.as_ref(),
                host: host.as_deref(),
                port: *port,
                path: path.as_deref(),
            };
            Ok(push::push(&config, &push, &limits()?, &mut Printed).await?)
        }
        Task::Render { argument, source } => render(&config, argument, source),
        Task::Build { path, destination } => {
            let mut report = |step: &crate::run::Step<'_>| {
                // Whether it can be shown does not matter to the build.
                let _ = report::step(&mut Printed, step, false);
            };
            let written = build::build(&config, path, destination.as_deref(), &limits()?, &mut report);
            print(&format!("wrote {}\n", written?.display()))
        }
        Task::Jwt { path } => {
            let (_, verified) = verified(&config, path)?;
            let claims = serde_json::to_value(&verified.claims)?;
            print_json(&json!({ "claims": claims, "publicKey": verified.key_id }))
        }
        // Done before: without a configuration, and with a status of its own.
        Task::GenerateKeys { .. } | Task::Documents { .. } | Task::Shell(_) => Ok(true),
    }
}

fn configured(arguments: &Arguments) -> Result<Config, ConfigError> {
    layers(arguments).read()
}

fn layers(arguments: &Arguments) -> Layers {
    Layers {
        file: arguments.config.clone(),
        environment: environment(),
        settings: arguments.settings.clone(),
    }
}

fn warn_of_keys(config: &Config) {
    for key in config.all_keys().filter(|key| key.is_printed()) {
        let what = "the private half of this key is printed in a tutorial or a standard; replace it";
        tracing::warn!(key = key.id(), "{what}");
    }
}

fn render(config: &Config, argument: &str, source: &str) -> Result<bool, CliError> {
    let is_token = Path::new(argument).extension().is_some_and(|ending| ending == "jwt");
    let pattern = if is_token {
        let (text, verified) = verified(config, Path::new(argument))?;
        program::of_claims(config, source, &verified.claims, text.trim())?
    } else {
        let imports = program::of_argument(argument)?;
        View::new(config, source, &Map::new()).render(&imports)?
    };
    print_json(&pattern.rendered)
}

/// A token that one of the configured keys verifies, whatever Source it is for.
fn verified(config: &Config, path: &Path) -> Result<(String, token::Verified), CliError> {
    let text = token::read_token(path).map_err(CliError::of_path(path))?;
    let of_sources = config.sources.values().flat_map(|source| &source.verify_keys);
    let keys: Vec<VerifyKey> = config.verify_keys.iter().chain(of_sources).cloned().collect();
    match token::verify(&text, &keys, program::now()) {
        Ok(verified) => Ok((text, verified)),
        Err(source) => Err(CliError::Token { path: path.to_owned(), source }),
    }
}

fn generate_keys(name: Option<&str>, kind: KeyKind, output: Option<&Path>) -> Result<bool, CliError> {
    let algorithm = match kind {
        KeyKind::Ed25519 => Algorithm::Ed25519,
        KeyKind::Ecp256 => Algorithm::P256,
    };
    let made = key::generate(algorithm, name)?;
    let pair = json!({ "privateKey": made.private, "publicKey": made.public });
    let Some(path) = output else {
        // Before anything is in it: `generate-keys > keys.json` is what many write.
        keep_to_owner(&io::stdout()).map_err(CliError::Output)?;
        return print_json(&pair);
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ALONE).open(path);
    let mut file = file.map_err(CliError::of_path(path))?;
    writeln!(file, "{pair:#}").and_then(|()| file.sync_all()).map_err(CliError::of_path(path))?;
    print(&format!("{}\n", made.public))
}

/// If it is a file, nobody but its owner may read it from now on.
fn keep_to_owner(output: &io::Stdout) -> io::Result<()> {
    let stat = rustix::fs::fstat(output)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile {
        rustix::fs::fchmod(output, rustix::fs::Mode::from_raw_mode(OWNER_ALONE))?;
    }
    Ok(())
}

fn print_json(value: &serde_json::Value) -> Result<bool, CliError> {
    let text = format!("{value:#}\n");
    // The same JSON, but nothing in it does anything to a terminal. Line ends between members are ours.
    let lines: Vec<_> = text.split('\n').map(printable::json).collect();
    print(&lines.join("\n"))
}

fn print(text: &str) -> Result<bool, CliError> {
    Printed.write_all(text.as_bytes()).map_err(CliError::Output)?;
    Ok(true)
}

/// For work that ends by itself, or with Ctrl-C.
fn limits() -> Result<RunLimits, CliError> {
    Ok(RunLimits { deadline: None, stop: stop::on_signals().map_err(CliError::System)? })
}

/// Variables whose names and values are text; no other can be about the configuration.
fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
