//! The exporter as a process: starts the parts, joins them, and ends them in order.
//!
//! State directory and checkpoint, follower, listener; and at the end the answers under way, the follower, a last
//! checkpoint. Nothing is decided here that a room decides.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper_util::service::TowerToHyperService;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::checkpoint::{Origin, Unusable, load};
use super::checkpointer::Checkpointer;
use super::config::Config;
use super::follow::tail::Tail;
use super::follow::{Follower, Memory};
use super::metrics::labels::LabelLimit;
use super::metrics::{Limits, Metrics};
use super::published::Published;
use super::publisher::Publisher;
use super::serve::{Connections, Site, routes};
use super::state_dir::{StateDir, StateDirError};
use crate::https::certificate::Files;
use crate::https::self_signed::{Ensured, SelfSigned};
use crate::https::{self, Counters, Tls, certificate, listener, names::Names, self_signed};

/// How often certificates are looked at. Cheap, and far below the time that is left when one is renewed.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(60);

/// Threads that serve connections. Two, so that an answer that is being encrypted delays no other.
const SERVING_THREADS: usize = 2;

/// Why the exporter could not start.
#[derive(Debug)]
pub enum RunError {
    /// The state directory cannot be had.
    State(StateDirError),
    /// The certificate of the configuration cannot be used.
    Certificate(certificate::Error),
    /// The self-signed certificate cannot be made or used.
    SelfSigned(self_signed::Error),
    /// An address cannot be listened on.
    Listen(listener::BindError),
    /// The operating system gives no thread, no signal or no socket.
    System(io::Error),
    /// Two families of one name. A mistake in this program.
    Metrics(prometheus::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::State(error) => write!(out, "state directory {error}"),
            RunError::Certificate(error) => error.fmt(out),
            RunError::SelfSigned(error) => error.fmt(out),
            RunError::Listen(error) => error.fmt(out),
            RunError::System(error) => write!(out, "the operating system refuses: {error}"),
            RunError::Metrics(error) => write!(out, "metrics: {error}"),
        }
    }
}

impl std::error::Error for RunError {}

/// Where the running exporter is to be found.
#[derive(Clone, Debug)]
pub struct Running {
    /// Addresses that it listens on.
    pub addresses: Vec<SocketAddr>,
    /// The file with which clients verify it.
    pub certificate: PathBuf,
}

/// Follows and serves until SIGTERM or SIGINT. `started` is called once it listens.
///
/// # Errors
///
/// If it cannot start. Once it runs, nothing but a signal ends it.
pub fn serve(config: &Config, started: impl FnOnce(&Running)) -> Result<(), RunError> {
    let mut state = StateDir::open(&config.state_dir).map_err(RunError::State)?;
    let certificates = Certificates::open(config)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(SERVING_THREADS)
        .enable_all()
        .build()
        .map_err(RunError::System)?;
    let listeners = runtime.block_on(async { listen(config) })?;
    let (follower, restored) = follower(config, &mut state);
    let published = Published::default();
    let checkpointer =
        Arc::new(Checkpointer::start(state, config.checkpoint_interval).map_err(RunError::System)?);
    let publisher = Publisher::new(published.clone(), Arc::clone(&checkpointer), restored);
    let tail = Tail::start(follower, config.poll_interval, Box::new(publisher)).map_err(RunError::System)?;

    let registry = Registry::new();
    let counters = Arc::new(Counters::default());
    let connections = Connections::new(Arc::clone(&counters), certificates.tls.clone());
    registry.register(Box::new(connections)).map_err(RunError::Metrics)?;
    let site = Site::new(config.keys.clone(), published, &registry).map_err(RunError::Metrics)?;
    let service = TowerToHyperService::new(warp::service(routes(Arc::new(site))));

    let addresses: Vec<_> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    for address in &addresses {
        tracing::info!(%address, journal = %config.journal.display(), "listening");
    }
    started(&Running { addresses, certificate: certificates.authority.clone() });
    let served: io::Result<()> = runtime.block_on(async {
        let (tls, limits) = (certificates.tls.clone(), https::Limits::default());
        let end = end_signal()?;
        let renewal = tokio::spawn(certificates.look_after(signal(SignalKind::hangup())?));
        https::serve(listeners, tls, limits, counters, service, end).await;
        renewal.abort();
        Ok(())
    });
    tail.stop();
    // The follower, and with it the publisher's share, is gone: this is the last one.
    if let Some(checkpointer) = Arc::into_inner(checkpointer) {
        checkpointer.finish();
    }
    tracing::info!("stopped");
    served.map_err(RunError::System)
}

/// A follower that goes on from the newest checkpoint that can be used, or from nothing.
fn follower(config: &Config, state: &mut StateDir) -> (Follower, Option<Origin>) {
    let limits =
        Limits { series: config.limits.max_series, label: LabelLimit::new(config.limits.max_label_bytes) };
    let loaded = load(state, |checkpoint| {
        if checkpoint.journal != config.journal {
            return Err(Unusable::Journal(checkpoint.journal));
        }
        let metrics = Metrics::restore(checkpoint.metrics, limits).ok_or(Unusable::Unsound)?;
        Ok(Follower::restore(&config.journal, metrics, checkpoint.follow, Memory::default()))
    });
    match loaded {
        Some((follower, origin)) => (follower, Some(origin)),
        None => (Follower::new(&config.journal, Metrics::new(limits), Memory::default()), None),
    }
}

/// Sockets from systemd if it passed any, else those of the configuration. Within a runtime.
fn listen(config: &Config) -> Result<Vec<TcpListener>, RunError> {
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

/// Completes at the first SIGTERM or SIGINT.
fn end_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: finishing answers, writing a last checkpoint");
    })
}

/// The certificate that is served, and what renews it.
struct Certificates {
    tls: Tls,
    /// Present if there are no certificate files in the configuration.
    self_signed: Option<SelfSigned>,
    /// What clients verify with.
    authority: PathBuf,
}

impl Certificates {
    fn open(config: &Config) -> Result<Certificates, RunError> {
        if let Some(files) = &config.tls {
            let authority = files.certificate.clone();
            let files = Files {
                certificate: files.certificate.clone(),
                key: files.key.clone(),
                client_authorities: None,
            };
            let tls = Tls::load(files).map_err(RunError::Certificate)?;
            return Ok(Certificates { tls, self_signed: None, authority });
        }
        let own = SelfSigned::new(&config.state_dir);
        let ensured = own.ensure(&Names::of_host(&[]), SystemTime::now()).map_err(RunError::SelfSigned)?;
        if let Ensured::Made { .. } = ensured {
            tracing::info!(file = %own.authority().display(), "made a certificate; clients verify with this file");
        }
        let tls = Tls::load(own.files()).map_err(RunError::Certificate)?;
        Ok(Certificates { tls, authority: own.authority(), self_signed: Some(own) })
    }

    /// Renews the own certificate and takes up replaced files, now and then and at each SIGHUP.
    async fn look_after(self, mut hangup: tokio::signal::unix::Signal) {
        let Certificates { tls, self_signed, .. } = self;
        loop {
            tokio::select! {
                _ = tokio::time::sleep(CERTIFICATE_INTERVAL) => {}
                _ = hangup.recv() => tracing::info!("reading the certificate again"),
            }
            let (tls, own) = (tls.clone(), self_signed.clone());
            // Reading files may block, and must not do so where connections are served.
            let looked = tokio::task::spawn_blocking(move || look_at_certificates(&tls, own.as_ref())).await;
            if let Err(error) = looked {
                tracing::error!(%error, "looking at the certificate ended early");
            }
        }
    }
}

fn look_at_certificates(tls: &Tls, own: Option<&SelfSigned>) {
    if let Some(own) = own
        && let Err(error) = own.ensure(&Names::of_host(&[]), SystemTime::now())
    {
        tracing::error!(%error, "the certificate cannot be renewed; the present one is served");
    }
    match tls.reload() {
        Ok(https::tls::Changed::Yes) => tracing::info!("new connections get the new certificate"),
        Ok(https::tls::Changed::No) => {}
        Err(error) => tracing::error!(%error, "the certificate cannot be used; the present one is served"),
    }
}
