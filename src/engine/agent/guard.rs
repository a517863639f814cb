//! Whether a token that a key has verified is meant for this engine, and comes for the first time. Knows keys by the
//! verifier's word, and nothing of requests.
//!
//! Tokens that say whom they are for are held to it. Those that do not are taken where `run_acceptUnbound` says so: Etcha's
//! clients send no others, and whoever has seen such a token can pass it on for as long as it lasts.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use https::Tls;
use https::names::Names;

use crate::config::Config;
use crate::config::trusted::Unbound;
use crate::wire::bound::{Bound, NotBound, key_text};
use crate::wire::key::VerifyKey;

/// Nonces of one key that are remembered. Beyond it no further request of this key is taken until the first ones are too
/// old to be repeated: about sixty in a second, for minutes.
const MAX_NONCES: usize = 8192;

/// The audience that stands for any.
const ANY: &str = "*";

/// Decides for one engine.
pub(crate) struct Guard {
    /// Where the engine's own keys are, if it listens.
    tls: Option<Tls>,
    nonces: Mutex<HashMap<VerifyKey, HashMap<String, i64>>>,
}

/// What a token asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// A Pattern to be run.
    Push,
    /// A shell to be opened.
    Shell,
    /// Input for a shell that is open. Its numbers say what was there before.
    Input,
}

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unmeant {
    /// It is bound to something else.
    #[error(transparent)]
    Bound(#[from] NotBound),
    /// It is bound to nothing.
    #[error("is not bound to an engine, as with Etcha's clients; to accept it, set `run_acceptUnbound`")]
    Free,
    /// It was there before.
    #[error("was used before")]
    Repeated,
    /// Too many are remembered.
    #[error("comes after {MAX_NONCES} others of its key within minutes; try again later")]
    TooMany,
    /// Its audience is another one.
    #[error("is for the audience {0}, which this engine is not; see `run_audiences`")]
    Audience(String),
}

impl Guard {
    /// For an engine that shows the certificates of `tls`.
    pub(crate) fn new(tls: Option<Tls>) -> Guard {
        Guard { tls, nonces: Mutex::default() }
    }

    /// Whether a token for a Source, what it is bound to and the key that verified it, may be taken at `now`, in seconds
    /// since 1970. One that may is not taken again.
    ///
    /// # Errors
    ///
    /// It may not.
    pub(crate) fn admit(
        &self,
        config: &Config,
        asks: Asks,
        token: (&str, Option<&Bound>, &VerifyKey),
        now: i64,
    ) -> Result<(), Unmeant> {
        let (source, bound, key) = token;
        let Some(bound) = bound else {
            let Unbound { push, shell } = config.accept_unbound;
            let is_taken = if asks == Asks::Push { push } else { shell };
            return if is_taken { Ok(()) } else { Err(Unmeant::Free) };
        };
        bound.check(&self.engines(config), source, now)?;
        if asks == Asks::Input { Ok(()) } else { self.remember(bound, key, now) }
    }

    /// Whether a Pattern for `audience` is meant for this engine: for one of its names or addresses, its key, or what the
    /// configuration adds. One that names none is for all.
    ///
    /// # Errors
    ///
    /// It is for others.
    pub(crate) fn check_audience(&self, config: &Config, audience: &[String]) -> Result<(), Unmeant> {
        if audience.is_empty() || config.audiences.iter().any(|known| known == ANY) {
            return Ok(());
        }
        let mut own = self.engines(config);
        own.extend(Names::of_host(&[]).iter().map(str::to_owned));
        let is_own = |name: &String| own.iter().any(|own| own == name || own.eq_ignore_ascii_case(name));
        if audience.iter().any(is_own) { Ok(()) } else { Err(Unmeant::Audience(audience.join(", "))) }
    }

    /// What this engine is called in tokens.
    fn engines(&self, config: &Config) -> Vec<String> {
        let keys = self.tls.iter().flat_map(Tls::key_digests);
        keys.map(|digest| key_text(&digest)).chain(config.audiences.iter().cloned()).collect()
    }

    fn remember(&self, bound: &Bound, key: &VerifyKey, now: i64) -> Result<(), Unmeant> {
        // Nothing can be half done behind this lock.
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        let nonces = nonces.entry(key.clone()).or_default();
        if nonces.len() >= MAX_NONCES {
            nonces.retain(|_, until| *until > now);
        }
        match nonces.get(&bound.nonce) {
            Some(until) if *until > now => Err(Unmeant::Repeated),
            None if nonces.len() >= MAX_NONCES => Err(Unmeant::TooMany),
            _ => {
                nonces.insert(bound.nonce.clone(), bound.forgotten_at());
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;
    use crate::wire::key::{Algorithm, generate};

    const NOW: i64 = 1_700_000_000;
    const OWN: [u8; 32] = [7; 32];

    fn config(run: &Value) -> Config {
        Config::read(json!({ "run": run })).unwrap()
    }

    /// Of an engine whose key is that of a proxy before it.
    fn own() -> Config {
        config(&json!({"audiences": [key_text(&OWN)]}))
    }

    fn key() -> VerifyKey {
        VerifyKey::read(&generate(Algorithm::Ed25519, None).unwrap().public).unwrap()
    }

    #[test]
    fn a_bound_token_is_taken_once_by_the_engine_that_it_is_for() {
        let (guard, own, key) = (Guard::new(None), own(), key());
        for asks in [Asks::Push, Asks::Shell] {
            let bound = Bound::new(&OWN, "web", NOW, 5).unwrap();
            let admit = |config: &Config, now| guard.admit(config, asks, ("web", Some(&bound), &key), now);
            assert_eq!(admit(&config(&json!({})), NOW), Err(NotBound::Engine.into()));
            assert_eq!(admit(&own, NOW), Ok(()));
            assert_eq!(admit(&own, NOW + 1), Err(Unmeant::Repeated));
            assert_eq!(admit(&own, bound.forgotten_at() - 1), Err(Unmeant::Repeated));
            assert_eq!(admit(&own, bound.forgotten_at()), Err(NotBound::Time.into()));
        }
        let bound = Bound::new(&OWN, "web", NOW, 5).unwrap();
        for _ in 0..2 {
            assert_eq!(guard.admit(&own, Asks::Input, ("web", Some(&bound), &key), NOW), Ok(()));
        }
    }

    #[test]
    fn what_is_bound_to_nothing_is_taken_where_a_setting_says_so() {
        let key = key();
        let taken = |run: &Value| {
            let (guard, config) = (Guard::new(None), config(run));
            let admit = |asks| guard.admit(&config, asks, ("web", None, &key), NOW).is_ok();
            [Asks::Push, Asks::Shell, Asks::Input].map(admit)
        };
        assert_eq!(taken(&json!({})), [true, false, false]);
        assert_eq!(taken(&json!({"acceptUnbound": []})), [false, false, false]);
        assert_eq!(taken(&json!({"acceptUnbound": ["shell", "push"]})), [true, true, true]);
        assert_eq!(taken(&json!({"acceptUnbound": "shell"})), [false, true, true]);
    }

    #[test]
    fn an_audience_is_a_name_a_key_or_what_the_configuration_adds() {
        let check = |run: &Value, audience: &[&str]| {
            let audience: Vec<_> = audience.iter().map(|name| (*name).to_owned()).collect();
            Guard::new(None).check_audience(&config(run), &audience)
        };
        let host = Names::of_host(&[]).host().to_owned();
        let (none, own) = (json!({}), json!({"audiences": ["prod", key_text(&OWN)]}));
        for audience in [&[][..], &["other.example", &host], &[&host.to_uppercase()]] {
            assert_eq!(check(&none, audience), Ok(()));
        }
        for audience in ["other.example", &key_text(&OWN), "prod"] {
            assert_eq!(check(&none, &[audience]), Err(Unmeant::Audience(audience.to_owned())));
        }
        assert_eq!((check(&own, &["prod"]), check(&own, &[&key_text(&OWN)])), (Ok(()), Ok(())));
        assert_eq!(check(&json!({"audiences": ["*"]}), &["anybody"]), Ok(()));
        let refused = check(&own, &["a", "b"]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "is for the audience a, b, which this engine is not; see `run_audiences`"
        );
    }

    #[test]
    fn no_more_nonces_of_a_key_are_remembered_than_there_is_room_for() {
        let (guard, own, one, other) = (Guard::new(None), own(), key(), key());
        let admit = |key: &VerifyKey, now| {
            let bound = Bound::new(&OWN, "web", now, 5).unwrap();
            guard.admit(&own, Asks::Push, ("web", Some(&bound), key), now)
        };
        for _ in 0..MAX_NONCES {
            assert_eq!(admit(&one, NOW), Ok(()));
        }
        assert_eq!(admit(&one, NOW), Err(Unmeant::TooMany));
        assert_eq!(admit(&other, NOW), Ok(()));
        // Those that can be repeated no more make room.
        assert_eq!(admit(&one, NOW + 60), Ok(()));
    }
}
