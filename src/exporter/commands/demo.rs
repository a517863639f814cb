//! `etcha-exporter demo`: a real agent at work, and the exporter on its journal.
//!
//! Everything lives in a temporary directory that goes with the process. Nothing of it is for production: keys are made
//! anew each time, and the one for the metrics is printed.

mod agent;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use agent::Agent;

use crate::config::{
    Bounds, Config, Connections, DEFAULT_CHECKPOINT_INTERVAL, DEFAULT_POLL_INTERVAL, Limits, ListenAddress,
    Log, Policy, Surface,
};
use crate::run::{self, Hangup, RunError, Running};
use crate::serve::{Access, METRICS_PATH};

/// Why there is no demonstration.
#[derive(Debug, thiserror::Error)]
pub(super) enum DemoError {
    /// The temporary directory or what belongs into it cannot be made.
    #[error("a temporary directory cannot be made: {0}")]
    Directory(#[source] io::Error),
    /// The agent's program is not at this place.
    #[error(
        "{}: is not there; the demonstration needs it beside this program, so build both with `cargo build --release`",
        .0.display()
    )]
    NoAgent(PathBuf),
    /// The agent does not do what it is asked to. Says why.
    #[error("the agent: {0}")]
    Agent(String),
    /// The exporter cannot start.
    #[error(transparent)]
    Run(RunError),
}

/// Starts the agent, and listens on `listen` until SIGTERM or SIGINT, or until the terminal is closed (SIGHUP). Then
/// both end, and the directory goes.
///
/// # Errors
///
/// If it cannot start.
pub(super) fn demo(listen: ListenAddress, log: Log) -> Result<(), DemoError> {
    // It holds keys: with the operator's key, one can run commands as the user who started this.
    let private = fs::Permissions::from_mode(0o700);
    let directory = tempfile::Builder::new().prefix("etcha-exporter-demo-").permissions(private).tempdir();
    let directory = directory.map_err(DemoError::Directory)?;
    let key = random_key().map_err(DemoError::Directory)?;
    let config = configuration(directory.path(), &key, listen, log);
    let agent = Agent::start(directory.path(), &config.journal)?;
    let ran = run::serve(&config, Hangup::End, |running| {
        eprint!("{}", welcome(running, &config.journal, &key, &agent));
    });
    // In this order: the directory is the agent's, too.
    drop(agent);
    drop(directory);
    ran.map_err(DemoError::Run)
}

fn configuration(directory: &Path, key: &str, listen: ListenAddress, log: Log) -> Config {
    let mut access = Access::default();
    // It is not empty: it was just made.
    let _ = access.keys.add(key.as_bytes());
    Config {
        journal: directory.join("journal.jsonl"),
        state_dir: directory.join("state"),
        listen: vec![listen],
        access,
        key_sources: vec!["the demonstration".to_owned()],
        tls: None,
        clients: None,
        policy: Policy::default(),
        surface: Surface::default(),
        textfile: None,
        connections: Connections::default(),
        poll_interval: DEFAULT_POLL_INTERVAL,
        checkpoint_interval: DEFAULT_CHECKPOINT_INTERVAL,
        limits: Limits::default(),
        bounds: Bounds::default(),
        log,
        warnings: Vec::new(),
        files: Vec::new(),
        rows: Vec::new(),
        reread: None,
    }
}

fn welcome(running: &Running, journal: &Path, key: &str, agent: &Agent) -> String {
    let mut text = String::new();
    let Some(address) = running.addresses.first() else { return text };
    let host = if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        SocketAddr::to_string(address)
    };
    let url = format!("https://{host}{METRICS_PATH}");
    // Writing to memory cannot fail.
    let _ = write!(
        text,
        "
An agent is at work and writes a journal; its metrics are served at

  {url}

Key          {key}
Scrape       curl --cacert {} -H 'Authorization: Bearer {key}' {url}
Journal      tail -f {}

In the agent itself:

{}
Stop         Ctrl-C; everything above is temporary

",
        running.certificate.display(),
        journal.display(),
        agent.welcome(),
    );
    text
}

/// 128 bits as 32 characters.
fn random_key() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::from)?;
    Ok(bytes.iter().fold(String::new(), |mut key, byte| {
        let _ = write!(key, "{byte:02x}");
        key
    }))
}
