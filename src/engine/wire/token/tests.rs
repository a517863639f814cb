//! Tokens that can be trusted, and all the others.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::values::MAX_VALUES;
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
fn extensions_are_refused_however_they_are_written() {
    let (private, public) = pair(Algorithm::Ed25519, "k");
    for crit in [json!(null), json!([]), json!({"": 0}), json!([{"": 0}]), json!("b64")] {
        let token = token_of(&json!({"alg": "EdDSA", "crit": crit}), &json!({}), &private);
        assert_eq!(
            verify(&token, std::slice::from_ref(&public), NOW),
            Err(TokenError::Malformed("it has extensions that are not known")),
            "{crit}"
        );
    }
}

#[test]
fn a_header_is_read_up_to_four_kilobytes_and_its_other_members_are_passed_over() {
    let (private, public) = pair(Algorithm::Ed25519, "k");
    let keys = [public];
    let with = |filling: usize| {
        let header = json!({"alg": "EdDSA", "jwk": {"x": ["y".repeat(filling)]}, "cty": 1});
        token_of(&header, &json!({}), &private)
    };
    assert!(verify(&with(2900), &keys, NOW).is_ok());
    let too_long = Err(TokenError::Malformed("the header is longer than 4 KiB"));
    assert_eq!(verify(&with(4096), &keys, NOW), too_long);
    // However it is filled: it is not decoded at all.
    for unit in ["{\"\":0},", "[", "\"a\",", " "] {
        let header = format!("{{\"alg\":\"EdDSA\",\"crit\":[{}]}}", unit.repeat(1_000_000));
        let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header));
        assert_eq!(verify(&token, &keys, NOW), too_long);
    }
    // Nested as deeply as it fits, it is passed over without recursion or refused.
    let deep = format!("{{\"alg\":\"EdDSA\",\"x\":{}", "[".repeat(2900));
    let message = format!("{}.e30", URL_SAFE_NO_PAD.encode(deep));
    assert!(matches!(verify(&format!("{message}.AAAA"), &keys, NOW), Err(TokenError::Malformed(_))));
}

#[test]
fn claims_are_not_looked_at_before_the_signature_holds() {
    let (private, public) = pair(Algorithm::Ed25519, "k");
    let keys = [public];
    let message = format!("{}.!!!", URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA"}"#));
    assert_eq!(verify(&format!("{message}.AAAA"), &keys, NOW), Err(TokenError::NotVerified));
    let signature = URL_SAFE_NO_PAD.encode(private.sign(message.as_bytes()).unwrap());
    assert_eq!(
        verify(&format!("{message}.{signature}"), &keys, NOW),
        Err(TokenError::Malformed("the payload is no base64"))
    );
}

/// The examples of RFC 8037 (appendix A.4) and RFC 7515 (appendix A.3): keys and tokens that were made elsewhere.
#[test]
fn tokens_of_the_standards_are_verified_by_their_keys() {
    const ED25519: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
        hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    const P256: &str = "eyJhbGciOiJFUzI1NiJ9.\
        eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
        DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let key = |name: &str, start: &[u8], parts: &[&str]| {
        let parts = parts.iter().flat_map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
        let bytes: Vec<u8> = start.iter().copied().chain(parts).collect();
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        VerifyKey::read(&format!("{name}:{text}:rfc")).unwrap()
    };
    let ed25519 = key("ed25519public", &[], &["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"]);
    // What stands before every point on this curve in a public key, and the mark of one that is not compressed.
    let p256_start = [
        0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d,
        3, 1, 7, 3, 0x42, 0, 4,
    ];
    let coordinates =
        ["f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"];
    let p256 = key("ecp256public", &p256_start, &coordinates);
    let keys = [ed25519, p256];
    // Its payload is a sentence; that this is found out means that the signature holds.
    assert_eq!(verify(ED25519, &keys, NOW), Err(TokenError::Malformed("the payload is no JSON object")));
    let verified = verify(P256, &keys, 1_300_819_300).unwrap();
    assert_eq!((verified.claims.issuer.as_str(), verified.claims.expires), ("joe", Some(1_300_819_380)));
    assert!(matches!(verify(P256, &keys, NOW), Err(TokenError::Expired(_))));
    for token in [ED25519, P256] {
        let changed = token.replacen("J", "K", 1);
        assert!(verify(&changed, &keys, 1_300_819_300).is_err());
        let strangers = [pair(Algorithm::Ed25519, "x").1, pair(Algorithm::P256, "y").1];
        assert_eq!(verify(token, &strangers, NOW), Err(TokenError::NotVerified));
    }
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
fn what_was_issued_in_the_future_is_not_good_yet_whatever_else_it_says() {
    let (private, public) = pair(Algorithm::Ed25519, "k");
    let keys = [public];
    for (claims, expected) in [
        (json!({"iat": NOW + LEEWAY}), None),
        (json!({"iat": NOW + LEEWAY + 1}), Some(31)),
        (json!({"iat": NOW + 100, "nbf": 1}), Some(100)),
        (json!({"iat": 1, "nbf": NOW + 100}), Some(100)),
    ] {
        let token = token_of(&json!({"alg": "EdDSA"}), &claims, &private);
        assert_eq!(verify(&token, &keys, NOW).err(), expected.map(TokenError::NotYet), "{claims}");
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

#[test]
fn claims_with_more_values_than_are_read_are_refused_and_commas_of_a_program_are_none() {
    let (private, public) = pair(Algorithm::Ed25519, "k");
    let keys = [public];
    let variables = vec![json!({"a": 0}); MAX_VALUES / 2];
    let many = token_of(&json!({"alg": "EdDSA"}), &json!({"etchaRunVars": {"x": variables}}), &private);
    assert!(matches!(verify(&many, &keys, NOW), Err(TokenError::Malformed(_))));
    let subject = json!({"sub": "{,[".repeat(MAX_VALUES)});
    assert!(verify(&token_of(&json!({"alg": "EdDSA"}), &subject, &private), &keys, NOW).is_ok());
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
