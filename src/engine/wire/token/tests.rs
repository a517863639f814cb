//! Tokens that can be trusted, and all the others.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::wire::key::{Algorithm, generate};

const NOW: i64 = 1_700_000_000;

fn pair(algorithm: Algorithm, name: &str) -> (SigningKey, VerifyKey) {
    let made = generate(algorithm, Some(name)).unwrap();
    (SigningKey::read(&made.private).unwrap(), VerifyKey::read(&made.public).unwrap())
}

fn claims() -> Claims {
    Claims {
        pattern: Some(Imports::of_text("{run: [{id: 'a'}]}")),
        audience: vec!["web".to_owned()],
        issued: Some(NOW),
        not_before: Some(NOW),
        expires: Some(NOW + 100),
        ..Claims::default()
    }
}

fn token_of(header: &Value, payload: &Value, key: &SigningKey) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(header), encode(payload));
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).unwrap()))
}

#[test]
fn what_is_signed_verifies_with_the_id_of_the_configured_key() {
    for algorithm in [Algorithm::Ed25519, Algorithm::P256] {
        let (private, public) = pair(algorithm, "theirs");
        let token = sign(&claims(), &private).unwrap();
        // The receiver calls the key by another name than the signer does.
        let renamed = VerifyKey::read(&public.to_text().replace(":theirs", ":ours")).unwrap();
        let others = [pair(Algorithm::Ed25519, "x").1, pair(Algorithm::P256, "y").1];
        let keys = [others.as_slice(), &[renamed, public]].concat();
        let verified = verify(&token, &keys, NOW).unwrap();
        assert_eq!((verified.key_id.as_str(), verified.claims), ("ours", claims()));
        assert_eq!(verify(&token, &others, NOW), Err(TokenError::NotVerified));
        assert_eq!(verify(&token, &[], NOW), Err(TokenError::NoKeys));
    }
}

#[test]
fn the_header_has_its_members_in_order() {
    let (private, _) = pair(Algorithm::Ed25519, "k");
    let token = sign(&Claims::default(), &private).unwrap();
    let parts: Vec<_> = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
    assert_eq!(parts[0], br#"{"alg":"EdDSA","kid":"k","typ":"JWT"}"#);
    assert_eq!(parts[1], br#"{"etchaBuildManifest":"","etchaPattern":null,"etchaRunVars":null}"#);
}

#[test]
fn any_changed_byte_is_noticed() {
    let (private, public) = pair(Algorithm::Ed25519, "k");
    let token = sign(&claims(), &private).unwrap();
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(verify(&changed, std::slice::from_ref(&public), NOW).is_err(), "byte {at}");
    }
}

#[test]
fn the_header_cannot_choose_another_algorithm() {
    let (private, public) = pair(Algorithm::Ed25519, "k");
    let payload = serde_json::to_value(claims()).unwrap();
    for alg in ["none", "None", "ES256", "HS256", "eddsa", ""] {
        let token = token_of(&json!({"alg": alg}), &payload, &private);
        assert_eq!(verify(&token, std::slice::from_ref(&public), NOW), Err(TokenError::NotVerified), "{alg}");
    }
    let unsigned = token_of(&json!({"alg": "none"}), &payload, &private);
    let (unsigned, _) = unsigned.rsplit_once('.').unwrap();
    assert!(verify(&format!("{unsigned}."), std::slice::from_ref(&public), NOW).is_err());
    let critical = token_of(&json!({"alg": "EdDSA", "crit": ["b64"]}), &payload, &private);
    assert!(matches!(verify(&critical, &[public], NOW), Err(TokenError::Malformed(_))));
}

#[test]
fn clocks_may_be_half_a_minute_apart() {
    let (private, public) = pair(Algorithm::P256, "k");
    let keys = [public];
    let token = sign(&claims(), &private).unwrap();
    let (first, last) = (NOW - LEEWAY, NOW + 100 + LEEWAY);
    assert!(verify(&token, &keys, first).is_ok() && verify(&token, &keys, last).is_ok());
    assert_eq!(verify(&token, &keys, first - 1), Err(TokenError::NotYet(31)));
    assert_eq!(verify(&token, &keys, last + 1), Err(TokenError::Expired(31)));
    for expires in [None, Some(0)] {
        let token = sign(&Claims { expires, ..claims() }, &private).unwrap();
        assert!(verify(&token, &keys, i64::MAX).is_ok());
    }
}

#[test]
fn an_audience_is_a_string_or_a_list() {
    let (private, public) = pair(Algorithm::Ed25519, "k");
    let keys = [public];
    for (given, expected) in
        [(json!("a"), vec!["a"]), (json!(["a", "b"]), vec!["a", "b"]), (json!(null), vec![])]
    {
        let token = token_of(&json!({"alg": "EdDSA"}), &json!({"aud": given}), &private);
        assert_eq!(verify(&token, &keys, NOW).unwrap().claims.audience, expected);
    }
}

#[test]
fn what_is_no_token_says_so() {
    let (private, public) = pair(Algorithm::Ed25519, "k");
    let keys = [public];
    let good = sign(&claims(), &private).unwrap();
    let cases = ["", "a", "a.b", "a.b.c", "..", "!.!.!", "e30.e30.e30", "\u{0}.\u{0}.\u{0}"];
    let more = [format!("{good}.x"), format!("{good}="), good.replace('.', "..")];
    for token in cases.into_iter().map(str::to_owned).chain(more) {
        assert!(verify(&token, &keys, NOW).is_err(), "{token}");
    }
    let no_claims = token_of(&json!({"alg": "EdDSA"}), &json!([1]), &private);
    assert!(matches!(verify(&no_claims, &keys, NOW), Err(TokenError::Malformed(_))));
    assert_eq!(verify(&"a".repeat(MAX_BYTES + 1), &keys, NOW), Err(TokenError::TooLong));
    // White space around it is what an editor leaves.
    assert!(verify(&format!("{good}\n"), &keys, NOW).is_ok());
}

proptest::proptest! {
    #[test]
    fn no_text_is_a_token_and_none_does_harm(text in "[A-Za-z0-9_.=-]{0,200}|.{0,100}") {
        let (_, public) = pair(Algorithm::Ed25519, "k");
        assert!(verify(&text, &[public], NOW).is_err());
    }

    #[test]
    fn whatever_a_known_key_signs_is_read_or_refused(
        header in r#"\{"alg":"(EdDSA|ES256)"(,"(kid|crit|typ)":("x"|1|null|\[\]))?\}"#,
        payload in r#"\{("(exp|nbf|aud|etchaPattern|etchaRunVars)":(-?[0-9]{1,20}|"x"|null|\[\]|\{\}))?\}"#,
    ) {
        let (private, public) = pair(Algorithm::Ed25519, "k");
        let message = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let signature = URL_SAFE_NO_PAD.encode(private.sign(message.as_bytes()).unwrap());
        let _ = verify(&format!("{message}.{signature}"), &[public], NOW);
    }
}
