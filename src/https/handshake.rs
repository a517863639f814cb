//! From the first byte of a connection to a TLS session, or to a client that knows why it has none. Reads no request.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::Shared;
use super::peer::Peer;
use super::plain_http::{self, Opening};

/// How long to wait for the client to hang up after a refusal, and how much of it to swallow meanwhile. Closing with
/// unread bytes resets the connection, and the client might never see why it was refused.
const LINGER: (Duration, u64) = (Duration::from_secs(1), 64 * 1024);

/// Refused clients are logged at most this often; the counter has each of them.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The TLS session, or `None` if the handshake failed. The reason is counted.
pub(super) async fn handshake(
    stream: TcpStream,
    peer: &Peer,
    shared: &Shared,
) -> Option<TlsStream<TcpStream>> {
    // Answers are small and whole: waiting for more to send with them only costs time.
    let _ = stream.set_nodelay(true);
    timeout(shared.limits.handshake, secure(stream, peer, shared)).await.unwrap_or_else(|_| {
        shared.counters.handshake_timeouts.increment();
        None
    })
}

async fn secure(stream: TcpStream, peer: &Peer, shared: &Shared) -> Option<TlsStream<TcpStream>> {
    match plain_http::opening(&stream).await {
        Ok(Opening::Tls) => {}
        Ok(Opening::PlainHttp) => {
            shared.counters.plain_http.increment();
            plain_http::refuse(stream).await;
            return None;
        }
        Ok(Opening::Nothing) => return None,
        Ok(Opening::Other) | Err(_) => {
            shared.counters.handshake_failures.increment();
            return None;
        }
    }
    let accepted = TlsAcceptor::from(shared.tls.config()).accept(stream).into_fallible().await;
    match accepted {
        Ok(secured) => Some(secured),
        Err((error, stream)) => {
            shared.counters.handshake_failures.increment();
            shared.refusals.log(peer, &error);
            // The alert is on its way.
            linger(stream).await;
            None
        }
    }
}

/// Closes a connection so that the client gets what was written last.
pub(super) async fn linger(mut stream: TcpStream) {
    // A client that does not read it only harms itself, so an error is ignored.
    let _ = timeout(LINGER.0, async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER.1), &mut tokio::io::sink()).await
    })
    .await;
}

/// Logs refused clients, not more often than a person can read.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// When one was logged last, and how many were not logged since.
    last: Mutex<Option<(Instant, u64)>>,
}

impl Refusals {
    fn log(&self, peer: &Peer, error: &io::Error) {
        let client = peer.address();
        match self.since_last(Instant::now()) {
            Some(0) => tracing::warn!(%client, %error, "TLS handshake failed"),
            Some(more) => tracing::warn!(%client, %error, more, "TLS handshakes failed"),
            None => tracing::debug!(%client, %error, "TLS handshake failed"),
        }
    }

    /// How many were not logged since the last one; `None` if this one is not logged either.
    fn since_last(&self, now: Instant) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *last {
            Some((at, silent)) if now.saturating_duration_since(*at) < TELL_EVERY => {
                *silent += 1;
                None
            }
            other => Some(other.replace((now, 0)).map_or(0, |(_, silent)| silent)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_logged_at_a_limited_rate_and_none_is_forgotten() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let at = |seconds| refusals.since_last(start + Duration::from_secs(seconds));
        assert_eq!(
            [at(0), at(1), at(59), at(60), at(61), at(200)],
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }
}
