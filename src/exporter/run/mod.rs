//! The exporter as a process: starts the parts, joins them, and ends them in order.
//!
//! What counts ([`counting`]), then the listener; and at the end the answers under way, then what counts. Nothing is
//! decided here that another module decides.

mod counting;
pub(crate) mod reload;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use hyper_util::service::TowerToHyperService;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use self::counting::Counting;
use self::reload::{Health, Renewal};
use crate::checkpoint::store::{StateDir, StateDirError};
use crate::config::Config;
use crate::serve::{Connections, Gate, Site, routes};
use crate::textfile::{Textfile, write_again_and_again};
use https::{self, Counters, Tls, certificate, listener, self_signed};

/// Threads that serve connections. Two, so that an answer that is being encrypted delays no other.
const SERVING_THREADS: usize = 2;

/// Why the exporter could not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The state directory cannot be had.
    #[error("state directory {0}")]
    State(#[source] StateDirError),
    /// The certificate of the configuration cannot be used.
    #[error(transparent)]
    Certificate(certificate::Error),
    /// The self-signed certificate cannot be made or used.
    #[error(transparent)]
    SelfSigned(self_signed::Error),
    /// An address cannot be listened on.
    #[error("{0}{hint}", hint = elsewhere(.0))]
    Listen(#[source] listener::BindError),
    /// The operating system gives no thread, no signal or no socket.
    #[error("the operating system refuses: {0}")]
    System(#[source] io::Error),
    /// Two families of one name. A mistake in this program.
    #[error("metrics: {0}")]
    Metrics(#[source] prometheus::Error),
}

/// Where the running exporter is to be found.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    /// Addresses that it listens on.
    pub addresses: Vec<SocketAddr>,
    /// The file with which clients verify it.
    pub certificate: PathBuf,
}

/// What a SIGHUP asks for, beside keys and certificates that are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// Nothing: a service has no terminal to lose.
    GoOn,
    /// The end: whoever watched on a terminal has closed it.
    End,
}

/// Follows and serves until SIGTERM or SIGINT, or as `on_hangup` says. `started` is called once it listens.
///
/// # Errors
///
/// If it cannot start. Once it runs, nothing but a signal ends it.
pub(crate) fn serve(
    config: &Config,
    on_hangup: Hangup,
    started: impl FnOnce(&Running),
) -> Result<(), RunError> {
    let state = StateDir::open(&config.state_dir).map_err(RunError::State)?;
    let tls = if config.listen.is_empty() { None } else { Some(certificate(config)?) };
    let runtime = Builder::new_multi_thread()
        .worker_threads(SERVING_THREADS)
        .enable_all()
        .build()
        .map_err(RunError::System)?;
    // Before anybody is told that it listens: an earlier signal would end the process at once.
    let signals = async { Ok((end_signal(on_hangup)?, signal(SignalKind::hangup())?)) };
    let (end, mut hangup) = runtime.block_on(signals).map_err(RunError::System)?;
    let listeners = runtime.block_on(async { listen(config) })?;
    let counting = Counting::start(config, state).map_err(RunError::System)?;
    let published = counting.published.clone();

    let registry = Registry::new();
    let counters = Arc::new(Counters::default());
    if let Some(tls) = &tls {
        let connections = Connections::new(Arc::clone(&counters), tls.clone());
        registry.register(Box::new(connections)).map_err(RunError::Metrics)?;
    }
    let gate = Gate::new(config.access.clone());
    let health = Health::register(&registry).map_err(RunError::Metrics)?;
    let site = Site::new(gate.clone(), published.clone(), &registry, config.surface.clone())
        .map_err(RunError::Metrics)?;
    let (history, shown) = (site.history(), published.clone());
    let service = TowerToHyperService::new(warp::service(routes(Arc::new(site))));
    let textfile = config.textfile.as_deref().map(|path| Textfile::new(path, published.clone(), &registry));
    let textfile = textfile.transpose().map_err(RunError::Metrics)?.map(|it| Arc::new(Mutex::new(it)));

    let addresses: Vec<_> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    for address in &addresses {
        tracing::info!(%address, journal = %config.journal.display(), "listening");
    }
    started(&Running { addresses, certificate: reload::authority(config) });
    let renewal = Renewal::new(config, gate, tls.clone(), health, counting.reloads.clone());
    let renewing = renewal.start().map_err(RunError::System)?;
    let asker = renewing.asker();
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while hangup.recv().await.is_some() {
                asker.ask();
            }
        });
        tasks.spawn(async move { history.run(&shown).await });
        if let Some(textfile) = &textfile {
            tasks.spawn(write_again_and_again(Arc::clone(textfile), config.poll_interval));
        }
        match tls {
            Some(tls) => {
                https::serve(listeners, tls, connection_limits(config), counters, service, end).await;
            }
            None => end.await,
        }
        tasks.shutdown().await;
    });
    counting.stop();
    if let Some(textfile) = textfile {
        textfile.lock().unwrap_or_else(PoisonError::into_inner).write_if_changed();
    }
    // Last, because a file system that hangs may hold it up.
    renewing.stop();
    tracing::info!("stopped");
    Ok(())
}

/// The certificate that is served first.
fn certificate(config: &Config) -> Result<Tls, RunError> {
    let (files, _missing) = reload::certificate_files(config).map_err(RunError::SelfSigned)?;
    reload::load(files).map_err(RunError::Certificate)
}

fn connection_limits(config: &Config) -> https::ConnectionLimits {
    https::ConnectionLimits {
        connections: config.connections.max,
        connections_per_client: config.connections.max_per_client,
        ..https::ConnectionLimits::default()
    }
}

/// What to set where another process has the port.
fn elsewhere(error: &listener::BindError) -> &'static str {
    if error.is_taken() {
        ": `--listen-address :4010`, or for the systemd unit `Environment=ETCHA_EXPORTER_LISTEN_ADDRESS=:4010` by \
         `systemctl edit etcha-exporter`"
    } else {
        ""
    }
}

/// Sockets from systemd if it passed any, else those of the configuration. Within a runtime.
fn listen(config: &Config) -> Result<Vec<TcpListener>, RunError> {
    if config.listen.is_empty() {
        return Ok(Vec::new());
    }
    let activated = listener::activated().map_err(RunError::Listen)?;
    if !activated.is_empty() {
        return Ok(activated);
    }
    let mut listeners = Vec::new();
    for address in &config.listen {
        listeners.extend(listener::bind(address).map_err(RunError::Listen)?);
    }
    Ok(listeners)
}

/// Completes at the first SIGTERM or SIGINT, or SIGHUP where that is to end it.
fn end_signal(on_hangup: Hangup) -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv(), if on_hangup == Hangup::End => {}
        }
        tracing::info!("stopping: finishing answers, writing a last checkpoint");
    })
}
