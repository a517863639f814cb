//! Any bytes as a token, as what a right key has signed, and as a key: nothing panics, nothing that was not signed is
//! taken, and what a token says is the same after it was signed again.
#![no_main]

mod keys;

use engine::wire::key::{SigningKey, VerifyKey};
use engine::wire::token::{sign, verify};
use keys::{KEYS, NOW, token_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (signing, verifying) = &*KEYS;
    let keys = std::slice::from_ref(verifying);
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(verify(text, keys, NOW).is_err(), "nobody signed it");
        let _ = VerifyKey::read(text);
        let _ = SigningKey::read(text);
    }
    if let Ok(verified) = verify(&token_of(bytes), keys, NOW) {
        assert_eq!(verified.key_id, "fuzz");
        let again = sign(&verified.claims, signing).expect("what was read can be signed");
        assert_eq!(verify(&again, keys, NOW).expect("it was just signed").claims, verified.claims);
    }
});
