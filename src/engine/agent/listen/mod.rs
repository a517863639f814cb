//! Listen mode: pushes and webhooks over HTTPS.
//!
//! # Layout
//!
//! * here: the listener as a part of the engine: opened, started, drained.
//! * [`site`]: what all answers are made from, and who may have one; `bodies`: how much of what is sent is held.
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

pub(crate) mod answer;
mod bodies;
mod push;
pub(crate) mod routes;
mod shell;
pub(crate) mod site;
mod webhook;

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::service::service_fn;
use tokio::net::TcpListener;

use crate::agent::source::Sources;
use crate::config::{Config, ServerConfig};
use crate::program::now;
use crate::wire::bound::key_text;
use https::certificate::{self, Files};
use https::names::Names;
use https::self_signed::{self, Ensured, SelfSigned};
use https::{self, ConnectionLimits, Counters, Tls, listener};
pub(crate) use site::Site;

/// How often certificate files are looked at, and the own one renewed if it has to be.
const RENEW_EVERY: Duration = Duration::from_secs(60);

/// Requests under way at once on one connection. With the limit on connections that bounds all requests, and since
/// connections make room for newer ones no client can use them up for others.
const STREAMS: u32 = 8;

/// Beyond what scripts have after the end was asked for, until they are ended and their answer is written.
const DRAIN_MARGIN: Duration = Duration::from_millis(2500);

/// Beyond waiting and running, for answers to be taken.
const ANSWER_MARGIN: Duration = Duration::from_secs(60);

/// Why the engine cannot listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// The certificate of the configuration cannot be used.
    #[error(transparent)]
    Certificate(certificate::Error),
    /// The self-signed certificate cannot be made or used.
    #[error(transparent)]
    SelfSigned(self_signed::Error),
    /// The address cannot be listened on.
    #[error("{0}, with `httpServer_listenAddress`")]
    Bind(#[source] listener::BindError),
    /// The system gives no thread or descriptor.
    #[error("the operating system refuses: {0}")]
    System(#[source] io::Error),
}

/// Reads the certificate of `config` as a start does, if it names one.
///
/// # Errors
///
/// It cannot be used.
pub(crate) fn check(config: &Config) -> Result<(), ListenError> {
    match &config.server {
        ServerConfig { listen: Some(_), tls: Some(_), .. } => certificate(&config.server, None).map(|_| ()),
        _ => Ok(()),
    }
}

/// A listener that is bound, but accepts nothing yet.
pub(crate) struct Listener {
    listeners: Vec<TcpListener>,
    tls: Tls,
    own: Option<SelfSigned>,
    limits: ConnectionLimits,
}

impl Listener {
    /// Binds the address of `config`, if it has one. The state directory has to be there. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// The address or the certificate cannot be used.
    pub(crate) fn open(config: &Config) -> Result<Option<Listener>, ListenError> {
        let Some(address) = &config.server.listen else { return Ok(None) };
        let own = config.server.tls.is_none().then(|| SelfSigned::new(&config.state_dir));
        let tls = certificate(&config.server, own.as_ref())?;
        let listeners = listener::bind(address).map_err(ListenError::Bind)?;
        let longest = config.timeout_push.max(config.timeout_webhook);
        // As long as a request may wait for its turn, and then run.
        let longest = (longest * 2).max(config.timeout_shell);
        // Answers under way when the end is asked for have the time that scripts have.
        let drain = config.timeout_stop + DRAIN_MARGIN;
        let limits = ConnectionLimits {
            answer: longest + ANSWER_MARGIN,
            drain,
            streams: STREAMS,
            ..ConnectionLimits::default()
        };
        Ok(Some(Listener { listeners, tls, own, limits }))
    }

    /// Accepts and answers until the engine stops. When it completes, no request is under way any more.
    pub(crate) async fn serve(self, sources: Arc<Sources>) {
        let Listener { listeners, tls, own, limits } = self;
        let key = tls.key_digests().first().map(key_text).unwrap_or_default();
        for address in listeners.iter().filter_map(|listener| listener.local_addr().ok()) {
            tracing::info!(%address, key, "listening");
        }
        let stop = sources.stop().clone();
        let site = Arc::new(Site::new(sources, tls.clone()));
        let shells = site.shells.clone();
        let service = service_fn(move |request| {
            let site = Arc::clone(&site);
            async move { Ok::<_, std::convert::Infallible>(routes::answer(site, request).await) }
        });
        let shutdown = async {
            stop.asked().await;
            // Their answers would never end by themselves.
            shells.stop();
        };
        tokio::select! {
            () = https::serve(listeners, tls.clone(), limits, Arc::new(Counters::default()), service, shutdown) => {}
            () = renew(tls, own) => {}
        }
        shells.ended().await;
    }
}

fn certificate(config: &ServerConfig, own: Option<&SelfSigned>) -> Result<Tls, ListenError> {
    let files = match (&config.tls, own) {
        (Some((certificate, key)), _) => Files::new(certificate.clone(), key.clone()),
        (None, Some(own)) => {
            if let Ensured::Made { .. } = ensure(own).map_err(ListenError::SelfSigned)? {
                let file = own.certificate();
                tracing::info!(file = %file.display(), "made a certificate; clients verify with this file");
            }
            own.files()
        }
        (None, None) => return Err(ListenError::System(io::ErrorKind::NotFound.into())),
    };
    let tls = Tls::load(files).map_err(ListenError::Certificate)?;
    for warning in tls.warnings(now()) {
        tracing::warn!("{warning}");
    }
    Ok(tls)
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
            tracing::error!("certificate: {problem}; the last good one is still served");
        }
        told = problem;
    }
}
