//! From the first byte of a connection to a TLS session, or to a client that knows why it has none. Reads no request.

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::closing::linger;
use super::peer::Peer;
use super::plain_http::{self, Opening};
use super::shared::Shared;

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
