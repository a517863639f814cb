//! What a journal sums up to, ready to be shown: the object that `stats --json` prints.
//!
//! How it comes about is `summary`'s part, how it looks on a terminal is `stats`'s.

use jiff::Timestamp;
use serde::Serialize;

/// Everything, ready to be shown.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) lines: u64,
    pub(crate) bad_lines: u64,
    pub(crate) duplicate_lines: u64,
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
    pub(crate) activity: Activity,
    pub(crate) sources: Vec<SourceReport>,
    /// Most failures first.
    pub(crate) failing: Vec<FailingReport>,
    /// Largest maximum first.
    pub(crate) slowest: Vec<SlowReport>,
    pub(crate) shells: Vec<Session>,
}

/// Lines over time.
#[derive(Serialize)]
pub(crate) struct Activity {
    pub(crate) step_seconds: i64,
    pub(crate) lines: Vec<u64>,
}

/// Runs of one Source with one trigger.
#[derive(Serialize)]
pub(crate) struct SourceReport {
    pub(crate) source: String,
    pub(crate) trigger: &'static str,
    pub(crate) runs: u64,
    pub(crate) failed: u64,
    /// Runs of which nothing says how they ended.
    pub(crate) unknown: u64,
    pub(crate) changed: u64,
    pub(crate) removed: u64,
    pub(crate) last: Timestamp,
    pub(crate) seconds: Option<Distribution>,
}

/// A Command that failed.
#[derive(Serialize)]
pub(crate) struct FailingReport {
    pub(crate) source: String,
    pub(crate) id: String,
    pub(crate) mode: &'static str,
    pub(crate) runs: u64,
    pub(crate) failed: u64,
    pub(crate) last_failed: Option<Timestamp>,
}

/// A Command with durations.
#[derive(Serialize)]
pub(crate) struct SlowReport {
    pub(crate) source: String,
    pub(crate) id: String,
    pub(crate) mode: &'static str,
    pub(crate) seconds: Distribution,
}

/// How durations are spread, in seconds.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Distribution {
    pub(crate) count: usize,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) max: f64,
}

/// One shell: who, when, how long.
#[derive(Clone, Serialize)]
pub(crate) struct Session {
    pub(crate) source: String,
    pub(crate) session: String,
    pub(crate) public_key: String,
    pub(crate) remote_addr: String,
    /// Absent if it was opened before the first line.
    pub(crate) opened: Option<Timestamp>,
    pub(crate) closed: Option<Timestamp>,
    pub(crate) seconds: Option<f64>,
    pub(crate) end: End,
    pub(crate) reason: String,
}

/// How a shell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum End {
    /// It has not.
    Open,
    /// It was closed.
    Closed,
    /// The agent stopped in good order meanwhile.
    Stopped,
    /// The agent died meanwhile, and a new one started.
    Orphaned,
}

impl Session {
    pub(crate) fn close(&mut self, time: Timestamp, end: End) {
        self.closed = Some(time);
        self.end = end;
        // A clock that was set back is no reason for a negative duration.
        self.seconds = self.opened.map(|opened| time.duration_since(opened).as_secs_f64().max(0.0));
    }

    pub(crate) fn concerns(&self, since: Option<Timestamp>) -> bool {
        since.is_none_or(|since| self.closed.is_none_or(|closed| closed >= since))
    }
}

impl Distribution {
    pub(crate) fn of(mut seconds: Vec<f64>) -> Option<Distribution> {
        seconds.sort_by(f64::total_cmp);
        let (&max, count) = (seconds.last()?, seconds.len());
        let mean = seconds.iter().sum::<f64>() / count as f64;
        // The smallest value that so many percent of the values do not exceed.
        let percentile = |percent: usize| seconds[(count * percent).div_ceil(100).max(1) - 1];
        Some(Distribution { count, mean, p50: percentile(50), p95: percentile(95), max })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let hundred: Vec<f64> = (1..=100u8).map(f64::from).collect();
        let expected = Distribution { count: 100, mean: 50.5, p50: 50.0, p95: 95.0, max: 100.0 };
        assert_eq!(Distribution::of(hundred), Some(expected));
        assert_eq!(Distribution::of(vec![2.0]).unwrap().p95, 2.0);
        assert_eq!(Distribution::of(vec![]), None);
    }
}
