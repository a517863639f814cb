//! What a client asks for: a signed token with Etcha's claims. Whether the key counts is decided by whoever reads it.
//!
//! A signed Pattern opens no shell: many may read one, and only who holds the key may type. So a request has to end
//! soon, and holds no Pattern.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::wire::bound::Bound;
use crate::wire::bound::LEEWAY;
use crate::wire::key::{SigningKey, VerifyKey};
use crate::wire::token::{self, SignError, TokenError};

/// Longest request in bytes. What is pasted comes in several.
pub const MAX_BYTES: usize = 128 * 1024;

/// Input in one request at most, in bytes. Encoded twice it leaves much room in [`MAX_BYTES`].
pub(crate) const MAX_INPUT_BYTES: usize = 32 * 1024;

/// How long a request is good, in seconds: as with Etcha.
pub(crate) const VALIDITY: i64 = 5;

/// A request that would be good for longer than this many seconds is refused: it may be a token for something else.
const LONGEST_VALIDITY: i64 = 300;

/// Why a token is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It cannot be trusted.
    #[error(transparent)]
    Token(TokenError),
    /// It is for something else.
    #[error("is a signed Pattern")]
    Pattern,
    /// It would be good for too long.
    #[error("does not expire within {LONGEST_VALIDITY} s")]
    Lasting,
    /// It is damaged.
    #[error("holds input that is no base64")]
    Input,
    /// It is made up.
    #[error("names no type of a terminal")]
    Terminal,
}

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Columns and rows of the client's window, if it has one.
    pub size: Option<Size>,
    /// What kind of terminal the client's is, where the shell starts on one.
    pub terminal: Option<TerminalType>,
    /// The session that it is for; a new one if absent.
    pub session: Option<String>,
    /// What was typed.
    pub input: Vec<u8>,
    /// Whether the client wants to be told how the session ends.
    pub tell_end: bool,
    /// What it is bound to.
    pub bound: Option<Bound>,
}

/// The size of a window, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// At least 1.
    pub columns: u16,
    /// At least 1.
    pub rows: u16,
}

/// The type of a terminal, as `TERM` and terminfo name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminalType(String);

#[derive(Default, Serialize, Deserialize)]
struct Claims {
    #[serde(rename = "c", default)]
    columns: u16,
    #[serde(rename = "r", default)]
    rows: u16,
    #[serde(rename = "i", default, skip_serializing_if = "String::is_empty")]
    session: String,
    #[serde(rename = "s", default, skip_serializing_if = "String::is_empty")]
    input: String,
    /// Not one of Etcha's claims; an agent that does not know it leaves the end out.
    #[serde(rename = "e", default, skip_serializing_if = "std::ops::Not::not")]
    tell_end: bool,
    /// Nor is this one.
    #[serde(rename = "t", default, skip_serializing_if = "String::is_empty")]
    terminal: String,
    #[serde(rename = "exp", default)]
    expires: i64,
    #[serde(rename = "etchaBound", default, skip_serializing_if = "Option::is_none")]
    bound: Option<Bound>,
    /// It is never built: a Pattern may be large.
    #[serde(rename = "etchaPattern", default, skip_serializing)]
    pattern: Option<IgnoredAny>,
}

impl TerminalType {
    /// The terminal that is called so: at most 64 letters, digits, `+`, `-`, `.` and `_`, the first no point. No shell and
    /// no path in terminfo takes it for anything else.
    pub fn new(name: &str) -> Option<TerminalType> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
        let is_name = (1..=64).contains(&name.len()) && name.bytes().all(is_plain) && !name.starts_with('.');
        is_name.then(|| TerminalType(name.to_owned()))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Request {
    /// Signs it, at `now` in seconds since 1970.
    ///
    /// # Errors
    ///
    /// The system gives no randomness.
    pub fn sign(&self, key: &SigningKey, now: i64) -> Result<String, SignError> {
        let claims = Claims {
            columns: self.size.map_or(0, |size| size.columns),
            rows: self.size.map_or(0, |size| size.rows),
            session: self.session.clone().unwrap_or_default(),
            input: STANDARD.encode(&self.input),
            tell_end: self.tell_end,
            terminal: self.terminal.as_ref().map(|terminal| terminal.0.clone()).unwrap_or_default(),
            expires: now.saturating_add(VALIDITY),
            bound: self.bound.clone(),
            pattern: None,
        };
        token::sign(&claims, key)
    }

    /// Reads one that one of `keys` verifies, at `now`. Also says which.
    ///
    /// # Errors
    ///
    /// It cannot be trusted, or is no request. Says why.
    pub fn verify<'k>(
        token: &str,
        keys: &'k [VerifyKey],
        now: i64,
    ) -> Result<(Request, &'k VerifyKey), RequestError> {
        let (claims, key): (Claims, _) = token::verify_as(token, keys, now).map_err(RequestError::Token)?;
        if claims.pattern.is_some() {
            return Err(RequestError::Pattern);
        }
        if claims.expires <= 0 || claims.expires > now.saturating_add(LONGEST_VALIDITY + LEEWAY) {
            return Err(RequestError::Lasting);
        }
        let input = STANDARD.decode(&claims.input).map_err(|_| RequestError::Input)?;
        let terminal = Some(claims.terminal).filter(|name| !name.is_empty());
        let terminal =
            terminal.map(|name| TerminalType::new(&name).ok_or(RequestError::Terminal)).transpose()?;
        let size = Size { columns: claims.columns, rows: claims.rows };
        let request = Request {
            size: Some(size).filter(|size| size.columns > 0 && size.rows > 0),
            terminal,
            session: Some(claims.session).filter(|session| !session.is_empty()),
            input,
            tell_end: claims.tell_end,
            bound: claims.bound,
        };
        Ok((request, key))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::wire::key::{Algorithm, generate};

    fn key() -> SigningKey {
        SigningKey::read(&generate(Algorithm::Ed25519, Some("ops")).unwrap().private).unwrap()
    }

    #[test]
    fn a_request_comes_back_with_the_key_that_verified_it() {
        let (key, other) = (key(), key());
        let keys = [other.public(), key.public()];
        let request = Request {
            size: Some(Size { columns: 80, rows: 24 }),
            terminal: TerminalType::new("screen.xterm-256color"),
            session: Some("s".to_owned()),
            input: vec![0, 255, 3],
            tell_end: true,
            bound: Some(Bound::new(&[7; 32], "web", 1000, 5).unwrap()),
        };
        for request in [request, Request::default()] {
            let token = request.sign(&key, 1000).unwrap();
            assert_eq!(Request::verify(&token, &keys, 1000), Ok((request, &keys[1])));
            assert!(Request::verify(&token, &keys[..1], 1000).is_err());
            assert!(Request::verify(&token, &keys, 1000 + VALIDITY + LEEWAY + 1).is_err());
        }
    }

    #[test]
    fn what_is_signed_for_something_else_opens_no_shell() {
        let key = key();
        let keys = [key.public()];
        let cases = [
            (json!({"exp": 1005, "etchaPattern": {"entrypoint": "/a", "files": {}}}), "is a signed Pattern"),
            (json!({"c": 80, "r": 24}), "does not expire within 300 s"),
            (json!({"exp": 2000}), "does not expire within 300 s"),
            (json!({"exp": 1005, "s": "?"}), "holds input that is no base64"),
            (json!({"exp": 1005, "t": "../xterm"}), "names no type of a terminal"),
            (json!({"exp": 1005, "t": "x\nLD_PRELOAD=x"}), "names no type of a terminal"),
            (json!({"exp": 1005, "t": "x".repeat(65)}), "names no type of a terminal"),
        ];
        for (claims, expected) in cases {
            let token = token::sign(&claims, &key).unwrap();
            assert_eq!(Request::verify(&token, &keys, 1000).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn the_largest_input_fits() {
        let request = Request { input: vec![0xff; MAX_INPUT_BYTES], ..Request::default() };
        assert!(request.sign(&key(), 0).unwrap().len() < MAX_BYTES);
    }
}
