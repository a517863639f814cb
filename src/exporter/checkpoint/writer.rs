//! The checkpointer: a thread that writes checkpoints, so that neither the follower nor a scrape waits for a disk.
//!
//! It is offered a state now and then and writes the latest one. A disk that is full, read-only or slow costs
//! nothing but the age of the checkpoint, which is a metric; the next one is tried as if nothing had happened.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Checkpoint, Store, save};

/// Default of `--checkpoint-interval`. After a crash this much of the journal is read again, a matter of
/// milliseconds; a shorter interval would only wear the disk.
pub(crate) const DEFAULT_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(15);

/// Writing takes at most one part in this many of the time, however large the state has grown.
const COST_LIMIT: u32 = 20;

/// The running thread.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    interval: Duration,
}

/// What became of the checkpoints so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// When the latest one was written, in seconds since 1970; 0 before the first.
    pub at: f64,
    /// Its size in bytes.
    pub bytes: u64,
    /// How long encoding and writing it took, in seconds.
    pub seconds: f64,
    /// How many could not be written.
    pub failures: u64,
}

#[derive(Debug, Default)]
struct Shared {
    slot: Mutex<Slot>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Slot {
    offered: Option<Checkpoint>,
    writing: bool,
    stop: bool,
    written: Written,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Checkpointer {
    /// Starts the thread. It writes to `store`, at most every `interval`.
    ///
    /// # Errors
    ///
    /// If the operating system has no thread to give.
    pub(crate) fn start(
        store: impl Store + Send + 'static,
        interval: Duration,
    ) -> std::io::Result<Checkpointer> {
        let shared = Arc::new(Shared::default());
        let thread = {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("checkpointer".to_owned()).spawn(move || write_all(&shared, store))?
        };
        Ok(Checkpointer { shared, thread, interval })
    }

    /// How long to wait between two checkpoints: the interval, or longer if writing is slow.
    pub(crate) fn interval(&self) -> Duration {
        let last = Duration::try_from_secs_f64(self.written().seconds).unwrap_or_default();
        self.interval.max(last.saturating_mul(COST_LIMIT))
    }

    /// Whether the one before is still being written.
    pub(crate) fn is_busy(&self) -> bool {
        let slot = self.shared.lock();
        slot.writing || slot.offered.is_some()
    }

    /// Has this state written; one that still waits is replaced by it.
    pub(crate) fn offer(&self, checkpoint: Checkpoint) {
        self.shared.lock().offered = Some(checkpoint);
        self.shared.filled.notify_one();
    }

    /// What became of the checkpoints so far.
    pub(crate) fn written(&self) -> Written {
        self.shared.lock().written.clone()
    }

    /// Returns when what was offered has been written.
    pub(crate) fn finish(self) {
        self.shared.lock().stop = true;
        self.shared.filled.notify_one();
        if self.thread.join().is_err() {
            tracing::error!("the checkpointer ended with a panic; the last checkpoint that it wrote is kept");
        }
    }
}

fn write_all(shared: &Shared, mut store: impl Store) {
    let mut told = false;
    while let Some(checkpoint) = next(shared) {
        let started = Instant::now();
        let bytes = checkpoint.encode();
        let saved = save(&mut store, &bytes);
        let mut slot = shared.lock();
        slot.writing = false;
        match saved {
            Ok(()) => {
                slot.written.at = seconds_since_1970();
                slot.written.bytes = bytes.len() as u64;
                slot.written.seconds = started.elapsed().as_secs_f64();
                if told {
                    tracing::info!("checkpoints can be written again");
                }
                told = false;
            }
            Err(error) => {
                slot.written.failures += 1;
                if !told {
                    tracing::error!(%error, "cannot write the checkpoint; going on in memory, trying again");
                }
                told = true;
            }
        }
    }
}

/// The next state to write; `None` when there is none and none will come.
fn next(shared: &Shared) -> Option<Checkpoint> {
    let mut slot = shared.lock();
    loop {
        if let Some(checkpoint) = slot.offered.take() {
            slot.writing = true;
            return Some(checkpoint);
        }
        if slot.stop {
            return None;
        }
        slot = shared.filled.wait(slot).unwrap_or_else(PoisonError::into_inner);
    }
}

fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
