//! The engine as a process: it listens, each Source runs once, and then on its schedule, when an event sets it off or when
//! a request asks for it, until the end is asked for.
//!
//! Sources are tasks beside each other. All that waits, waits for the stop as well; scripts under way then have the
//! configured time, and are ended.
//!
//! * [`source`]: what each Source has to run, and what it sets off in others; [`state`]: what outlives a restart.
//! * [`listen`]: what others may ask for over HTTPS; [`shell`]: terminals that they may type into.
//! * `lock`: one engine for each state directory and journal.
//! * `pulse`: that the engine is alive, and which runs take long, for the journal.
//! * `pull`: signed Patterns that are fetched. [`budget`]: memory for what is not verified yet.
//! * [`guard`]: whether a token that was verified is meant for this engine.
//! * `refusals`: requests that were refused, and how many lines about them there may be.
//! * [`record`]: what was done, as events in the journal, the only file that names them.

pub(crate) mod budget;
pub(crate) mod guard;
pub(crate) mod listen;
mod lock;
mod pull;
mod pulse;
pub(crate) mod record;
pub(crate) mod refusals;
pub(crate) mod shell;
pub(crate) mod source;
pub(crate) mod state;

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};

use crate::config::{Config, ConfigError, JournalConfig};
use crate::stop::{self, Stopper};
use crate::wire::client::TrustError;
use listen::{ListenError, Listener};
use lock::{Lock, LockError};
use record::{Journal, Trigger};
use source::{Outcome, Sources};
use state::StateDir;

/// How long scripts that were ended, and answers about them, may take until the engine ends without them.
const END_GRACE: Duration = Duration::from_millis(2500);

/// A run that takes longer than this is named in the log, and again after each further such time.
const LONG: Duration = Duration::from_secs(60);

/// How long the last line of the journal may take to be written.
const RECORD_GRACE: Duration = Duration::from_secs(1);

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    /// The state directory cannot be had.
    #[error("{}: state directory: {source}; set `run_stateDir`", path.display())]
    State {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another engine works with the state directory or the journal.
    #[error(
        "{}: the {what} is used by {}; stop that one, or have it run what you want with `etcha-engine push`",
        path.display(),
        by.map_or_else(|| "another engine".to_owned(), |by| format!("the engine with process id {by}"))
    )]
    Taken {
        /// The state directory or the journal, in words.
        what: &'static str,
        /// The directory or the journal.
        path: PathBuf,
        /// Id of the process that has it, if it says so.
        by: Option<u32>,
    },
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The certificates of servers that it speaks to cannot be verified.
    #[error("httpClient: {0}")]
    Trust(#[from] TrustError),
    /// The system gives no pipe, no signal or no randomness.
    #[error("the operating system refuses: {0}")]
    System(#[source] io::Error),
    /// There is nothing that it could ever do.
    #[error("there is nothing to run; add `sources` to the configuration")]
    NoSources,
}

/// Reads the configuration anew.
pub(crate) type Load = dyn Fn() -> Result<Config, ConfigError> + Send + Sync;

/// Reads what a start and the first run read besides the configuration, and makes nothing.
///
/// # Errors
///
/// Some of it cannot be used.
pub(crate) fn check(config: &Config) -> Result<(), AgentError> {
    let blocked =
        config.state_dir.ancestors().find_map(|path| path.metadata().ok().map(|about| !about.is_dir()));
    if blocked == Some(true) {
        let (path, source) = (config.state_dir.clone(), io::ErrorKind::NotADirectory.into());
        return Err(AgentError::State { path, source });
    }
    config.trust.check().map_err(AgentError::Trust)?;
    listen::check(config).map_err(AgentError::Listen)
}

/// Runs every Source once and, unless `once`, goes on until SIGTERM or SIGINT; SIGHUP reloads the configuration. Whether
/// all first runs went well; without `once` the engine ends well whatever they did.
///
/// # Errors
///
/// It cannot start. Once it runs, a signal ends it, or a Command that fires `exit`.
pub(crate) async fn run(config: Config, load: Arc<Load>, once: bool) -> Result<bool, AgentError> {
    if config.sources.is_empty() {
        return Err(AgentError::NoSources);
    }
    let state = StateDir::open(&config.state_dir)
        .map_err(|source| AgentError::State { path: config.state_dir.clone(), source })?;
    let _locks = lock_all(&config)?;
    state.remove_leftovers();
    // Bound before anything runs: an engine that cannot listen, perhaps because another one does, changes nothing.
    let listener = if once { None } else { Listener::open(&config).map_err(AgentError::Listen)? };
    let signals = Signals::catch().map_err(AgentError::System)?;
    let (stopper, stop) = stop::pair().map_err(AgentError::System)?;
    let journal = match &config.journal {
        Some(journal) => Journal::new(journal.path.clone(), journal.options.clone()),
        None => {
            tracing::warn!("no `journal` in the configuration: runs are not recorded");
            Journal::none()
        }
    };
    journal.engine_started();
    let sources = Sources::new(config, journal, state, stop, stopper.clone());
    let mut serving = JoinSet::new();
    if let Some(listener) = listener {
        serving.spawn(listener.serve(Arc::clone(&sources)));
    }
    // Not after the first runs: they may take as long as an installation does, and others may wait for this.
    tell(&[NotifyState::Ready]);
    let signals = tokio::spawn(signals.follow(Arc::clone(&sources), stopper.clone(), load));
    tokio::spawn(pulse::record(Arc::clone(&sources), !once));
    let well = if once { run_once(&sources).await } else { run_on(&sources).await };
    tell(&[NotifyState::Stopping]);
    end(&sources, serving, &stopper).await;
    signals.abort();
    Ok(well)
}

/// Keeps other engines away from the state directory and the journal, as long as what is returned lives.
fn lock_all(config: &Config) -> Result<(Lock, Option<Lock>), AgentError> {
    let state = lock::state(&config.state_dir).map_err(|error| match error {
        LockError::Held(by) => {
            AgentError::Taken { what: "state directory", path: config.state_dir.clone(), by }
        }
        LockError::System(source) => AgentError::State { path: config.state_dir.clone(), source },
    })?;
    let Some(JournalConfig { path, .. }) = &config.journal else { return Ok((state, None)) };
    match lock::journal(path) {
        Ok(journal) => Ok((state, Some(journal))),
        Err(LockError::Held(by)) => Err(AgentError::Taken { what: "journal", path: path.clone(), by }),
        Err(LockError::System(error)) => {
            // What cannot be written is no reason not to work.
            tracing::warn!("{}: the journal is not locked: {error}", path.display());
            Ok((state, None))
        }
    }
}

/// Runs all Sources beside each other, and what they set off. Whether all went well.
async fn run_once(sources: &Arc<Sources>) -> bool {
    let mut running = JoinSet::new();
    let config = sources.config();
    for name in config.sources.keys() {
        let (sources, name) = (Arc::clone(sources), name.clone());
        running.spawn(async move { sources.run(&name, Trigger::Init).await });
    }
    let all = async {
        let mut well = true;
        while let Some(ran) = running.join_next().await {
            well &= ran.is_ok_and(|outcome| outcome != Outcome::Failed);
        }
        sources.idle().await;
        well
    };
    let well = tokio::select! {
        well = all => well,
        () = sources.stop().asked() => false,
    };
    running.detach_all();
    well
}

/// Runs all Sources beside each other, each once and then on its schedule, and anew with each configuration, until the
/// stop.
async fn run_on(sources: &Arc<Sources>) -> bool {
    tokio::spawn(watch_runs(Arc::clone(sources)));
    while !sources.stop().is_asked() {
        let config = sources.config();
        let delay = random_delay(config.randomized_start_delay);
        tracing::info!(sources = config.sources.len(), "started");
        for (name, source) in &config.sources {
            let begin = source.run_frequency.map(|every| (delay, every));
            tokio::spawn(follow_schedule(Arc::clone(sources), Arc::clone(&config), name.clone(), begin));
        }
        tokio::select! {
            () = sources.reloaded(&config) => {}
            () = sources.stop().asked() => {}
        }
    }
    tracing::info!("stopping");
    true
}

/// The first run of a Source, and those on its schedule, as long as `config` holds. Runs that would have begun while
/// another one still ran are left out.
async fn follow_schedule(
    sources: Arc<Sources>,
    config: Arc<Config>,
    name: String,
    schedule: Option<(Duration, Duration)>,
) {
    let over = async {
        tokio::select! {
            () = sources.stop().asked() => {}
            () = sources.reloaded(&config) => {}
        }
    };
    let mut over = std::pin::pin!(over);
    sources.run(&name, Trigger::Init).await;
    let Some((delay, every)) = schedule else { return };
    let mut next = Instant::now() + delay + every;
    loop {
        tokio::select! {
            biased;
            () = &mut over => return,
            () = sleep_until(next) => {}
        }
        sources.run(&name, Trigger::Pull).await;
        next = (next + every).max(Instant::now());
    }
}

/// Says in the log which runs take long, for as long as they do, until the stop.
async fn watch_runs(sources: Arc<Sources>) {
    loop {
        tokio::select! {
            () = sources.stop().asked() => return,
            () = tokio::time::sleep(LONG) => {}
        }
        for (source, time) in sources.under_way(LONG) {
            tracing::warn!(source, seconds = time.as_secs(), "a run is still under way");
        }
    }
}

/// Sources with a run under way, for the log.
fn names(sources: &Sources) -> String {
    let under_way = sources.under_way(Duration::ZERO).into_iter();
    under_way.map(|(source, _)| source).collect::<Vec<_>>().join(", ")
}

/// Lets what is under way finish in the configured time, ends the rest, and records the end.
async fn end(sources: &Arc<Sources>, mut serving: JoinSet<()>, stopper: &Stopper) {
    let ended = async {
        sources.idle().await;
        while serving.join_next().await.is_some() {}
    };
    let mut ended = std::pin::pin!(ended);
    // One run was asked for, and is done.
    stopper.ask();
    let in_time = async {
        tokio::select! {
            done = timeout(sources.config().timeout_stop, &mut ended) => done.is_ok(),
            () = sources.stop().over() => false,
        }
    };
    if !in_time.await {
        tracing::warn!(sources = names(sources), "scripts still run; ending them");
        stopper.end();
        if timeout(END_GRACE, ended).await.is_err() {
            tracing::error!(sources = names(sources), "scripts did not end; they are left running");
        }
    }
    let recorder = Arc::clone(sources);
    let recorded = spawn_blocking(move || recorder.journal().engine_stopped());
    if timeout(RECORD_GRACE, recorded).await.is_err() {
        tracing::error!("journal: no answer within a second; the stop of the engine is not recorded");
    }
}

/// The signals that the engine listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
enum SignalAction {
    End,
    Reload,
}

impl Signals {
    fn catch() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The first one that asks for the end begins it; a second one does not wait for scripts under way.
    async fn follow(mut self, sources: Arc<Sources>, stopper: Stopper, load: Arc<Load>) {
        loop {
            match self.next().await {
                SignalAction::Reload if sources.stop().is_asked() => {}
                SignalAction::Reload => self.reload(&sources, &stopper, &load).await,
                SignalAction::End if sources.stop().is_asked() => stopper.end(),
                SignalAction::End => stopper.ask(),
            }
        }
    }

    /// Reloads, and once more if that is asked for meanwhile. A signal to end does not wait for it: rendering the
    /// configuration may take long.
    async fn reload(&mut self, sources: &Arc<Sources>, stopper: &Stopper, load: &Arc<Load>) {
        let mut is_due = true;
        while std::mem::take(&mut is_due) {
            let mut reloading = pin!(reload(sources, Arc::clone(load)));
            loop {
                tokio::select! {
                    () = &mut reloading => break,
                    action = self.next() => match action {
                        SignalAction::Reload => is_due = true,
                        SignalAction::End => return stopper.ask(),
                    }
                }
            }
        }
    }

    async fn next(&mut self) -> SignalAction {
        tokio::select! {
            _ = self.terminate.recv() => SignalAction::End,
            _ = self.interrupt.recv() => SignalAction::End,
            _ = self.hangup.recv() => SignalAction::Reload,
        }
    }
}

/// Reads the configuration again and applies it. If it cannot be used, logs why and keeps the previous one.
async fn reload(sources: &Arc<Sources>, load: Arc<Load>) {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
    let loaded = spawn_blocking(move || load().map_err(|error| error.to_string())).await;
    match loaded.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(config) if config.sources.is_empty() => {
            tracing::error!("not reloaded: {}; keeping the previous configuration", AgentError::NoSources);
        }
        Ok(config) => {
            let before = sources.config();
            for key in before.needs_restart(&config) {
                tracing::warn!("`{key}` has changed; restart the engine to apply it");
            }
            sources.reload(config);
            tracing::info!("reloaded the configuration");
        }
        Err(why) => tracing::error!("not reloaded: {why}; keeping the previous configuration"),
    }
    tell(&[NotifyState::Ready]);
}

/// Tells the service manager, if there is one.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager does not listen");
    }
}

/// Less than `below`, in whole seconds; nothing if the system gives no randomness.
fn random_delay(below: Duration) -> Duration {
    let random = getrandom::u64().ok().and_then(|random| random.checked_rem(below.as_secs()));
    random.map_or(Duration::ZERO, Duration::from_secs)
}
