//! The pace: how far apart rounds are, by how much there was to read lately. Pure.
//!
//! A round costs about the same whether it finds one line or a hundred. After a silence, a line is read immediately.
//! In a stream, rounds wait so that lines gather: the slower the stream, the longer the wait. So neither costs much.

use std::time::Duration;

/// Least time between the starts of two rounds.
const LEAST: Duration = Duration::from_millis(10);

/// Most time between two rounds in a stream: even with a scrape on top, a line shows within about a blink of
/// an eye.
const MOST: Duration = Duration::from_millis(250);

/// Bytes a second that make a stream: some sixty lines, more than anybody writes by hand.
const STREAM: u64 = 16 * 1024;

/// Bytes that a round in a stream should find: with so many lines, the fixed cost of a round hardly counts.
const GATHER: u64 = 256 * 1024;

/// How far apart rounds are, for now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Bytes a second, over about the last one: one line says nothing of a stream.
    rate: u64,
    /// The same since the round before, which knows of a sudden flood.
    latest: u64,
}

impl Pace {
    /// Takes a round that found so many bytes, so long after the one before it began.
    pub(super) fn take(&mut self, bytes: u64, since: Duration) {
        if bytes == 0 && self.is_streaming() {
            // It is over.
            *self = Pace::default();
            return;
        }
        let milliseconds = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).clamp(1, 1000);
        self.latest = bytes * 1000 / milliseconds;
        self.rate = (self.rate - self.rate / 1000 * milliseconds).saturating_add(bytes);
    }

    /// Whether more can be read soon even if no notification comes.
    pub(super) fn is_streaming(&self) -> bool {
        self.rate >= STREAM
    }

    /// Time between the starts of two rounds.
    pub(super) fn spacing(&self) -> Duration {
        if self.is_streaming() {
            Duration::from_millis(GATHER * 1000 / self.rate.max(self.latest)).clamp(LEAST, MOST)
        } else {
            LEAST
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two seconds of lines that come at a steady rate: the rounds that read them, and the spacing in the end.
    fn steady(lines_a_second: u64, bytes: u64) -> (usize, Duration) {
        let (mut pace, mut now, mut read, mut rounds) = (Pace::default(), Duration::ZERO, 0, 0);
        while now < Duration::from_secs(2) {
            // Who is told waits for a line; in a stream nobody waits to be told.
            let next = if pace.is_streaming() {
                now + pace.spacing()
            } else {
                now.max(Duration::from_millis((read + 1) * 1000 / lines_a_second)) + LEAST
            };
            let there = u64::try_from(next.as_millis()).unwrap_or(0) * lines_a_second / 1000;
            pace.take((there - read) * bytes, next - now);
            (now, read, rounds) = (next, there, rounds + 1);
        }
        (rounds, pace.spacing())
    }

    #[test]
    fn the_thinner_a_stream_the_longer_its_lines_gather() {
        assert_eq!(steady(25, 290), (50, LEAST), "by hand: each line at once");
        let (rounds, spacing) = steady(1_000, 290);
        assert_eq!(spacing, MOST);
        assert!(rounds < 25, "{rounds}");
        let (rounds, spacing) = steady(20_000, 290);
        assert!((40..50).contains(&spacing.as_millis()), "{spacing:?}");
        assert!(rounds < 60, "{rounds}");
        assert_eq!(steady(1_000_000, 290).1, LEAST);
    }

    #[test]
    fn a_stream_is_over_with_the_first_round_that_finds_nothing() {
        let mut pace = Pace::default();
        pace.take(1_000_000_000, Duration::from_secs(2));
        assert!(pace.is_streaming());
        pace.take(0, LEAST);
        assert!(!pace.is_streaming() && pace.spacing() == LEAST);
    }
}
