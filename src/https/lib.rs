//! HTTPS for both programs: listener, certificates, limits on connections. Knows no route and no program.
//!
//! # Layout
//!
//! * [`listener`]: addresses, sockets, sockets from systemd; `occupant`: who has a port that is taken.
//! * [`certificate`]: a pair of PEM files, checked; authorities of client certificates.
//! * [`self_signed`]: a certificate made here when there is none, whose file clients pin.
//! * [`names`]: what this host is called, for their subject names.
//! * [`policy`]: versions, cipher suites and curves; `clients`: who may connect.
//! * [`tls`]: the setup that is served now, replaceable while running.
//! * `limits`, `counters`: what is allowed and what happened.
//! * [`peer`]: what a route learns of its client; [`attempts`]: how often one may be wrong.
//! * `places`: open connections, and which one makes room for another; `large`: how much memory answers hold.
//! * `handshake`: from the first byte to TLS; `connection`: from there to the end; `stream`: the bytes between; `answer`:
//!   one answer.
//! * `plain_http`: the answer to clients that speak HTTP without TLS.
//!
//! # Making room
//!
//! A listener that turns newcomers away when it is full can be locked by clients that merely connect. This one
//! lets the newcomer in and closes the connection whose last step lies longest ago. Steps are: accepted,
//! handshake done, request received, answer done; bytes alone are none. A right request takes its steps within
//! milliseconds and is therefore never the oldest, whatever hundreds of silent or slow connections do. Clients
//! that a route has vouched for ([`Peer::vouch`]) go last, and never while an answer to them is under way. The
//! same rule holds among the connections of one client, so no client takes more than its share, and a flood takes
//! places of its own address alone. There it can push out a newcomer too, if within the time of a handshake it
//! connects as often as that address has places; a client that was vouched for before keeps its connection.

mod answer;
pub mod attempts;
pub mod certificate;
mod clients;
mod closing;
mod connection;
mod counters;
mod handshake;
mod large;
mod limits;
pub mod listener;
pub mod names;
mod occupant;
pub mod peer;
mod places;
mod plain_http;
pub mod policy;
mod refusals;
pub mod self_signed;
mod shared;
mod stream;
pub mod tls;
pub mod warning;

#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

pub use counters::Counters;
pub use limits::ConnectionLimits;
pub use peer::Peer;
pub use tls::Tls;

use places::Places;
use refusals::Refusals;
use shared::Shared;

/// First and longest pause after an accept that failed. The longest is far
/// below the second within which a right request is answered.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// Errors of accepting that speak of one connection (accept(2)): the next one may be fine.
const OF_A_CONNECTION: [Errno; 12] = [
    Errno::CONNABORTED,
    Errno::CONNRESET,
    Errno::INTR,
    Errno::PERM,
    Errno::PROTO,
    Errno::NETDOWN,
    Errno::NOPROTOOPT,
    Errno::HOSTDOWN,
    Errno::NONET,
    Errno::HOSTUNREACH,
    Errno::OPNOTSUPP,
    Errno::NETUNREACH,
];

/// Failing to accept is logged at most this often; the counter has every case.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Serves `service` on all `listeners` until `shutdown` completes, then drains: no new connections, answers under
/// way are finished within [`ConnectionLimits::drain`], what is left is cut off. When it returns, no task of it is left.
///
/// Each request carries a [`Peer`] in its extensions. Needs a tokio runtime with time and I/O. Errors of single
/// connections end only these, and errors of accepting only delay the next; both are counted.
pub async fn serve<S, B>(
    listeners: Vec<TcpListener>,
    tls: Tls,
    limits: ConnectionLimits,
    counters: Arc<Counters>,
    service: S,
    shutdown: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let (closing, closed) = watch::channel(false);
    let places = Places::new(&limits, Arc::clone(&counters));
    let shared =
        Arc::new(Shared { tls, limits, counters: Arc::clone(&counters), refusals: Refusals::default() });
    let mut tasks = JoinSet::new();
    let mut acceptor = Acceptor { listeners, next: 0, pause: None, told: None };
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            // Ended tasks are taken out as they end, so that the set does not grow.
            Some(_) = tasks.join_next() => {}
            accepted = acceptor.accept() => match accepted {
                Ok((stream, remote)) => {
                    counters.accepted.increment();
                    if let Some(place) = places.admit(remote) {
                        let (service, shared) = (service.clone(), Arc::clone(&shared));
                        tasks.spawn(connection::run(stream, place, service, shared, closed.clone()));
                    }
                    // Connections take their steps between two accepts. Without this a flood could be accepted,
                    // and push out everybody else, in one go.
                    tokio::task::yield_now().await;
                }
                Err(error) => {
                    counters.accept_errors.increment();
                    if acceptor.back_off(&error) {
                        places.make_room_for_descriptors();
                    }
                }
            },
        }
    }
    drop(acceptor);
    let _ = closing.send(true);
    let drained = async { while tasks.join_next().await.is_some() {} };
    if timeout(shared.limits.drain, drained).await.is_err() {
        counters.cut_off.add(tasks.len() as u64);
        tasks.shutdown().await;
    }
}

/// Accepts from several listeners in turn, and not at all while it pauses.
struct Acceptor {
    listeners: Vec<TcpListener>,
    /// The listener that is asked first, so that a busy one cannot starve the others.
    next: usize,
    /// Present while accepting fails: how long the last pause was, and when it is over.
    pause: Option<(Duration, Instant)>,
    /// When running out of descriptors was logged last.
    told: Option<Instant>,
}

impl Acceptor {
    /// The next connection. Losing the future loses no connection.
    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        if let Some((_, until)) = self.pause {
            sleep_until(until).await;
        }
        let count = self.listeners.len();
        let result = poll_fn(|context| {
            for step in 0..count {
                let index = (self.next + step) % count;
                if let Poll::Ready(result) = self.listeners[index].poll_accept(context) {
                    self.next = index + 1;
                    return Poll::Ready(result);
                }
            }
            Poll::Pending
        })
        .await;
        if result.is_ok() {
            self.pause = None;
        }
        result
    }

    /// Pauses unless the error is one of a single connection, such as one reset before it was accepted. True when the
    /// process has too few descriptors or too little memory, which closing connections can help.
    fn back_off(&mut self, error: &io::Error) -> bool {
        let is_one_of =
            |errors: &[Errno]| errors.iter().any(|it| error.raw_os_error() == Some(it.raw_os_error()));
        if is_one_of(&OF_A_CONNECTION) {
            return false;
        }
        let exhausted = is_one_of(&[Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]);
        let now = Instant::now();
        let length = self.pause.map_or(PAUSE.0, |(last, _)| (last * 2).min(PAUSE.1));
        self.pause = Some((length, now + length));
        if self.told.is_none_or(|last| now - last >= TELL_EVERY) {
            self.told = Some(now);
            if exhausted {
                tracing::warn!(%error, "cannot accept connections, so idle ones are closed; raise the limit on open files");
            } else {
                tracing::error!(%error, "cannot accept connections; trying again");
            }
        }
        exhausted
    }
}
