//! New keys, as texts. Writes no file.

use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

use super::{
    Algorithm, ED25519_PRIVATE, InvalidId, InvalidKey, NoRandomness, PRIVATE, SigningKey, checked_id, text,
};

/// Characters of a made id, and how many it has: 59 bits, so that no two keys of an installation share one.
const ID_CHARACTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID_LENGTH: usize = 10;

/// Both halves as texts.
#[derive(Debug)]
pub struct Generated {
    /// The private half.
    pub private: String,
    /// The public half.
    pub public: String,
}

/// Why no key was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The name cannot be the id of a key.
    #[error("the key {0}")]
    Id(#[from] InvalidId),
    /// There is nothing to make it of.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// What was made cannot be read. It never happens as long as both halves of this file agree.
    #[error("the key that was made {0}")]
    Unusable(#[from] InvalidKey),
}

/// Makes a key. Without a name it gets a random id.
///
/// # Errors
///
/// The name cannot be an id, or the system gives no randomness.
pub fn generate(algorithm: Algorithm, name: Option<&str>) -> Result<Generated, GenerateError> {
    let random = SystemRandom::new();
    let no_random = |_| NoRandomness;
    let id = match name {
        Some(name) => checked_id(name)?,
        None => random_id(&random)?,
    };
    let der = match algorithm {
        Algorithm::Ed25519 => {
            let mut seed = [0; 32];
            random.fill(&mut seed).map_err(no_random)?;
            [ED25519_PRIVATE.as_slice(), &seed].concat()
        }
        Algorithm::P256 => {
            let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
            made.map_err(no_random)?.as_ref().to_vec()
        }
    };
    let private = text(algorithm, PRIVATE, &der, &id);
    let public = SigningKey::read(&private)?.public().to_text();
    Ok(Generated { private, public })
}

fn random_id(random: &SystemRandom) -> Result<String, NoRandomness> {
    let mut id = String::new();
    while id.len() < ID_LENGTH {
        let mut byte = [0];
        random.fill(&mut byte).map_err(|_| NoRandomness)?;
        // 62 times 4 is the part of a byte in which all characters are as likely.
        if byte[0] < 248 {
            id.push(char::from(ID_CHARACTERS[usize::from(byte[0] % 62)]));
        }
    }
    Ok(id)
}
