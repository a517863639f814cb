//! A certificate and its key, read from PEM files and checked against each other, and the authorities that client
//! certificates are held against. Serves nothing and makes no certificates.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_rustls::rustls;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{InconsistentKeys, RootCertStore};

use super::file;

/// A PEM file in bytes: room for a bundle of all public authorities, and a bound for a path that names a device.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The files that say who the listener is and whom it lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// PEM: the certificate, then those that lead to its authority, if there are any.
    pub certificate: PathBuf,
    /// PEM: the private key of the first certificate; PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: PathBuf,
    /// PEM: authorities. When given, each client must show a certificate of one of them.
    pub client_authorities: Option<PathBuf>,
    /// Whether a client may show no certificate at all; one that it shows is verified all the same.
    pub clients_optional: bool,
    /// The oldest version of TLS that is spoken.
    pub least_version: Version,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// 1.2.
    #[default]
    V1_2,
    /// 1.3.
    V1_3,
}

/// A certificate with the key that belongs to it.
#[derive(Clone)]
pub struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    not_after: i64,
    /// Over certificates and key: tells whether a reload brought anything new, without keeping the key's text.
    pub(super) digest: [u8; 32],
}

// By hand: a key must never appear, whatever the fields' own Debug prints.
impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl Pair {
    /// Reads both files. An expired certificate is taken: it is shown by [`Pair::not_after`], and serving it says
    /// more to a person who looks for the cause than not serving at all.
    ///
    /// # Errors
    /// A file cannot be read, holds no certificate or key, or the two do not belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let chain = certificates(certificate)?;
        let key_text = read(key, What::Key)?;
        let parsed = PrivateKeyDer::from_pem_slice(&key_text).map_err(|_| Error::NoKey {
            path: key.to_owned(),
            encrypted: key_text.windows(9).any(|part| part == b"ENCRYPTED"),
        })?;
        Self::new(chain, parsed).map_err(|error| match error {
            PairError::Mismatch => {
                Error::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
            }
            PairError::Key(source) => Error::Unusable { path: key.to_owned(), what: What::Key, source },
            PairError::Certificate(source) => {
                Error::Unusable { path: certificate.to_owned(), what: What::Certificate, source }
            }
        })
    }

    /// Puts a chain and a key together; the first certificate is the one of the key.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, PairError> {
        let mut digest = Sha256::new();
        chain.iter().for_each(|certificate| digest.update(certificate));
        digest.update(key.secret_der());
        let leaf = chain.first().ok_or(PairError::Certificate(rustls::Error::NoCertificatesPresented))?;
        let not_after = validity(leaf).ok_or(PairError::Certificate(rustls::Error::InvalidCertificate(
            rustls::CertificateError::BadEncoding,
        )))?;
        let signer = provider().key_provider.load_private_key(key).map_err(PairError::Key)?;
        let certified = CertifiedKey::new(chain, signer);
        match certified.keys_match() {
            Ok(()) => {}
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                return Err(PairError::Mismatch);
            }
            Err(error) => return Err(PairError::Certificate(error)),
        }
        Ok(Self { certified: Arc::new(certified), not_after, digest: digest.finalize().into() })
    }

    /// When the certificate expires, in seconds since 1970. Of the first certificate, not of its authorities.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }
}

/// The SHA-256 digest of a certificate's public key (its `SubjectPublicKeyInfo`), as clients pin it. Nothing if it is no
/// certificate.
pub fn key_digest(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let parsed = rustls::server::ParsedCertificate::try_from(certificate).ok()?;
    Some(Sha256::digest(parsed.subject_public_key_info()).into())
}

/// Why a chain and a key make no [`Pair`].
#[derive(Debug)]
pub(super) enum PairError {
    Mismatch,
    Key(rustls::Error),
    Certificate(rustls::Error),
}

/// Whom a client's certificate must come from.
#[derive(Clone, Debug)]
pub struct ClientAuthorities {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    pub(super) digest: [u8; 32],
}

impl ClientAuthorities {
    /// Reads the authorities from a PEM file. Clients without certificate are let in if that is `optional`.
    ///
    /// # Errors
    /// The file cannot be read, or a certificate in it cannot be used.
    pub fn load(path: &Path, optional: bool) -> Result<Self, Error> {
        let unusable = |source| Error::Unusable { path: path.to_owned(), what: What::Authorities, source };
        let mut roots = RootCertStore::empty();
        let mut digest = Sha256::new();
        for certificate in certificates(path)? {
            digest.update(&certificate);
            roots.add(certificate).map_err(unusable)?;
        }
        digest.update([u8::from(optional)]);
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let builder = if optional { builder.allow_unauthenticated() } else { builder };
        let verifier =
            builder.build().map_err(|error| unusable(rustls::Error::General(error.to_string())))?;
        Ok(Self { verifier, digest: digest.finalize().into() })
    }
}

/// The cryptography of this module, named outright: a process default could be set by anybody, or be missing.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// All certificates of a PEM file; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(path, What::Certificate)?;
    match CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>() {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(Error::NoCertificate { path: path.to_owned() }),
    }
}

/// A whole file, of at most 1 MiB.
pub(super) fn read(path: &Path, what: What) -> Result<Vec<u8>, Error> {
    let content = file::regular(path, MAX_FILE_BYTES);
    content.map(|content| content.bytes).map_err(|source| Error::Read { path: path.to_owned(), what, source })
}

/// The end of a certificate's validity (RFC 5280, 4.1.2.5), in seconds since 1970.
fn validity(certificate: &[u8]) -> Option<i64> {
    use yasna::{BERReader, Tag};
    let time = |reader: BERReader<'_, '_>| {
        let utc = reader.lookahead_tag()? == yasna::tags::TAG_UTCTIME;
        if utc {
            Ok(reader.read_utctime()?.datetime().unix_timestamp())
        } else {
            Ok(reader.read_generalized_time()?.datetime().unix_timestamp())
        }
    };
    yasna::parse_der(certificate, |reader| {
        reader.read_sequence(|outer| {
            let not_after = outer.next().read_sequence(|fields| {
                fields.read_optional(|version| {
                    version.read_tagged(Tag::context(0), |inner| inner.read_i64())
                })?;
                for _serial_algorithm_issuer in 0..3 {
                    fields.next().read_der()?;
                }
                let not_after = fields.next().read_sequence(|validity| {
                    time(validity.next())?;
                    time(validity.next())
                })?;
                while fields.read_optional(|rest| rest.read_der())?.is_some() {}
                Ok(not_after)
            })?;
            for _algorithm_signature in 0..2 {
                outer.next().read_der()?;
            }
            Ok(not_after)
        })
    })
    .ok()
}

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
    },
    /// There is no PEM key in the file that can be read without a passphrase.
    NoKey {
        /// Which file.
        path: PathBuf,
        /// It is there, but encrypted.
        encrypted: bool,
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
            Self::NoCertificate { path } => {
                write!(f, "{}: no certificate in it; give a PEM file (BEGIN CERTIFICATE)", path.display())
            }
            Self::NoKey { path, encrypted: false } => {
                write!(
                    f,
                    "TLS key {}: no private key in it; give a PEM file (BEGIN PRIVATE KEY)",
                    path.display()
                )
            }
            Self::NoKey { path, encrypted: true } => write!(
                f,
                "TLS key {}: the key is encrypted; give it without passphrase (`openssl pkey -in OLD -out NEW`)",
                path.display()
            ),
            Self::Mismatch { certificate, key } => write!(
                f,
                "TLS certificate {} and TLS key {} do not belong together; replace both with one pair",
                certificate.display(),
                key.display()
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
            Self::NoCertificate { .. } | Self::NoKey { .. } | Self::Mismatch { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    fn make(not_after_year: i32) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(not_after_year, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn load(directory: &Path, certificate: &str, key: &str) -> Result<Pair, Error> {
        fs::write(directory.join("c.pem"), certificate).unwrap();
        fs::write(directory.join("k.pem"), key).unwrap();
        Pair::load(&directory.join("c.pem"), &directory.join("k.pem"))
    }

    #[test]
    fn expiry_is_read_in_both_spellings_of_time() {
        let directory = tempfile::tempdir().unwrap();
        for (year, seconds) in [(2001, 978_307_200), (2049, 2_493_072_000), (2051, 2_556_144_000)] {
            let (certificate, key) = make(year);
            assert_eq!(load(directory.path(), &certificate, &key).unwrap().not_after(), seconds);
        }
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let error = load(directory.path(), &make(2050).0, &make(2050).1).unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }));
        let text = error.to_string();
        assert!(text.contains("c.pem") && text.contains("k.pem"), "{text}");
    }

    #[test]
    fn each_bad_file_is_named_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = make(2050);
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let cut = &certificate[..certificate.len() / 2];
        for (certificate, key, file, hint) in [
            ("", key.as_str(), "c.pem", "BEGIN CERTIFICATE"),
            (cut, &key, "c.pem", "BEGIN CERTIFICATE"),
            (&certificate, "", "k.pem", "BEGIN PRIVATE KEY"),
            (&certificate, encrypted, "k.pem", "without passphrase"),
            (&certificate, &certificate, "k.pem", "BEGIN PRIVATE KEY"),
        ] {
            let error = load(directory.path(), certificate, key).unwrap_err().to_string();
            assert!(error.contains(file) && error.contains(hint), "{error}");
        }
        let error = Pair::load(directory.path(), &directory.path().join("k.pem")).unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
        let error = Pair::load(&directory.path().join("gone"), &directory.path().join("k.pem")).unwrap_err();
        assert!(error.to_string().contains("check the path"), "{error}");
    }

    #[test]
    fn debug_output_holds_no_key() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = make(2050);
        let text = format!("{:?}", load(directory.path(), &certificate, &key).unwrap());
        assert_eq!(text, "Pair { not_after: 2524608000, .. }");
    }
}
