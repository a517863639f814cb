//! What a request offers, and whether that opens the metrics. Knows no route, answers nothing and checks no password;
//! how often a client may be wrong is decided in [`https::attempts`].
//!
//! A request may carry a key in three places: `?key=` (as the monitoring guide writes it), `Authorization: Bearer`,
//! and `Authorization: Basic`, whose password is the key and whose user name says nothing. One right key is enough,
//! wherever it is. What can be read in two ways (two `key` parameters, two `Authorization` headers, a broken
//! encoding) is refused whatever else the request carries: a proxy in front might have read it the other way.
//!
//! The query is `name=value` pairs joined by `&`, `+` for a space, `%XX` for any byte, as forms write them.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use warp::http::HeaderMap;
use warp::http::header::AUTHORIZATION;

use super::Access;

/// Name of the query parameter that carries a key.
const KEY_PARAMETER: &str = "key";

/// Decodes basic credentials; clients disagree about the padding, and it carries nothing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It offers no key, or an empty one.
    Missing,
    /// It offers a key that is none of ours.
    Wrong,
    /// What it offers cannot be read, or can be read in two ways.
    Malformed,
    /// It carries a key in its query, and that is not allowed here.
    InQuery,
}

impl Refusal {
    /// All kinds, in the order of their declaration.
    pub(crate) const ALL: [Self; 4] = [Self::Missing, Self::Wrong, Self::Malformed, Self::InQuery];

    /// The kind as the value of a label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Wrong => "wrong",
            Self::Malformed => "malformed",
            Self::InQuery => "in_query",
        }
    }
}

/// A request that is not refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// It carries a key.
    Admitted,
    /// It carries none, but a user and a password, which are still to be checked.
    Password(Credentials),
}

/// A user and a password as they were offered. Never shown.
#[derive(PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(super) user: Vec<u8>,
    pub(super) password: Vec<u8>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Judges a request by its raw query (without `?`) and its headers.
///
/// # Errors
///
/// The [`Refusal`], when nothing that the request offers can open the metrics.
pub(crate) fn judge(access: &Access, query: &str, headers: &HeaderMap) -> Result<Judged, Refusal> {
    if access.certificate_suffices {
        return Ok(Judged::Admitted);
    }
    let (in_query, in_headers) = (from_query(query)?, from_headers(headers)?);
    if access.refuse_query_keys && in_query.is_some() {
        return Err(Refusal::InQuery);
    }
    if in_query.is_none() && in_headers.is_none() {
        return Err(Refusal::Missing);
    }
    let mut offers = in_query.iter().chain(in_headers.iter().map(|offer| &offer.key));
    if offers.any(|key| access.keys.admit(key)) {
        return Ok(Judged::Admitted);
    }
    match in_headers {
        Some(Offer { key: password, user: Some(user) }) if !access.users.is_empty() => {
            Ok(Judged::Password(Credentials { user, password }))
        }
        _ => Err(Refusal::Wrong),
    }
}

/// What the `Authorization` header offers: a key, which may be a user's password as well.
struct Offer {
    key: Vec<u8>,
    user: Option<Vec<u8>>,
}

/// The key in the query, if there is one. An empty one is none.
fn from_query(query: &str) -> Result<Option<Vec<u8>>, Refusal> {
    let mut values = values(query, KEY_PARAMETER);
    let first = values.next();
    if values.next().is_some() {
        return Err(Refusal::Malformed);
    }
    let key = first.transpose().map_err(|Broken| Refusal::Malformed)?;
    Ok(key.filter(|key| !key.is_empty()))
}

/// The key in the `Authorization` header, if there is one. A scheme that we do not speak offers nothing: a proxy may
/// have left it there.
fn from_headers(headers: &HeaderMap) -> Result<Option<Offer>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::Malformed);
    }
    let value = value.as_bytes().trim_ascii();
    let end = value.iter().position(|&b| b == b' ').unwrap_or(value.len());
    let (scheme, credentials) = (&value[..end], value[end..].trim_ascii_start());
    let offer = if scheme.eq_ignore_ascii_case(b"bearer") {
        Offer { key: credentials.to_vec(), user: None }
    } else if scheme.eq_ignore_ascii_case(b"basic") {
        basic(credentials).ok_or(Refusal::Malformed)?
    } else {
        return Ok(None);
    };
    Ok(Some(offer).filter(|offer| !offer.key.is_empty()))
}

/// User and password in basic credentials: the password is what follows the first colon, colons in it included.
fn basic(credentials: &[u8]) -> Option<Offer> {
    let mut pair = BASE64.decode(credentials).ok()?;
    let colon = pair.iter().position(|&b| b == b':')?;
    let key = pair.split_off(colon + 1);
    pair.truncate(colon);
    Some(Offer { key, user: Some(pair) })
}

/// An encoding that is broken: a `%` that two hexadecimal digits do not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Broken;

/// The decoded values of all parameters named `name`, in their order. A parameter whose name is broken has no name,
/// and so is passed over; one without `=` has an empty value.
fn values(query: &str, name: &str) -> impl Iterator<Item = Result<Vec<u8>, Broken>> {
    query.split('&').filter_map(move |pair| {
        let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
        let named = decode(found).is_ok_and(|found| *found == *name.as_bytes());
        named.then(|| decode(value).map(Cow::into_owned))
    })
}

/// Decodes one name or value. What needs no decoding is not copied.
fn decode(text: &str) -> Result<Cow<'_, [u8]>, Broken> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|b| matches!(b, b'+' | b'%')) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(rest.next())? << 4 | hex_digit(rest.next())?,
            other => other,
        });
    }
    Ok(Cow::Owned(decoded))
}

fn hex_digit(byte: Option<&u8>) -> Result<u8, Broken> {
    match byte {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        _ => Err(Broken),
    }
}

#[cfg(test)]
mod tests;
