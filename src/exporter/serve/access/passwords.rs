//! Checks users' passwords, which is slow on purpose: one at a time, off the threads that serve connections, and once
//! for each password. Knows no request.
//!
//! Guesses cost little but the time of their own address. Each address has one password checked at a time, so other
//! addresses wait for one check of it at most. An address that has used up its attempts has none checked any more. A
//! password that was found right stays right without another check, whatever its address does.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::credentials::Credentials;
use super::users::Users;
use https::attempts::{Attempts, Standing};
use https::peer::network;

/// Passwords remembered as right, and as many as wrong. Each list is emptied when it is full.
const REMEMBERED: usize = 256;

/// Requests of one address that may wait for their password to be checked. All of a scraper's first scrapes wait for
/// the same password, and are answered together once it is known.
const MAX_WAITING_OF_ADDRESS: usize = 32;

/// Addresses that may wait: a minute's worth at the usual cost of a hash.
const MAX_ADDRESSES: usize = 512;

/// What came of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// It is the user's.
    Right,
    /// It is not, or was not checked any more; what that means for its address.
    Wrong(Standing),
    /// Too many others wait to know the same of theirs.
    Busy,
}

/// Checks passwords, and remembers what came of it.
pub(in crate::serve) struct Passwords {
    /// One check at a time.
    turn: Arc<Semaphore>,
    /// The queue of each address that waits.
    queues: Mutex<HashMap<Option<IpAddr>, Queue>>,
    /// Apart, so that guesses push no right password out.
    right: Mutex<HashMap<[u8; 32], ()>>,
    wrong: Mutex<HashMap<[u8; 32], ()>>,
}

/// Requests of one address.
struct Queue {
    waiting: usize,
    turn: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            turn: Arc::new(Semaphore::new(1)),
            queues: Mutex::default(),
            right: Mutex::default(),
            wrong: Mutex::default(),
        }
    }
}

/// Shows nothing: what is remembered stands for passwords.
impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

impl Passwords {
    /// Whether these are the name and password of one of `users`. Counts a wrong one in `attempts`.
    pub(super) async fn check(
        &self,
        attempts: &Attempts,
        client: Option<IpAddr>,
        users: &Users,
        offered: Credentials,
    ) -> Checked {
        let hash = users.hash(&offered.user);
        let key = key(&hash, &offered);
        if let Some(known) = self.known(&key) {
            return judged(known, attempts, client);
        }
        let Some(waiting) = Waiting::begin(self, client.map(network)) else { return Checked::Busy };
        let Ok(own_turn) = Arc::clone(&waiting.turn).acquire_owned().await else { return Checked::Busy };
        // Those that waited before may have used up the attempts, or had the same password.
        if let Some(known) = self.known(&key) {
            return judged(known, attempts, client);
        }
        if let Some(rest) = attempts.used_up(client, Instant::now()) {
            return Checked::Wrong(Standing::Beyond(rest));
        }
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else { return Checked::Busy };
        // The turns go with the work: when the client leaves, the next one still waits for its end.
        let checked = tokio::task::spawn_blocking(move || {
            let right = bcrypt::verify(&offered.password, &hash).unwrap_or(false);
            drop(turn);
            (right, own_turn)
        });
        let Ok((right, own_turn)) = checked.await else { return Checked::Busy };
        self.remember(key, right);
        let checked = judged(right, attempts, client);
        // Counted before the next of this address is looked at.
        drop(own_turn);
        checked
    }

    fn known(&self, key: &[u8; 32]) -> Option<bool> {
        if lock(&self.right).contains_key(key) {
            return Some(true);
        }
        lock(&self.wrong).contains_key(key).then_some(false)
    }

    fn remember(&self, key: [u8; 32], right: bool) {
        let mut list = lock(if right { &self.right } else { &self.wrong });
        if list.len() >= REMEMBERED {
            list.clear();
        }
        list.insert(key, ());
    }
}

/// What a password is remembered by. The name is part of it: a password that was tried for one unknown user is checked
/// anew for another, or the time would tell which names are unknown.
fn key(hash: &str, offered: &Credentials) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [hash.as_bytes(), &offered.user, &offered.password] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

fn judged(right: bool, attempts: &Attempts, client: Option<IpAddr>) -> Checked {
    if right { Checked::Right } else { Checked::Wrong(attempts.wrong(client, Instant::now())) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in the queue of an address.
struct Waiting<'p> {
    passwords: &'p Passwords,
    address: Option<IpAddr>,
    turn: Arc<Semaphore>,
}

impl<'p> Waiting<'p> {
    /// Queues up, unless the queue is full or there are too many queues.
    fn begin(passwords: &'p Passwords, address: Option<IpAddr>) -> Option<Self> {
        let mut queues = lock(&passwords.queues);
        if queues.len() >= MAX_ADDRESSES && !queues.contains_key(&address) {
            return None;
        }
        let queue =
            queues.entry(address).or_insert_with(|| Queue { waiting: 0, turn: Arc::new(Semaphore::new(1)) });
        if queue.waiting >= MAX_WAITING_OF_ADDRESS {
            return None;
        }
        queue.waiting += 1;
        Some(Self { passwords, address, turn: Arc::clone(&queue.turn) })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut queues = lock(&self.passwords.queues);
        if let Some(queue) = queues.get_mut(&self.address) {
            queue.waiting -= 1;
            if queue.waiting == 0 {
                queues.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::task::JoinSet;

    use super::*;

    /// The least cost that bcrypt has.
    const COST: u32 = 4;

    struct Rig {
        passwords: Arc<Passwords>,
        attempts: Arc<Attempts>,
        users: Users,
    }

    impl Rig {
        fn new() -> Self {
            let mut users = Users::default();
            users.add("alice", &bcrypt::hash("a", COST).unwrap()).unwrap();
            users.add("bob", &bcrypt::hash("b", COST).unwrap()).unwrap();
            Self { passwords: Arc::default(), attempts: Arc::new(Attempts::new(Instant::now())), users }
        }

        async fn check(&self, client: &str, user: &str, password: &str) -> Checked {
            let offered = Credentials { user: user.into(), password: password.into() };
            let client = Some(client.parse().unwrap());
            self.passwords.check(&self.attempts, client, &self.users, offered).await
        }

        fn checks(&self) -> [usize; 2] {
            [&self.passwords.right, &self.passwords.wrong].map(|list| list.lock().unwrap().len())
        }
    }

    #[tokio::test]
    async fn a_password_is_checked_once_and_remembered_with_its_user() {
        let rig = Rig::new();
        for _ in 0..2 {
            assert_eq!(rig.check("192.0.2.1", "alice", "a").await, Checked::Right);
            assert!(matches!(rig.check("192.0.2.1", "alice", "b").await, Checked::Wrong(_)));
            assert_eq!(rig.check("192.0.2.1", "bob", "b").await, Checked::Right);
        }
        assert_eq!(rig.checks(), [2, 1]);
        // What was tried for one unknown name is checked for the next one, as it is for a known one.
        for (user, wrong) in [("carol", 2), ("dave", 3)] {
            assert!(matches!(rig.check("192.0.2.1", user, "x").await, Checked::Wrong(_)));
            assert_eq!(rig.checks()[1], wrong);
        }
    }

    #[tokio::test]
    async fn guesses_of_one_address_are_checked_up_to_its_limit_and_no_further_whatever_comes_together() {
        let rig = Arc::new(Rig::new());
        assert_eq!(rig.check("192.0.2.1", "alice", "a").await, Checked::Right);
        let mut guesses = JoinSet::new();
        for n in 0..200 {
            let rig = Arc::clone(&rig);
            // One network of 64 bits is one client.
            guesses.spawn(async move {
                rig.check(&format!("2001:db8::{n:x}"), "alice", &format!("guess {n}")).await
            });
        }
        assert_eq!(rig.check("192.0.2.1", "bob", "b").await, Checked::Right);
        let answers = guesses.join_all().await;
        assert_eq!(rig.checks(), [2, 10]);
        let count = |what: fn(&Checked) -> bool| answers.iter().filter(|answer| what(answer)).count();
        assert_eq!(count(|it| matches!(it, Checked::Wrong(Standing::Within | Standing::Last))), 10);
        assert_eq!(count(|it| matches!(it, Checked::Busy)), 200 - MAX_WAITING_OF_ADDRESS);
        // Beyond the limit not even a right password is checked; one that was checked before is.
        assert!(matches!(
            rig.check("2001:db8::ffff", "bob", "new").await,
            Checked::Wrong(Standing::Beyond(_))
        ));
        assert_eq!(rig.checks(), [2, 10]);
        assert_eq!(rig.check("2001:db8::ffff", "bob", "b").await, Checked::Right);
        assert!(rig.passwords.queues.lock().unwrap().is_empty());
    }
}
