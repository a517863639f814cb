//! What binds a token to one engine, one Source and a few seconds, so that whoever it is sent to can pass it on to no other
//! engine. It is a claim beside Etcha's; an agent that does not know it passes over it, and its clients do not send it.
//!
//! An engine is known by the key of its certificate, as `curl --pinnedpubkey` writes it. The client takes that key from the
//! connection on which it sends the token: so it holds even where the client verifies no certificate.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// What the text of a key's digest begins with.
const PREFIX: &str = "sha256//";

/// Bytes of a nonce: no two requests share one.
const NONCE_BYTES: usize = 16;

/// Longest nonce that is taken, in bytes of text: it is remembered.
const MAX_NONCE_BYTES: usize = 64;

/// How far two clocks may be apart, in seconds.
pub(super) const LEEWAY: i64 = 30;

/// The longest life that is taken, in seconds: as long a token has to be remembered, so that it is not taken twice.
const LONGEST_LIFE: i64 = 120;

/// The claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bound {
    /// The engine that it is for: the digest of its certificate's key.
    #[serde(rename = "aud")]
    pub engine: String,
    /// The Source that it is for.
    pub source: String,
    /// Seconds since 1970 after which it is taken no more.
    #[serde(rename = "exp")]
    pub expires: i64,
    /// Not used before by its signer.
    pub nonce: String,
    /// Its number among the requests of one session, rising.
    #[serde(rename = "seq", skip_serializing_if = "is_zero")]
    pub number: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Why a token is for another engine, Source or time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotBound {
    /// It is for another engine.
    #[error(
        "is bound to another engine; does a proxy end TLS before this one? then name its key in `run_audiences`"
    )]
    Engine,
    /// It is for another Source.
    #[error("is bound to another source")]
    Source,
    /// Its time is over, or it would last too long.
    #[error("is not valid at this time; check the clocks of both hosts")]
    Time,
    /// It has no nonce, or one that is too long.
    #[error("has no nonce of at most {MAX_NONCE_BYTES} bytes")]
    Nonce,
}

impl Bound {
    /// For the engine with this key, this Source, and `life` seconds from `now` on.
    ///
    /// # Errors
    ///
    /// The system gives no randomness.
    pub fn new(engine: &[u8; 32], source: &str, now: i64, life: i64) -> Result<Bound, getrandom::Error> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        Ok(Bound {
            engine: key_text(engine),
            source: source.to_owned(),
            expires: now.saturating_add(life),
            nonce: URL_SAFE_NO_PAD.encode(nonce),
            number: 0,
        })
    }

    /// Whether it is for one of `engines`, for `source`, and for `now`.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn check(&self, engines: &[String], source: &str, now: i64) -> Result<(), NotBound> {
        if !engines.contains(&self.engine) {
            return Err(NotBound::Engine);
        }
        if self.source != source {
            return Err(NotBound::Source);
        }
        if self.expires < now.saturating_sub(LEEWAY)
            || self.expires > now.saturating_add(LONGEST_LIFE + LEEWAY)
        {
            return Err(NotBound::Time);
        }
        if self.nonce.is_empty() || self.nonce.len() > MAX_NONCE_BYTES {
            return Err(NotBound::Nonce);
        }
        Ok(())
    }

    /// The second since 1970 from which on it is refused for its time alone.
    pub(crate) fn forgotten_at(&self) -> i64 {
        self.expires.saturating_add(LEEWAY + 1)
    }
}

/// The digest of a key as text.
pub fn key_text(digest: &[u8; 32]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(digest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const NOW: i64 = 1_700_000_000;

    #[test]
    fn it_holds_for_its_engine_its_source_and_its_time_alone() {
        let bound = Bound::new(&[7; 32], "web", NOW, 60).unwrap();
        let engines = [key_text(&[8; 32]), key_text(&[7; 32])];
        assert_eq!(bound.check(&engines, "web", NOW), Ok(()));
        assert_eq!(bound.check(&engines[..1], "web", NOW), Err(NotBound::Engine));
        assert_eq!(bound.check(&engines, "db", NOW), Err(NotBound::Source));
        assert_eq!(bound.check(&engines, "web", NOW + 60 + LEEWAY), Ok(()));
        assert_eq!(bound.check(&engines, "web", bound.forgotten_at()), Err(NotBound::Time));
        assert_eq!(bound.check(&engines, "web", NOW - 60 - LEEWAY - 1), Err(NotBound::Time));
        for nonce in [String::new(), "a".repeat(MAX_NONCE_BYTES + 1)] {
            let bound = Bound { nonce, ..bound.clone() };
            assert_eq!(bound.check(&engines, "web", NOW), Err(NotBound::Nonce));
        }
    }

    #[test]
    fn no_two_have_the_same_nonce_and_its_text_is_frozen() {
        let bound = Bound::new(&[0; 32], "web", NOW, 5).unwrap();
        assert_ne!(bound.nonce, Bound::new(&[0; 32], "web", NOW, 5).unwrap().nonce);
        let bound = Bound { nonce: "n".to_owned(), number: 3, ..bound };
        assert_eq!(
            serde_json::to_string(&bound).unwrap(),
            r#"{"aud":"sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","source":"web","exp":1700000005,"nonce":"n","seq":3}"#
        );
    }
}
