//! The turn of a Source: one run has it, others wait, for as long as they like.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    taken: Mutex<bool>,
    free: Condvar,
}

/// Given back when dropped.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Turns);

/// The turn did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTurn;

impl Turns {
    /// Waits for the turn, for `longest` at most.
    pub(super) fn take(&self, longest: Option<Duration>) -> Result<Turn<'_>, NoTurn> {
        let taken = self.lock();
        let mut taken = match longest {
            None => self.free.wait_while(taken, |taken| *taken).unwrap_or_else(PoisonError::into_inner),
            Some(longest) => {
                let waited = self.free.wait_timeout_while(taken, longest, |taken| *taken);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        if *taken {
            return Err(NoTurn);
        }
        *taken = true;
        Ok(Turn(self))
    }

    /// Nothing can be half done behind this lock.
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.lock() = false;
        self.0.free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_turn_is_had_by_one_and_waited_for_no_longer_than_asked() {
        let turns = Turns::default();
        let turn = turns.take(None).unwrap();
        assert_eq!(turns.take(Some(Duration::from_millis(1))).err(), Some(NoTurn));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| turns.take(Some(Duration::from_secs(60))).is_ok());
            drop(turn);
            assert!(waiting.join().unwrap());
        });
        assert!(turns.take(Some(Duration::ZERO)).is_ok());
    }
}
