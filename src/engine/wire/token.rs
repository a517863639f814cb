//! Signed Patterns: compact JSON Web Signatures with Etcha's claims. Which keys count is the caller's matter; a token's
//! own word about its key is never taken.
//!
//! Until the signature holds, a token costs the bytes in which it came and a header of at most `MAX_HEADER_BYTES`: its
//! header is decoded into three strings, never into a tree, and its claims are not even decoded from base64.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::jsonnet::Imports;
use crate::values;
use crate::wire::bound::{Bound, LEEWAY};
use crate::wire::key::{NoRandomness, SigningKey, VerifyKey};

/// Longest token in bytes: a program of [`crate::jsonnet::imports::MAX_BYTES`], encoded, and room for the rest.
pub(crate) const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Longest header in bytes, encoded: an algorithm, an id of a key and a type, with much room. It is read before anything is
/// known of who sent it.
pub(crate) const MAX_HEADER_BYTES: usize = 4096;

/// Longest signature in bytes, encoded: both algorithms have 64 bytes.
const MAX_SIGNATURE_BYTES: usize = 128;

/// What a token says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// What building said about itself.
    #[serde(rename = "etchaBuildManifest", default)]
    pub build_manifest: String,
    /// The program that renders to a Pattern.
    #[serde(rename = "etchaPattern", default)]
    pub pattern: Option<Imports>,
    /// Variables for rendering it.
    #[serde(rename = "etchaRunVars", default)]
    pub run_vars: Option<Map<String, Value>>,
    /// What it is bound to.
    #[serde(rename = "etchaBound", default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
    /// Version of what built it.
    #[serde(rename = "etchaVersion", default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Who it is for.
    #[serde(rename = "aud", default, with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// Seconds since 1970 after which it is good no more; 0 and absent are never.
    #[serde(rename = "exp", default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// Seconds since 1970 at which it was issued.
    #[serde(rename = "iat", default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<i64>,
    /// Seconds since 1970 before which it is not good yet.
    #[serde(rename = "nbf", default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<i64>,
    /// Its id.
    #[serde(rename = "jti", default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Who issued it.
    #[serde(rename = "iss", default, skip_serializing_if = "String::is_empty")]
    pub issuer: String,
    /// What it is about.
    #[serde(rename = "sub", default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
}

/// A token that can be trusted.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// What it says.
    pub claims: Claims,
    /// Id of the configured key that verified it; empty if that key has none.
    pub key_id: String,
}

/// Why a token cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is longer than `MAX_BYTES`.
    #[error("is longer than {} MiB", MAX_BYTES / 1024 / 1024)]
    TooLong,
    /// It is no token. Says which part.
    #[error("is no signed token: {0}")]
    Malformed(&'static str),
    /// There is no key to verify with.
    #[error("cannot be verified without a key; give `verifyKeys`")]
    NoKeys,
    /// No key verifies it.
    #[error("was signed by none of the configured keys")]
    NotVerified,
    /// It is good later: this many seconds from now.
    #[error("becomes valid in {0} s; check the clocks of both hosts")]
    NotYet(i64),
    /// It was good until this many seconds ago.
    #[error("expired {0} s ago")]
    Expired(i64),
}

/// Why claims were not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// There is nothing to sign with.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// They cannot be written as JSON.
    #[error("the claims are no JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Members that are not named here are passed over without being built.
#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    kid: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    typ: String,
    /// Whether extensions are named that must be understood. There are none here.
    #[serde(rename = "crit", default, deserialize_with = "is_present", skip_serializing)]
    is_critical: bool,
}

/// A member is there, whatever its value.
fn is_present<'de, D: Deserializer<'de>>(input: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(input).map(|_| true)
}

impl Header {
    /// Reads the first part of a token.
    fn read(encoded: &str) -> Result<Header, TokenError> {
        let malformed = TokenError::Malformed;
        if encoded.len() > MAX_HEADER_BYTES {
            return Err(malformed("the header is longer than 4 KiB"));
        }
        let json = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| malformed("the header is no base64"))?;
        // A list would be taken for the values of members in some order.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(malformed("the header is no JSON object"));
        }
        let header: Header =
            serde_json::from_slice(&json).map_err(|_| malformed("the header is no JSON object"))?;
        if header.is_critical {
            return Err(malformed("it has extensions that are not known"));
        }
        Ok(header)
    }
}

/// Signs `claims`.
///
/// # Errors
///
/// The claims are no JSON, or the system gives no randomness.
pub fn sign(claims: &impl Serialize, key: &SigningKey) -> Result<String, SignError> {
    let header = Header {
        alg: key.algorithm().token_name().to_owned(),
        kid: key.id().to_owned(),
        typ: "JWT".to_owned(),
        is_critical: false,
    };
    let [header, claims] =
        [serde_json::to_vec(&header)?, serde_json::to_vec(claims)?].map(|json| URL_SAFE_NO_PAD.encode(json));
    let message = format!("{header}.{claims}");
    let signature = key.sign(message.as_bytes())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Verifies the Pattern in `token` with the first of `keys` that does, at `now` in seconds since 1970. Keys of another
/// algorithm than the one in its header are not even tried, so a signature is never taken for one of another kind.
///
/// # Errors
///
/// It cannot be trusted.
pub fn verify(token: &str, keys: &[VerifyKey], now: i64) -> Result<Verified, TokenError> {
    let (claims, key) = verify_as(token, keys, now)?;
    Ok(Verified { claims, key_id: key.id().to_owned() })
}

/// The same for other claims. Also says which of `keys` verified them.
///
/// # Errors
///
/// It cannot be trusted.
pub(crate) fn verify_as<'k, C: DeserializeOwned>(
    token: &str,
    keys: &'k [VerifyKey],
    now: i64,
) -> Result<(C, &'k VerifyKey), TokenError> {
    if token.len() > MAX_BYTES {
        return Err(TokenError::TooLong);
    }
    if keys.is_empty() {
        return Err(TokenError::NoKeys);
    }
    let token = token.trim();
    let malformed = TokenError::Malformed;
    let (message, signature) = token.rsplit_once('.').ok_or(malformed("it has not three parts"))?;
    let (header, payload) = message.split_once('.').ok_or(malformed("it has not three parts"))?;
    let header = Header::read(header)?;
    if signature.len() > MAX_SIGNATURE_BYTES {
        return Err(malformed("the signature is longer than any"));
    }
    let decode = |part: &str, what| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed(what));
    let signature = decode(signature, "the signature is no base64")?;
    let key = keys
        .iter()
        .filter(|key| key.algorithm().token_name() == header.alg)
        .find(|key| key.verifies(message.as_bytes(), &signature))
        .ok_or(TokenError::NotVerified)?;
    // From here on, what is built was asked for by the holder of a key.
    let payload = decode(payload, "the payload is no base64")?;
    // A list would be taken for the values of claims in some order.
    if payload.trim_ascii_start().first() != Some(&b'{') {
        return Err(malformed("the payload is no JSON object"));
    }
    if !values::are_few(&payload) {
        return Err(malformed("the payload has more values than are read"));
    }
    let unfit = |_| malformed("the payload has not the claims that it needs");
    check_times(&serde_json::from_slice(&payload).map_err(unfit)?, now)?;
    Ok((serde_json::from_slice(&payload).map_err(unfit)?, key))
}

/// When a token is good.
#[derive(Deserialize)]
struct Times {
    #[serde(rename = "exp", default)]
    expires: Option<i64>,
    #[serde(rename = "nbf", default)]
    not_before: Option<i64>,
    #[serde(rename = "iat", default)]
    issued: Option<i64>,
}

fn check_times(times: &Times, now: i64) -> Result<(), TokenError> {
    // What was issued in the future would be newer than all that comes after it.
    if let Some(begin) = times.not_before.max(times.issued)
        && begin > now.saturating_add(LEEWAY)
    {
        return Err(TokenError::NotYet(begin.saturating_sub(now)));
    }
    match times.expires {
        Some(expires) if expires != 0 && expires < now.saturating_sub(LEEWAY) => {
            Err(TokenError::Expired(now.saturating_sub(expires)))
        }
        _ => Ok(()),
    }
}

/// A string stands for a list of one.
mod one_or_more {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        One(String),
        More(Vec<String>),
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
        Ok(match Option::<OneOrMore>::deserialize(input)? {
            None => Vec::new(),
            Some(OneOrMore::One(one)) => vec![one],
            Some(OneOrMore::More(more)) => more,
        })
    }

    pub(super) fn serialize<S: Serializer>(list: &[String], output: S) -> Result<S::Ok, S::Error> {
        match list {
            [one] => output.serialize_str(one),
            more => more.serialize(output),
        }
    }
}

/// Reads a file that should hold a token, and no more of it than a token may have.
///
/// # Errors
///
/// It cannot be read, is too long or is no UTF-8.
pub(crate) fn read_token(path: &Path) -> io::Result<String> {
    read_from(File::open(path)?)
}

/// The same of a file that is open.
///
/// # Errors
///
/// It cannot be read, is too long or is no UTF-8.
pub(crate) fn read_from(file: File) -> io::Result<String> {
    let mut text = String::new();
    file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text)?;
    if text.len() > MAX_BYTES {
        return Err(io::Error::other("is longer than a token may be"));
    }
    Ok(text)
}

#[cfg(test)]
#[path = "token/tests.rs"]
mod tests;
