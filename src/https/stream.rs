//! The decrypted bytes of one connection, watched on their way to the HTTP library. Parses no more of them than the
//! headers of HTTP/2 frames.
//!
//! With HTTP/1.1 a byte that comes in begins a header, so that this can be told from an idle connection. With HTTP/2
//! frames are counted: a client may send frames that ask for nothing for ever, and each takes longer to handle than to
//! send. It has credit for them, which requests and the bytes that it reads renew; beyond it the connection ends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::places::Steps;

/// What each HTTP/2 connection of a client begins with (RFC 9113, 3.4), in bytes.
const PREFACE_BYTES: usize = 24;

/// Header of a frame (RFC 9113, 4.1), in bytes.
const HEADER_BYTES: usize = 9;

/// Types of frames (RFC 9113, 6) that ask for or bring something.
const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// Frames that ask for nothing at the start of a connection and at most: far above what any client sends.
const CREDIT: (u64, u64) = (512, 4096);

/// Credit for a request.
const CREDIT_OF_REQUEST: u64 = 8;

/// Bytes that a client has to read for one more unit of credit. Clients announce now and then how much more they
/// accept; few do so more often than every 2 KiB.
const BYTES_OF_CREDIT: u64 = 512;

/// Credit that time brings, a second.
const CREDIT_OF_SECOND: u64 = 16;

/// A stream that is watched.
pub(super) struct Watched<I> {
    inner: I,
    watch: Watch,
}

enum Watch {
    Http1(Steps),
    Http2(Frames),
}

impl<I> Watched<I> {
    /// Reports bytes that come in to `steps`.
    pub(super) fn http1(inner: I, steps: Steps) -> Self {
        Self { inner, watch: Watch::Http1(steps) }
    }

    /// Counts the frames that come in.
    pub(super) fn http2(inner: I) -> Self {
        Self { inner, watch: Watch::Http2(Frames::new(Instant::now())) }
    }

    fn wrote(&mut self, result: &Poll<io::Result<usize>>) {
        if let (Watch::Http2(frames), Poll::Ready(Ok(length))) = (&mut self.watch, result) {
            frames.wrote(*length as u64);
        }
    }
}

/// Where the bytes of a client are, frame by frame, and how much credit it has.
struct Frames {
    /// Bytes to pass over: the preface at first, later what is left of a frame's payload.
    passing: usize,
    header: [u8; HEADER_BYTES],
    /// How many bytes of the header are there.
    known: usize,
    credit: u64,
    /// Bytes written that brought no credit yet.
    written: u64,
    /// Until when time has brought its credit.
    renewed: Instant,
}

impl Frames {
    fn new(now: Instant) -> Self {
        Self {
            passing: PREFACE_BYTES,
            header: [0; HEADER_BYTES],
            known: 0,
            credit: CREDIT.0,
            written: 0,
            renewed: now,
        }
    }

    /// Bytes came in.
    ///
    /// # Errors
    ///
    /// The credit is used up.
    fn heard(&mut self, mut bytes: &[u8], now: Instant) -> io::Result<()> {
        loop {
            let passed = self.passing.min(bytes.len());
            self.passing -= passed;
            bytes = &bytes[passed..];
            if bytes.is_empty() {
                return Ok(());
            }
            let more = (HEADER_BYTES - self.known).min(bytes.len());
            self.header[self.known..self.known + more].copy_from_slice(&bytes[..more]);
            self.known += more;
            bytes = &bytes[more..];
            if self.known == HEADER_BYTES {
                self.frame(now)?;
            }
        }
    }

    fn frame(&mut self, now: Instant) -> io::Result<()> {
        let [a, b, c, kind, ..] = self.header;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        (self.known, self.passing) = (0, length);
        match kind {
            HEADERS => self.earn(CREDIT_OF_REQUEST),
            // A part of a body that holds something: what it may bring is limited elsewhere.
            DATA if length > 0 => {}
            _ if self.credit > 0 => self.credit -= 1,
            _ => {
                let seconds = now.saturating_duration_since(self.renewed).as_secs();
                if seconds == 0 {
                    return Err(io::Error::other("too many HTTP/2 frames that ask for nothing"));
                }
                self.renewed = now;
                self.earn(seconds.saturating_mul(CREDIT_OF_SECOND));
                self.credit -= 1;
            }
        }
        Ok(())
    }

    fn wrote(&mut self, length: u64) {
        self.written += length;
        self.earn(self.written / BYTES_OF_CREDIT);
        self.written %= BYTES_OF_CREDIT;
    }

    fn earn(&mut self, credit: u64) {
        self.credit = self.credit.saturating_add(credit).min(CREDIT.1);
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(context, buffer);
        let heard = &buffer.filled()[before..];
        if !heard.is_empty() {
            match &mut self.watch {
                Watch::Http1(steps) => steps.heard(),
                Watch::Http2(frames) => frames.heard(heard, Instant::now())?,
            }
        }
        result
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.wrote(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.wrote(&result);
        result
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [.., a, b, c] = length.to_be_bytes();
        let mut bytes = vec![a, b, c, kind, 0, 0, 0, 0, 1];
        bytes.resize(HEADER_BYTES + length, b'x');
        bytes
    }

    /// Frames of this kind until the credit is used up, in pieces that cut headers and payloads.
    fn last(frames: &mut Frames, kind: u8, length: usize, now: Instant) -> u64 {
        let bytes = frame(kind, length);
        for count in 0.. {
            for piece in bytes.chunks(5) {
                if frames.heard(piece, now).is_err() {
                    // The next frame follows, as if the rest of this one had come.
                    frames.passing = 0;
                    return count;
                }
            }
            assert!(count < 10_000, "no end");
        }
        0
    }

    #[test]
    fn frames_that_ask_for_nothing_have_an_end_and_requests_and_reading_renew_the_credit() {
        let now = Instant::now();
        let begun = || {
            let mut frames = Frames::new(now);
            frames.heard(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now).unwrap();
            frames
        };
        // PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION, an unknown one, DATA without data.
        for (kind, length) in [(2, 5), (3, 4), (4, 0), (6, 8), (8, 4), (9, 0), (99, 30), (DATA, 0)] {
            assert_eq!(last(&mut begun(), kind, length, now), CREDIT.0, "{kind}");
        }
        let mut frames = begun();
        last(&mut frames, 6, 8, now);
        frames.heard(&frame(HEADERS, 20), now).unwrap();
        assert_eq!(last(&mut frames, 6, 8, now), CREDIT_OF_REQUEST);
        frames.wrote(100 * BYTES_OF_CREDIT);
        assert_eq!(last(&mut frames, 8, 4, now), 100);
        assert_eq!(last(&mut frames, 8, 4, now + Duration::from_secs(2)), 2 * CREDIT_OF_SECOND);
        // A body is as long as it is.
        for _ in 0..10_000 {
            frames.heard(&frame(DATA, 1), now).unwrap();
        }
    }
}
