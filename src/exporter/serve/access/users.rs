//! Users with bcrypt hashes, as the web configuration file of Prometheus' exporters names them. Knows no request.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr as _;

use sha2::{Digest as _, Sha256};

/// Highest cost of a hash: each step doubles the time, and this one takes some twenty seconds. Checks are limited for
/// each address, and a password is checked once.
const MAX_COST: u32 = 18;

/// Above, each new password takes seconds; this one takes about one.
const COSTLY: u32 = 14;

/// The rest of a hash for which no password is known, behind its cost.
const UNKNOWN: &str = "VYnlvJZrCTROJIoTH6ZE0ukR1DPBhjbJJkXity//aZnyHEImjVayq";

/// Users and the hashes of their passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Users {
    hashes: BTreeMap<String, String>,
}

/// Why a user is not taken. Nothing of the hash is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UserError {
    /// The name cannot be sent.
    #[error("not a user name: it is empty, or holds a colon or control characters")]
    Name,
    /// What is given for the password is not even text.
    #[error("expected a bcrypt hash; make one with `htpasswd -nBC 10 USER`")]
    NoText,
    /// It is text, and not a hash.
    #[error("not a bcrypt hash; make one with `htpasswd -nBC 10 USER`")]
    NoHash,
    /// The hash takes longer than [`MAX_COST`] to check.
    #[error("a hash of a cost above {MAX_COST} takes too long to check")]
    Cost,
}

impl Users {
    /// Adds a user. Returns what should be changed.
    ///
    /// # Errors
    ///
    /// The name or the hash cannot be used.
    pub(crate) fn add(&mut self, user: &str, hash: &str) -> Result<Option<String>, UserError> {
        if user.is_empty() || user.contains(':') || user.chars().any(char::is_control) {
            return Err(UserError::Name);
        }
        let parts = bcrypt::HashParts::from_str(hash).map_err(|_| UserError::NoHash)?;
        if parts.get_cost() > MAX_COST {
            return Err(UserError::Cost);
        }
        self.hashes.insert(user.to_owned(), hash.to_owned());
        Ok((parts.get_cost() > COSTLY).then(|| {
            format!(
                "a hash of cost {} takes seconds to check; a cost of 10 to {COSTLY} is enough",
                parts.get_cost()
            )
        }))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The hash of a user's password; for an unknown user one that fits none and takes as long to check.
    ///
    /// Where hashes differ in cost, an unknown name gets the cost of one of the users, always the same one for a name.
    /// So the time of an answer tells of no name whether it is known.
    pub(super) fn hash(&self, user: &[u8]) -> String {
        if let Some(hash) = str::from_utf8(user).ok().and_then(|user| self.hashes.get(user)) {
            return hash.clone();
        }
        // The hashes are secret, so nobody else can tell which cost a name would get.
        let mut digest = Sha256::new();
        self.hashes.values().for_each(|hash| digest.update(hash));
        let digest = digest.chain_update(user).finalize();
        let pick = digest.iter().take(4).fold(0, |number, byte| number << 8 | usize::from(*byte));
        let like = self.hashes.values().nth(pick % self.hashes.len().max(1));
        let cost = like.and_then(|hash| hash.get(4..6)).unwrap_or("10");
        format!("$2b${cost}${UNKNOWN}")
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
            ("c", &hash.replace("$04$", "$19$"), "cost"),
        ] {
            let error = users.add(user, hash).unwrap_err().to_string();
            assert!(error.contains(what) && !error.contains("hunter2"), "{error}");
        }
        assert_eq!(format!("{users:?}"), "Users { count: 2, .. }");
        assert_eq!(users.add("d", &hash.replace("$04$", "$14$")), Ok(None));
        assert!(users.add("d", &hash.replace("$04$", "$18$")).unwrap().unwrap().contains("seconds"));
        assert!(bcrypt::verify("hunter2", &users.hash(b"bob")).unwrap());
    }

    #[test]
    fn an_unknown_user_has_a_hash_that_takes_as_long_as_a_known_one() {
        let cost = |users: &Users, user: &str| {
            bcrypt::HashParts::from_str(&users.hash(user.as_bytes())).unwrap().get_cost()
        };
        let hash = bcrypt::hash("a", 4).unwrap();
        let mut users = Users::default();
        users.add("alice", &hash.replace("$04$", "$13$")).unwrap();
        assert_eq!(["alice", "nobody", "", "x"].map(|user| cost(&users, user)), [13; 4]);
        users.add("bob", &hash.replace("$04$", "$06$")).unwrap();
        let costs: Vec<_> = (0..100).map(|n| cost(&users, &format!("nobody {n}"))).collect();
        assert!(costs.iter().all(|cost| [6, 13].contains(cost)), "{costs:?}");
        assert!(costs.contains(&6) && costs.contains(&13), "{costs:?}");
        assert_eq!(costs, (0..100).map(|n| cost(&users, &format!("nobody {n}"))).collect::<Vec<_>>());
        assert!(!bcrypt::verify("", &Users::default().hash(b"\xff")).unwrap());
    }
}
