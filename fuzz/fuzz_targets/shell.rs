//! Any bytes as a request for a shell, as what a right key has signed, and as a line of an answer: nothing panics, nothing
//! that was not signed is taken, and what was asked for is the same after it was signed again.
#![no_main]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::wire::key::{self, Algorithm, SigningKey, VerifyKey};
use engine::wire::line;
use engine::wire::shell::{MAX_BYTES, Request};
use libfuzzer_sys::fuzz_target;

static KEYS: LazyLock<(SigningKey, VerifyKey)> = LazyLock::new(|| {
    let made = key::generate(Algorithm::Ed25519, Some("fuzz")).expect("the system has randomness");
    let verifying = VerifyKey::read(&made.public).expect("what was made can be read");
    (SigningKey::read(&made.private).expect("what was made can be read"), verifying)
});

/// Seconds since 1970.
const NOW: i64 = 1_700_000_000;

fuzz_target!(|bytes: &[u8]| {
    let (signing, verifying) = &*KEYS;
    let keys = std::slice::from_ref(verifying);
    let _ = line::read(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(Request::verify(text, keys, NOW).is_err(), "nobody signed it");
    }
    // As claims, and as claims with an end that is near enough.
    let within = bytes.strip_prefix(b"{").map(|rest| [br#"{"exp":1700000005,"#, rest].concat());
    for claims in [Some(bytes.to_vec()), within].into_iter().flatten() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA"}"#);
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = signing.sign(message.as_bytes()).expect("signing takes anything");
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        let Ok((request, _)) = Request::verify(&token, keys, NOW) else { continue };
        if let Some(bound) = &request.bound {
            let _ = bound.check(std::slice::from_ref(&bound.engine), &bound.source, NOW);
        }
        let again = request.sign(signing, NOW).expect("what was read can be signed");
        assert!(again.len() <= MAX_BYTES + token.len(), "it does not grow without bound");
        assert_eq!(Request::verify(&again, keys, NOW).expect("it was just signed").0, request);
    }
});
