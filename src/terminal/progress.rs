//! Progress of long work: a bar on a terminal, a line now and then elsewhere, and nothing of short work.
//!
//! Both show what is done and what is left. A line is handed back to the caller, because each program has its own way
//! to write one: a log or standard error. Knows neither.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Work that ends sooner is not worth a bar.
const PATIENCE: Duration = Duration::from_millis(500);

/// Time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Redraws in a second, at most: drawing costs more than a step.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Shows how far some work is, in bytes.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    started: Instant,
    /// When a line or a bar was last shown.
    shown: Instant,
    bar: Option<ProgressBar>,
    terminal: bool,
}

/// How far the work is, when a line about it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes done.
    pub done: u64,
    /// Bytes still to come; `None` if their number is not known.
    pub left: Option<u64>,
    /// Seconds still to come at the pace so far; `None` if that is not known.
    pub seconds_left: Option<u64>,
}

impl Progress {
    /// Progress of `what`, a verb such as `replaying`, on standard error.
    pub fn new(what: &'static str) -> Progress {
        let now = Instant::now();
        Progress { what, started: now, shown: now, bar: None, terminal: io::stderr().is_terminal() }
    }

    /// Shows `done` bytes, `left` more to come if that is known, and a `note` beside the bar. Returns the step if it is
    /// time for the caller to write a line about it, which is never on a terminal.
    #[must_use]
    pub fn show(&mut self, done: u64, left: Option<u64>, note: impl FnOnce() -> String) -> Option<Step> {
        if self.terminal {
            // Of nothing done, no time left can be told.
            if done > 0 && self.started.elapsed() >= PATIENCE && self.is_due(DRAW_INTERVAL) {
                let bar = self.bar.get_or_insert_with(|| bar(self.what, left.is_some()));
                if let Some(left) = left {
                    bar.set_length(done + left);
                }
                bar.set_position(done);
                bar.set_message(note());
            }
            return None;
        }
        self.is_due(LINE_INTERVAL).then(|| {
            let seconds_left = left.map(|left| time_left(self.started.elapsed(), done, left));
            Step { done, left, seconds_left }
        })
    }

    /// Does something that writes to the terminal, with the bar out of its way.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Takes the bar away.
    pub fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn is_due(&mut self, interval: Duration) -> bool {
        let due = self.shown.elapsed() >= interval;
        if due {
            self.shown = Instant::now();
        }
        due
    }
}

impl Drop for Progress {
    /// An error that ends the work early is not written behind a bar.
    fn drop(&mut self) {
        self.end();
    }
}

fn bar(what: &'static str, known: bool) -> ProgressBar {
    let bar = if known { ProgressBar::new(0) } else { ProgressBar::no_length() };
    let style = if known {
        "{prefix} {wide_bar} {bytes}/{total_bytes}, {msg}{eta} left"
    } else {
        "{spinner} {prefix} {bytes}, {msg}{bytes_per_sec}"
    };
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

    #[test]
    fn short_work_is_not_worth_a_line_and_long_work_says_what_is_left() {
        let mut progress = Progress::new("reading");
        progress.terminal = false;
        assert_eq!(progress.show(1, Some(9), || unreachable!("there is no bar")), None);
        let Some(earlier) = Instant::now().checked_sub(LINE_INTERVAL) else { return };
        (progress.started, progress.shown) = (earlier, earlier);
        let step =
            progress.show(500, Some(1000), String::new).map(|step| (step.done, step.left, step.seconds_left));
        assert!(matches!(step, Some((500, Some(1000), Some(20..=25)))), "{step:?}");
        assert_eq!(progress.show(600, Some(900), String::new), None);
    }
}
