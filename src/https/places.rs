//! Who is connected, and who makes room for whom. Pure bookkeeping: no sockets, no tasks; whoever holds a place
//! watches it and leaves when told to.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::counters::{Count, Counters};
use super::limits::Limits;
use super::peer::{Peer, network};

/// Connections that close at once when there is no descriptor left: enough for a burst of newcomers, and for the
/// files that the rest of the process wants to open.
const DESCRIPTORS: usize = 16;

/// All connections of a listener. At most as many as the limits say, overall and per client.
#[derive(Clone)]
pub(super) struct Places(Arc<Inner>);

struct Inner {
    connections: usize,
    per_client: usize,
    counters: Arc<Counters>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    /// Number of the next place; never used twice.
    next: u64,
    places: HashMap<u64, Arc<Seat>>,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The handshake is under way.
    Handshake,
    /// A request's header is awaited, at the start of a connection, or has begun to come.
    Header,
    /// All requests are answered and nothing further has come.
    Idle,
    /// At least one request is being answered.
    Answer,
}

/// What places and the connection's own task share.
struct Seat {
    client: IpAddr,
    peer: Peer,
    state: Mutex<State>,
    /// Told once, when this connection has to go.
    evicted: Notify,
    /// Told when the phase, and with it its time limit, has changed.
    moved: Notify,
}

#[derive(Clone, Copy)]
struct State {
    phase: Phase,
    /// Start of the phase: its time limit counts from here.
    since: Instant,
    /// The last step that only a serious client takes: those who stay longest without one go first.
    step: Instant,
    /// Requests under way; with HTTP/2 there may be several.
    answers: usize,
}

/// Why a connection has to make room.
#[derive(Clone, Copy)]
enum Cause {
    Overall,
    Client(IpAddr),
    Descriptors,
}

impl Places {
    pub(super) fn new(limits: &Limits, counters: Arc<Counters>) -> Self {
        let (connections, per_client) = (limits.connections, limits.connections_per_client);
        Self(Arc::new(Inner { connections, per_client, counters, taken: Mutex::default() }))
    }

    /// A place for a new connection from `remote`, for which another one may have to go. None when all others
    /// are vouched for and busy, or the limit is zero.
    pub(super) fn admit(&self, remote: SocketAddr) -> Option<Place> {
        let peer = Peer::new(remote);
        let client = network(peer.address().ip());
        let mut taken = self.0.lock();
        let of_client = taken.places.values().filter(|seat| seat.client == client).count();
        if of_client >= self.0.per_client && !self.evict(&mut taken, Cause::Client(client)) {
            self.0.counters.refused_per_client.increment();
            return None;
        }
        if taken.places.len() >= self.0.connections && !self.evict(&mut taken, Cause::Overall) {
            self.0.counters.refused_overall.increment();
            return None;
        }
        let now = Instant::now();
        let state = Mutex::new(State { phase: Phase::Handshake, since: now, step: now, answers: 0 });
        let seat = Arc::new(Seat { client, peer, state, evicted: Notify::new(), moved: Notify::new() });
        let number = taken.next;
        taken.next += 1;
        taken.places.insert(number, Arc::clone(&seat));
        self.0.counters.open.increment();
        Some(Place { seat, number, places: self.clone() })
    }

    /// Closes the least useful connections, so that their descriptors can serve the next ones.
    pub(super) fn make_room_for_descriptors(&self) {
        let mut taken = self.0.lock();
        let _ = (0..DESCRIPTORS).all(|_| self.evict(&mut taken, Cause::Descriptors));
    }

    /// Takes the place of the least useful connection away; false when there is none that may be closed.
    fn evict(&self, taken: &mut Taken, cause: Cause) -> bool {
        let victim = taken
            .places
            .iter()
            .filter(|(_, seat)| !matches!(cause, Cause::Client(client) if client != seat.client))
            .map(|(number, seat)| (*number, seat.peer.is_vouched(), *seat.state()))
            .filter(|(_, vouched, state)| !(*vouched && state.phase == Phase::Answer))
            .min_by_key(|(number, vouched, state)| (*vouched, state.step, *number));
        let Some(seat) = victim.and_then(|(number, ..)| taken.places.remove(&number)) else { return false };
        seat.evicted.notify_one();
        self.0.evictions(cause).increment();
        true
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Poison cannot hurt: nothing below the lock leaves a half-made change behind.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn evictions(&self, cause: Cause) -> &Count {
        match cause {
            Cause::Overall => &self.counters.evicted_overall,
            Cause::Client(_) => &self.counters.evicted_per_client,
            Cause::Descriptors => &self.counters.evicted_for_descriptors,
        }
    }
}

impl Seat {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection; leaving it frees it.
pub(super) struct Place {
    seat: Arc<Seat>,
    number: u64,
    places: Places,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.0.lock().places.remove(&self.number);
        self.places.0.counters.open.decrement();
    }
}

impl Place {
    /// Completes when this connection has to make room.
    pub(super) async fn evicted(&self) {
        self.seat.evicted.notified().await;
    }

    /// The part of a place that services and streams of the connection may hold on to.
    pub(super) fn steps(&self) -> Steps {
        Steps(Arc::clone(&self.seat))
    }
}

/// Reports the steps of a connection.
#[derive(Clone)]
pub(super) struct Steps(Arc<Seat>);

impl Steps {
    /// Whose connection it is.
    pub(super) fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// The phase now, and when it began.
    pub(super) fn phase(&self) -> (Phase, Instant) {
        let state = *self.0.state();
        (state.phase, state.since)
    }

    /// Completes when the phase has changed since the last look.
    pub(super) async fn moved(&self) {
        self.0.moved.notified().await;
    }

    /// The handshake is done: a request has to come.
    pub(super) fn secured(&self) {
        self.enter(Phase::Header, true);
    }

    /// Bytes came in. The first ones after an answer begin the next header; they are no step, as anybody can
    /// send a byte now and then.
    pub(super) fn heard(&self) {
        if self.0.state().phase == Phase::Idle {
            self.enter(Phase::Header, false);
        }
    }

    /// A whole header came in; the request is under way until the returned guard is dropped.
    pub(super) fn request(&self) -> Answer {
        self.0.state().answers += 1;
        self.enter(Phase::Answer, true);
        Answer(self.clone())
    }

    fn enter(&self, phase: Phase, step: bool) {
        let now = Instant::now();
        let mut state = self.0.state();
        (state.phase, state.since) = (phase, now);
        if step {
            state.step = now;
        }
        drop(state);
        self.0.moved.notify_one();
    }
}

/// A request under way.
pub(super) struct Answer(Steps);

impl Drop for Answer {
    fn drop(&mut self) {
        let mut state = self.0.0.state();
        state.answers -= 1;
        let last = state.answers == 0;
        drop(state);
        if last {
            self.0.enter(Phase::Idle, true);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;
    use tokio::time::advance;

    fn places(connections: usize, connections_per_client: usize) -> Places {
        let limits = Limits { connections, connections_per_client, ..Limits::default() };
        Places::new(&limits, Arc::default())
    }

    async fn admit(places: &Places, remote: &str) -> Option<Place> {
        // Time stands still between admissions otherwise, and nobody would be older than anybody.
        advance(Duration::from_millis(1)).await;
        places.admit(remote.parse().unwrap())
    }

    fn is_evicted(place: &Place) -> bool {
        let gone = !place.places.0.lock().places.contains_key(&place.number);
        assert_eq!(gone, {
            let mut told = std::pin::pin!(place.evicted());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            told.as_mut().poll(&mut context).is_ready()
        });
        gone
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_without_a_step_for_longest_makes_room() {
        let places = places(3, 3);
        let silent = admit(&places, "10.0.0.1:1").await.unwrap();
        let secured = admit(&places, "10.0.0.1:2").await.unwrap();
        let served = admit(&places, "10.0.0.2:1").await.unwrap();
        advance(Duration::from_millis(1)).await;
        silent.steps().heard();
        secured.steps().secured();
        drop(served.steps().request());
        let newcomer = admit(&places, "10.0.0.3:1").await.unwrap();
        assert!(
            is_evicted(&silent) && !is_evicted(&secured) && !is_evicted(&served) && !is_evicted(&newcomer)
        );
        assert_eq!(places.0.counters.evicted_overall.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_at_its_limit_displaces_only_itself() {
        let places = places(10, 2);
        let other = admit(&places, "10.0.0.1:1").await.unwrap();
        let first = admit(&places, "[2001:db8:1:2::1]:1").await.unwrap();
        let second = admit(&places, "[2001:db8:1:2::2]:1").await.unwrap();
        let third = admit(&places, "[2001:db8:1:2:3::]:1").await.unwrap();
        assert!(!is_evicted(&other) && is_evicted(&first) && !is_evicted(&second) && !is_evicted(&third));
        assert_eq!(places.0.counters.evicted_per_client.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_was_vouched_for_goes_last_and_never_during_an_answer() {
        let places = places(2, 2);
        let known = admit(&places, "10.0.0.1:1").await.unwrap();
        known.steps().peer().vouch();
        let answer = known.steps().request();
        let stranger = admit(&places, "10.0.0.2:1").await.unwrap();
        let waiting = stranger.steps().request();
        let second = admit(&places, "10.0.0.3:1").await.unwrap();
        assert!(is_evicted(&stranger) && !is_evicted(&known));
        second.steps().peer().vouch();
        let busy = second.steps().request();
        assert!(admit(&places, "10.0.0.4:1").await.is_none());
        assert_eq!(places.0.counters.refused_overall.get(), 1);
        drop((answer, busy, waiting));
        assert!(admit(&places, "10.0.0.4:1").await.is_some());
        assert!(is_evicted(&known) && !is_evicted(&second));
    }

    #[tokio::test(start_paused = true)]
    async fn phases_follow_the_steps_of_the_connection() {
        let place = admit(&places(1, 1), "10.0.0.1:1").await.unwrap();
        let steps = place.steps();
        assert_eq!(steps.phase(), (Phase::Handshake, Instant::now()));
        steps.secured();
        assert_eq!(steps.phase(), (Phase::Header, Instant::now()));
        let (one, two) = (steps.request(), steps.request());
        drop(one);
        assert_eq!(steps.phase(), (Phase::Answer, Instant::now()));
        drop(two);
        assert_eq!(steps.phase(), (Phase::Idle, Instant::now()));
        let begun = Instant::now();
        steps.heard();
        advance(Duration::from_secs(1)).await;
        steps.heard();
        assert_eq!(steps.phase(), (Phase::Header, begun));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_left_is_free_again() {
        let places = places(1, 1);
        drop(admit(&places, "10.0.0.1:1").await.unwrap());
        assert!(admit(&places, "10.0.0.1:1").await.is_some());
        let counters = &places.0.counters;
        assert_eq!((counters.open.get(), counters.evicted_overall.get()), (0, 0));
    }
}
