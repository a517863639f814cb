//! One connection after its handshake: HTTP/1.1 or HTTP/2, time limits, drain. Knows one connection only; who makes room
//! for whom is decided in `places`.

use std::error::Error as StdError;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::answer::Reporting;
use super::counters::Counters;
use super::handshake::handshake;
use super::limits::ConnectionLimits;
use super::places::{Phase, Place, Steps};
use super::shared::Shared;
use super::stream::Watched;

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
            // Boxed, so that its memory is given back when it is done: what follows it lasts much longer.
            // A client that has not asked anything yet loses nothing at shutdown.
            () = wait(&mut closed) => return,
            secured = Box::pin(handshake(stream, steps.peer(), &shared)) => secured,
        };
        let Some(stream) = secured else { return };
        steps.secured();
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let (limits, counters) = (&shared.limits, &*shared.counters);
        let service = Reporting::new(service, steps.clone(), Arc::clone(&shared.counters));
        if is_http2 {
            let streams = Streams::default();
            let io = TokioIo::new(Watched::http2(stream));
            let connection = http2(limits, &streams).serve_connection(io, service);
            drive(connection, &steps, limits, counters, closed).await;
        } else {
            let io = TokioIo::new(Watched::http1(stream, steps.clone()));
            drive(http1(limits).serve_connection(io, service), &steps, limits, counters, closed).await;
        }
    };
    tokio::select! {
        biased;
        () = place.evicted() => {}
        () = serve => {}
    }
}

fn http1(limits: &ConnectionLimits) -> http1::Builder {
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

fn http2(limits: &ConnectionLimits, streams: &Streams) -> http2::Builder<Streams> {
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
    limits: &ConnectionLimits,
    counters: &Counters,
    mut closed: watch::Receiver<bool>,
) where
    C::Error: std::fmt::Display,
{
    let mut connection = pin!(connection);
    let mut closing = false;
    loop {
        let (phase, deadline) = deadline(steps, limits, closing);
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
                if self::deadline(steps, limits, closing) != (phase, deadline) {
                    // A step came since then.
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

/// The phase now, and when it is over. Once the listener closes, only answers under way get their time.
fn deadline(steps: &Steps, limits: &ConnectionLimits, closing: bool) -> (Phase, Instant) {
    let (phase, since, taken) = steps.phase();
    let deadline = match phase {
        Phase::Answer => {
            let stalled = taken.map(|taken| taken + limits.stalled);
            stalled.unwrap_or(since + limits.answer).min(since + limits.answer)
        }
        _ if closing => since + FAREWELL,
        // The handshake's own time is over when it gets here.
        Phase::Handshake | Phase::Header => since + limits.header,
        Phase::Idle => since + limits.idle,
    };
    (phase, deadline)
}

/// Completes when the listener closes.
async fn wait(closed: &mut watch::Receiver<bool>) {
    let _ = closed.wait_for(|closed| *closed).await;
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
