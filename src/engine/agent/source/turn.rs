//! The turn of a Source: one run has it, others wait in the order in which they came. But webhooks, which need no key, let
//! pushes go first, and few of them may wait: they must neither lock out who has a key nor fill the memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use crate::stop::Stop;

/// Runs at once where a Source says `runMulti`. Each takes a thread.
const MULTI: u32 = 32;

/// Webhooks that may wait for one Source. Each holds its request, up to 64 KiB of body, for as long as a run may take, and
/// anybody may send it. Those beyond are refused.
const MAX_WAITING_HOOKS: usize = 16;

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns {
    turns: Arc<Semaphore>,
    /// Pushes that wait.
    pushes: watch::Sender<usize>,
    /// Webhooks that may still wait.
    hooks: Semaphore,
    /// Had by the webhook that is the next of them.
    next_hook: Semaphore,
}

/// Given back when dropped.
#[derive(Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "it is held, not read")] OwnedSemaphorePermit);

/// The turn did not come in time, too many wait for it, or the engine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoTurn;

impl Turns {
    pub(super) fn new() -> Turns {
        Turns {
            turns: Arc::new(Semaphore::new(MULTI as usize)),
            pushes: watch::Sender::default(),
            hooks: Semaphore::new(MAX_WAITING_HOOKS),
            next_hook: Semaphore::new(1),
        }
    }

    /// Waits for the turn, for `longest` at most and not beyond the stop. With `multi` others may have theirs, too.
    pub(super) async fn take(
        &self,
        multi: bool,
        longest: Option<Duration>,
        stop: &Stop,
    ) -> Result<Turn, NoTurn> {
        in_time(self.acquire(multi), longest, stop).await
    }

    /// The same for a push: webhooks that wait let it go first.
    pub(super) async fn take_for_push(
        &self,
        multi: bool,
        longest: Duration,
        stop: &Stop,
    ) -> Result<Turn, NoTurn> {
        let _waiting = WaitingPush::new(&self.pushes);
        self.take(multi, Some(longest), stop).await
    }

    /// The same for a webhook: after all pushes, and not at all if too many webhooks wait already.
    pub(super) async fn take_for_hook(
        &self,
        multi: bool,
        longest: Duration,
        stop: &Stop,
    ) -> Result<Turn, NoTurn> {
        let turn = async {
            if *self.pushes.borrow() == 0
                && let Ok(turn) = Arc::clone(&self.turns).try_acquire_many_owned(permits(multi))
            {
                return Ok(Turn(turn));
            }
            let _place = self.hooks.try_acquire().map_err(|_| NoTurn)?;
            let _next = self.next_hook.acquire().await.map_err(|_| NoTurn)?;
            let mut pushes = self.pushes.subscribe();
            loop {
                pushes.wait_for(|waiting| *waiting == 0).await.map_err(|_| NoTurn)?;
                tokio::select! {
                    // A turn that came in the same moment is given back.
                    biased;
                    _ = pushes.wait_for(|waiting| *waiting > 0) => {}
                    turn = self.acquire(multi) => return turn,
                }
            }
        };
        in_time(turn, Some(longest), stop).await
    }

    async fn acquire(&self, multi: bool) -> Result<Turn, NoTurn> {
        Arc::clone(&self.turns).acquire_many_owned(permits(multi)).await.map(Turn).map_err(|_| NoTurn)
    }
}

/// How many of the permits a turn takes.
fn permits(multi: bool) -> u32 {
    if multi { 1 } else { MULTI }
}

/// What comes of `turn` within `longest`, and before the stop.
async fn in_time(
    turn: impl Future<Output = Result<Turn, NoTurn>>,
    longest: Option<Duration>,
    stop: &Stop,
) -> Result<Turn, NoTurn> {
    let turn = async {
        match longest {
            None => turn.await,
            Some(longest) => timeout(longest, turn).await.unwrap_or(Err(NoTurn)),
        }
    };
    tokio::select! {
        biased;
        () = stop.asked() => Err(NoTurn),
        turn = turn => turn,
    }
}

/// Counted as a push that waits for as long as this lives.
struct WaitingPush<'a>(&'a watch::Sender<usize>);

impl<'a> WaitingPush<'a> {
    fn new(pushes: &'a watch::Sender<usize>) -> WaitingPush<'a> {
        pushes.send_modify(|waiting| *waiting += 1);
        WaitingPush(pushes)
    }
}

impl Drop for WaitingPush<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
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

    /// Longer than anything takes on a loaded machine.
    const SOON: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn webhooks_that_wait_let_a_push_go_first_and_keep_their_order() {
        let (_stopper, stop) = stop::pair().unwrap();
        let turns = Turns::new();
        let turn = turns.take(false, None, &stop).await.unwrap();
        let order = std::cell::RefCell::new(Vec::new());
        let hook = async |name| {
            let turn = turns.take_for_hook(false, SOON, &stop).await;
            order.borrow_mut().push((name, turn.is_ok()));
        };
        let push = async {
            let turn = turns.take_for_push(false, SOON, &stop).await;
            order.borrow_mut().push(("push", turn.is_ok()));
        };
        tokio::join!(hook("first"), hook("second"), push, async { drop(turn) });
        assert_eq!(order.into_inner(), [("push", true), ("first", true), ("second", true)]);
    }

    #[tokio::test]
    async fn a_webhook_beyond_those_that_may_wait_is_told_at_once() {
        let (_stopper, stop) = stop::pair().unwrap();
        let turns = Arc::new(Turns::new());
        let turn = turns.take(false, None, &stop).await.unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..MAX_WAITING_HOOKS {
            let (turns, stop) = (Arc::clone(&turns), stop.clone());
            waiting.spawn(async move { turns.take_for_hook(false, SOON, &stop).await.is_ok() });
        }
        while turns.hooks.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(turns.take_for_hook(false, SOON, &stop).await.err(), Some(NoTurn));
        drop(turn);
        assert!(waiting.join_all().await.into_iter().all(|had_turn| had_turn));
        assert!(turns.take_for_hook(true, SOON, &stop).await.is_ok());
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
