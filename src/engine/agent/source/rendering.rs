//! How many Patterns of one Source are rendered at a time. A rendering may take hundreds of megabytes, and who has a key
//! of a Source that says `runMulti` can ask for many together.

use std::sync::{Condvar, Mutex, PoisonError};

/// At most so many. Further ones wait: each of those before them ends within `jsonnet::DEADLINE`.
const TOGETHER: usize = 2;

/// The places for renderings of one Source.
#[derive(Debug, Default)]
pub(super) struct Renderings {
    under_way: Mutex<usize>,
    ended: Condvar,
}

impl Renderings {
    /// Does `work` when there is a place for it. Blocks.
    pub(super) fn when_free<T>(&self, work: impl FnOnce() -> T) -> T {
        let _place = self.enter();
        work()
    }

    fn enter(&self) -> Place<'_> {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ended.wait_while(under_way, |under_way| *under_way >= TOGETHER);
        *waited.unwrap_or_else(PoisonError::into_inner) += 1;
        Place(self)
    }
}

/// Given back when dropped, also if the work panics.
struct Place<'a>(&'a Renderings);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn so_many_are_under_way_together_and_no_more_and_all_are_done() {
        let renderings = Renderings::default();
        let (now, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        // Nobody leaves before as many are there as may be.
        let together = Barrier::new(TOGETHER);
        std::thread::scope(|scope| {
            for _ in 0..4 * TOGETHER {
                scope.spawn(|| {
                    renderings.when_free(|| {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        together.wait();
                        now.fetch_sub(1, Ordering::SeqCst);
                    });
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.into_inner(), TOGETHER);
        assert_eq!(done.into_inner(), 4 * TOGETHER);
        assert_eq!(renderings.under_way.into_inner().unwrap(), 0);
    }
}
