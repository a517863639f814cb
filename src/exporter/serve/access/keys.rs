//! The keys that open the metrics, and the comparison with them. Where they come from is the configuration's business.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

/// The keys that open the metrics. Only their SHA-256 digests are kept: they have one length, so that a comparison
/// takes the same time whatever the key, and the secrets themselves leave the memory of this process early.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys {
    digests: Vec<[u8; 32]>,
}

impl Keys {
    /// Adds a key. An empty one is not taken: it would open the metrics to everyone, so `false` says that the
    /// caller has to refuse it.
    #[must_use]
    pub(crate) fn add(&mut self, key: &[u8]) -> bool {
        if key.is_empty() {
            return false;
        }
        let digest = digest(key);
        if !self.digests.contains(&digest) {
            self.digests.push(digest);
        }
        true
    }

    /// How many different keys there are.
    pub(crate) fn len(&self) -> usize {
        self.digests.len()
    }

    /// Whether `offered` is one of the keys. Takes a time that depends on the length of `offered` alone: every key
    /// is looked at, and every byte of each digest.
    pub(crate) fn admit(&self, offered: &[u8]) -> bool {
        let offered = digest(offered);
        let any = self
            .digests
            .iter()
            .fold(Choice::from(0), |found, key| found | key.as_slice().ct_eq(offered.as_slice()));
        any.into()
    }
}

/// Shows how many keys there are, and nothing of them.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("count", &self.len()).finish_non_exhaustive()
    }
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> Keys {
        let mut all = Keys::default();
        for key in keys {
            assert!(all.add(key.as_bytes()), "{key}");
        }
        all
    }

    #[test]
    fn an_empty_key_is_not_taken() {
        let mut keys = Keys::default();
        assert!(!keys.add(b""));
        assert_eq!(keys.len(), 0);
    }

    #[test]
    fn the_same_key_twice_is_one_key() {
        assert_eq!(keys(&["a", "b", "a"]).len(), 2);
    }

    #[test]
    fn debug_shows_the_count_and_no_key() {
        assert_eq!(format!("{:?}", keys(&["secret", "other"])), "Keys { count: 2, .. }");
    }
}
