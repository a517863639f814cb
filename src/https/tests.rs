//! The listener as its clients see it: over real sockets on the loopback interface, each wait with a deadline.
//! Here is the harness; the tests are in its submodules.
#![allow(clippy::unwrap_used)]

mod certificates;
mod hostile;
mod protocol;
mod shutdown;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use warp::Filter;

use super::certificate::{Error, Files};
use super::listener::bind;
use super::names::Names;
use super::policy::provider;
use super::self_signed::SelfSigned;
use super::tls::Changed;
use super::{ConnectionLimits, Counters, Peer, Tls, serve};

/// Any single step of a test; far more than it takes, so that only a hang gets here.
const PATIENCE: Duration = Duration::from_secs(20);

/// Within this a right request is answered, whatever others do.
const PROMPT: Duration = Duration::from_secs(1);

const H1: &[&[u8]] = &[b"http/1.1"];
const H2: &[&[u8]] = &[b"h2", b"http/1.1"];
const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// A listener on a free port, with a certificate of its own.
struct Server {
    address: SocketAddr,
    counters: Arc<Counters>,
    tls: Tls,
    authority: CertificateDer<'static>,
    /// Each permit lets one request to `/gate` be answered.
    gate: Arc<Semaphore>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    directory: tempfile::TempDir,
}

impl Server {
    fn start(limits: ConnectionLimits) -> Self {
        let (directory, tls) = self_signed();
        Self::start_with(limits, directory, tls)
    }

    fn start_with(limits: ConnectionLimits, directory: tempfile::TempDir, tls: Tls) -> Self {
        raise_descriptor_limit();
        let authority = SelfSigned::new(directory.path()).certificate();
        let authority = CertificateDer::from_pem_file(authority).unwrap();
        let listeners = bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let (counters, gate) = (Arc::<Counters>::default(), Arc::new(Semaphore::new(0)));
        let service = TowerToHyperService::new(warp::service(routes(Arc::clone(&gate))));
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        let task =
            tokio::spawn(serve(listeners, tls.clone(), limits, Arc::clone(&counters), service, shutdown));
        Self { address, counters, tls, authority, gate, stop, task, directory }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).unwrap();
        roots
    }

    async fn tcp(&self) -> TcpStream {
        timeout(PATIENCE, TcpStream::connect(self.address)).await.unwrap().unwrap()
    }

    async fn secured(&self, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
        self.secured_as("localhost", BOTH, alpn).await.unwrap()
    }

    async fn secured_as(
        &self,
        name: &'static str,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let config =
            ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions).unwrap();
        let mut config = config.with_root_certificates(self.roots()).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|one| one.to_vec()).collect();
        connect(self.tcp().await, name, config).await
    }

    /// A whole request on a connection of its own.
    async fn get(&self, path: &str) -> (StatusCode, String) {
        get_on(self.secured(H1).await, path).await
    }

    /// The same, which must be prompt.
    async fn get_promptly(&self) {
        let begin = Instant::now();
        assert_eq!(self.get("/hello").await, (StatusCode::OK, "hello".to_owned()));
        let taken = begin.elapsed();
        assert!(taken < PROMPT, "took {taken:?}");
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
        assert_eq!(self.counters.open.get(), 0);
    }
}

fn routes(
    gate: Arc<Semaphore>,
) -> impl Filter<Extract = impl warp::Reply, Error = warp::Rejection> + Clone + Send + Sync + 'static {
    let hello = warp::path("hello").map(|| "hello".to_owned());
    // More than the buffers of two sockets hold, on whatever system.
    let large = warp::path("large").map(|| "x".repeat(64 << 20));
    let peer = warp::path("peer").and(warp::ext::get::<Peer>()).map(|peer: Peer| peer.address().to_string());
    let known = warp::path("known").and(warp::ext::get::<Peer>()).map(|peer: Peer| {
        peer.vouch();
        "known".to_owned()
    });
    let gate = warp::path("gate").then(move || {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            "opened".to_owned()
        }
    });
    hello.or(large).unify().or(peer).unify().or(known).unify().or(gate).unify()
}

fn self_signed() -> (tempfile::TempDir, Tls) {
    let directory = tempfile::tempdir().unwrap();
    let certificates = SelfSigned::new(directory.path());
    certificates.ensure(&Names::new("web", []), SystemTime::now()).unwrap();
    let tls = Tls::load(certificates.files()).unwrap();
    (directory, tls)
}

async fn connect(
    stream: TcpStream,
    name: &'static str,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(Arc::new(config));
    let secured = connector.connect(ServerName::try_from(name).unwrap(), stream);
    timeout(PATIENCE, secured).await.unwrap()
}

async fn get_on(stream: TlsStream<TcpStream>, path: &str) -> (StatusCode, String) {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get(path).header("host", "localhost").body(Empty::<Bytes>::new()).unwrap();
    let response = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
    let status = response.status();
    let body = timeout(PATIENCE, response.collect()).await.unwrap().unwrap().to_bytes();
    drop(sender);
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let mut look = tokio::time::interval(Duration::from_millis(2));
    let wait = async {
        while !is_so() {
            look.tick().await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "waited in vain: {what}");
}

/// Reads until the other side closes, in whatever way.
async fn read_to_close(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut text = Vec::new();
    match timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("closed in time") {
        Ok(_) => {}
        Err(error) if [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof].contains(&error.kind()) => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Clients and server are one process here, so each connection takes two descriptors.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum.map(|maximum| maximum.min(65_536));
    setrlimit(Resource::Nofile, limit).unwrap();
}
