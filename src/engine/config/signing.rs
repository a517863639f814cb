//! The key that signs, and where it comes from: the configuration itself, a file that only its owner can read, or standard
//! input. It is read when it is first needed, so that an agent, which signs nothing, never looks for it.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use terminal::file;

use super::found::{self, Unsafe};
use super::keys;
use super::section::Section;
use crate::wire::key::{InvalidKey, SigningKey};

/// The path that stands for standard input.
const STDIN: &str = "-";

/// Longest text with a key, in bytes.
const MAX_BYTES: u64 = 16 * 1024;

/// Bits of a mode by which others than the owner may read or write.
const OTHERS: u32 = 0o077;

/// Bits of a mode by which anyone may.
const ANYONE: u32 = 0o007;

/// The member of a pair, as `generate-keys` writes it, that signs.
const PRIVATE: &str = "privateKey";

/// The key, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signing {
    given: Option<SigningKey>,
    path: Option<PathBuf>,
    /// A file of the configuration in which the key stands and that anyone can read.
    exposed: Option<PathBuf>,
    read: Arc<OnceLock<Result<SigningKey, KeyError>>>,
}

/// Why there is no key.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// None is given.
    #[error("there is no key to sign with; set `build_signingKeyPath`")]
    None,
    /// The file cannot be read.
    #[error("`build_signingKeyPath` {path}: cannot be read: {why}")]
    Unread {
        /// The file.
        path: String,
        /// What the system says.
        why: Arc<io::Error>,
    },
    /// The file is not the user's alone.
    #[error(
        "`build_signingKeyPath` {0}: others can read this private key; `chmod 600` it, and make a new one if they may have"
    )]
    Open(String),
    /// The file was found, and is others'.
    #[error("`build_signingKeyPath` {0} {1}")]
    Unsafe(String, Unsafe),
    /// It is no file, or far too long.
    #[error("`build_signingKeyPath` {0}: is no file with a key")]
    NoFile(String),
    /// What it holds is no key.
    #[error("`build_signingKeyPath` {0} {1}")]
    NoKey(String, #[source] InvalidKey),
}

impl Signing {
    /// Reads `signingKey` and `signingKeyPath`.
    pub(super) fn read(section: &mut Section<'_>) -> Signing {
        let (given, path) = (section.get(&keys::SIGNING_KEY), section.get(&keys::SIGNING_KEY_PATH));
        if given.is_some() && path.is_some() {
            section.wrong("signingKeyPath", "is beside `signingKey`; give one of them");
        }
        Signing { given, path, exposed: None, read: Arc::default() }
    }

    /// Looks whether anyone can read one of `files`, in which the text of the key stands.
    pub(super) fn look_at(&mut self, files: &[PathBuf]) {
        let is_open = |path: &&PathBuf| path.metadata().is_ok_and(|found| found.mode() & ANYONE != 0);
        self.exposed = files.iter().find(is_open).cloned();
    }

    /// Why the key is known to others, if it is.
    pub(crate) fn exposure(&self) -> Option<String> {
        let shown = self.exposed.as_ref()?.display();
        Some(format!(
            "{shown}: everybody on this host can read `build_signingKey` there; move it to a file for \
             `build_signingKeyPath`, or `chmod o= {shown}`, and make a new one if others may have it"
        ))
    }

    /// The key. Standard input gives its first line, and keeps the rest.
    ///
    /// # Errors
    ///
    /// There is none, or it cannot be used.
    pub(crate) fn key(&self) -> Result<&SigningKey, KeyError> {
        match (&self.given, &self.path) {
            (Some(given), _) => Ok(given),
            (None, None) => Err(KeyError::None),
            (None, Some(path)) => self.read.get_or_init(|| from(path)).as_ref().map_err(Clone::clone),
        }
    }
}

fn from(path: &Path) -> Result<SigningKey, KeyError> {
    let shown = path.display().to_string();
    let unread = |why: io::Error| KeyError::Unread { path: shown.clone(), why: Arc::new(why) };
    let text = if path == Path::new(STDIN) {
        line(&mut io::stdin().lock()).map_err(unread)?
    } else {
        let path = found(path, &shown)?;
        private_file(&path, &shown)?
    };
    let text = match serde_json::from_str(&text) {
        Ok(Value::Object(pair)) => pair.get(PRIVATE).and_then(Value::as_str).unwrap_or_default().to_owned(),
        _ => text,
    };
    SigningKey::read(text.trim()).map_err(|why| KeyError::NoKey(shown, why))
}

/// A bare name is looked for here, and in the directories above.
fn found(name: &Path, shown: &str) -> Result<PathBuf, KeyError> {
    match found::upwards(name).filter(|_| found::is_bare(name)) {
        None => Ok(name.to_owned()),
        Some(path) if path.parent() == std::env::current_dir().ok().as_deref() => Ok(path),
        Some(path) => match found::check(&path) {
            Ok(()) => Ok(path),
            Err(wrong) => Err(KeyError::Unsafe(shown.to_owned(), wrong)),
        },
    }
}

/// A file as `ssh` takes it: not if it is this user's and others can read it, nor if anyone can.
fn private_file(path: &Path, shown: &str) -> Result<String, KeyError> {
    let unread = |why: io::Error| KeyError::Unread { path: shown.to_owned(), why: Arc::new(why) };
    let file = file::open(path).map_err(unread)?;
    let metadata = file.metadata().map_err(unread)?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(KeyError::NoFile(shown.to_owned()));
    }
    let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
    if metadata.mode() & ANYONE != 0 || (is_own && metadata.mode() & OTHERS != 0) {
        return Err(KeyError::Open(shown.to_owned()));
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(unread)?;
    Ok(text)
}

/// One line, byte by byte: what follows belongs to a shell.
fn line(input: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() as u64 <= MAX_BYTES && input.read(&mut byte)? == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    String::from_utf8(line).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;
    use crate::wire::key::{Algorithm, generate};

    #[test]
    fn a_file_holds_a_key_or_a_pair_and_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let made = generate(Algorithm::Ed25519, Some("ops")).unwrap();
        let pair = json!({"privateKey": made.private, "publicKey": made.public}).to_string();
        for (text, mode, expected) in [
            (made.private.as_str(), 0o600, "ops"),
            (&format!("{}\n", made.private), 0o400, "ops"),
            (&pair, 0o600, "ops"),
            (&made.private, 0o640, "others can read this private key"),
            (&made.private, 0o604, "others can read this private key"),
            (&made.public, 0o600, "has to hold a private one"),
            ("", 0o600, "holds no key"),
            ("{}", 0o600, "holds no key"),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let said = from(&path).map_or_else(|error| error.to_string(), |key| key.id().to_owned());
            assert!(said.contains(expected), "{mode:o} {expected}: {said}");
            assert!(!said.contains(made.private.split(':').nth(1).unwrap()), "{said}");
        }
        assert!(from(directory.path()).unwrap_err().to_string().contains("is no file with a key"));
        assert!(from(&directory.path().join("none")).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn the_rest_of_standard_input_is_left() {
        let mut input: &[u8] = b"key\nuptime\n";
        assert_eq!(line(&mut input).unwrap(), "key");
        assert_eq!(input, b"uptime\n");
        assert_eq!(line(&mut &b"key"[..]).unwrap(), "key");
    }
}
