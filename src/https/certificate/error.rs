//! Why a certificate, its key or the authorities of client certificates cannot be used: in which file, and what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;

use tokio_rustls::rustls;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The certificate of the listener.
    Certificate,
    /// Its private key.
    Key,
    /// Authorities of client certificates.
    Authorities,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "TLS certificate",
            Self::Key => "TLS key",
            Self::Authorities => "client authorities",
        })
    }
}

/// Certificate files that cannot be used. No variant holds anything of a key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("{what} {}: {source}{}", path.display(), unread(source))]
    Read {
        /// Which file.
        path: PathBuf,
        /// What it is for.
        what: What,
        /// Why not.
        source: io::Error,
    },
    /// There is no PEM certificate in the file, or a broken one.
    #[error("{}: no certificate in it; give a PEM file (BEGIN CERTIFICATE){instead}", path.display())]
    NoCertificate {
        /// Which file.
        path: PathBuf,
        /// What it holds instead, for people; may be empty.
        instead: &'static str,
    },
    /// There is no PEM key in the file.
    #[error("TLS key {}: no private key in it; give a PEM file (BEGIN PRIVATE KEY){instead}", path.display())]
    NoKey {
        /// Which file.
        path: PathBuf,
        /// What it holds instead, for people; may be empty.
        instead: &'static str,
    },
    /// The key cannot be read without a passphrase.
    #[error(
        "TLS key {}: the key is encrypted; give it without passphrase (`openssl pkey -in OLD -out NEW`)",
        path.display()
    )]
    Encrypted {
        /// Which file.
        path: PathBuf,
    },
    /// Everybody on this host can read the key.
    #[error(
        "TLS key {}: everybody on this host can read this private key; `chmod 640` it (a Kubernetes Secret: \
         `defaultMode: 0440`), and make a new one if others may have it",
        path.display()
    )]
    Exposed {
        /// File of the key.
        path: PathBuf,
    },
    /// Certificate and key are each good, but of different pairs.
    #[error(
        "TLS certificate {} and TLS key {} do not belong together; replace both with one pair",
        certificate.display(),
        key.display()
    )]
    Mismatch {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
    },
    /// It parses, but TLS cannot work with it.
    #[error("{what} {}: cannot be used: {source}; {}", path.display(), instead(*what))]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What it is for.
        what: What,
        /// Why not.
        source: rustls::Error,
    },
    /// The listener could not be set up with it.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[source] rustls::Error),
}

/// What to do about a file that cannot be read.
fn unread(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; check the path",
        io::ErrorKind::PermissionDenied => "; let the user of this process read it",
        _ => "",
    }
}

/// What to give in place of a file that TLS cannot work with.
fn instead(what: What) -> &'static str {
    match what {
        What::Key => {
            "give an RSA key of 2048 to 8192 bits, an ECDSA key on P-256 or P-384, or an Ed25519 key"
        }
        What::Certificate | What::Authorities => "create a new one",
    }
}
