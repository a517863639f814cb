//! The engine as a process: Sources are restored, each runs once, and then on its schedule, or when somebody asks for it
//! over the network, until the end is asked for.
//!
//! One thread for each Source with a schedule. They mostly sleep, and a run is a sequence of processes to wait for.
//!
//! * [`source`]: what each Source has to run, and what it sets off in others; [`state`]: what outlives a restart.
//! * [`listen`]: what others may ask for over HTTPS; [`shell`]: terminals that they may type into.
//! * [`pull`]: signed Patterns that are fetched. [`budget`]: memory for what is not verified yet.
//! * [`record`]: what was done, as events in the journal, the only file that names them.

pub mod budget;
pub mod listen;
mod pull;
pub mod record;
pub mod shell;
pub mod source;
pub mod state;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::agent::listen::{ListenError, Listener};
use crate::agent::record::{Journal, Trigger};
use crate::agent::source::{Outcome, Sources};
use crate::agent::state::StateDir;
use crate::config::Config;
use crate::stop::{self, Stop};

/// Why the engine could not start.
#[derive(Debug)]
pub enum AgentError {
    /// The state directory cannot be had.
    State(PathBuf, io::Error),
    /// It cannot listen.
    Listen(ListenError),
    /// The system gives no pipe, no signal, no thread or no randomness.
    System(io::Error),
    /// There is nothing that it could ever do.
    NoSources,
}

impl fmt::Display for AgentError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AgentError::State(path, error) => {
                write!(out, "{}: state directory: {error}; set `run_stateDir`", path.display())
            }
            AgentError::Listen(error) => error.fmt(out),
            AgentError::System(error) => write!(out, "the operating system refuses: {error}"),
            AgentError::NoSources => {
                write!(out, "there is nothing to run; add `sources` to the configuration")
            }
        }
    }
}

impl std::error::Error for AgentError {}

/// Runs every Source once and, unless `once`, goes on until SIGTERM or SIGINT. Whether all first runs went well.
///
/// # Errors
///
/// It cannot start. Once it runs, a signal ends it, or a Command that fires `exit`.
pub fn run(mut config: Config, once: bool) -> Result<bool, AgentError> {
    if config.sources.is_empty() {
        return Err(AgentError::NoSources);
    }
    let state = StateDir::open(&config.state_dir)
        .map_err(|error| AgentError::State(config.state_dir.clone(), error))?;
    // Bound before anything runs: an engine that cannot listen, perhaps because another one does, changes nothing.
    let listener = if once { None } else { Listener::open(&config).map_err(AgentError::Listen)? };
    let (stopper, stop) = stop::on_signals().map_err(AgentError::System)?;
    let journal = match config.journal.take() {
        Some(journal) => Journal::new(journal.path, journal.options),
        None => {
            tracing::warn!("no `journal` in the configuration: runs are not recorded");
            Journal::none()
        }
    };
    journal.engine_started();
    // Not after the first runs: they may take as long as an installation does, and others may wait for this.
    tell(NotifyState::Ready);
    let sources = Arc::new(Sources::new(config, journal, state, stop.clone(), stopper));
    let mut well = true;
    for name in sources.config().sources.keys() {
        if stop.is_asked() {
            break;
        }
        well &= sources.run(name, Trigger::Init) != Outcome::Failed;
    }
    let goes_on = if once { Ok(()) } else { go_on(&sources, listener, &stop) };
    sources.journal().engine_stopped();
    goes_on.map(|()| well).map_err(AgentError::System)
}

/// Listens and follows the schedules until the end is asked for.
fn go_on(sources: &Arc<Sources>, listener: Option<Listener>, stop: &Stop) -> io::Result<()> {
    let listening = match listener {
        Some(listener) if !stop.is_asked() => Some(listener.start(Arc::clone(sources))?),
        _ => None,
    };
    let followed = follow_schedules(sources, stop);
    tell(NotifyState::Stopping);
    if let Some(listening) = listening {
        listening.end();
    }
    followed
}

/// Waits for the end, and runs Sources whenever it is time.
fn follow_schedules(sources: &Sources, stop: &Stop) -> io::Result<()> {
    let delay = random_delay(sources.config().randomized_start_delay)?;
    if stop.wait(delay) {
        return Ok(());
    }
    let scheduled = sources.config().sources.iter();
    let scheduled: Vec<_> =
        scheduled.filter_map(|(name, source)| source.run_frequency.map(|every| (name, every))).collect();
    tracing::info!(scheduled = scheduled.len(), "started");
    thread::scope(|scope| {
        for (name, every) in scheduled {
            let thread = thread::Builder::new().name(format!("source {name}"));
            thread.spawn_scoped(scope, move || follow_schedule(sources, name, every, stop))?;
        }
        while !stop.wait(Duration::from_secs(3600)) {}
        tracing::info!("stopping");
        Ok(())
    })
}

/// Runs that would have begun while another one still ran are left out.
fn follow_schedule(sources: &Sources, name: &str, every: Duration, stop: &Stop) {
    let mut next = Instant::now() + every;
    while !stop.wait(next.saturating_duration_since(Instant::now())) {
        sources.run(name, Trigger::Pull);
        next = (next + every).max(Instant::now());
    }
}

/// Tells the service manager, if there is one.
fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "the service manager does not listen");
    }
}

/// Less than `below`, in whole seconds.
fn random_delay(below: Duration) -> io::Result<Duration> {
    match getrandom::u64().map_err(io::Error::from)?.checked_rem(below.as_secs()) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Ok(Duration::ZERO),
    }
}
