//! Progress of reading a journal, as [`terminal::progress`] shows it: a bar on a terminal, a log line now and then
//! elsewhere. Knows what is counted; how it is shown is decided there.

use super::follow::Tally;

/// Shows how far a replay is.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    shown: terminal::progress::Progress,
    /// Bytes read before this work began.
    before: Option<u64>,
}

impl Progress {
    /// Progress of `what`, a verb such as `replaying`.
    pub(crate) fn new(what: &'static str) -> Progress {
        Progress { what, shown: terminal::progress::Progress::new(what), before: None }
    }

    /// Shows what was read, with `behind` bytes still to come.
    pub(crate) fn show(&mut self, tally: &Tally, behind: u64) {
        let done = tally.bytes - *self.before.get_or_insert(tally.bytes);
        let lines = tally.events.iter().sum::<u64>();
        if let Some(step) = self.shown.show(done, Some(behind), || format!("{lines} lines, ")) {
            let seconds_left = step.seconds_left.unwrap_or(0);
            tracing::info!(lines, bytes = done, bytes_left = behind, seconds_left, "{}", self.what);
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&mut self) {
        self.shown.end();
    }
}
