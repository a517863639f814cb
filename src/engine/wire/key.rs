//! Keys in Etcha's text form, `ALGORITHM:BASE64[:ID]`: Ed25519 and P-256. An id is a name for people and labels; it
//! does not come from the key. RSA keys are refused with a message that says so.

mod generate;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, UnparsedPublicKey,
};

pub use self::generate::{GenerateError, Generated, generate};

/// Everything before the 32 bytes of a private Ed25519 key in PKCS#8, version 1 (RFC 8410).
const ED25519_PRIVATE: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Everything before the 32 bytes of a public Ed25519 key in its SubjectPublicKeyInfo.
const ED25519_PUBLIC: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// Everything before the 65 bytes of an uncompressed point on P-256 in its SubjectPublicKeyInfo (RFC 5480).
const P256_PUBLIC: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3,
    1, 7, 3, 0x42, 0,
];

/// How public keys begin whose private halves are printed: the first three vectors of RFC 8032, section 7.1.
const PRINTED: [[u8; 8]; 3] = [
    [0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7],
    [0x3d, 0x40, 0x17, 0xc3, 0xe8, 0x43, 0x89, 0x5a],
    [0xfc, 0x51, 0xcd, 0x8e, 0x62, 0x18, 0xa1, 0xa3],
];

/// Ids of those that Etcha's tutorials print.
const PRINTED_IDS: [&str; 2] = ["jjKByT4bnU", "reqYEklgP4"];

/// Longest id in bytes: it becomes a label.
const MAX_ID_BYTES: usize = 128;

/// Why a text is not a key that can be used here. Continues a sentence that begins with what holds the text, and never says
/// what was given: it may be a secret in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// It does not have the form of a key.
    #[error("holds no key of the form ALGORITHM:BASE64[:ID]")]
    Form,
    /// It is in the form of OpenSSL or OpenSSH.
    #[error("holds a key in PEM or OpenSSH form, not ALGORITHM:BASE64[:ID]; {MAKE}")]
    Pem,
    /// It is encrypted, as Etcha can store keys.
    #[error(
        "holds an encrypted key, which this engine does not decrypt; keep the plain key in a file that only you can read \
         (`build_signingKeyPath`), or {MAKE}"
    )]
    Encrypted,
    /// It is an RSA key.
    #[error("holds an RSA key, which this engine does not use; {MAKE}")]
    Rsa,
    /// Its id cannot be one.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// The part after the algorithm cannot be decoded.
    #[error("holds a key that is no base64")]
    Base64,
    /// A private key stands where a public one is wanted.
    #[error("holds a private key, but has to hold a public one")]
    Private,
    /// A public key stands where a private one is wanted.
    #[error("holds a public key, but has to hold a private one")]
    Public,
    /// The algorithm is not known. The half that is wanted is.
    #[error("holds no key that begins with ed25519{0}: or ecp256{0}:")]
    Algorithm(&'static str),
    /// The bytes are not a key of the algorithm. The half that is wanted is known.
    #[error("holds no usable {0} key")]
    Unusable(&'static str),
}

/// An id is longer than `MAX_ID_BYTES`, or has spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("has an id that is longer than {MAX_ID_BYTES} bytes or has spaces")]
pub struct InvalidId;

/// The system gives no randomness, without which nothing can be made or signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no randomness")]
pub struct NoRandomness;

/// What to do about a key that cannot be used here.
const MAKE: &str =
    "make a new pair with `etcha-engine generate-keys`, and give its public half to those who verify";

/// The halves of a pair, as their texts name them.
const PUBLIC: &str = "public";
const PRIVATE: &str = "private";

/// What a key signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256 with SHA-256.
    P256,
}

impl Algorithm {
    /// Its name in the header of a token.
    pub(crate) fn token_name(self) -> &'static str {
        match self {
            Algorithm::Ed25519 => "EdDSA",
            Algorithm::P256 => "ES256",
        }
    }

    fn text_name(self) -> &'static str {
        match self {
            Algorithm::Ed25519 => "ed25519",
            Algorithm::P256 => "ecp256",
        }
    }
}

/// A public key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifyKey {
    algorithm: Algorithm,
    /// The 32 bytes of Ed25519, or the uncompressed point.
    bytes: Vec<u8>,
    id: String,
}

/// A private key. Says nothing of itself but its algorithm and id.
#[derive(Clone)]
pub struct SigningKey {
    pair: Pair,
    id: String,
}

#[derive(Clone)]
enum Pair {
    Ed25519(Arc<Ed25519KeyPair>),
    P256(Arc<EcdsaKeyPair>),
}

impl VerifyKey {
    /// Reads the text of a public key.
    ///
    /// # Errors
    ///
    /// It is not a public key that can be used.
    pub fn read(text: &str) -> Result<VerifyKey, InvalidKey> {
        let (name, der, id) = parts(text)?;
        let (algorithm, bytes) = match (name, der.len()) {
            ("ed25519public", 32) => (Algorithm::Ed25519, der),
            ("ed25519public", _) => (Algorithm::Ed25519, after(&ED25519_PUBLIC, 32, &der)?),
            ("ecp256public", _) => (Algorithm::P256, after(&P256_PUBLIC, 65, &der)?),
            _ => return Err(unfit(name, PUBLIC)),
        };
        Ok(VerifyKey { algorithm, bytes, id })
    }

    /// Its algorithm.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its id; empty if it has none.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether its private half is printed in a standard or a tutorial, so that anyone has it.
    pub(crate) fn is_printed(&self) -> bool {
        PRINTED.iter().any(|start| self.bytes.starts_with(start)) || PRINTED_IDS.contains(&self.id.as_str())
    }

    /// Whether `signature` of `message` was made with the private half.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.algorithm {
            Algorithm::Ed25519 => UnparsedPublicKey::new(&ED25519, &self.bytes).verify(message, signature),
            Algorithm::P256 => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.bytes).verify(message, signature)
            }
        }
        .is_ok()
    }

    /// The key in its text form.
    pub(crate) fn to_text(&self) -> String {
        let prefix: &[u8] = match self.algorithm {
            Algorithm::Ed25519 => &ED25519_PUBLIC,
            Algorithm::P256 => &P256_PUBLIC,
        };
        text(self.algorithm, PUBLIC, &[prefix, &self.bytes].concat(), &self.id)
    }
}

impl fmt::Debug for VerifyKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "VerifyKey({}, {})", self.algorithm.text_name(), self.id)
    }
}

impl SigningKey {
    /// Reads the text of a private key.
    ///
    /// # Errors
    ///
    /// It is not a private key that can be used.
    pub fn read(text: &str) -> Result<SigningKey, InvalidKey> {
        let (name, der, id) = parts(text)?;
        let unusable = |_| InvalidKey::Unusable(PRIVATE);
        let pair = match (name, der.len()) {
            // The seed and the public half.
            ("ed25519private", 64) => {
                let pair =
                    Ed25519KeyPair::from_seed_and_public_key(&der[..32], &der[32..]).map_err(unusable)?;
                Pair::Ed25519(Arc::new(pair))
            }
            ("ed25519private", _) => {
                // Without the public half inside there is nothing to compare with.
                Pair::Ed25519(Arc::new(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(unusable)?))
            }
            ("ecp256private", _) => {
                let random = SystemRandom::new();
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random);
                Pair::P256(Arc::new(pair.map_err(unusable)?))
            }
            _ => return Err(unfit(name, PRIVATE)),
        };
        Ok(SigningKey { pair, id })
    }

    /// Its algorithm.
    pub(crate) fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Ed25519(_) => Algorithm::Ed25519,
            Pair::P256(_) => Algorithm::P256,
        }
    }

    /// Its id; empty if it has none.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The signature of `message`.
    ///
    /// # Errors
    ///
    /// The system gives no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::P256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| NoRandomness),
        }
    }

    /// The public half.
    pub(crate) fn public(&self) -> VerifyKey {
        let bytes = match &self.pair {
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Pair::P256(pair) => pair.public_key().as_ref().to_vec(),
        };
        VerifyKey { algorithm: self.algorithm(), bytes, id: self.id.clone() }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SigningKey({}, {})", self.algorithm().text_name(), self.id)
    }
}

fn checked_id(id: &str) -> Result<String, InvalidId> {
    if id.len() > MAX_ID_BYTES || id.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(InvalidId);
    }
    Ok(id.to_owned())
}

fn parts(text: &str) -> Result<(&str, Vec<u8>, String), InvalidKey> {
    let mut parts = text.trim().splitn(3, ':');
    if text.trim_start().starts_with("-----BEGIN") {
        return Err(InvalidKey::Pem);
    }
    let (Some(name), Some(base64)) = (parts.next(), parts.next()) else {
        return Err(InvalidKey::Form);
    };
    // Etcha's encrypted values say how the key is derived, and after `@` with what it is encrypted.
    if base64.contains('@') {
        return Err(InvalidKey::Encrypted);
    }
    let id = checked_id(parts.next().unwrap_or_default())?;
    match STANDARD.decode(base64) {
        Ok(der) => Ok((name, der, id)),
        Err(_) => Err(InvalidKey::Base64),
    }
}

fn after(prefix: &[u8], length: usize, der: &[u8]) -> Result<Vec<u8>, InvalidKey> {
    match der.strip_prefix(prefix) {
        Some(bytes) if bytes.len() == length => Ok(bytes.to_vec()),
        _ => Err(InvalidKey::Unusable(PUBLIC)),
    }
}

fn unfit(name: &str, half: &'static str) -> InvalidKey {
    match name {
        rsa if rsa.starts_with("rsa") => InvalidKey::Rsa,
        "ed25519private" | "ecp256private" => InvalidKey::Private,
        "ed25519public" | "ecp256public" => InvalidKey::Public,
        _ => InvalidKey::Algorithm(half),
    }
}

fn text(algorithm: Algorithm, half: &str, der: &[u8], id: &str) -> String {
    let mut text = format!("{}{half}:{}", algorithm.text_name(), STANDARD.encode(der));
    if !id.is_empty() {
        text.push(':');
        text.push_str(id);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The first test vector of RFC 8032, section 7.1, in the text form.
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const POINT: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    const SIGNATURE: &str = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<_> = text.chars().map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap()).collect();
        digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()
    }

    #[test]
    fn the_vector_of_the_standard_signs_as_it_says_in_every_form() {
        let der = [ED25519_PRIVATE.as_slice(), &unhex(SEED)].concat();
        let raw = [unhex(SEED), unhex(POINT)].concat();
        for bytes in [der, raw] {
            let key = SigningKey::read(&text(Algorithm::Ed25519, "private", &bytes, "v1")).unwrap();
            assert_eq!(key.sign(b"").unwrap(), unhex(SIGNATURE));
            assert_eq!(key.public().bytes, unhex(POINT));
            assert_eq!(key.id(), "v1");
        }
        let raw = VerifyKey::read(&text(Algorithm::Ed25519, "public", &unhex(POINT), "")).unwrap();
        assert!(raw.verifies(b"", &unhex(SIGNATURE)) && !raw.verifies(b"x", &unhex(SIGNATURE)));
        assert_eq!(raw.id(), "");
        // Anyone has its private half.
        assert!(raw.is_printed());
        assert!(!VerifyKey::read(&generate(Algorithm::Ed25519, None).unwrap().public).unwrap().is_printed());
    }

    #[test]
    fn a_made_pair_belongs_together_and_survives_its_text() {
        for algorithm in [Algorithm::Ed25519, Algorithm::P256] {
            let made = generate(algorithm, None).unwrap();
            let (private, public) =
                (SigningKey::read(&made.private).unwrap(), VerifyKey::read(&made.public).unwrap());
            assert_eq!(public.to_text(), made.public);
            assert_eq!((private.id(), private.id().len()), (public.id(), 10));
            assert_eq!(private.algorithm(), algorithm);
            assert!(public.verifies(b"message", &private.sign(b"message").unwrap()));
            let other = VerifyKey::read(&generate(algorithm, None).unwrap().public).unwrap();
            assert!(!other.verifies(b"message", &private.sign(b"message").unwrap()));
        }
    }

    /// A pair of each kind that OpenSSL 3.0 made, and its signature of `message`. Frozen: what this file makes and reads
    /// could agree with itself and with nothing else.
    #[test]
    fn pairs_and_signatures_of_openssl_are_read_and_verified() {
        let pairs = [
            (
                "ed25519",
                "MC4CAQAwBQYDK2VwBCIEIFQ59/UTqc0+iIXvVxpZKBlhyzsGT97AaYdDY1ogQxEu",
                "MCowBQYDK2VwAyEAJXvcb6vYIPiYtZWbLHvUGplhMVReUOgWKlTbF3Vw7oY=",
                "88UkLJZd+9k9kJM206ARDlCfJiyXpm713c1wANqZvLuhtvu/YN2PYHhKc/qth9dbi5KMwLkPedU8KfG/12AKCg==",
            ),
            (
                "ecp256",
                "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCYpzkSPbz7AgLVlhENIsDOYDDTxj2Zp8iDbyFtPfnfehRANC\
                 AAT7mSU+eqIpWytVPOGkcYwuZlzJs6kFjIxC4DD7hbeqIp9ce9YXvV73yg40UGtV49RPqpOSfmsYmL6kKc18dNVw",
                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE+5klPnqiKVsrVTzhpHGMLmZcybOpBYyMQuAw+4W3qiKfXHvWF71e98oONFBr\
                 VePUT6qTkn5rGJi+pCnNfHTVcA==",
                "fF5z/ZoQ1lJBR7TwqJ2daOpJqJf0fDMQ7n0UC0LEHXoF2aULkwe03wu92ONbwKFUaQ7CHKd/RlHSYq4Sx6yTNw==",
            ),
        ];
        for (name, private, public, signature) in pairs {
            let key = SigningKey::read(&format!("{name}private:{private}:openssl")).unwrap();
            let verifying = VerifyKey::read(&format!("{name}public:{public}:openssl")).unwrap();
            assert_eq!(key.public(), verifying);
            assert_eq!(verifying.to_text(), format!("{name}public:{public}:openssl"));
            let signature = STANDARD.decode(signature).unwrap();
            assert!(verifying.verifies(b"message", &signature) && !verifying.verifies(b"other", &signature));
            if name == "ed25519" {
                assert_eq!(key.sign(b"message").unwrap(), signature);
            }
        }
    }

    #[test]
    fn what_is_no_key_says_why_and_not_what_it_was() {
        let made = generate(Algorithm::Ed25519, Some("name")).unwrap();
        let cases = [
            ("", "form"),
            ("secret", "form"),
            ("ed25519public:?", "base64"),
            ("ed25519public:AAAA", "no usable public key"),
            (
                "rsa2048public:AAAA",
                "an RSA key, which this engine does not use; make a new pair with `etcha-engine generate-keys`",
            ),
            (
                "argon2id:c2FsdA==@chacha20poly1305:AAAA:id",
                "an encrypted key, which this engine does not decrypt; keep the",
            ),
            ("-----BEGIN PUBLIC KEY-----", "PEM or OpenSSH"),
            ("other:AAAA", "begins with ed25519public:"),
            (made.private.as_str(), "has to hold a public one"),
            ("ed25519public:AAAA:a b", "has spaces"),
        ];
        for (text, expected) in cases {
            let why = VerifyKey::read(text).unwrap_err().to_string();
            assert!(why.contains(expected), "{text}: {why}");
        }
        assert_eq!(SigningKey::read(&made.public).unwrap_err(), InvalidKey::Public);
        let spaced = generate(Algorithm::Ed25519, Some("a b")).unwrap_err().to_string();
        assert_eq!(spaced, "the key has an id that is longer than 128 bytes or has spaces");
        let key = SigningKey::read(&made.private).unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey(ed25519, name)");
    }
}
