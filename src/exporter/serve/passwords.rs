//! Checks users' passwords, which is slow on purpose: one at a time, off the threads that serve connections, and once
//! for each password. Knows no request.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

/// Passwords remembered as right, and as many as wrong. Each list is emptied when it is full.
const REMEMBERED: usize = 256;

/// Requests that may wait for their password to be checked. A minute's worth at the usual cost of a hash.
const MAX_WAITING: usize = 512;

/// Too many passwords wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy;

/// Checks passwords, and remembers what came of it.
pub(super) struct Passwords {
    turn: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Apart, so that guesses push no right password out.
    right: Mutex<HashMap<[u8; 32], ()>>,
    wrong: Mutex<HashMap<[u8; 32], ()>>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            turn: Arc::new(Semaphore::new(1)),
            waiting: AtomicUsize::new(0),
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
    /// Whether `password` belongs to `hash`.
    ///
    /// # Errors
    ///
    /// When too many others wait to know the same of theirs.
    pub(super) async fn verify(&self, hash: &str, password: Vec<u8>) -> Result<bool, Busy> {
        let key: [u8; 32] =
            Sha256::new().chain_update(hash).chain_update([0]).chain_update(&password).finalize().into();
        if let Some(known) = self.known(&key) {
            return Ok(known);
        }
        let waiting = Waiting::begin(&self.waiting).ok_or(Busy)?;
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else { return Ok(false) };
        // Perhaps somebody before us had the same one.
        if let Some(known) = self.known(&key) {
            return Ok(known);
        }
        let hash = hash.to_owned();
        // The turn goes with the work: when the client leaves, the next one still waits for its end.
        let checked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            bcrypt::verify(&password, &hash).unwrap_or(false)
        });
        let right = checked.await.unwrap_or(false);
        drop(waiting);
        let list = if right { &self.right } else { &self.wrong };
        let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() >= REMEMBERED {
            list.clear();
        }
        list.insert(key, ());
        Ok(right)
    }

    fn known(&self, key: &[u8; 32]) -> Option<bool> {
        let has = |list: &Mutex<HashMap<_, _>>| {
            list.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key)
        };
        if has(&self.right) { Some(true) } else { has(&self.wrong).then_some(false) }
    }
}

/// A place in the queue.
struct Waiting<'c>(&'c AtomicUsize);

impl<'c> Waiting<'c> {
    fn begin(count: &'c AtomicUsize) -> Option<Self> {
        let waiting = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < MAX_WAITING).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_password_is_checked_once_and_remembered_with_its_hash() {
        let passwords = Passwords::default();
        let (hash, other) = (bcrypt::hash("a", 4).unwrap(), bcrypt::hash("b", 4).unwrap());
        for _ in 0..2 {
            assert_eq!(passwords.verify(&hash, b"a".to_vec()).await, Ok(true));
            assert_eq!(passwords.verify(&hash, b"b".to_vec()).await, Ok(false));
            assert_eq!(passwords.verify(&other, b"a".to_vec()).await, Ok(false));
        }
        assert_eq!(passwords.right.lock().unwrap().len(), 1);
        assert_eq!(passwords.wrong.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_full_queue_turns_away_and_a_known_password_needs_no_queue() {
        let passwords = Passwords::default();
        let hash = bcrypt::hash("a", 4).unwrap();
        assert_eq!(passwords.verify(&hash, b"a".to_vec()).await, Ok(true));
        passwords.waiting.store(MAX_WAITING, Ordering::Relaxed);
        assert_eq!(passwords.verify(&hash, b"c".to_vec()).await, Err(Busy));
        assert_eq!(passwords.verify(&hash, b"a".to_vec()).await, Ok(true));
        assert_eq!(passwords.waiting.load(Ordering::Relaxed), MAX_WAITING);
    }
}
