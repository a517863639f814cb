//! Bodies of requests, read within limits: of each one's length and time, and of what those of one kind take together.
//! Kinds have budgets apart, so that no crowd of webhooks keeps a push out, nor the other way around.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use crate::agent::budget::{Budget, Loan, Recalled};
use crate::agent::record::Refusal;
use crate::agent::refusals::Denied;

/// How long a body may take from its first byte to its last. The longest, over a line of 2 Mbit/s, comes within it.
const TIME: Duration = Duration::from_secs(30);

/// The longest pushes that are read at once. Those that are read take much less mostly.
const PUSHES: usize = 2;

/// What all bodies of webhooks take together while they are read, in bytes: 60 of the longest with their headers, or
/// thousands of usual ones.
const WEBHOOKS: usize = 4 * 1024 * 1024;

/// What all requests of shells take together, in bytes: 32 of the longest.
const SHELLS: usize = 4 * 1024 * 1024;

/// What pushes take together that are to be trusted and wait or run, in bytes; and what those to one Source take of it, so
/// that its key keeps no push to another Source out.
const TRUSTED: usize = 64 * 1024 * 1024;
const TRUSTED_OF_SOURCE: usize = TRUSTED / 4;

/// What is read of a body that is too long, in bytes, and thrown away: a client that is still sending when it is answered
/// would mostly see a broken connection. Who sends more does see that.
const PASSED_OVER: u64 = 64 * 1024 * 1024;

/// Room for bodies.
#[derive(Debug)]
pub(super) struct Bodies {
    pub(super) pushes: Budget,
    pub(super) shells: Budget,
    pub(super) webhooks: Budget,
    trusted: Budget,
    /// By Source. A push that was found right is to one of the configuration, so there are not many.
    shares: Mutex<HashMap<String, Budget>>,
    share: usize,
}

/// Room for a push that was found right: in the share of its Source, and in all.
#[derive(Debug)]
pub(super) struct TrustedRoom(#[expect(dead_code, reason = "they are held, not read")] [Loan; 2]);

/// A body, and the room that it takes.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    pub(super) room: Loan,
}

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is longer than allowed.
    TooLong,
    /// It did not come in time, or not whole.
    Broken,
    /// It had to make room, or there was none in time.
    NoRoom,
}

impl Unread {
    /// For the log and the journal.
    pub(super) fn denied(self) -> Denied {
        let reason = match self {
            Unread::TooLong | Unread::Broken => Refusal::Malformed,
            Unread::NoRoom => Refusal::Limit,
        };
        Denied::new(reason, self.why())
    }

    fn why(self) -> &'static str {
        match self {
            Unread::TooLong => "the body is too long",
            Unread::Broken => "the body did not come whole, or not in time",
            Unread::NoRoom => "there was no room for the body",
        }
    }
}

impl From<Recalled> for Unread {
    fn from(_: Recalled) -> Unread {
        Unread::NoRoom
    }
}

impl Bodies {
    /// Room for bodies of which a push has at most `max_push_bytes`.
    pub(super) fn new(max_push_bytes: usize) -> Bodies {
        Bodies {
            pushes: Budget::new(PUSHES * max_push_bytes),
            shells: Budget::new(SHELLS),
            webhooks: Budget::new(WEBHOOKS),
            trusted: Budget::new(TRUSTED.max(PUSHES * max_push_bytes)),
            shares: Mutex::default(),
            share: TRUSTED_OF_SOURCE.max(max_push_bytes),
        }
    }

    /// Room for a push of so many bytes to `source` that was found right, if there is any now: it leaves its room to those
    /// that are still to be looked at.
    pub(super) fn trust(&self, source: &str, bytes: usize) -> Option<TrustedRoom> {
        let share = {
            let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
            shares.entry(source.to_owned()).or_insert_with(|| Budget::new(self.share)).clone()
        };
        let rooms = [share.open(None), self.trusted.open(None)];
        rooms.iter().all(|room| room.keep().is_ok() && room.take_now(bytes)).then_some(TrustedRoom(rooms))
    }
}

/// Reads a body of at most `limit` bytes within `budget`, of which the request takes `more` bytes beside it.
pub(super) async fn read(
    budget: &Budget,
    client: Option<IpAddr>,
    mut body: Incoming,
    limit: usize,
    more: usize,
) -> Result<Held, Unread> {
    let room = budget.open(client);
    let mut bytes = Vec::new();
    let mut waiting = true;
    let whole = async {
        room.grow(more).await?;
        waiting = false;
        if body.size_hint().lower() > limit as u64 {
            return Err(Unread::TooLong);
        }
        while let Some(frame) = body.frame().await {
            let Ok(chunk) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
            if bytes.len() + chunk.len() > limit {
                return Err(Unread::TooLong);
            }
            let capacity = capacity_for(&bytes, chunk.len(), limit);
            waiting = true;
            room.grow(capacity - bytes.capacity()).await?;
            waiting = false;
            bytes.reserve_exact(capacity - bytes.len());
            bytes.extend_from_slice(&chunk);
        }
        Ok(())
    };
    let whole = tokio::select! {
        whole = timeout(TIME, whole) => whole,
        () = room.recalled() => return Err(Unread::NoRoom),
    };
    match whole {
        Ok(Ok(())) => {
            room.keep()?;
            Ok(Held { bytes, room })
        }
        Ok(Err(Unread::TooLong)) => {
            drop((bytes, room));
            let _ = timeout(TIME, pass_over(&mut body)).await;
            Err(Unread::TooLong)
        }
        Ok(Err(unread)) => Err(unread),
        Err(_) if waiting => Err(Unread::NoRoom),
        Err(_) => Err(Unread::Broken),
    }
}

/// How much memory `bytes` needs for `more` of them: a quarter beyond that where it has to grow, so that a long body is not
/// copied for each of its parts. What is not filled yet counts in the budget, too, as it may all be filled.
fn capacity_for(bytes: &Vec<u8>, more: usize, limit: usize) -> usize {
    let needed = bytes.len() + more;
    if needed <= bytes.capacity() { bytes.capacity() } else { (needed + needed / 4).min(limit).max(needed) }
}

async fn pass_over(body: &mut Incoming) {
    let mut passed = 0;
    while let Some(Ok(frame)) = body.frame().await {
        passed += frame.data_ref().map_or(0, |chunk| chunk.len() as u64);
        if passed > PASSED_OVER {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_to_one_source_leave_room_for_those_to_another() {
        let bodies = Bodies::new(4 * 1024 * 1024);
        let held: Vec<_> =
            std::iter::repeat_with(|| bodies.trust("a", 3_900_000)).map_while(|room| room).collect();
        assert_eq!((held.len(), bodies.trust("a", 1_000_000).is_some()), (4, true));
        assert!(bodies.trust("b", 3_900_000).is_some());
        drop(held);
        assert!(bodies.trust("a", 3_900_000).is_some());
    }

    #[test]
    fn memory_grows_by_a_quarter_and_never_beyond_the_limit() {
        let mut bytes = Vec::new();
        assert_eq!(capacity_for(&bytes, 16_000, 65_536), 20_000);
        bytes.reserve_exact(20_000);
        bytes.extend_from_slice(&[0; 16_000]);
        assert_eq!(capacity_for(&bytes, 4_000, 65_536), bytes.capacity());
        assert_eq!(capacity_for(&bytes, 16_000, 65_536), 40_000);
        assert_eq!(capacity_for(&bytes, 49_000, 65_536), 65_536);
    }
}
