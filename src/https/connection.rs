//! One connection, from its first byte to its end: handshake, HTTP/1.1 or HTTP/2, time limits, drain. Knows one
//! connection only; who makes room for whom is decided in `places`.

use std::error::Error as StdError;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Buf, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::counters::Counters;
use super::limits::Limits;
use super::peer::Peer;
use super::places::{Answer, Phase, Place, Steps};
use super::plain_http::{self, Opening};
use super::tls::Tls;

/// Smallest buffer that hyper accepts for a header.
const LEAST_HEADER_BYTES: usize = 8192;

/// Resets that this side has to send for a client's errors before an HTTP/2 connection is closed. A serious
/// client causes none; hyper's own default is sized for proxies.
const MAX_ERROR_RESETS: usize = 64;

/// What an HTTP/2 client may send before a route has read it, in bytes: the least that the protocol knows. Requests are
/// small, and what is not read yet is held for each connection.
const WINDOW_BYTES: u32 = 65_535;

/// How long a connection without a request under way may take to say goodbye, and to take the last bytes of its
/// answer that are still in buffers.
const FAREWELL: Duration = Duration::from_secs(2);

/// Answers are handed over in slices of so many bytes. Taken at once, a large one would count as done while its
/// client has yet to read it; of this size, only what fits into buffers does.
const SLICE: usize = 64 * 1024;

/// What all connections of a listener share.
pub(super) struct Shared {
    pub(super) tls: Tls,
    pub(super) limits: Limits,
    pub(super) counters: Arc<Counters>,
}

/// Serves one connection until it ends, has to make room, runs out of time, or is drained.
pub(super) async fn run<S, B>(
    stream: TcpStream,
    place: Place,
    service: S,
    shared: Arc<Shared>,
    mut closed: watch::Receiver<bool>,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let steps = place.steps();
    let serve = async {
        let secured = tokio::select! {
            // Who has not asked anything yet loses nothing at shutdown.
            () = wait(&mut closed) => return,
            secured = handshake(stream, steps.peer(), &shared) => secured,
        };
        let Some(stream) = secured else { return };
        steps.secured();
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let (limits, counters) = (&shared.limits, &*shared.counters);
        let service = Reporting {
            inner: service,
            peer: steps.peer().clone(),
            steps: steps.clone(),
            counters: Arc::clone(&shared.counters),
        };
        if is_http2 {
            let streams = Streams::default();
            let connection = http2(limits, &streams).serve_connection(TokioIo::new(stream), service);
            drive(connection, &steps, limits, counters, closed).await;
        } else {
            let io = TokioIo::new(Heard { inner: stream, steps: steps.clone() });
            drive(http1(limits).serve_connection(io, service), &steps, limits, counters, closed).await;
        }
    };
    tokio::select! {
        biased;
        () = place.evicted() => {}
        () = serve => {}
    }
}

/// The TLS session, or none when there is none to be had; why not is counted.
async fn handshake(stream: TcpStream, peer: &Peer, shared: &Shared) -> Option<TlsStream<TcpStream>> {
    let counters = &shared.counters;
    // Answers are small and whole: waiting for more to send with them only costs time.
    let _ = stream.set_nodelay(true);
    let secure = async {
        match plain_http::opening(&stream).await {
            Ok(Opening::Tls) => {}
            Ok(Opening::PlainHttp) => {
                counters.plain_http.increment();
                plain_http::refuse(stream).await;
                return None;
            }
            Ok(Opening::Nothing) => return None,
            Ok(Opening::Other) | Err(_) => {
                counters.handshake_failures.increment();
                return None;
            }
        }
        let result = TlsAcceptor::from(shared.tls.config()).accept(stream).await;
        if let Err(error) = &result {
            counters.handshake_failures.increment();
            tracing::debug!(client = %peer.address(), %error, "TLS handshake failed");
        }
        result.ok()
    };
    timeout(shared.limits.handshake, secure).await.unwrap_or_else(|_| {
        counters.handshake_timeouts.increment();
        None
    })
}

fn http1(limits: &Limits) -> http1::Builder {
    let header_bytes = (limits.header_bytes as usize).max(LEAST_HEADER_BYTES);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // hyper's clock for the header also runs while a connection idles, so it only guards the outer bound:
        // `drive`, which can tell the two apart, is always earlier.
        .header_read_timeout(limits.idle + limits.header)
        .max_header_size(header_bytes)
        .max_buf_size(header_bytes);
    builder
}

fn http2(limits: &Limits, streams: &Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams.clone());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_pending_accept_reset_streams(limits.reset_streams)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .keep_alive_interval(limits.ping)
        .keep_alive_timeout(limits.ping);
    builder
}

/// Runs a connection against its deadlines, and asks it to finish when the listener closes.
async fn drive<C: GracefulConnection>(
    connection: C,
    steps: &Steps,
    limits: &Limits,
    counters: &Counters,
    mut closed: watch::Receiver<bool>,
) where
    C::Error: std::fmt::Display,
{
    let mut connection = pin!(connection);
    let mut closing = false;
    loop {
        let (phase, since) = steps.phase();
        let deadline = since + time_for(phase, limits, closing);
        tokio::select! {
            // What came while this process stood still is taken before the time is found to be over.
            biased;
            result = connection.as_mut() => {
                if let Err(error) = result {
                    counters.protocol_errors.increment();
                    tracing::debug!(client = %steps.peer().address(), %error, "connection failed");
                }
                return;
            }
            () = wait(&mut closed), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
            () = steps.moved() => {}
            () = sleep_until(deadline) => {
                if steps.phase() != (phase, since) {
                    // A step came in the same moment.
                    continue;
                }
                match phase {
                    Phase::Answer => counters.answer_timeouts.increment(),
                    _ if closing => {}
                    Phase::Handshake | Phase::Header => counters.header_timeouts.increment(),
                    Phase::Idle => {
                        counters.idle_timeouts.increment();
                        connection.as_mut().graceful_shutdown();
                        let _ = timeout(FAREWELL, connection).await;
                    }
                }
                return;
            },
        }
    }
}

/// How long a phase may last. Once the listener closes, only answers under way get their time.
fn time_for(phase: Phase, limits: &Limits, closing: bool) -> Duration {
    match phase {
        Phase::Answer => limits.answer,
        _ if closing => FAREWELL,
        // The handshake's own time is over when it gets here.
        Phase::Handshake | Phase::Header => limits.header,
        Phase::Idle => limits.idle,
    }
}

/// Completes when the listener closes.
async fn wait(closed: &mut watch::Receiver<bool>) {
    let _ = closed.wait_for(|closed| *closed).await;
}

/// The routes, with the client added to each request and each request reported from header to end of answer.
struct Reporting<S> {
    inner: S,
    peer: Peer,
    steps: Steps,
    counters: Arc<Counters>,
}

impl<S, B> Service<Request<Incoming>> for Reporting<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: Body,
{
    type Response = Response<Reported<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.counters.requests.increment();
        let answer = self.steps.request();
        request.extensions_mut().insert(self.peer.clone());
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await?;
            Ok(response.map(|body| Reported { body: Box::pin(body), rest: Bytes::new(), _answer: answer }))
        })
    }
}

/// A body in slices whose end is the end of the answer.
struct Reported<B> {
    body: Pin<Box<B>>,
    /// Of the last frame, what was not handed over yet.
    rest: Bytes,
    _answer: Answer,
}

impl<B: Body> Body for Reported<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            match ready!(self.body.as_mut().poll_frame(context)).transpose()?.map(Frame::into_data) {
                None => return Poll::Ready(None),
                // Whole bytes are shared here, not copied.
                Some(Ok(mut data)) => self.rest = data.copy_to_bytes(data.remaining()),
                Some(Err(other)) => {
                    return Poll::Ready(
                        other.into_trailers().ok().map(|trailers| Ok(Frame::trailers(trailers))),
                    );
                }
            }
        }
        let length = self.rest.len().min(SLICE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, inner) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// A stream that reports incoming bytes, so that a header that has begun can be told from an idle connection.
/// For HTTP/1.1 only: with HTTP/2 pings come in while a connection idles.
struct Heard<I> {
    inner: I,
    steps: Steps,
}

impl<I: AsyncRead + Unpin> AsyncRead for Heard<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.steps.heard();
        }
        result
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Heard<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Runs the streams of one HTTP/2 connection, as tasks that end with it and are never left behind.
#[derive(Clone, Default)]
struct Streams(Arc<Mutex<JoinSet<()>>>);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(stream);
    }
}
