//! Sessions of people who have shown a key in the form: a random name in a cookie for an hour. Kept in memory, so a
//! restart ends them all; a key that is withdrawn ends those it opened.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use warp::http::header::COOKIE;
use warp::http::{HeaderMap, HeaderValue};

use crate::serve::access::Access;

/// How long a session lasts. Long enough for an incident's hour, short enough for a laptop that is left open.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Sessions at once. One more ends the oldest.
const MAX_SESSIONS: usize = 64;

/// Name of the cookie. Browsers take one with this prefix over TLS and for this host alone.
const COOKIE_NAME: &str = "__Host-etcha-exporter";

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: Mutex<Vec<Session>>,
}

struct Session {
    /// Of its name, which only the browser knows.
    digest: [u8; 32],
    until: Instant,
    /// Who might read when it was opened.
    access: Arc<Access>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Sessions {
    /// Opens a session under `access`; the value of the `Set-Cookie` header. `None` if the system gives no random
    /// bytes.
    pub(super) fn open(&self, access: Arc<Access>, now: Instant) -> Option<HeaderValue> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).ok()?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_SESSIONS {
            open.remove(0);
        }
        open.push(Session { digest: digest(&name), until: now + LIFETIME, access });
        cookie(&name, LIFETIME)
    }

    /// Whether the request belongs to a session that is open under `access`.
    pub(super) fn has(&self, headers: &HeaderMap, access: &Access, now: Instant) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|session| session.until > now && *session.access == *access);
        names(headers).any(|name| {
            let offered = digest(name);
            // Digests of random names: how long this takes tells nothing.
            open.iter().any(|session| session.digest == offered)
        })
    }

    /// Ends the session of the request; the value of the `Set-Cookie` header that makes the browser forget it.
    pub(super) fn end(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names(headers) {
            let offered = digest(name);
            open.retain(|session| session.digest != offered);
        }
        cookie("", Duration::ZERO)
    }
}

fn cookie(name: &str, lifetime: Duration) -> Option<HeaderValue> {
    let seconds = lifetime.as_secs();
    let text = format!("{COOKIE_NAME}={name}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict");
    HeaderValue::try_from(text).ok()
}

/// The names of sessions in the cookies of a request.
fn names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|value| value.split(';')).filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE_NAME).then_some(value)
    })
}

fn digest(name: &str) -> [u8; 32] {
    Sha256::digest(name).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn with(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        HeaderMap::from_iter([(COOKIE, format!("other=1; {pair}").parse().unwrap())])
    }

    #[test]
    fn a_session_ends_by_time_by_wish_and_with_the_key_that_opened_it() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let access = Arc::new(Access::default());
        let mut other = Access::default();
        assert!(other.keys.add(b"new"));
        let cookie = sessions.open(Arc::clone(&access), now).unwrap();
        for attribute in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=3600"] {
            assert!(cookie.to_str().unwrap().contains(attribute));
        }
        assert!(sessions.has(&with(&cookie), &access, now));
        assert!(!sessions.has(&HeaderMap::new(), &access, now));
        assert!(!sessions.has(&with(&HeaderValue::from_static("__Host-etcha-exporter=")), &access, now));
        assert!(!sessions.has(&with(&cookie), &access, now + LIFETIME));
        let cookie = sessions.open(Arc::clone(&access), now).unwrap();
        assert!(!sessions.has(&with(&cookie), &other, now));
        let cookie = sessions.open(Arc::clone(&access), now).unwrap();
        sessions.end(&with(&cookie)).unwrap();
        assert!(!sessions.has(&with(&cookie), &access, now));
    }

    #[test]
    fn the_number_of_sessions_is_bounded() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let access = Arc::new(Access::default());
        for _ in 0..3 * MAX_SESSIONS {
            sessions.open(Arc::clone(&access), now).unwrap();
        }
        assert_eq!(sessions.open.lock().unwrap().len(), MAX_SESSIONS);
    }
}
