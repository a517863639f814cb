//! A limit on requests per time, for all clients together: a bucket that holds `burst` requests and gets one more each
//! interval, as the web configuration file of Prometheus' exporters has it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Time between two requests. Not zero.
    pub interval: Duration,
    /// Requests that may come together. At least one.
    pub burst: u32,
}

/// The bucket.
#[derive(Debug)]
pub(super) struct Rate {
    limit: RateLimit,
    /// When the bucket is full again: each request moves it one interval further away.
    full: Mutex<Instant>,
}

impl Rate {
    /// A full bucket.
    pub(super) fn new(limit: RateLimit, now: Instant) -> Self {
        Self { limit, full: Mutex::new(now) }
    }

    /// Takes a request out of the bucket; or says how long to wait for the next one.
    ///
    /// # Errors
    ///
    /// That time, when the bucket is empty.
    pub(super) fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*full).max(now) + self.limit.interval;
        let most = now + self.limit.interval * self.limit.burst;
        if next > most {
            return Err(next - most);
        }
        *full = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_answered_and_then_one_request_each_interval() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let rate = Rate::new(RateLimit { interval: second, burst: 2 }, start);
        assert_eq!(rate.admit(start), Ok(()));
        assert_eq!(rate.admit(start), Ok(()));
        assert_eq!(rate.admit(start), Err(second));
        assert_eq!(rate.admit(start + second / 2), Err(second / 2));
        assert_eq!(rate.admit(start + second), Ok(()));
        assert_eq!(rate.admit(start + second), Err(second));
        // However long nothing was asked, the bucket holds no more than the burst.
        let later = start + 100 * second;
        assert_eq!([(); 3].map(|()| rate.admit(later).is_ok()), [true, true, false]);
    }
}
