//! A key pair that targets sign with, so that what they make up gets behind the signature.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::wire::key::{self, Algorithm, SigningKey, VerifyKey};

/// Seconds since 1970.
pub(crate) const NOW: i64 = 1_700_000_000;

/// The pair, with the id `fuzz`.
pub(crate) static KEYS: LazyLock<(SigningKey, VerifyKey)> = LazyLock::new(|| {
    let made = key::generate(Algorithm::Ed25519, Some("fuzz")).expect("the system has randomness");
    let verifying = VerifyKey::read(&made.public).expect("what was made can be read");
    (SigningKey::read(&made.private).expect("what was made can be read"), verifying)
});

/// A token with a header of the right algorithm and these bytes as claims, whatever they are.
pub(crate) fn token_of(claims: &[u8]) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA"}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let signature = KEYS.0.sign(message.as_bytes()).expect("signing takes anything");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}
