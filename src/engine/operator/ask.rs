//! Asking another engine: a connection within a bounded time, a token for the engine that is at its other end, and the
//! request that carries it. What is asked, and what an answer means, is in [`super::push`] and [`super::shell`].

use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderValue, USER_AGENT};
use tokio::time::timeout;

use crate::wire::client::{Client, ConnectError, Connected, Server};
use crate::wire::token::SignError;

/// How long it may take until the other side can be asked.
const CONNECT_TIME: Duration = Duration::from_secs(20);

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Connecting failed.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There is none in time.
    #[error("no connection within {} s", CONNECT_TIME.as_secs())]
    TooSlow,
    /// The token cannot be bound to the engine.
    #[error("the system gives no randomness: {0}")]
    Bind(#[source] getrandom::Error),
    /// The token cannot be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Host or path cannot be part of a request.
    #[error("no request: {0}")]
    Request(#[from] hyper::http::Error),
    /// The connection was lost, or what comes back is not HTTP.
    #[error("HTTP: {0}")]
    Http(#[source] hyper::Error),
    /// The connection was closed before it took the request, and a new one failed.
    #[error("HTTP: {closed}; {again}")]
    Closed {
        /// What became of the connection.
        closed: hyper::Error,
        /// Why the new one failed.
        #[source]
        again: Box<AskError>,
    },
}

/// A connection to `server`.
///
/// # Errors
///
/// There is none in time.
pub(super) async fn connect(
    client: &Client,
    server: &Server<'_>,
) -> Result<Connected<Full<Bytes>>, AskError> {
    match timeout(CONNECT_TIME, client.meet(server)).await {
        Ok(connected) => Ok(connected?),
        Err(_) => Err(AskError::TooSlow),
    }
}

/// The request that takes `token` to `path`.
///
/// # Errors
///
/// Host or path cannot be part of one.
pub(super) fn post(server: &Server<'_>, path: &str, token: String) -> Result<Request<Full<Bytes>>, AskError> {
    let Server { host, port, .. } = server;
    let is_bare_ipv6 = host.contains(':') && !host.starts_with('[');
    let host = if is_bare_ipv6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let request = Request::post(path)
        .header(HOST, host)
        .header(USER_AGENT, HeaderValue::from_static(concat!("etcha-engine/", env!("CARGO_PKG_VERSION"))))
        .body(Full::new(Bytes::from(token)))?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_host_of_a_request_has_its_port_and_an_ipv6_address_its_brackets() {
        let cases =
            [("web1", "web1:7"), ("192.0.2.1", "192.0.2.1:7"), ("::1", "[::1]:7"), ("[::1]", "[::1]:7")];
        for (host, expected) in cases {
            let server = Server { host, port: 7, tls: true, skip_verify: false };
            let request = post(&server, "/etcha/v1/push/web", "token".to_owned()).unwrap();
            assert_eq!(request.headers()[HOST], expected);
        }
        let server = Server { host: "a b", port: 7, tls: true, skip_verify: false };
        let refused = post(&server, "/a b", String::new()).unwrap_err().to_string();
        assert!(refused.starts_with("no request: "), "{refused}");
    }
}
