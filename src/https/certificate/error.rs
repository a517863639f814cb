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
#[derive(Debug)]
pub enum Error {
    /// The file cannot be read.
    Read {
        /// Which file.
        path: PathBuf,
        /// What it is for.
        what: What,
        /// Why not.
        source: io::Error,
    },
    /// There is no PEM certificate in the file, or a broken one.
    NoCertificate {
        /// Which file.
        path: PathBuf,
        /// What it holds instead, for people; may be empty.
        instead: &'static str,
    },
    /// There is no PEM key in the file that can be read without a passphrase.
    NoKey {
        /// Which file.
        path: PathBuf,
        /// What it holds instead, for people; may be empty.
        instead: &'static str,
        /// It is there, but encrypted.
        encrypted: bool,
    },
    /// Everybody on this host can read the key.
    Exposed {
        /// File of the key.
        path: PathBuf,
    },
    /// Certificate and key are each good, but of different pairs.
    Mismatch {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
    },
    /// It parses, but TLS cannot work with it.
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What it is for.
        what: What,
        /// Why not.
        source: rustls::Error,
    },
    /// The listener could not be set up with it.
    Setup(rustls::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, what, source } => {
                let hint = match source.kind() {
                    io::ErrorKind::NotFound => "; check the path",
                    io::ErrorKind::PermissionDenied => "; let the user of this process read it",
                    _ => "",
                };
                write!(f, "{what} {}: {source}{hint}", path.display())
            }
            Self::NoCertificate { path, instead } => write!(
                f,
                "{}: no certificate in it; give a PEM file (BEGIN CERTIFICATE){instead}",
                path.display()
            ),
            Self::NoKey { path, instead, encrypted: false } => write!(
                f,
                "TLS key {}: no private key in it; give a PEM file (BEGIN PRIVATE KEY){instead}",
                path.display()
            ),
            Self::NoKey { path, encrypted: true, .. } => write!(
                f,
                "TLS key {}: the key is encrypted; give it without passphrase (`openssl pkey -in OLD -out NEW`)",
                path.display()
            ),
            Self::Exposed { path } => write!(
                f,
                "TLS key {}: everybody on this host can read this private key; `chmod 640` it (a Kubernetes Secret: \
                 `defaultMode: 0440`), and make a new one if others may have it",
                path.display()
            ),
            Self::Mismatch { certificate, key } => write!(
                f,
                "TLS certificate {} and TLS key {} do not belong together; replace both with one pair",
                certificate.display(),
                key.display()
            ),
            Self::Unusable { path, what: What::Key, source } => write!(
                f,
                "TLS key {}: cannot be used: {source}; give an RSA key of 2048 to 8192 bits, an ECDSA key on P-256 or \
                 P-384, or an Ed25519 key",
                path.display()
            ),
            Self::Unusable { path, what, source } => {
                write!(f, "{what} {}: cannot be used: {source}; make it anew", path.display())
            }
            Self::Setup(source) => write!(f, "TLS cannot be set up: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Unusable { source, .. } | Self::Setup(source) => Some(source),
            Self::NoCertificate { .. }
            | Self::NoKey { .. }
            | Self::Exposed { .. }
            | Self::Mismatch { .. } => None,
        }
    }
}
