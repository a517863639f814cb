//! Whether a request may read the metrics: what it offers, and the verdict. Knows no route and answers nothing;
//! how often a client may be wrong is the business of [`https::attempts`].
//!
//! A request may carry a key in three places: `?key=` (as the monitoring guide writes it), `Authorization: Bearer`,
//! and `Authorization: Basic`, whose password is the key and whose user name says nothing. One right key is enough,
//! wherever it stands. What can be read in two ways (two `key` parameters, two `Authorization` headers, a broken
//! encoding) is refused whatever else the request carries: a proxy in front might have read it the other way.

use std::fmt;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use warp::http::HeaderMap;
use warp::http::header::AUTHORIZATION;

use super::access::Access;
use super::query;

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
    let mut values = query::values(query, KEY_PARAMETER);
    let first = values.next();
    if values.next().is_some() {
        return Err(Refusal::Malformed);
    }
    let key = first.transpose().map_err(|query::Broken| Refusal::Malformed)?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use warp::http::HeaderValue;

    use super::super::keys::Keys;
    use super::*;

    fn keys(keys: &[&str]) -> Keys {
        let mut all = Keys::default();
        for key in keys {
            assert!(all.add(key.as_bytes()), "{key}");
        }
        all
    }

    /// The verdict where there are keys and no users.
    fn judge(keys: &Keys, query: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        let access = Access { keys: keys.clone(), ..Access::default() };
        super::judge(&access, query, headers).map(|judged| assert_eq!(judged, Judged::Admitted))
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    #[test]
    fn a_request_is_judged_by_what_it_offers() {
        use Refusal::{Malformed, Missing, Wrong};
        let odd = "a&b+c%d é=";
        let keys = keys(&["secret", odd, "next:one"]);
        let unpadded = basic(":secret").replace('=', "");
        let long = format!("key={}", "k".repeat(1 << 20));
        // Query, `Authorization` headers, verdict.
        let matrix: &[(&str, &[&str], Result<(), Refusal>)] = &[
            ("key=secret", &[], Ok(())),
            ("key=next:one", &[], Ok(())),
            ("x=1&key=secret&y=2", &[], Ok(())),
            ("k%65y=secret", &[], Ok(())),
            ("key=%73ecret", &[], Ok(())),
            ("key=a%26b%2Bc%25d+%C3%A9%3D", &[], Ok(())),
            ("key=a%26b%2bc%25d%20%c3%a9=", &[], Ok(())),
            ("key=a%26b+c%25d+%C3%A9%3D", &[], Err(Wrong)),
            ("", &[], Err(Missing)),
            ("key", &[], Err(Missing)),
            ("key=", &[], Err(Missing)),
            ("Key=secret", &[], Err(Missing)),
            ("keys=secret", &[], Err(Missing)),
            ("x=key=secret", &[], Err(Missing)),
            ("key=wrong", &[], Err(Wrong)),
            ("key=Secret", &[], Err(Wrong)),
            ("key=secret%00", &[], Err(Wrong)),
            ("key=secret%20", &[], Err(Wrong)),
            ("key=secre", &[], Err(Wrong)),
            ("key=secrets", &[], Err(Wrong)),
            ("key==secret", &[], Err(Wrong)),
            (&long, &[], Err(Wrong)),
            ("key=secret%", &[], Err(Malformed)),
            ("key=secret%4", &[], Err(Malformed)),
            ("key=%zzsecret", &[], Err(Malformed)),
            ("key=%+1secret", &[], Err(Malformed)),
            ("key=secret&key=secret", &[], Err(Malformed)),
            ("key=secret&key=wrong", &[], Err(Malformed)),
            ("key=secret&key=", &[], Err(Malformed)),
            ("key=secret&k%65y=x", &[], Err(Malformed)),
            ("%=1&key=secret", &[], Ok(())),
            ("", &["Bearer secret"], Ok(())),
            ("", &["bearer  secret "], Ok(())),
            ("", &["BEARER next:one"], Ok(())),
            ("", &["Bearer a&b+c%d é="], Ok(())),
            ("", &["Bearer"], Err(Missing)),
            ("", &["Bearer "], Err(Missing)),
            ("", &[""], Err(Missing)),
            ("", &["Bearer wrong"], Err(Wrong)),
            ("", &["Bearer secret secret"], Err(Wrong)),
            ("", &["secret"], Err(Missing)),
            ("", &["Digest username=\"secret\""], Err(Missing)),
            ("", &[&basic("etcha:secret")], Ok(())),
            ("", &[&basic(":secret")], Ok(())),
            ("", &[&basic("anyone:next:one")], Ok(())),
            ("", &[&basic(":secret").to_uppercase()], Err(Malformed)),
            ("", &[&unpadded], Ok(())),
            ("", &[&basic("secret:")], Err(Missing)),
            ("", &[&basic("secret:wrong")], Err(Wrong)),
            ("", &[&basic("secret")], Err(Malformed)),
            ("", &["Basic"], Err(Malformed)),
            ("", &["Basic !!!"], Err(Malformed)),
            ("", &["Bearer secret", "Bearer secret"], Err(Malformed)),
            ("", &["Bearer secret", "Digest x"], Err(Malformed)),
            ("key=secret", &["Bearer wrong"], Ok(())),
            ("key=wrong", &["Bearer secret"], Ok(())),
            ("key=", &["Bearer secret"], Ok(())),
            ("key=secret", &["Digest x"], Ok(())),
            ("key=wrong", &["Bearer wrong"], Err(Wrong)),
            ("key=secret", &["Basic !!!"], Err(Malformed)),
            ("key=a&key=b", &["Bearer secret"], Err(Malformed)),
        ];
        for (query, authorization, verdict) in matrix {
            let mut headers = HeaderMap::new();
            for value in *authorization {
                headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            let shown: String = query.chars().take(60).collect();
            assert_eq!(judge(&keys, query, &headers), *verdict, "{shown:?} {authorization:?}");
        }
    }

    #[test]
    fn a_key_in_the_query_is_refused_where_that_is_set_whatever_else_is_offered() {
        let access = Access { keys: keys(&["secret"]), refuse_query_keys: true, ..Access::default() };
        let bearer = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer secret"))]);
        assert_eq!(super::judge(&access, "key=secret", &HeaderMap::new()), Err(Refusal::InQuery));
        assert_eq!(super::judge(&access, "key=wrong", &bearer), Err(Refusal::InQuery));
        assert_eq!(super::judge(&access, "key=", &HeaderMap::new()), Err(Refusal::Missing));
        assert_eq!(super::judge(&access, "x=1", &bearer), Ok(Judged::Admitted));
    }

    #[test]
    fn a_password_is_left_to_be_checked_only_where_there_are_users() {
        let mut access = Access { keys: keys(&["secret"]), ..Access::default() };
        let offer = |pair| HeaderMap::from_iter([(AUTHORIZATION, basic(pair).parse().unwrap())]);
        assert_eq!(super::judge(&access, "", &offer("alice:pass:word")), Err(Refusal::Wrong));
        access.users.add("alice", &bcrypt::hash("x", 4).unwrap()).unwrap();
        let credentials = Credentials { user: b"alice".to_vec(), password: b"pass:word".to_vec() };
        let judged = super::judge(&access, "", &offer("alice:pass:word")).unwrap();
        assert_eq!(judged, Judged::Password(credentials));
        assert_eq!(format!("{judged:?}"), "Password(Credentials { .. })");
        assert_eq!(super::judge(&access, "", &offer("alice:secret")), Ok(Judged::Admitted));
        assert_eq!(super::judge(&access, "", &offer("alice:")), Err(Refusal::Missing));
        let bearer = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer x"))]);
        assert_eq!(super::judge(&access, "", &bearer), Err(Refusal::Wrong));
    }

    #[test]
    fn without_keys_nobody_is_admitted() {
        let none = Keys::default();
        assert!(!none.admit(b""));
        assert_eq!(judge(&none, "key=", &HeaderMap::new()), Err(Refusal::Missing));
        assert_eq!(judge(&none, "key=x", &HeaderMap::new()), Err(Refusal::Wrong));
    }

    proptest! {
        #[test]
        fn a_key_that_a_client_encodes_is_the_key_that_is_judged(key in "\\PC{1,40}", other in "\\PC{1,40}") {
            let keys = keys(&[&key]);
            let encode = |text: &str| text.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
            let judged = |text: &str| judge(&keys, &format!("a=b&key={}&c", encode(text)), &HeaderMap::new());
            prop_assert_eq!(judged(&key), Ok(()));
            prop_assert_eq!(judged(&other).is_ok(), key == other);
        }
    }
}
