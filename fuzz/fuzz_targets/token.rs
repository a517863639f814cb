//! Any bytes as a token, as what a right key has signed, and as a key: nothing panics, nothing that was not signed is
//! taken, and what a token says is the same after it was signed again.
#![no_main]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::wire::key::{self, Algorithm, SigningKey, VerifyKey};
use engine::wire::token::{sign, verify};
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
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(verify(text, keys, NOW).is_err(), "nobody signed it");
        let _ = VerifyKey::read(text);
        let _ = SigningKey::read(text);
    }
    // A header of the right algorithm, and these bytes as claims, signed.
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA"}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(bytes));
    let signature = signing.sign(message.as_bytes()).expect("signing takes anything");
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    if let Ok(verified) = verify(&token, keys, NOW) {
        assert_eq!(verified.key_id, "fuzz");
        let again = sign(&verified.claims, signing).expect("what was read can be signed");
        assert_eq!(verify(&again, keys, NOW).expect("it was just signed").claims, verified.claims);
    }
});
