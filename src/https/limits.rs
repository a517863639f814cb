//! Limits of a listener: how long, how many, how large. Each has a default and what happens beyond it.

use std::time::Duration;

/// Limits on connections. All durations are wall time; none of them is renewed by a byte that trickles in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// From accept to the end of the TLS handshake. Beyond it the connection is closed. Default 10 s.
    pub handshake: Duration,
    /// From the handshake to the end of the first request's header, and, for HTTP/1.1, from the first byte of
    /// each later header to its end. Beyond it the connection is closed. Default 10 s.
    pub header: Duration,
    /// Between the end of an answer and the next request. Beyond it the connection is closed politely. Default
    /// 75 s: longer than a scrape interval of one minute, so that a scraper keeps its connection.
    pub idle: Duration,
    /// From the end of the latest request's header until all answers are taken, but for what fits into buffers.
    /// Beyond it the connection is closed: its client reads nothing, or sends a body without end. Default 120 s.
    pub answer: Duration,
    /// Between two parts of an answer that the client takes, each of them 64 KiB. Beyond it the connection is closed: its
    /// client reads nothing. Default 10 s, after which scrapers have given up.
    pub stalled: Duration,
    /// Answers of more than 64 KiB under way at once, of all clients. Beyond it, the connection whose client took
    /// nothing for the longest time is closed: a body may be large, and a client that stops reading keeps it in
    /// memory. Default 16: a client that reads takes its body within milliseconds.
    pub answers: usize,
    /// Memory that the bodies of those answers hold, in bytes; one that several clients read counts once. Beyond it, too,
    /// the connection whose client took nothing for the longest time is closed. Default 256 MiB: three of the largest
    /// bodies that an exporter makes with its default limits.
    pub answer_bytes: usize,
    /// For answers that are under way when shutdown begins. Beyond it they are cut off. Default 10 s.
    pub drain: Duration,
    /// Open connections of all clients. Beyond it, the least useful one is closed; see "Making room" in
    /// `lib.rs`. Default 512: half of the 1,024 descriptors that a process usually may have.
    pub connections: usize,
    /// Open connections of one client: an IPv4 address or an IPv6 network of 64 bits. Beyond it, the least
    /// useful one of the same client is closed. Default 256, so that one client never takes all.
    pub connections_per_client: usize,
    /// Header of a request, first line included, in bytes; at least 8,192. Beyond it the answer is 431. Default
    /// 16,384.
    pub header_bytes: u32,
    /// Requests under way at once on one HTTP/2 connection. Further ones are refused by a reset. Default 32.
    pub streams: u32,
    /// HTTP/2 streams that a client opened and reset before they were looked at. Beyond it, the connection is
    /// closed. Default 20.
    pub reset_streams: usize,
    /// Interval of HTTP/2 pings, and how long their answer may take, before the client counts as gone. Default
    /// 20 s.
    pub ping: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            answer: Duration::from_secs(120),
            stalled: Duration::from_secs(10),
            answers: 16,
            answer_bytes: 256 << 20,
            drain: Duration::from_secs(10),
            connections: 512,
            connections_per_client: 256,
            header_bytes: 16_384,
            streams: 32,
            reset_streams: 20,
            ping: Duration::from_secs(20),
        }
    }
}
