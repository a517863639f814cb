//! The end of a connection whose client is refused: it has to get to know why.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long to wait for the client to hang up after a refusal, and how much of it to swallow meanwhile. Closing with
/// unread bytes resets the connection, and the client might never see why it was refused.
const LINGER: (Duration, u64) = (Duration::from_secs(1), 64 * 1024);

/// Closes a connection so that the client gets what was written last.
pub(super) async fn linger(mut stream: TcpStream) {
    // A client that does not read it only harms itself, so an error is ignored.
    let _ = timeout(LINGER.0, async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER.1), &mut tokio::io::sink()).await
    })
    .await;
}
