//! The turn of a Source: one run has it, others wait in the order in which they came.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::stop::Stop;

/// Runs at once where a Source says `runMulti`. Each takes a thread.
const MULTI: u32 = 32;

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns(Arc<Semaphore>);

/// Given back when dropped.
#[derive(Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "it is held, not read")] OwnedSemaphorePermit);

/// The turn did not come in time, or the engine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoTurn;

impl Turns {
    pub(super) fn new() -> Turns {
        Turns(Arc::new(Semaphore::new(MULTI as usize)))
    }

    /// Waits for the turn, for `longest` at most and not beyond the stop. With `multi` others may have theirs, too.
    pub(super) async fn take(
        &self,
        multi: bool,
        longest: Option<Duration>,
        stop: &Stop,
    ) -> Result<Turn, NoTurn> {
        let turn = Arc::clone(&self.0).acquire_many_owned(if multi { 1 } else { MULTI });
        let in_time = async {
            match longest {
                None => Ok(turn.await),
                Some(longest) => timeout(longest, turn).await,
            }
        };
        tokio::select! {
            biased;
            () = stop.asked() => Err(NoTurn),
            turn = in_time => match turn {
                Ok(Ok(turn)) => Ok(Turn(turn)),
                _ => Err(NoTurn),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::stop;

    #[tokio::test]
    async fn a_turn_is_had_by_one_and_waited_for_no_longer_than_asked() {
        let (_stopper, stop) = stop::pair().unwrap();
        let turns = Turns::new();
        let turn = turns.take(false, None, &stop).await.unwrap();
        assert_eq!(turns.take(true, Some(Duration::from_millis(1)), &stop).await.err(), Some(NoTurn));
        let waiting = turns.take(false, Some(Duration::from_secs(60)), &stop);
        let give_back = async { drop(turn) };
        assert!(tokio::join!(waiting, give_back).0.is_ok());
        let (one, other) = (turns.take(true, None, &stop).await, turns.take(true, None, &stop).await);
        assert!(one.is_ok() && other.is_ok());
    }

    #[tokio::test]
    async fn waiting_for_a_turn_ends_with_the_stop() {
        let (stopper, stop) = stop::pair().unwrap();
        let turns = Turns::new();
        let _turn = turns.take(false, None, &stop).await.unwrap();
        let ask = async { stopper.ask() };
        assert_eq!(tokio::join!(turns.take(false, None, &stop), ask).0.err(), Some(NoTurn));
    }
}
