//! What a listener counts about its connections, for whoever wants to export it. Knows no metrics library.

use std::sync::atomic::{AtomicU64, Ordering};

/// One number that anybody may read at any time.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The present value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// One more.
    pub(super) fn increment(&self) {
        self.add(1);
    }

    /// `n` more.
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// One less. Only for a number of things that are open now.
    pub(super) fn decrement(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Connections of one listener, or of several that share this, since it was made.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted, those refused afterwards included.
    pub accepted: Count,
    /// Connections open now. The only number here that can fall.
    pub open: Count,
    /// Refused because every connection allowed in all is answering a client that is known.
    pub refused_overall: Count,
    /// Refused because every connection allowed to this client is answering, and the client is known.
    pub refused_per_client: Count,
    /// Closed to make room for a newer one, at the limit on all connections.
    pub evicted_overall: Count,
    /// Closed to make room for a newer one, at the limit on connections of one client.
    pub evicted_per_client: Count,
    /// Closed to get a descriptor back when the process or the system had none left.
    pub evicted_for_descriptors: Count,
    /// Closed because too many large answers were under way, and this client took nothing for the longest time.
    pub evicted_readers: Count,
    /// Handshakes that failed: wrong protocol, unknown or missing client certificate, client does not trust ours.
    pub handshake_failures: Count,
    /// Connections that spoke HTTP without TLS; they got an answer that says so.
    pub plain_http: Count,
    /// Handshakes that took too long.
    pub handshake_timeouts: Count,
    /// Requests whose header did not come in time.
    pub header_timeouts: Count,
    /// Connections closed because no further request came.
    pub idle_timeouts: Count,
    /// Answers that were not taken in time.
    pub answer_timeouts: Count,
    /// Requests that reached the routes.
    pub requests: Count,
    /// Connections that ended by an error of HTTP: malformed, too large, too many resets, client gone midway.
    pub protocol_errors: Count,
    /// Attempts to accept that failed. The listener goes on after each.
    pub accept_errors: Count,
    /// Connections cut off at shutdown because draining took too long.
    pub cut_off: Count,
}
