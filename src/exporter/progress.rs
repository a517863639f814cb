//! Progress of long reading: a bar on a terminal, a log line now and then elsewhere. Says nothing of short work.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::follow::Tally;

/// Work that ends sooner is not worth a word.
const PATIENCE: Duration = Duration::from_secs(1);

/// Time between two log lines.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Shows how far a replay is.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    started: Instant,
    logged: Instant,
    /// Bytes read before this work began.
    before: Option<u64>,
    bar: Option<ProgressBar>,
    terminal: bool,
}

impl Progress {
    /// Progress of `what`, a verb such as `replaying`.
    pub(crate) fn new(what: &'static str) -> Progress {
        let now = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        Progress { what, started: now, logged: now, before: None, bar: None, terminal }
    }

    /// Shows what was read, with `behind` bytes still to come.
    pub(crate) fn show(&mut self, tally: &Tally, behind: u64) {
        let before = *self.before.get_or_insert(tally.bytes);
        if self.started.elapsed() < PATIENCE {
            return;
        }
        let (done, lines) = (tally.bytes - before, tally.events.iter().sum::<u64>());
        if self.terminal {
            let bar = self.bar.get_or_insert_with(|| bar(self.what));
            bar.set_length(done + behind);
            bar.set_position(done);
            bar.set_message(format!("{lines} lines"));
        } else if self.logged.elapsed() >= LOG_INTERVAL {
            self.logged = Instant::now();
            let left = time_left(self.started.elapsed(), done, behind);
            tracing::info!(lines, bytes = done, bytes_left = behind, seconds_left = left, "{}", self.what);
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = "{prefix} {wide_bar} {bytes}/{total_bytes}, {msg}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar.with_prefix(what)
}

/// Whole seconds, if the rest goes as fast as what is done.
fn time_left(elapsed: Duration, done: u64, left: u64) -> u64 {
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    (milliseconds.saturating_mul(left) / done.max(1)).div_ceil(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_the_pace() {
        assert_eq!(time_left(Duration::from_secs(10), 1000, 500), 5);
        assert_eq!(time_left(Duration::from_secs(10), 0, 0), 0);
    }
}
