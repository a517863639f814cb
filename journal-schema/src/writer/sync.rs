//! When lines reach the disk: never, at once, or by one small thread that sleeps until there is something to do.
//!
//! The thread holds nothing but descriptors; it knows no path and writes nothing. An idle journal never wakes it.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::SignedDuration;

use super::active::{Active, follow_links};
use crate::segments::directory_of;

/// Files waiting for the thread, above which the writer syncs one itself: many rotations within one interval must
/// not pile up descriptors.
const MAX_WAITING: usize = 8;

/// When lines are made to survive a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// When the system sees fit.
    Never,
    /// At most this long after the line, by a thread of its own. `shell` and `engine` events at once.
    Interval(Duration),
    /// Before `append` returns.
    Always,
}

impl Default for Sync {
    fn default() -> Sync {
        Sync::Interval(Duration::from_secs(1))
    }
}

/// A text that is no [`Sync`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("has to be `never`, `always` or a duration such as 500ms or 2s")]
pub struct NoSync;

impl FromStr for Sync {
    type Err = NoSync;

    fn from_str(text: &str) -> Result<Sync, NoSync> {
        match text {
            "never" => Ok(Sync::Never),
            "always" => Ok(Sync::Always),
            interval => {
                let interval = interval.parse::<SignedDuration>().map_err(|_| NoSync)?;
                // No time between two syncs is what `always` is for.
                let interval = Duration::try_from(interval).ok().filter(|interval| !interval.is_zero());
                interval.map(Sync::Interval).ok_or(NoSync)
            }
        }
    }
}

impl fmt::Display for Sync {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sync::Never => out.write_str("never"),
            Sync::Always => out.write_str("always"),
            Sync::Interval(interval) => match SignedDuration::try_from(*interval) {
                Ok(interval) => write!(out, "{interval:#}"),
                // Longer than a text can say.
                Err(_) => write!(out, "{interval:?}"),
            },
        }
    }
}

/// Carries a [`Sync`] setting out.
pub(super) struct Syncer {
    setting: Sync,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// Files with lines that are not synced yet, each once.
    waiting: Vec<Arc<Active>>,
    stopped: bool,
    /// The last error, until it is asked for.
    error: Option<io::Error>,
}

impl Syncer {
    pub(super) fn start(setting: Sync) -> io::Result<Syncer> {
        let shared = Arc::new(Shared::default());
        let thread = match setting {
            Sync::Never | Sync::Always => None,
            Sync::Interval(interval) => {
                let shared = Arc::clone(&shared);
                let thread = thread::Builder::new().name("journal-sync".to_owned());
                Some(thread.spawn(move || shared.sync_until_stopped(interval))?)
            }
        };
        Ok(Syncer { setting, shared, thread })
    }

    /// To be called after each line in `active`; `at_once` for one that must not wait.
    pub(super) fn written(&self, active: &Arc<Active>, at_once: bool) -> io::Result<()> {
        match self.setting {
            Sync::Never => Ok(()),
            Sync::Always => active.file.sync_data(),
            // The mark stays: if it is set, the file waits in the list, and stands there once.
            Sync::Interval(_) if at_once => active.file.sync_data(),
            // The usual case costs one atomic swap: the thread knows already.
            Sync::Interval(_) if active.dirty.swap(true, Ordering::AcqRel) => Ok(()),
            Sync::Interval(_) => {
                let mut state = self.shared.lock();
                state.waiting.push(Arc::clone(active));
                let surplus = (state.waiting.len() > MAX_WAITING).then(|| state.waiting.remove(0));
                drop(state);
                self.shared.wake.notify_one();
                surplus.map_or(Ok(()), |oldest| oldest.sync())
            }
        }
    }

    /// Makes the name of a new file last.
    pub(super) fn directory(&self, path: &Path) -> io::Result<()> {
        match self.setting {
            Sync::Never => Ok(()),
            Sync::Interval(_) | Sync::Always => File::open(directory_of(&follow_links(path)?))?.sync_all(),
        }
    }

    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.shared.lock().error.take()
    }

    /// Stops the thread and syncs what waits. A second call does nothing.
    pub(super) fn stop(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        self.shared.lock().stopped = true;
        self.shared.wake.notify_one();
        // A panic of the thread leaves nothing to do but what follows anyway.
        let _ = thread.join();
        let mut state = self.shared.lock();
        let mut result = state.error.take().map_or(Ok(()), Err);
        for file in std::mem::take(&mut state.waiting) {
            result = result.and(file.sync());
        }
        result
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sync_until_stopped(&self, interval: Duration) {
        let mut state = self.lock();
        loop {
            state = self
                .wake
                .wait_while(state, |state| state.waiting.is_empty() && !state.stopped)
                .unwrap_or_else(PoisonError::into_inner);
            // Lines that follow within the interval share one sync.
            let waited = self.wake.wait_timeout_while(state, interval, |state| !state.stopped);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if state.stopped {
                return;
            }
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            let failed = waiting.iter().fold(None, |failed, file| file.sync().err().or(failed));
            state = self.lock();
            state.error = failed.or(state.error.take());
        }
    }
}

impl Active {
    /// A line that comes meanwhile marks the file again and is synced next time.
    fn sync(&self) -> io::Result<()> {
        self.dirty.store(false, Ordering::Release);
        self.file.sync_data()
    }
}
