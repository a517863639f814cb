//! Listen mode: pushes and webhooks over HTTPS.
//!
//! # Layout
//!
//! * here: the listener as a part of the engine: opened, started, drained.
//! * [`site`]: what all answers are made from, and who may have one; `gates`: how many requests a Source works on at
//!   once; `bodies`: how much of what is sent is held.
//! * [`routes`]: which path gets what: `push`, `shell`, `webhook`.
//! * [`answer`]: the answers themselves.
//!
//! # What was decided
//!
//! *Refusals* have no body and one status, 404, whether the Source is unknown, takes no push, or the token is not to be
//! trusted; the log says which. They alone are counted, by address: after ten in a minute they become 429. What is
//! right is looked at first, so it is answered however often others, or the same client, were wrong. Proxies' words about
//! addresses are not taken.
//!
//! *Waiting.* Runs of one Source wait for each other, in the order of arrival, for as long as a run itself may take
//! (`run_timeoutPush`, `run_timeoutWebhook`); then the answer is 503 and nothing runs. `runMulti` lets 32 run at once. A
//! client that goes away ends nothing: what began is carried through. Events go on after the answer.
//!
//! *Webhooks* take their turn as all runs do. Several Sources may have one path; they are asked in order of their names
//! until one answers. The query is passed on as it was sent. A body that no variable could hold is answered 413.

pub mod answer;
mod bodies;
mod gates;
mod push;
pub mod routes;
mod shell;
pub mod site;
mod webhook;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use hyper::service::service_fn;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::agent::source::Sources;
use crate::config::{Config, ServerConfig};
use https::certificate::{self, Files};
use https::names::Names;
use https::self_signed::{self, Ensured, SelfSigned};
use https::{self, Counters, Limits, Tls, listener};
pub use site::Site;

/// How often certificate files are looked at, and the own one renewed if it has to be.
const RENEW_EVERY: Duration = Duration::from_secs(60);

/// Requests under way at once on one connection. With the limit on connections that bounds all requests, and since
/// connections make room for newer ones no client can use them up for others.
const STREAMS: u32 = 8;

/// Beyond waiting and running, for answers to be taken.
const ANSWER_MARGIN: Duration = Duration::from_secs(60);

/// Why the engine cannot listen.
#[derive(Debug)]
pub enum ListenError {
    /// The certificate of the configuration cannot be used.
    Certificate(certificate::Error),
    /// The self-signed certificate cannot be made or used.
    SelfSigned(self_signed::Error),
    /// The address cannot be listened on.
    Bind(listener::BindError),
    /// The system gives no thread or descriptor.
    System(io::Error),
}

impl fmt::Display for ListenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::Certificate(error) => error.fmt(out),
            ListenError::SelfSigned(error) => error.fmt(out),
            ListenError::Bind(error) => write!(out, "{error}, with `httpServer_listenAddress`"),
            ListenError::System(error) => write!(out, "the operating system refuses: {error}"),
        }
    }
}

impl std::error::Error for ListenError {}

/// A listener that is bound, but accepts nobody yet.
pub struct Listener {
    runtime: Runtime,
    listeners: Vec<TcpListener>,
    tls: Tls,
    own: Option<SelfSigned>,
    limits: Limits,
}

/// A listener at work.
pub struct Listening {
    thread: JoinHandle<()>,
    end: oneshot::Sender<()>,
}

impl Listener {
    /// Binds the address of `config`, if it has one. The state directory has to be there.
    ///
    /// # Errors
    ///
    /// The address or the certificate cannot be used.
    pub fn open(config: &Config) -> Result<Option<Listener>, ListenError> {
        let Some(address) = &config.server.listen else { return Ok(None) };
        let own = config.server.tls.is_none().then(|| SelfSigned::new(&config.state_dir));
        let tls = certificate(&config.server, own.as_ref())?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(site::threads(config))
            .thread_name("request")
            .build()
            .map_err(ListenError::System)?;
        let listeners = runtime.block_on(async { listener::bind(address) }).map_err(ListenError::Bind)?;
        let longest = config.timeout_push.max(config.timeout_webhook);
        // As long as a request may wait for its turn, and then run.
        let longest = (longest * 2).max(config.timeout_shell);
        let limits = Limits { answer: longest + ANSWER_MARGIN, streams: STREAMS, ..Limits::default() };
        Ok(Some(Listener { runtime, listeners, tls, own, limits }))
    }

    /// Accepts and answers from now on, in a thread of its own.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(self, sources: Arc<Sources>) -> io::Result<Listening> {
        let addresses: Vec<SocketAddr> =
            self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let (end, ended) = oneshot::channel();
        let site = Arc::new(Site::new(sources));
        let thread =
            thread::Builder::new().name("listen".to_owned()).spawn(move || self.serve(&site, ended))?;
        for address in addresses {
            tracing::info!(%address, "listening");
        }
        Ok(Listening { thread, end })
    }

    /// When it returns, no request is under way any more: the runtime waits for threads that still work.
    fn serve(self, site: &Arc<Site>, ended: oneshot::Receiver<()>) {
        let Listener { runtime, listeners, tls, own, limits } = self;
        let (site, shells) = (Arc::clone(site), &site.shells);
        let service = service_fn(move |request| {
            let site = Arc::clone(&site);
            async move { Ok::<_, std::convert::Infallible>(routes::answer(site, request).await) }
        });
        runtime.block_on(async {
            let renewal = tokio::spawn(renew(tls.clone(), own));
            // That whoever asks for the end is gone is the end, too.
            let shutdown = async {
                drop(ended.await);
                // Their answers would never end by themselves.
                shells.stop();
            };
            https::serve(listeners, tls, limits, Arc::new(Counters::default()), service, shutdown).await;
            shells.ended().await;
            renewal.abort();
        });
    }
}

impl Listening {
    /// Accepts nobody any more, and waits until what is under way has ended. Scripts end by the engine's own wish.
    pub fn end(self) {
        // It may have ended by itself.
        let _ = self.end.send(());
        if self.thread.join().is_err() {
            tracing::error!("the listener has ended early");
        }
    }
}

fn certificate(config: &ServerConfig, own: Option<&SelfSigned>) -> Result<Tls, ListenError> {
    let files = match (&config.tls, own) {
        (Some((certificate, key)), _) => Files {
            certificate: certificate.clone(),
            key: key.clone(),
            client_authorities: None,
            clients_optional: false,
            least_version: certificate::Version::default(),
        },
        (None, Some(own)) => {
            if let Ensured::Made { .. } = ensure(own).map_err(ListenError::SelfSigned)? {
                let file = own.authority();
                tracing::info!(file = %file.display(), "made a certificate; clients verify with this file");
            }
            own.files()
        }
        (None, None) => return Err(ListenError::System(io::ErrorKind::NotFound.into())),
    };
    Tls::load(files).map_err(ListenError::Certificate)
}

fn ensure(own: &SelfSigned) -> Result<Ensured, self_signed::Error> {
    own.ensure(&Names::of_host(&[]), SystemTime::now())
}

/// Takes up what the files of the certificate hold, for ever. What cannot be used changes nothing, and is told once.
async fn renew(tls: Tls, own: Option<SelfSigned>) {
    let mut told = String::new();
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        let (tls, own) = (tls.clone(), own.clone());
        let renewed = tokio::task::spawn_blocking(move || {
            own.map(|own| ensure(&own)).transpose().map_err(|error| error.to_string())?;
            tls.reload().map_err(|error| error.to_string())
        });
        let problem = match renewed.await {
            Ok(Ok(_)) => String::new(),
            Ok(Err(problem)) => problem,
            Err(error) => error.to_string(),
        };
        if problem != told && !problem.is_empty() {
            tracing::error!("certificate: {problem}; the last good one is served on");
        }
        told = problem;
    }
}
