//! Refused clients in the log, not more often than a person can read.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::peer::Peer;

/// Refused clients are logged at most this often; the counter has each of them.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Logs refused clients, not more often than a person can read.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// When one was logged last, and how many were not logged since.
    last: Mutex<Option<(Instant, u64)>>,
}

impl Refusals {
    pub(super) fn log(&self, peer: &Peer, error: &io::Error) {
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
