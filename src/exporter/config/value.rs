//! Numbers and times as they are written in flags and files, with their bounds: one reading for both.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use journal_schema::limits;

use crate::metrics::labels::MIN_MAX_LABEL_BYTES;

/// Pause between two looks at the journal. A notification from the file system cuts it short.
pub const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Below, looking would take more time than it saves; above, a journal counts as lost.
const POLL_INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);

/// Each checkpoint writes and syncs the whole state, hence the floor.
const CHECKPOINT_INTERVALS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(24 * 3600);

/// The upper end is what the number of a series can hold. How much a scraper takes is the operator's to know.
const MAX_SERIES: RangeInclusive<u64> = 1..=4_000_000_000;

/// Below, little but the digest would be left of a value. What is above the length of a line lifts the limit.
const MAX_LABEL_BYTES: RangeInclusive<u64> = MIN_MAX_LABEL_BYTES as u64..=1_000_000_000;

/// Below, lines of an agent that names things as people do would be lost. Above, there are no lines.
const MAX_LINE_BYTES: RangeInclusive<u64> = 1024..=limits::MAX_LINE_BYTES as u64;

/// Two: with one, a client that merely connects could hold off a scraper for ever.
const MAX_CONNECTIONS: RangeInclusive<u64> = 2..=65_536;

/// Within the former.
const MAX_CONNECTIONS_PER_CLIENT: RangeInclusive<u64> = 1..=65_536;

/// A writer or a segment takes some hundred bytes; the upper end is a gigabyte.
const MEMORIES: RangeInclusive<u64> = 1..=1_000_000;

/// Reads a polling interval.
pub(super) fn poll_interval(text: &str) -> Result<Duration, String> {
    duration(text, POLL_INTERVALS)
}

/// Reads a checkpoint interval.
pub(super) fn checkpoint_interval(text: &str) -> Result<Duration, String> {
    duration(text, CHECKPOINT_INTERVALS)
}

/// Reads a limit of series.
pub(super) fn max_series(text: &str) -> Result<usize, String> {
    count(text, MAX_SERIES)
}

/// Reads a limit of bytes in a label value.
pub(super) fn max_label_bytes(text: &str) -> Result<usize, String> {
    count(text, MAX_LABEL_BYTES)
}

/// Reads a limit of bytes in a line.
pub(super) fn max_line_bytes(text: &str) -> Result<usize, String> {
    count(text, MAX_LINE_BYTES)
}

/// Reads a limit of connections.
pub(super) fn max_connections(text: &str) -> Result<usize, String> {
    count(text, MAX_CONNECTIONS)
}

/// Reads a limit of connections of one client.
pub(super) fn max_connections_per_client(text: &str) -> Result<usize, String> {
    count(text, MAX_CONNECTIONS_PER_CLIENT)
}

/// Reads a number of writers to remember.
pub(super) fn max_writers(text: &str) -> Result<usize, String> {
    count(text, MEMORIES)
}

/// Reads a number of segments to remember.
pub(super) fn max_segments(text: &str) -> Result<usize, String> {
    count(text, MEMORIES)
}

/// Reads the path of a textfile. node_exporter reads `*.prom` alone, and a temporary file beside it must not match.
pub(super) fn textfile(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.extension().is_some_and(|extension| extension == "prom") {
        Ok(path)
    } else {
        Err("its name has to end in .prom, else node_exporter does not read it".to_owned())
    }
}

/// Writes a duration as it may be read again.
pub(super) fn show(duration: Duration) -> String {
    SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{duration:?}"), |signed| format!("{signed:#}"))
}

fn duration(text: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, String> {
    let value = text.parse::<SignedDuration>().ok().and_then(|signed| Duration::try_from(signed).ok());
    let value = value.ok_or("not a duration; write a number with its unit, as in `250ms`, `1s`, `2m`")?;
    if bounds.contains(&value) {
        Ok(value)
    } else {
        Err(format!("out of bounds: {} to {}", show(*bounds.start()), show(*bounds.end())))
    }
}

fn count(text: &str, bounds: RangeInclusive<u64>) -> Result<usize, String> {
    let value = text.parse().ok().filter(|value| bounds.contains(value));
    value
        .and_then(|value| usize::try_from(value).ok())
        .ok_or_else(|| format!("not a whole number between {} and {}", bounds.start(), bounds.end()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::{DEFAULT_CHECKPOINT_INTERVAL, DEFAULT_MAX_SERIES};
    use super::*;

    #[test]
    fn durations_need_a_unit_and_keep_their_bounds() {
        for (text, millis) in
            [("1s", 1000), ("250ms", 250), ("2m", 120_000), ("1.5s", 1500), ("1m30s", 90_000)]
        {
            assert_eq!(poll_interval(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for bad in ["", "1", "s", "-1s", "1x", "0s", "1ms", "2h", "1e3s", "99999999999999999999s"] {
            assert!(poll_interval(bad).is_err(), "{bad}");
        }
        assert_eq!(poll_interval("1ms").unwrap_err(), "out of bounds: 10ms to 1h");
        assert_eq!(checkpoint_interval("2h").unwrap(), Duration::from_secs(7200));
    }

    #[test]
    fn a_duration_that_is_shown_can_be_read_again() {
        for interval in [DEFAULT_POLL_INTERVAL, DEFAULT_CHECKPOINT_INTERVAL, Duration::from_millis(90_250)] {
            assert_eq!(checkpoint_interval(&show(interval)).unwrap(), interval);
        }
    }

    #[test]
    fn counts_keep_their_bounds() {
        assert_eq!(max_series("100000").unwrap(), DEFAULT_MAX_SERIES);
        for bad in ["", "0", "-1", "1.5", "1e3", "4000000001", "99999999999999999999"] {
            assert!(max_series(bad).is_err(), "{bad}");
        }
        assert_eq!(max_label_bytes("63").unwrap_err(), "not a whole number between 64 and 1000000000");
    }
}
