//! A certificate and its key, read from PEM files and checked against each other, and the authorities that client
//! certificates are held against. What can be wrong with them is in `error`. Serves nothing and makes no certificates.

mod error;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use terminal::file::{self, Content};
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{InconsistentKeys, RootCertStore};

pub use error::{Error, What};

use super::clients::{AllowedNames, AnyCertificate};
use super::policy::{Policy, provider};
use super::warning::{self, Warning};

/// A PEM file in bytes: room for a bundle of all public authorities, and a bound for a path that names a device.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// PEM text: in a file, or given as it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// In this file.
    File(PathBuf),
    /// As it is. May hold a private key: never shown.
    Inline {
        /// What gives it, for a person.
        name: &'static str,
        /// The text.
        text: Arc<str>,
    },
}

impl Pem {
    /// The text.
    fn read(&self, what: What) -> Result<Content, Error> {
        match self {
            Self::File(path) => content(path, what),
            // Its file was read before, by those who know what else is in it.
            Self::Inline { text, .. } => {
                Ok(Content { bytes: text.as_bytes().to_vec(), open_to_all: false, readers: None })
            }
        }
    }

    /// What is named in errors.
    pub fn place(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Inline { name, .. } => PathBuf::from(name),
        }
    }
}

impl From<PathBuf> for Pem {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place().fmt(f)
    }
}

/// Who the listener is, whom it lets in, and what it negotiates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate, then those that lead to its authority, if there are any.
    pub certificate: Pem,
    /// The private key of the first certificate; PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: Pem,
    /// Client certificates; none are asked for if absent.
    pub clients: Option<Clients>,
    /// What is negotiated.
    pub policy: Policy,
}

impl Files {
    /// A listener of this certificate and key that asks for no client certificates.
    pub fn new(certificate: impl Into<Pem>, key: impl Into<Pem>) -> Self {
        Self { certificate: certificate.into(), key: key.into(), clients: None, policy: Policy::default() }
    }
}

/// Which client certificates are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    /// Their authorities; if absent, any certificate will do, because none is verified.
    pub authorities: Option<Pem>,
    /// Whether a client has to show one. One that it shows is verified in both cases.
    pub required: bool,
    /// Names of which a certificate has to carry one; if empty, any will do.
    pub names: Vec<String>,
}

/// A certificate with the key that belongs to it.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    /// From when, and until when, the certificate is valid, in seconds since 1970.
    validity: (i64, i64),
    /// What is wrong with the key's file.
    exposed: Option<Warning>,
    /// Digest of certificates and key. It shows whether a reload brought anything new, without keeping the
    /// text of the key.
    pub(super) digest: [u8; 32],
}

// By hand: a key must never appear, whatever the fields' own Debug prints.
impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("validity", &self.validity).finish_non_exhaustive()
    }
}

impl Pair {
    /// Reads both files. An expired certificate is accepted. [`Pair::not_after`] shows it, and a person who looks
    /// for the cause learns more from an expired certificate than from a closed port.
    ///
    /// # Errors
    /// A file cannot be read, holds no certificate or key, or the two do not belong together.
    pub(crate) fn load(certificate: &Path, key: &Path) -> Result<Self, Error> {
        Self::read(&Pem::File(certificate.to_owned()), &Pem::File(key.to_owned()))
    }

    /// Reads both, as [`Pair::load`] does.
    ///
    /// # Errors
    /// As for [`Pair::load`].
    pub(crate) fn read(certificate: &Pem, key: &Pem) -> Result<Self, Error> {
        let chain = chain(certificate)?;
        let content = key.read(What::Key)?;
        let (certificate, key) = (certificate.place(), key.place());
        if content.open_to_all {
            return Err(Error::Exposed { path: key });
        }
        let exposed = warning::of_group(&key, &content);
        let key_text = content.bytes;
        let parsed = PrivateKeyDer::from_pem_slice(&key_text).map_err(|_| {
            let is_encrypted = key_text.windows(9).any(|part| part == b"ENCRYPTED");
            match is_encrypted {
                true => Error::Encrypted { path: key.clone() },
                false => Error::NoKey { path: key.clone(), instead: instead(&key_text) },
            }
        })?;
        let pair = Self::new(chain, parsed).map_err(|error| match error {
            PairError::Mismatch => Error::Mismatch { certificate, key },
            PairError::Key(source) => Error::Unusable { path: key, what: What::Key, source },
            PairError::Certificate(source) => {
                Error::Unusable { path: certificate, what: What::Certificate, source }
            }
        })?;
        Ok(Self { exposed, ..pair })
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
        let validity = validity(leaf).ok_or(PairError::Certificate(rustls::Error::InvalidCertificate(
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
        let (certified, digest) = (Arc::new(certified), digest.finalize().into());
        Ok(Self { certified, validity, exposed: None, digest })
    }

    /// When the certificate expires, in seconds since 1970. Of the first certificate, not of its authorities.
    pub(crate) fn not_after(&self) -> i64 {
        self.validity.1
    }

    /// What is wrong with it at `now`, in seconds since 1970, although it is served; `certificate` is its place.
    pub(super) fn warnings(&self, certificate: &Path, now: i64) -> Vec<Warning> {
        let expired = warning::of_validity(certificate, self.validity, now);
        self.exposed.clone().into_iter().chain(expired).collect()
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
    /// Reads the authorities, if there are any.
    ///
    /// # Errors
    /// The file cannot be read, or a certificate in it cannot be used.
    pub fn load(clients: &Clients) -> Result<Self, Error> {
        let mut digest = Sha256::new();
        digest.update([u8::from(clients.required)]);
        for name in &clients.names {
            digest.update(name);
            digest.update([0]);
        }
        let mut verifier: Arc<dyn ClientCertVerifier> = match &clients.authorities {
            None => Arc::new(AnyCertificate::new(clients.required)),
            Some(pem) => Self::of_authorities(pem, clients.required, &mut digest)?,
        };
        if !clients.names.is_empty() {
            verifier = Arc::new(AllowedNames { inner: verifier, names: clients.names.clone() });
        }
        Ok(Self { verifier, digest: digest.finalize().into() })
    }

    fn of_authorities(
        pem: &Pem,
        required: bool,
        digest: &mut Sha256,
    ) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        let unusable = |source| Error::Unusable { path: pem.place(), what: What::Authorities, source };
        let mut roots = RootCertStore::empty();
        for certificate in chain(pem)? {
            digest.update(&certificate);
            roots.add(certificate).map_err(unusable)?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let builder = if required { builder } else { builder.allow_unauthenticated() };
        builder.build().map_err(|error| unusable(rustls::Error::General(error.to_string())))
    }
}

/// All certificates of a PEM text; at least one.
fn chain(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = pem.read(What::Certificate)?.bytes;
    match CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>() {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(Error::NoCertificate { path: pem.place(), instead: instead(&text) }),
    }
}

/// A whole file, of at most 1 MiB, without the byte order mark that some editors begin a file with.
pub(super) fn read(path: &Path, what: What) -> Result<Vec<u8>, Error> {
    content(path, what).map(|content| content.bytes)
}

/// As [`read`], with who else can read the file.
fn content(path: &Path, what: What) -> Result<Content, Error> {
    let mut content = file::regular(path, MAX_FILE_BYTES).map_err(|source| Error::Read {
        path: path.to_owned(),
        what,
        source,
    })?;
    if content.bytes.starts_with("\u{feff}".as_bytes()) {
        content.bytes.drain(..'\u{feff}'.len_utf8());
    }
    Ok(content)
}

/// What the file holds instead of what is wanted, and how to convert it.
fn instead(text: &[u8]) -> &'static str {
    let has = |label: &[u8]| text.windows(label.len()).any(|part| part == label);
    if has(b"BEGIN CERTIFICATE REQUEST") || has(b"BEGIN NEW CERTIFICATE REQUEST") {
        "; it holds a request: give the certificate that the authority issued for it"
    } else if text.starts_with(&[0x30, 0x82]) || text.starts_with(&[0x30, 0x81]) {
        "; it looks like DER: convert it (`openssl x509 -inform DER` or `openssl pkey -inform DER`)"
    } else if text.iter().all(u8::is_ascii_whitespace) {
        "; it is empty"
    } else {
        ""
    }
}

/// From when and until when a certificate is valid (RFC 5280, 4.1.2.5), in seconds since 1970.
fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
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
            let times = outer.next().read_sequence(|fields| {
                fields.read_optional(|version| {
                    version.read_tagged(Tag::context(0), |inner| inner.read_i64())
                })?;
                for _serial_algorithm_issuer in 0..3 {
                    fields.next().read_der()?;
                }
                let times = fields
                    .next()
                    .read_sequence(|validity| Ok((time(validity.next())?, time(validity.next())?)))?;
                while fields.read_optional(|rest| rest.read_der())?.is_some() {}
                Ok(times)
            })?;
            for _algorithm_signature in 0..2 {
                outer.next().read_der()?;
            }
            Ok(times)
        })
    })
    .ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, chown};

    fn make(not_after_year: i32) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(not_after_year, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn load(directory: &Path, certificate: &str, key: &str) -> Result<Pair, Error> {
        fs::write(directory.join("c.pem"), certificate).unwrap();
        fs::write(directory.join("k.pem"), key).unwrap();
        mode(directory, 0o600);
        Pair::load(&directory.join("c.pem"), &directory.join("k.pem"))
    }

    fn mode(directory: &Path, mode: u32) {
        fs::set_permissions(directory.join("k.pem"), fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_that_everybody_can_read_is_refused_and_a_foreign_group_gets_a_warning() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = make(2050);
        load(directory.path(), &certificate, &key).unwrap();
        let (certificate, key) = (directory.path().join("c.pem"), directory.path().join("k.pem"));
        let warnings = || {
            let pair = Pair::load(&certificate, &key)?;
            Ok::<_, Error>(pair.warnings(&certificate, 2_000_000_000))
        };
        for exposed in [0o644, 0o604, 0o444] {
            mode(directory.path(), exposed);
            let error = warnings().unwrap_err();
            assert!(matches!(error, Error::Exposed { .. }), "{error}");
            assert!(error.to_string().contains("`chmod 640` it"), "{error}");
        }
        for kept in [0o600, 0o640, 0o440] {
            mode(directory.path(), kept);
            assert_eq!(warnings().unwrap(), []);
        }
        // Only root may give files away; for others every group here is one of theirs.
        if chown(&key, None, Some(54_321)).is_ok() {
            assert_eq!(warnings().unwrap(), [Warning::ForeignGroup(key.clone(), 54_321)]);
            mode(directory.path(), 0o600);
            assert_eq!(warnings().unwrap(), []);
        }
    }

    #[test]
    fn a_certificate_outside_its_time_is_taken_with_a_warning() {
        let directory = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2040, 1, 1), rcgen::date_time_ymd(2050, 1, 1));
        let certificate = params.self_signed(&key).unwrap().pem();
        let pair = load(directory.path(), &certificate, &key.serialize_pem()).unwrap();
        let (from, until, place) = (2_208_988_800, 2_524_608_000, Path::new("c.pem"));
        assert_eq!(pair.warnings(place, from - 1), [Warning::NotYetValid(place.to_owned())]);
        assert_eq!(pair.warnings(place, from), []);
        assert_eq!(pair.warnings(place, until), []);
        assert_eq!(pair.warnings(place, until + 1), [Warning::Expired(place.to_owned())]);
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
        let request = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
        // `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521`
        let p521 = include_str!("tests/p521.pem");
        for (certificate, key, file, hint) in [
            ("", key.as_str(), "c.pem", "BEGIN CERTIFICATE"),
            (cut, &key, "c.pem", "BEGIN CERTIFICATE"),
            (&certificate, "", "k.pem", "BEGIN PRIVATE KEY"),
            (&certificate, encrypted, "k.pem", "without passphrase"),
            (&certificate, &certificate, "k.pem", "BEGIN PRIVATE KEY"),
            ("\n", &key, "c.pem", "it is empty"),
            (request, &key, "c.pem", "it holds a request"),
            (&certificate, p521, "k.pem", "P-256 or P-384"),
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
    fn a_byte_order_mark_is_passed_over_and_der_is_recognised() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = make(2050);
        let marked = |text: &str| format!("\u{feff}{text}");
        load(directory.path(), &marked(&certificate), &marked(&key)).unwrap();
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        fs::write(directory.path().join("c.pem"), der).unwrap();
        let error = Pair::load(&directory.path().join("c.pem"), &directory.path().join("k.pem")).unwrap_err();
        assert!(error.to_string().contains("looks like DER"), "{error}");
    }

    #[test]
    fn debug_output_holds_no_key() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = make(2050);
        let text = format!("{:?}", load(directory.path(), &certificate, &key).unwrap());
        assert_eq!(text, "Pair { validity: (157766400, 2524608000), .. }");
    }
}
