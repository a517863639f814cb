//! Users with bcrypt hashes, as the web configuration file of Prometheus' exporters names them. Knows no request.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr as _;

/// Highest cost of a hash: each step doubles the time, and this one takes about a second.
const MAX_COST: u32 = 14;

/// What an unknown user's password is checked against, so that the time of an answer does not tell which users there
/// are. Nobody knows a password for it.
const NOBODY: &str = "$2b$10$VYnlvJZrCTROJIoTH6ZE0ukR1DPBhjbJJkXity//aZnyHEImjVayq";

/// Users and the hashes of their passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Users {
    hashes: BTreeMap<String, String>,
}

impl Users {
    /// Adds a user.
    ///
    /// # Errors
    ///
    /// What is wrong with the name or the hash; nothing of the hash is told.
    pub fn add(&mut self, user: &str, hash: &str) -> Result<(), String> {
        if user.is_empty() || user.contains(':') || user.chars().any(char::is_control) {
            return Err("not a user name: it is empty, or holds a colon or control characters".to_owned());
        }
        let parts = bcrypt::HashParts::from_str(hash)
            .map_err(|_| "not a bcrypt hash; make one with `htpasswd -nBC 10 USER`".to_owned())?;
        if parts.get_cost() > MAX_COST {
            return Err(format!("a hash of a cost above {MAX_COST} takes too long to check"));
        }
        self.hashes.insert(user.to_owned(), hash.to_owned());
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The hash of a user's password; for an unknown user one that fits none.
    pub(super) fn hash(&self, user: &[u8]) -> &str {
        let known = str::from_utf8(user).ok().and_then(|user| self.hashes.get(user));
        known.map_or(NOBODY, String::as_str)
    }
}

/// Shows how many there are, and nothing of them.
impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("count", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn hashes_are_checked_when_they_are_read() {
        let mut users = Users::default();
        let hash = bcrypt::hash("hunter2", 4).unwrap();
        users.add("alice", &hash).unwrap();
        users.add("bob", &hash.replace("$2b$", "$2y$")).unwrap();
        for (user, hash, what) in [
            ("a:b", hash.as_str(), "user name"),
            ("", &hash, "user name"),
            ("c", "hunter2", "bcrypt"),
            ("c", "", "bcrypt"),
            ("c", &hash.replace("$04$", "$15$"), "cost"),
        ] {
            let error = users.add(user, hash).unwrap_err();
            assert!(error.contains(what) && !error.contains("hunter2"), "{error}");
        }
        assert_eq!(format!("{users:?}"), "Users { count: 2, .. }");
        assert!(bcrypt::verify("hunter2", users.hash(b"bob")).unwrap());
    }

    #[test]
    fn an_unknown_user_has_a_hash_that_takes_as_long() {
        assert_eq!(bcrypt::HashParts::from_str(NOBODY).unwrap().get_cost(), 10);
        assert!(!bcrypt::verify("", Users::default().hash(b"\xff")).unwrap());
    }
}
