//! Memory for what others send: a number of bytes that all senders share. Reads nothing.
//!
//! A full budget makes new requests wait only behind trusted ones. Among the others, the client that holds most gives
//! up its oldest loan. So a client that sends slowly, or much, replaces its own requests, and many such clients cannot
//! keep a valid request out.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use https::peer::network;
use tokio::sync::Notify;

/// What those that were asked to go may still hold, as a part of the whole: that much more than the budget is out at most.
const GOING: usize = 4;

/// A number of bytes. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    total: usize,
    state: Mutex<State>,
    /// Bytes were given back.
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Without those that were asked to go.
    used: usize,
    /// What those still hold.
    going: usize,
    /// Number of the next loan; older ones have smaller numbers.
    next: u64,
    loans: HashMap<u64, Entry>,
    /// An address or, of IPv6, a network; all that have none count as one client.
    clients: HashMap<Option<IpAddr>, ClientAccount>,
}

/// What a client holds that may be asked to go.
#[derive(Debug, Default)]
struct ClientAccount {
    bytes: usize,
    loans: BTreeSet<u64>,
}

#[derive(Debug)]
struct Entry {
    client: Option<IpAddr>,
    bytes: usize,
    standing: Standing,
    recalled: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It may be asked to go.
    Open,
    /// It was asked to go, and will.
    Recalled,
    /// It stays until it ends by itself.
    Firm,
}

/// Bytes that are given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Loan {
    budget: Budget,
    number: u64,
    recalled: Arc<Notify>,
}

/// The loan has to make room for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recalled;

impl Budget {
    /// `total` bytes.
    pub(crate) fn new(total: usize) -> Budget {
        Budget(Arc::new(Inner { total, state: Mutex::default(), freed: Notify::new() }))
    }

    /// A loan of no bytes yet.
    pub(crate) fn open(&self, client: Option<IpAddr>) -> Loan {
        let recalled = Arc::new(Notify::new());
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        let (client, standing) = (client.map(network), Standing::Open);
        state.loans.insert(number, Entry { client, bytes: 0, standing, recalled: Arc::clone(&recalled) });
        Loan { budget: self.clone(), number, recalled }
    }

    /// Bytes that are out, without those of loans that were asked to go.
    #[cfg(test)]
    fn used(&self) -> usize {
        self.lock().used
    }

    /// Nothing can be half done behind this lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes `bytes` for a loan, and asks as many others to go as that needs. Whether they were there.
    fn take(&mut self, number: u64, bytes: usize, total: usize) -> Result<bool, Recalled> {
        if self.loans.get(&number).is_none_or(|loan| loan.standing == Standing::Recalled) {
            return Err(Recalled);
        }
        while total.saturating_sub(self.used) < bytes {
            match self.victim() {
                Some(victim) if victim == number => return Err(Recalled),
                Some(victim) if self.going == 0 || self.going + self.held(victim) <= total / GOING => {
                    self.recall(victim);
                }
                _ => return Ok(false),
            }
        }
        self.add(number, bytes);
        Ok(true)
    }

    fn held(&self, number: u64) -> usize {
        self.loans.get(&number).map_or(0, |loan| loan.bytes)
    }

    fn add(&mut self, number: u64, bytes: usize) {
        let Some(loan) = self.loans.get_mut(&number) else { return };
        loan.bytes += bytes;
        self.used += bytes;
        if loan.standing == Standing::Open && loan.bytes > 0 {
            let client = self.clients.entry(loan.client).or_default();
            client.bytes += bytes;
            client.loans.insert(number);
        }
    }

    /// The oldest loan of the client that holds most.
    fn victim(&self) -> Option<u64> {
        let greatest = self.clients.values().max_by_key(|client| client.bytes)?;
        greatest.loans.first().copied()
    }

    fn recall(&mut self, number: u64) {
        self.settle(number);
        let Some(loan) = self.loans.get_mut(&number) else { return };
        loan.standing = Standing::Recalled;
        loan.recalled.notify_one();
        (self.used, self.going) = (self.used - loan.bytes, self.going + loan.bytes);
    }

    /// It is none of those any more that may be asked to go.
    fn settle(&mut self, number: u64) {
        let Some(loan) = self.loans.get(&number).filter(|loan| loan.standing == Standing::Open) else {
            return;
        };
        let Some(client) = self.clients.get_mut(&loan.client) else { return };
        if client.loans.remove(&number) {
            client.bytes -= loan.bytes;
        }
        if client.loans.is_empty() {
            self.clients.remove(&loan.client);
        }
    }

    fn give_back(&mut self, number: u64) {
        self.settle(number);
        match self.loans.remove(&number) {
            Some(loan) if loan.standing == Standing::Recalled => self.going -= loan.bytes,
            Some(loan) => self.used -= loan.bytes,
            None => {}
        }
    }
}

impl Loan {
    /// Takes `bytes` more, once they are there.
    ///
    /// # Errors
    ///
    /// This loan has to go. More than the budget has in all is never there.
    pub(crate) async fn grow(&self, bytes: usize) -> Result<(), Recalled> {
        let inner = &self.budget.0;
        loop {
            let mut freed = pin!(inner.freed.notified());
            // From here on nothing that is given back is missed.
            freed.as_mut().enable();
            let taken = self.budget.lock().take(self.number, bytes, inner.total);
            if let Ok(false) = taken {
                freed.await;
                continue;
            }
            // There may be more for the next one that waits.
            inner.freed.notify_one();
            return taken.map(|_| ());
        }
    }

    /// Takes `bytes` more if they are there now. Asks no other loan to go.
    pub(crate) fn take_now(&self, bytes: usize) -> bool {
        let mut state = self.budget.lock();
        let is_free = self.budget.0.total.saturating_sub(state.used) >= bytes;
        if is_free {
            state.add(self.number, bytes);
        }
        is_free
    }

    /// Completes when this loan has to go.
    pub(crate) async fn recalled(&self) {
        self.recalled.notified().await;
    }

    /// It stays from now on.
    ///
    /// # Errors
    ///
    /// It was asked to go before.
    pub(crate) fn keep(&self) -> Result<(), Recalled> {
        let mut state = self.budget.lock();
        state.settle(self.number);
        match state.loans.get_mut(&self.number) {
            Some(loan) if loan.standing != Standing::Recalled => {
                loan.standing = Standing::Firm;
                Ok(())
            }
            _ => Err(Recalled),
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.budget.lock().give_back(self.number);
        self.budget.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn client(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    /// What it has come to, without waiting.
    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    fn holding(budget: &Budget, last: u8, bytes: usize) -> Loan {
        let loan = budget.open(client(last));
        assert_eq!(now(loan.grow(bytes)), Some(Ok(())));
        loan
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let budget = Budget::new(10);
        let one = holding(&budget, 1, 6);
        assert_eq!(now(one.grow(4)), Some(Ok(())));
        assert_eq!(budget.used(), 10);
        drop(one);
        assert_eq!(budget.used(), 0);
        drop(holding(&budget, 2, 10));
    }

    #[test]
    fn the_client_that_holds_most_gives_up_its_oldest_loan() {
        let budget = Budget::new(100);
        let small = holding(&budget, 1, 30);
        let (older, younger) = (holding(&budget, 2, 35), holding(&budget, 2, 35));
        let newcomer = holding(&budget, 3, 10);
        assert_eq!(now(older.recalled()), Some(()));
        assert_eq!((now(small.recalled()), now(younger.recalled())), (None, None));
        assert_eq!((older.keep(), now(older.grow(1))), (Err(Recalled), Some(Err(Recalled))));
        assert_eq!(budget.used(), 75);
        // Before it has gone there is no room for as much as it holds.
        assert_eq!(now(newcomer.grow(40)), None);
        drop(older);
        assert_eq!(now(newcomer.grow(25)), Some(Ok(())));
        drop((small, younger, newcomer));
        assert_eq!(budget.used(), 0);
        assert!(budget.lock().clients.is_empty() && budget.lock().going == 0);
    }

    #[test]
    fn a_client_that_holds_most_makes_no_room_for_itself_at_the_cost_of_others() {
        let budget = Budget::new(100);
        let _others = [holding(&budget, 1, 20), holding(&budget, 2, 20)];
        let greedy = holding(&budget, 3, 60);
        assert_eq!(now(greedy.grow(1)), Some(Err(Recalled)));
    }

    #[test]
    fn what_is_kept_is_never_asked_to_go_and_newcomers_wait_for_it() {
        let budget = Budget::new(10);
        let kept = holding(&budget, 1, 10);
        kept.keep().unwrap();
        let newcomer = budget.open(client(2));
        assert_eq!(now(newcomer.grow(1)), None);
        assert_eq!(now(kept.recalled()), None);
        drop(kept);
        assert_eq!(now(newcomer.grow(1)), Some(Ok(())));
    }

    #[test]
    fn one_network_of_ipv6_is_one_client() {
        let budget = Budget::new(100);
        let of = |text: &str| {
            let loan = budget.open(Some(text.parse().unwrap()));
            assert_eq!(now(loan.grow(30)), Some(Ok(())));
            loan
        };
        let other = of("2001:db8:0:1::1");
        let (first, _second) = (of("2001:db8::1"), of("2001:db8::2"));
        let _newcomer = holding(&budget, 1, 20);
        assert_eq!((now(first.recalled()), now(other.recalled())), (Some(()), None));
    }
}
