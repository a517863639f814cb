//! The listener as its clients see it: over real sockets on the loopback interface, each wait with a deadline.
#![allow(clippy::unwrap_used)]

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

use super::certificate::{Error, Files, provider};
use super::listener::bind;
use super::names::Names;
use super::self_signed::SelfSigned;
use super::tls::Changed;
use super::{Counters, Limits, Peer, Tls, serve};

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
    fn start(limits: Limits) -> Self {
        let (directory, tls) = self_signed();
        Self::start_with(limits, directory, tls)
    }

    fn start_with(limits: Limits, directory: tempfile::TempDir, tls: Tls) -> Self {
        raise_descriptor_limit();
        let authority = SelfSigned::new(directory.path()).authority();
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
    let large = warp::path("large").map(|| "x".repeat(4 << 20));
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

#[tokio::test]
async fn both_versions_and_both_protocols_are_spoken_and_verified_by_the_written_authority() {
    let server = Server::start(Limits::default());
    for (version, expected) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        for name in ["localhost", "127.0.0.1", "::1", "web"] {
            let stream = server.secured_as(name, &[version], H1).await.unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
            assert_eq!(get_on(stream, "/hello").await, (StatusCode::OK, "hello".to_owned()));
        }
    }
    assert!(server.secured_as("elsewhere", BOTH, H1).await.is_err());
    let stream = server.secured(H2).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let executor = TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://localhost/hello").body(Empty::<Bytes>::new()).unwrap();
    let response = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
    assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_2));
    assert_eq!(response.collect().await.unwrap().to_bytes(), "hello");
    drop(sender);
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
    // A client without ALPN gets HTTP/1.1.
    assert_eq!(get_on(server.secured(&[]).await, "/hello").await.1, "hello");
    server.stop().await;
}

#[tokio::test]
async fn routes_learn_the_address_of_their_client() {
    let server = Server::start(Limits::default());
    let stream = server.secured(H1).await;
    let address = stream.get_ref().0.local_addr().unwrap().to_string();
    assert_eq!(get_on(stream, "/peer").await, (StatusCode::OK, address));
    server.stop().await;
}

#[tokio::test]
async fn plain_http_is_told_to_use_https() {
    let server = Server::start(Limits::default());
    let mut stream = server.tcp().await;
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let answer = read_to_close(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    assert_eq!(server.counters.plain_http.get(), 1);
    server.stop().await;
}

#[tokio::test]
async fn what_is_neither_tls_nor_http_is_closed_and_counted() {
    let server = Server::start(Limits::default());
    for bytes in [&b"\x00\x01"[..], b"\x16\x03\x01\x00\x04\xff\x00\x00\x00"] {
        let mut stream = server.tcp().await;
        stream.write_all(bytes).await.unwrap();
        assert!(!read_to_close(&mut stream).await.contains("HTTP"));
    }
    // A health check that merely connects is no failure.
    drop(server.tcp().await);
    until("all three are gone", || server.counters.accepted.get() == 3 && server.counters.open.get() == 0)
        .await;
    assert_eq!(server.counters.handshake_failures.get(), 2);
    server.stop().await;
}

#[tokio::test]
async fn five_hundred_silent_slow_and_half_connections_delay_no_right_request() {
    let server = Server::start(Limits::default());
    let (mut silent, mut slow) = (Vec::new(), Vec::new());
    for round in 0..500 {
        if round % 5 > 0 {
            silent.push(server.tcp().await);
            continue;
        }
        let mut stream = server.secured(H1).await;
        let begun: &[u8] = match round % 3 {
            0 => b"",
            1 => b"GET /hello HTTP/1.1\r\nHost: local",
            _ => b"POST /gate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf",
        };
        stream.write_all(begun).await.unwrap();
        slow.push(stream);
    }
    until("all 500 are there", || server.counters.accepted.get() == 500).await;
    let evictions = server.counters.evicted_per_client.get();
    assert!(server.counters.open.get() <= 256 && evictions >= 244, "{evictions}");
    for _ in 0..5 {
        server.get_promptly().await;
    }
    server.gate.add_permits(500);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lasting_flood_of_connections_delays_no_right_request() {
    let server = Server::start(Limits { connections: 64, connections_per_client: 64, ..Limits::default() });
    let address = server.address;
    let flood = tokio::spawn(async move {
        let mut held = std::collections::VecDeque::new();
        loop {
            if let Ok(stream) = TcpStream::connect(address).await {
                held.push_back(stream);
            }
            if held.len() > 300 {
                held.pop_front();
            }
            tokio::task::yield_now().await;
        }
    });
    until("the flood is in", || server.counters.evicted_per_client.get() > 200).await;
    for _ in 0..10 {
        server.get_promptly().await;
    }
    flood.abort();
    server.stop().await;
}

#[tokio::test]
async fn the_oldest_silent_connection_makes_room_at_each_limit() {
    for (connections, connections_per_client) in [(2, 5), (5, 2)] {
        let server = Server::start(Limits { connections, connections_per_client, ..Limits::default() });
        let mut first = server.tcp().await;
        until("the first is in", || server.counters.open.get() == 1).await;
        let second = server.tcp().await;
        server.get_promptly().await;
        assert_eq!(read_to_close(&mut first).await, "");
        let counters = &server.counters;
        let evicted = [counters.evicted_overall.get(), counters.evicted_per_client.get()];
        assert_eq!(evicted, if connections == 2 { [1, 0] } else { [0, 1] });
        drop(second);
        server.stop().await;
    }
}

#[tokio::test]
async fn accepting_pauses_only_when_the_same_error_would_come_again() {
    use rustix::io::Errno;
    let mut acceptor = super::Acceptor { listeners: Vec::new(), next: 0, pause: None, told: None };
    assert!(!acceptor.back_off(&Errno::CONNABORTED.into()) && acceptor.pause.is_none());
    for _ in 0..20 {
        assert!(acceptor.back_off(&Errno::MFILE.into()));
    }
    assert_eq!(acceptor.pause.map(|(length, _)| length), Some(super::PAUSE.1));
}

#[tokio::test]
async fn a_known_client_keeps_its_connection_while_strangers_come() {
    let server = Server::start(Limits { connections: 4, ..Limits::default() });
    let stream = TokioIo::new(server.secured(H1).await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    for path in ["/known", "/hello"] {
        let request = Request::get(path).header("host", "localhost").body(Empty::<Bytes>::new()).unwrap();
        let response = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.collect().await.unwrap();
        let before = server.counters.accepted.get();
        let mut strangers = Vec::new();
        for _ in 0..10 {
            strangers.push(server.tcp().await);
        }
        until("strangers are in", || server.counters.accepted.get() == before + 10).await;
    }
    drop(sender);
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
    server.stop().await;
}

#[tokio::test]
async fn each_phase_that_takes_too_long_is_ended_and_counted() {
    let (short, handshake) = (Duration::from_millis(400), Duration::from_secs(1));
    let limits = Limits { handshake, header: short, idle: short, answer: short, ..Limits::default() };
    let server = Server::start(limits);
    let counters = &server.counters;
    assert_eq!(read_to_close(&mut server.tcp().await).await, "");
    assert_eq!(counters.handshake_timeouts.get(), 1);
    // Secured, and then nothing.
    read_to_close(&mut server.secured(H2).await).await;
    assert_eq!(counters.header_timeouts.get(), 1);
    // A byte now and then does not help, at the first header nor at a later one.
    for begin in [&b""[..], b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let mut stream = server.secured(H1).await;
        stream.write_all(begin).await.unwrap();
        if !begin.is_empty() {
            let mut answer = Vec::new();
            while !answer.ends_with(b"hello") {
                timeout(PATIENCE, stream.read_buf(&mut answer)).await.unwrap().unwrap();
            }
        }
        trickle(&mut stream).await;
    }
    assert_eq!(counters.header_timeouts.get(), 3);
    // An idle connection is closed after its answer, as it should be by TLS.
    let mut stream = server.secured(H1).await;
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(read_to_close(&mut stream).await.ends_with("hello"));
    assert_eq!(counters.idle_timeouts.get(), 1);
    // An answer that is not given, and one that is not taken.
    let mut stream = server.secured(H1).await;
    stream.write_all(b"GET /gate HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(read_to_close(&mut stream).await, "");
    let mut stalled = server.secured(H1).await;
    stalled.write_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut unwilling = h2::client::Builder::new();
    unwilling.initial_window_size(0);
    let (mut client, connection) = unwilling.handshake::<_, Bytes>(server.secured(H2).await).await.unwrap();
    let request = Request::get("https://localhost/hello").body(()).unwrap();
    let _untaken = client.send_request(request, true).unwrap();
    assert!(timeout(PATIENCE, connection).await.unwrap().is_err());
    until("three answers are given up", || counters.answer_timeouts.get() == 3).await;
    drop(stalled);
    server.stop().await;
}

/// Sends a header without end, byte by byte, until the other side closes.
async fn trickle(stream: &mut TlsStream<TcpStream>) {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let closed = async {
        loop {
            tokio::select! {
                read = stream.read_u8() => if read.is_err() { return },
                _ = tick.tick() => {}
            }
            if stream.write_all(b"G").await.is_err() {
                return;
            }
        }
    };
    timeout(PATIENCE, closed).await.expect("closed in time");
}

#[tokio::test]
async fn a_header_that_is_too_large_is_refused() {
    let server = Server::start(Limits::default());
    for path in ["x".repeat(20_000), "x".repeat(1 << 20)] {
        let mut stream = server.secured(H1).await;
        let request = format!("GET /hello?key={path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        // The answer may come before all is written.
        let _ = timeout(PATIENCE, stream.write_all(request.as_bytes())).await.unwrap();
        let answer = read_to_close(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 431 ") || answer.is_empty(), "{answer}");
        assert!(path.len() > 20_000 || !answer.is_empty(), "a client that waits gets the answer");
    }
    assert_eq!(server.counters.requests.get(), 0);
    server.get_promptly().await;
    server.stop().await;
}

#[tokio::test]
async fn ten_thousand_streams_reset_at_once_are_capped() {
    let server = Server::start(Limits::default());
    let (mut client, connection) = h2::client::handshake(server.secured(H2).await).await.unwrap();
    let connection = tokio::spawn(connection);
    let flood = async {
        for _ in 0..10_000 {
            client = client.ready().await?;
            let request = Request::get("https://localhost/gate").body(()).unwrap();
            let (_, mut stream) = client.send_request(request, false)?;
            stream.send_reset(h2::Reason::CANCEL);
            // Lets the connection write, so that each stream is on its way before its reset.
            tokio::task::yield_now().await;
        }
        Ok::<_, h2::Error>(())
    };
    let result = timeout(PATIENCE, flood).await.unwrap();
    let ended = timeout(PATIENCE, connection).await;
    let requests = server.counters.requests.get();
    assert!(result.is_err() || matches!(ended, Ok(Ok(Err(_)))), "{requests} requests");
    assert!(requests < 10_000, "{requests}");
    server.get_promptly().await;
    server.stop().await;
}

#[tokio::test]
async fn streams_of_one_connection_are_capped() {
    let server = Server::start(Limits { streams: 4, ..Limits::default() });
    let stream = server.secured(H2).await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request =
        |path: &str| Request::get(format!("https://localhost/{path}")).body(Empty::<Bytes>::new()).unwrap();
    // After the first answer the client knows the limit and holds further requests back by itself.
    sender.send_request(request("hello")).await.unwrap();
    let mut answers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        sender.ready().await.unwrap();
        answers.spawn(sender.send_request(request("gate")));
    }
    until("four are under way", || server.counters.requests.get() == 1 + 4).await;
    server.get_promptly().await;
    assert_eq!(server.counters.requests.get(), 1 + 4 + 1, "the others wait at the client");
    server.gate.add_permits(20);
    while let Some(answer) = timeout(PATIENCE, answers.join_next()).await.unwrap() {
        assert_eq!(answer.unwrap().unwrap().status(), StatusCode::OK);
    }
    drop(sender);
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
    server.stop().await;
}

#[tokio::test]
async fn shutdown_finishes_the_answer_under_way_and_takes_nothing_new() {
    let server = Server::start(Limits::default());
    let (asked, waiting) = (server.secured(H1).await, server.tcp().await);
    let answer = tokio::spawn(get_on(asked, "/gate"));
    until("the request is under way", || server.counters.requests.get() == 1).await;
    server.stop.send(()).unwrap();
    let address = server.address;
    let mut look = tokio::time::interval(Duration::from_millis(2));
    timeout(PATIENCE, async {
        while TcpStream::connect(address).await.is_ok() {
            look.tick().await;
        }
    })
    .await
    .unwrap();
    assert!(!server.task.is_finished());
    server.gate.add_permits(1);
    assert_eq!(answer.await.unwrap(), (StatusCode::OK, "opened".to_owned()));
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
    assert_eq!((server.counters.open.get(), server.counters.cut_off.get()), (0, 0));
    drop(waiting);
}

#[tokio::test]
async fn shutdown_cuts_off_what_does_not_finish_in_time() {
    let server = Server::start(Limits { drain: Duration::from_millis(100), ..Limits::default() });
    let mut streams = Vec::new();
    for alpn in [H1, H2] {
        let stream = server.secured(alpn).await;
        if alpn == H1 {
            let mut stream = stream;
            stream.write_all(b"GET /gate HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            streams.push(tokio::spawn(async move { drop(read_to_close(&mut stream).await) }));
        } else {
            let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
            let request = Request::get("https://localhost/gate").body(()).unwrap();
            let (answer, _) = client.send_request(request, true).unwrap();
            tokio::spawn(connection);
            streams.push(tokio::spawn(async move { assert!(answer.await.is_err()) }));
        }
    }
    until("both are under way", || server.counters.requests.get() == 2).await;
    let (counters, gate) = (Arc::clone(&server.counters), Arc::clone(&server.gate));
    server.stop().await;
    assert_eq!(counters.cut_off.get(), 2);
    for stream in streams {
        timeout(PATIENCE, stream).await.unwrap().unwrap();
    }
    until("no route holds on to the gate", || Arc::strong_count(&gate) == 1).await;
}

#[tokio::test]
async fn a_pair_that_does_not_match_is_not_taken_up_and_the_right_one_is() {
    let server = Server::start(Limits::default());
    let (other, other_tls) = self_signed();
    let old = server.tls.not_after();
    assert_eq!(server.tls.reload().unwrap(), Changed::No);
    let copy =
        |file: &str| std::fs::copy(other.path().join(file), server.directory.path().join(file)).unwrap();
    copy("tls-server.pem");
    assert!(matches!(server.tls.reload(), Err(Error::Mismatch { .. })));
    assert_eq!(server.tls.not_after(), old);
    server.get_promptly().await;
    copy("tls-key.pem");
    assert_eq!(server.tls.reload().unwrap(), Changed::Yes);
    assert_eq!(server.tls.not_after(), other_tls.not_after());
    assert!(server.secured_as("localhost", BOTH, H1).await.is_err(), "the old authority knows it no longer");
    copy("tls-certificate.pem");
    let authority = CertificateDer::from_pem_file(other.path().join("tls-certificate.pem")).unwrap();
    let server = Server { authority, ..server };
    server.get_promptly().await;
    std::fs::remove_file(server.directory.path().join("tls-key.pem")).unwrap();
    assert!(server.tls.reload().is_err());
    server.get_promptly().await;
    server.stop().await;
}

#[tokio::test]
async fn client_certificates_are_asked_for_and_checked() {
    let (directory, _) = self_signed();
    let (clients, _) = self_signed();
    let files = Files {
        client_authorities: Some(clients.path().join("tls-certificate.pem")),
        ..SelfSigned::new(directory.path()).files()
    };
    let server = Server::start_with(Limits::default(), directory, Tls::load(files).unwrap());
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let client_key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::from_params(&authority, &key);
    let client = rcgen::CertificateParams::new(vec!["scraper".to_owned()]).unwrap();
    let client = client.signed_by(&client_key, &issuer).unwrap();
    let status = async |with_certificate: bool| {
        let config = ClientConfig::builder_with_provider(provider()).with_protocol_versions(BOTH).unwrap();
        let config = config.with_root_certificates(server.roots());
        let config = if with_certificate {
            let key = PrivateKeyDer::try_from(client_key.serialize_der()).unwrap();
            config.with_client_auth_cert(vec![client.der().clone()], key).unwrap()
        } else {
            config.with_no_client_auth()
        };
        let mut stream = connect(server.tcp().await, "localhost", config).await.unwrap();
        let request = b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(request).await;
        let mut answer = String::new();
        let _ = timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap();
        answer
    };
    assert_eq!(status(false).await, "", "no certificate");
    assert_eq!(status(true).await, "", "a certificate of somebody else");
    assert_eq!(server.counters.handshake_failures.get(), 2);
    let authority = authority.self_signed(&key).unwrap();
    std::fs::write(clients.path().join("tls-certificate.pem"), authority.pem()).unwrap();
    assert_eq!(server.tls.reload().unwrap(), Changed::Yes);
    assert!(status(true).await.ends_with("hello"));
    server.stop().await;
}
