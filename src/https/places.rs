//! The connections of a listener, and which of them closes to make room for another. Pure bookkeeping: no
//! sockets, no tasks. The task of a connection watches its place, and ends when it is told to.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::counters::{Count, Counters};
use super::large::{Buffer, LargeAnswers};
use super::limits::ConnectionLimits;
use super::peer::{Peer, network};

/// Connections that close at once when there is no descriptor left: enough for a burst of newcomers, and for the
/// files that the rest of the process wants to open.
const DESCRIPTORS: usize = 16;

/// All connections of a listener. At most as many as the limits say, overall and per client.
#[derive(Clone)]
pub(super) struct Places(Arc<Inner>);

struct Inner {
    limits: ConnectionLimits,
    counters: Arc<Counters>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    /// Number of the next place; never used twice.
    next: u64,
    places: HashMap<u64, Arc<Connection>>,
    large: LargeAnswers,
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
struct Connection {
    number: u64,
    places: Places,
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
    /// The last step that only a serious client takes. The connection without one for the longest time is
    /// closed first.
    step: Instant,
    /// Requests under way; with HTTP/2 there may be several.
    answers: usize,
    /// When a part of an answer was taken last, while there is one that is not whole yet.
    taken: Option<Instant>,
}

/// Why a connection has to make room.
#[derive(Clone, Copy)]
enum Cause {
    Overall,
    Client(IpAddr),
    Descriptors,
    Reader,
}

impl Places {
    pub(super) fn new(limits: &ConnectionLimits, counters: Arc<Counters>) -> Self {
        Self(Arc::new(Inner { limits: limits.clone(), counters, taken: Mutex::default() }))
    }

    /// A place for a new connection from `remote`, for which another one may have to go. None when all others
    /// are vouched for and busy, or the limit is zero.
    pub(super) fn admit(&self, remote: SocketAddr) -> Option<Place> {
        let peer = Peer::new(remote);
        let client = network(peer.address().ip());
        let mut taken = self.0.lock();
        let of_client = taken.places.values().filter(|connection| connection.client == client).count();
        if of_client >= self.0.limits.connections_per_client && !self.evict(&mut taken, Cause::Client(client))
        {
            self.0.counters.refused_per_client.increment();
            return None;
        }
        if taken.places.len() >= self.0.limits.connections && !self.evict(&mut taken, Cause::Overall) {
            self.0.counters.refused_overall.increment();
            return None;
        }
        let now = Instant::now();
        let state = State { phase: Phase::Handshake, since: now, step: now, answers: 0, taken: None };
        let number = taken.next;
        taken.next += 1;
        let connection = Arc::new(Connection {
            number,
            places: self.clone(),
            client,
            peer,
            state: Mutex::new(state),
            evicted: Notify::new(),
            moved: Notify::new(),
        });
        taken.places.insert(number, Arc::clone(&connection));
        self.0.counters.open.increment();
        Some(Place { connection })
    }

    /// Notes a large answer, and closes the connections that have to go for it: each holds a body in memory.
    fn large(&self, place: u64, buffer: Buffer) -> u64 {
        let mut taken = self.0.lock();
        let (id, closing) = taken.large.begin(place, buffer, &self.0.limits);
        for place in closing {
            self.close(&mut taken, place, Cause::Reader);
        }
        id
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
            .filter(|(_, connection)| !matches!(cause, Cause::Client(client) if client != connection.client))
            .map(|(number, connection)| (*number, connection.peer.is_vouched(), *connection.state()))
            .filter(|(_, vouched, state)| !(*vouched && state.phase == Phase::Answer))
            .min_by_key(|(number, vouched, state)| (*vouched, state.step, *number))
            .map(|(number, ..)| number);
        victim.is_some_and(|number| self.close(taken, number, cause))
    }

    /// Takes the place with this number away; false when it is gone already.
    fn close(&self, taken: &mut Taken, number: u64, cause: Cause) -> bool {
        let Some(connection) = taken.places.remove(&number) else { return false };
        connection.evicted.notify_one();
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
            Cause::Reader => &self.counters.evicted_readers,
        }
    }
}

impl Connection {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection; leaving it frees it.
pub(super) struct Place {
    connection: Arc<Connection>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let places = &self.connection.places.0;
        places.lock().places.remove(&self.connection.number);
        places.counters.open.decrement();
    }
}

impl Place {
    /// Completes when this connection has to make room.
    pub(super) async fn evicted(&self) {
        self.connection.evicted.notified().await;
    }

    /// The part of a place that services and streams of the connection may hold on to.
    pub(super) fn steps(&self) -> Steps {
        Steps(Arc::clone(&self.connection))
    }
}

/// Reports the steps of a connection.
#[derive(Clone)]
pub(super) struct Steps(Arc<Connection>);

impl Steps {
    /// Whose connection it is.
    pub(super) fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// The phase now, when it began, and when a part of an answer was taken last, if one is being taken.
    pub(super) fn phase(&self) -> (Phase, Instant, Option<Instant>) {
        let state = *self.0.state();
        (state.phase, state.since, state.taken)
    }

    /// Completes when the phase has changed since the last look.
    pub(super) async fn moved(&self) {
        self.0.moved.notified().await;
    }

    /// The handshake is done: a request has to come.
    pub(super) fn secured(&self) {
        self.enter(Phase::Header, true);
    }

    /// Bytes came in. The first ones after an answer begin the next header. They do not count as a step,
    /// because anybody can send a byte now and then.
    pub(super) fn heard(&self) {
        if self.0.state().phase == Phase::Idle {
            self.enter(Phase::Header, false);
        }
    }

    /// A whole header came in; the request is under way until the returned guard is dropped.
    pub(super) fn request(&self) -> AnswerGuard {
        self.0.state().answers += 1;
        self.enter(Phase::Answer, true);
        AnswerGuard(self.clone())
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
pub(super) struct AnswerGuard(Steps);

impl AnswerGuard {
    /// The client takes another part.
    pub(super) fn taken(&self) {
        let mut state = self.0.0.state();
        let first = state.taken.replace(Instant::now()).is_none();
        drop(state);
        if first {
            // From here on there is another time limit.
            self.0.0.moved.notify_one();
        }
    }

    /// There is nothing that the client could take.
    pub(super) fn waits(&self) {
        let mut state = self.0.0.state();
        if state.taken.take().is_some() {
            drop(state);
            self.0.0.moved.notify_one();
        }
    }

    /// Notes that the answer is a large one with this `body`, until what is returned is dropped. May close this connection
    /// or another.
    pub(super) fn large(&self, body: &Bytes) -> Large {
        let connection = &self.0.0;
        Large {
            id: connection.places.large(connection.number, Buffer::of(body)),
            places: connection.places.clone(),
        }
    }
}

/// A large answer under way.
pub(super) struct Large {
    id: u64,
    places: Places,
}

impl Large {
    /// The client takes another part.
    pub(super) fn taken(&self) {
        self.places.0.lock().large.taken(self.id);
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        self.places.0.lock().large.end(self.id);
    }
}

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        let mut state = self.0.0.state();
        state.answers -= 1;
        // Others may have nothing to be taken yet.
        state.taken = None;
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

    const BODY: Bytes = Bytes::from_static(b"any");

    fn places(connections: usize, connections_per_client: usize) -> Places {
        let limits = ConnectionLimits { connections, connections_per_client, ..ConnectionLimits::default() };
        Places::new(&limits, Arc::default())
    }

    async fn admit(places: &Places, remote: &str) -> Option<Place> {
        // Time stands still between admissions otherwise, and nobody would be older than anybody.
        advance(Duration::from_millis(1)).await;
        places.admit(remote.parse().unwrap())
    }

    fn is_evicted(place: &Place) -> bool {
        let gone = !place.connection.places.0.lock().places.contains_key(&place.connection.number);
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
        let phase = || (steps.phase().0, steps.phase().1);
        assert_eq!(phase(), (Phase::Handshake, Instant::now()));
        steps.secured();
        assert_eq!(phase(), (Phase::Header, Instant::now()));
        let (one, two) = (steps.request(), steps.request());
        drop(one);
        assert_eq!(phase(), (Phase::Answer, Instant::now()));
        drop(two);
        assert_eq!(phase(), (Phase::Idle, Instant::now()));
        let begun = Instant::now();
        steps.heard();
        advance(Duration::from_secs(1)).await;
        steps.heard();
        assert_eq!(phase(), (Phase::Header, begun));
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_limit_of_large_answers_the_client_that_took_nothing_for_longest_goes() {
        let limits = ConnectionLimits { answers: 2, ..ConnectionLimits::default() };
        let places = Places::new(&limits, Arc::default());
        let (stalled, reading) =
            (admit(&places, "10.0.0.1:1").await.unwrap(), admit(&places, "10.0.0.2:1").await.unwrap());
        let (one, two) = (stalled.steps().request(), reading.steps().request());
        // Known clients, too: what they hold is memory.
        stalled.steps().peer().vouch();
        let (_held, taking) = (one.large(&BODY), two.large(&BODY));
        advance(Duration::from_millis(1)).await;
        taking.taken();
        let third = admit(&places, "10.0.0.3:1").await.unwrap();
        let _large = third.steps().request().large(&BODY);
        assert!(is_evicted(&stalled) && !is_evicted(&reading) && !is_evicted(&third));
        assert_eq!(places.0.counters.evicted_readers.get(), 1);
        drop(taking);
        let fourth = admit(&places, "10.0.0.4:1").await.unwrap();
        let _large = fourth.steps().request().large(&BODY);
        assert!(!is_evicted(&reading) && !is_evicted(&third));
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
