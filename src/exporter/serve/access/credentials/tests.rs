//! Requests and the verdicts on them.

#![allow(clippy::unwrap_used)]

use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use warp::http::HeaderValue;

use super::super::Keys;
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

fn keys_of(query: &str) -> Vec<Result<Vec<u8>, Broken>> {
    values(query, "key").collect()
}

#[test]
fn values_are_decoded_exactly() {
    assert_eq!(keys_of("key=a+b%2B%26%25&key=%C3%a9&other=%"), [Ok(b"a b+&%".to_vec()), Ok("é".into())]);
    assert_eq!(keys_of("key=a=b"), [Ok(b"a=b".to_vec())]);
    assert_eq!(keys_of("key=%00%ff"), [Ok(vec![0, 255])]);
    assert_eq!(keys_of("key"), [Ok(vec![])]);
    assert_eq!(keys_of(""), []);
    assert_eq!(keys_of("&&=&"), []);
}

#[test]
fn a_broken_value_is_an_error_and_a_broken_name_no_name() {
    for broken in ["key=%", "key=%1", "key=a%g0", "key=%0g", "key=%%41"] {
        assert_eq!(keys_of(broken), [Err(Broken)], "{broken}");
    }
    assert_eq!(keys_of("ke%y=1"), []);
}
