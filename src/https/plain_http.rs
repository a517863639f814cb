//! The answer to clients that speak HTTP without TLS to the port. Reads no request: whatever it asks, the answer
//! is the same.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::closing::linger;

/// First byte of each TLS connection: a record of kind "handshake" (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// How long writing the answer may take: it fits into any buffer.
const PATIENCE: Duration = Duration::from_secs(1);

const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 53\r\n\
    Connection: close\r\n\r\n\
    This port speaks HTTPS only: use https:// in the URL\n";

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// TLS, or at least its first byte.
    Tls,
    /// A letter, as each HTTP method begins with.
    PlainHttp,
    /// Anything else.
    Other,
    /// The client hung up without a byte, as simple health checks do.
    Nothing,
}

/// Looks at the first byte without taking it.
pub(super) async fn opening(stream: &TcpStream) -> std::io::Result<Opening> {
    let mut first = [0];
    let length = stream.peek(&mut first).await?;
    Ok(match first[0] {
        _ if length == 0 => Opening::Nothing,
        TLS_HANDSHAKE => Opening::Tls,
        byte if byte.is_ascii_alphabetic() => Opening::PlainHttp,
        _ => Opening::Other,
    })
}

/// Answers 400 and closes.
pub(super) async fn refuse(mut stream: TcpStream) {
    if matches!(timeout(PATIENCE, stream.write_all(ANSWER)).await, Ok(Ok(()))) {
        linger(stream).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_answer_says_its_own_length() {
        let text = std::str::from_utf8(ANSWER).unwrap();
        let (header, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(header.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
