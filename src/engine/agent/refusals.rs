//! Refused requests on their way to the journal: why they were refused in a word, and how many lines about them are written.
//!
//! No client may fill the journal: the lines about each client are limited, and so are those about all together.
//! Refusals beyond a limit are counted by action and reason, and a later line sums them up. Knows no file and no HTTP.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use https::peer::network;

use super::guard::Unmeant;
use super::record::{Action, Refusal};
use crate::wire::token::TokenError;

/// Lines at once, and the time after which there may be a further one: nine megabytes a day at most, of a journal that has
/// hundreds.
const ALL: Rate = Rate { burst: 30, every: Duration::from_secs(2) };

/// The same of one client, so that one that is refused again and again leaves room for the others.
const EACH: Rate = Rate { burst: 5, every: Duration::from_secs(60) };

/// Clients remembered. Beyond it all are forgotten: the limit for all together holds anyway.
const MAX_CLIENTS: usize = 1024;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) reason: Refusal,
    /// Id of the key, if its signature held.
    pub(crate) public_key: String,
    /// For the log.
    pub(crate) why: String,
}

impl Denied {
    /// Without a key that is known.
    pub(crate) fn new(reason: Refusal, why: impl Into<String>) -> Denied {
        Denied { reason, public_key: String::new(), why: why.into() }
    }
}

/// Why a token that cannot be trusted is refused.
pub(crate) fn of_token(error: &TokenError) -> Refusal {
    match error {
        TokenError::TooLong | TokenError::Malformed(_) => Refusal::Malformed,
        TokenError::NoKeys | TokenError::NotVerified => Refusal::Signature,
        TokenError::NotYet(_) | TokenError::Expired(_) => Refusal::Expired,
    }
}

/// Why a token that was verified is refused.
pub(crate) fn of_unmeant(why: &Unmeant) -> Refusal {
    match why {
        Unmeant::Bound(_) | Unmeant::Free | Unmeant::Audience(_) => Refusal::NotMeant,
        Unmeant::Repeated => Refusal::Repeated,
        Unmeant::TooMany => Refusal::Limit,
    }
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: u32,
    every: Duration,
}

/// Lines that may still be written.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u32,
    /// Since when the next one is earned.
    since: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Bucket {
        Bucket { left: rate.burst, since: now }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let earned = now.saturating_duration_since(self.since).as_secs() / rate.every.as_secs().max(1);
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        if self.left.saturating_add(earned) >= rate.burst {
            *self = Bucket::full(rate, now);
        } else {
            self.left += earned;
            self.since += rate.every * earned;
        }
    }
}

/// Decides which refusals get a line.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    all: Option<Bucket>,
    clients: BTreeMap<IpAddr, Bucket>,
    left_out: BTreeMap<(Action, Refusal), u64>,
}

impl Refusals {
    /// A request was refused. If it gets a line, how many refusals of its kind that line stands for.
    pub(crate) fn note(&self, client: Option<IpAddr>, kind: (Action, Refusal), now: Instant) -> Option<u64> {
        let mut state = self.lock();
        let State { all, clients, left_out } = &mut *state;
        let all = all.get_or_insert_with(|| Bucket::full(ALL, now));
        all.fill(ALL, now);
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        let mut own = Bucket::full(EACH, now);
        let own = match client {
            Some(client) => clients.entry(network(client)).or_insert(own),
            None => &mut own,
        };
        own.fill(EACH, now);
        if all.left > 0 && own.left > 0 {
            all.left -= 1;
            own.left -= 1;
            return Some(1 + left_out.remove(&kind).unwrap_or(0));
        }
        *left_out.entry(kind).or_default() += 1;
        None
    }

    /// Whether there are refusals without a line.
    pub(crate) fn has_left_out(&self) -> bool {
        !self.lock().left_out.is_empty()
    }

    /// Refusals without a line, by kind. They are not left out any more.
    pub(crate) fn take_left_out(&self) -> BTreeMap<(Action, Refusal), u64> {
        std::mem::take(&mut self.lock().left_out)
    }

    /// Nothing is half done behind it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUSH: (Action, Refusal) = (Action::Push, Refusal::Signature);

    fn address(last: u16) -> Option<IpAddr> {
        Some(IpAddr::from([0x2001, 0xdb8, 0, last, 0, 0, 0, last]))
    }

    #[test]
    fn a_client_has_few_lines_and_what_gets_none_is_in_a_later_one() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let lines: Vec<_> = (0..20).filter_map(|_| refusals.note(address(1), PUSH, now)).collect();
        assert_eq!(lines, [1; 5]);
        // Another one has its own, and the count is of all.
        assert_eq!(refusals.note(address(2), PUSH, now), Some(16));
        assert_eq!(refusals.note(address(1), PUSH, now), None);
        assert_eq!(refusals.note(address(1), PUSH, now + EACH.every), Some(2));
    }

    #[test]
    fn an_address_of_the_same_network_is_the_same_client() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let of_network = |last| Some(IpAddr::from([0x2001, 0xdb8, 0, 7, 0, 0, 0, last]));
        assert_eq!((0..50).filter_map(|last| refusals.note(of_network(last), PUSH, now)).count(), 5);
    }

    #[test]
    fn all_clients_together_have_a_limit_and_the_sum_stays_right() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let mut counted = 0;
        for client in 0..5000 {
            counted += refusals.note(address(client), PUSH, now).unwrap_or(0);
        }
        assert_eq!(counted, u64::from(ALL.burst));
        assert!(refusals.has_left_out() && refusals.lock().clients.len() <= MAX_CLIENTS);
        assert_eq!(refusals.take_left_out(), BTreeMap::from([(PUSH, 5000 - counted)]));
        assert!(!refusals.has_left_out());
        assert_eq!(refusals.note(address(9000), PUSH, now + Duration::from_secs(3)), Some(1));
        assert_eq!(refusals.note(address(9001), PUSH, now + Duration::from_secs(3)), None);
    }
}
