//! Certificates for hosts that have none: made here, kept in a directory, verifiable by whoever has one file of it.
//! Looks at no clock by itself and starts no timer.
//!
//! # Three files, one promise
//!
//! | file | mode | what |
//! |---|---|---|
//! | `tls-certificate.pem` | 0644 | an authority of this host alone: what clients take as `ca_file` |
//! | `tls-key.pem` | 0600 | the one private key |
//! | `tls-server.pem` | 0644 | what is served: signed by the authority, for 397 days, then that authority |
//!
//! A copy of `tls-certificate.pem` verifies this host for as long as `tls-key.pem` is kept. The authority never
//! expires and depends on the key alone, so even when its file is lost, the one made in its place is accepted by
//! clients with an old copy. The served certificate is renewed in time, and whenever the host has a new name or address.
//! A single self-signed certificate could not promise that: Go, and so Prometheus, accepts no renewed one by an older
//! copy when key, subject and names are the same, and rustls accepts no authority as a server.
//!
//! Both certificates are of the same key: whoever can read one key could read two, and clients that pin the public
//! key instead are served as well.
//!
//! # What a crash leaves
//!
//! Each file is written whole under another name, synced, renamed, and the directory synced; the key first, for all
//! else follows from it. [`SelfSigned::ensure`] never looks at what was done last time. It asks whether a client
//! with the authority would accept the served certificate, and makes what is missing.

use std::fmt::{self, Write as _};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber, date_time_ymd,
};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificate::{self, Files, Pair, What};
use super::names::Names;

/// How long a served certificate is valid. Clients that limit it allow at least 398 days.
const VALID: Duration = Duration::from_secs(397 * DAY);

/// A served certificate is renewed when less than this is left: many looks, even if they come once a day.
const RENEW: Duration = Duration::from_secs(30 * DAY);

/// A certificate is valid from a day before it was made, for clients whose clocks are behind.
const CLOCK_SKEW: Duration = Duration::from_secs(DAY);

const DAY: u64 = 24 * 60 * 60;

/// The certificates kept in one directory.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    directory: PathBuf,
}

/// What [`SelfSigned::ensure`] had to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// All was well.
    Kept,
    /// The served certificate was made anew. Clients notice nothing.
    Renewed,
    /// The authority was made, at the first start or because its file was missing or unusable. If the key is
    /// new as well, clients need the new file.
    Made {
        /// A key was made, too.
        new_key: bool,
    },
}

impl SelfSigned {
    /// Certificates in `directory`, which must exist. Touches nothing yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The file that clients need to verify this host (`ca_file`).
    pub fn authority(&self) -> PathBuf {
        self.directory.join("tls-certificate.pem")
    }

    /// The files to serve, once [`SelfSigned::ensure`] has succeeded.
    pub fn files(&self) -> Files {
        Files::new(self.server(), self.key())
    }

    /// Makes what is missing, unusable, for other names, or expiring within 30 days of `now`. Call it at start,
    /// and then at least once a week and whenever addresses may have changed; [`super::Tls::reload`] takes up what
    /// it made. Only one process at a time may use the directory.
    ///
    /// # Errors
    /// A file cannot be read or written, or the key cannot be used. A key is never replaced: that is for a person
    /// to decide, as all clients need the new authority then.
    pub fn ensure(&self, names: &Names, now: SystemTime) -> Result<Ensured, Error> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (key, new_key) = self.load_or_make_key()?;
        let stored = certificate::certificates(&self.authority()).ok().and_then(|all| all.into_iter().next());
        if let Some(authority) = &stored {
            let is_served = Pair::load(&self.server(), &self.key())
                .is_ok_and(|pair| is_accepted(&pair.certified.cert[0], authority, names, now));
            if is_served {
                return Ok(Ensured::Kept);
            }
        }
        let server = server(&key, names, now).map_err(|error| self.make_error(&error))?;
        let kept = stored.filter(|authority| is_accepted(server.der(), authority, names, now));
        let is_kept = kept.is_some();
        let authority_pem = match kept {
            Some(_) => self.read_authority()?,
            None => authority(&key, names).map_err(|error| self.make_error(&error))?.pem(),
        };
        if !is_kept {
            self.write(&self.authority(), &authority_pem, 0o644)?;
        }
        self.write(&self.server(), &(server.pem() + &authority_pem), 0o644)?;
        Ok(if is_kept { Ensured::Renewed } else { Ensured::Made { new_key } })
    }

    fn key(&self) -> PathBuf {
        self.directory.join("tls-key.pem")
    }

    fn server(&self) -> PathBuf {
        self.directory.join("tls-server.pem")
    }

    fn read_authority(&self) -> Result<String, Error> {
        let path = self.authority();
        fs::read_to_string(&path).map_err(|source| Error::Write { path, source })
    }

    fn load_or_make_key(&self) -> Result<(KeyPair, bool), Error> {
        let path = self.key();
        if matches!(fs::symlink_metadata(&path), Err(error) if error.kind() == io::ErrorKind::NotFound) {
            let key = KeyPair::generate().map_err(|error| self.make_error(&error))?;
            self.write(&path, &key.serialize_pem(), 0o600)?;
            return Ok((key, true));
        }
        let text = certificate::read(&path, What::Key).map_err(Error::Key)?;
        self.close_key(&path)?;
        let key = std::str::from_utf8(&text).ok().and_then(|text| KeyPair::from_pem(text).ok());
        key.map(|key| (key, false)).ok_or(Error::BadKey { path })
    }

    /// A key that a restored backup left open is closed again.
    fn close_key(&self, path: &Path) -> Result<(), Error> {
        let error = |source| Error::Write { path: path.to_owned(), source };
        if fs::metadata(path).map_err(error)?.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(error)?;
        }
        Ok(())
    }

    /// The file is there whole, or as it was before.
    fn write(&self, path: &Path, text: &str, mode: u32) -> Result<(), Error> {
        let error = |source| Error::Write { path: path.to_owned(), source };
        let temporary = path.with_extension("pem.new");
        // What an earlier crash left may have another mode; opening it anew with the right one is the only way to
        // be sure that nobody else has it open.
        match fs::remove_file(&temporary) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(error(source)),
            _ => {}
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(error)?;
        file.write_all(text.as_bytes()).map_err(error)?;
        file.set_permissions(Permissions::from_mode(mode)).map_err(error)?;
        file.sync_all().map_err(error)?;
        fs::rename(&temporary, path).map_err(error)?;
        File::open(&self.directory).and_then(|directory| directory.sync_all()).map_err(error)
    }

    fn make_error(&self, source: &rcgen::Error) -> Error {
        Error::Make { directory: self.directory.clone(), reason: source.to_string() }
    }
}

/// Random, for each certificate: two of one authority with the same number are refused by some browsers.
fn serial_number() -> Result<SerialNumber, rcgen::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| rcgen::Error::RingUnspecified)?;
    // Positive, and without a leading zero byte.
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// Would a client that trusts `authority` alone take `server` for each of the names, now and until it is due?
fn is_accepted(
    server: &CertificateDer<'_>,
    authority: &CertificateDer<'_>,
    names: &Names,
    now: Duration,
) -> bool {
    let mut roots = RootCertStore::empty();
    if roots.add(authority.clone().into_owned()).is_err() {
        return false;
    }
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), certificate::provider());
    let Ok(verifier) = builder.build() else { return false };
    names.iter().all(|name| {
        let Ok(name) = ServerName::try_from(name) else { return false };
        [now, now + RENEW].into_iter().all(|moment| {
            let moment = UnixTime::since_unix_epoch(moment);
            verifier.verify_server_cert(server, &[], &name, &[], moment).is_ok()
        })
    })
}

/// The authority of a key. Its name comes from the key, so that it is the same whenever it is made, and different
/// from that of any other host in a bundle of several.
fn issuer(key: &KeyPair) -> CertificateParams {
    let mut name = String::from("self-signed ");
    for byte in Sha256::digest(key.subject_public_key_info()).iter().take(8) {
        let _ = write!(name, "{byte:02x}");
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2000, 1, 1);
    // RFC 5280, 4.1.2.5: this very second says that there is no expiry.
    params.not_after = date_time_ymd(9999, 12, 31) + Duration::from_secs(DAY - 1);
    params
}

/// The names in it bind nobody; they tell a person whose file it is.
fn authority(key: &KeyPair, names: &Names) -> Result<rcgen::Certificate, rcgen::Error> {
    let mut params = issuer(key);
    params.serial_number = Some(serial_number()?);
    params.subject_alt_names = subject_names(names)?;
    params.self_signed(key)
}

fn server(key: &KeyPair, names: &Names, now: Duration) -> Result<rcgen::Certificate, rcgen::Error> {
    let epoch = date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, names.host());
    params.serial_number = Some(serial_number()?);
    params.subject_alt_names = subject_names(names)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = epoch + now.saturating_sub(CLOCK_SKEW);
    params.not_after = epoch + now + VALID;
    params.signed_by(key, &Issuer::from_params(&issuer(key), key))
}

fn subject_names(names: &Names) -> Result<Vec<rcgen::SanType>, rcgen::Error> {
    let all: Vec<String> = names.iter().map(str::to_owned).collect();
    CertificateParams::new(all).map(|params| params.subject_alt_names)
}

/// The certificates could not be kept in their directory.
#[derive(Debug)]
pub enum Error {
    /// A file could not be written, or its mode not be set.
    Write {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The key is there, but cannot be read.
    Key(certificate::Error),
    /// The key was read, but is none.
    BadKey {
        /// Its file.
        path: PathBuf,
    },
    /// Making a key or certificate failed.
    Make {
        /// For this directory.
        directory: PathBuf,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { path, source } => {
                write!(f, "{}: {source}; let the user of this process write there", path.display())
            }
            Self::Key(error) => error.fmt(f),
            Self::BadKey { path } => write!(
                f,
                "TLS key {}: cannot be used; restore it, or remove it to have a new one made, which clients then have \
                 to be given the new tls-certificate.pem for",
                path.display()
            ),
            Self::Make { directory, reason } => {
                write!(f, "{}: no self-signed certificate could be made: {reason}", directory.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Write { source, .. } => Some(source),
            Self::Key(error) => error.source(),
            Self::BadKey { .. } | Self::Make { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn at(days: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW + days * DAY)
    }

    fn names(more: &[&str]) -> Names {
        Names::new("web", more.iter().map(|name| (*name).to_owned()))
    }

    struct Kept(tempfile::TempDir, SelfSigned);

    impl Kept {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let kept = SelfSigned::new(directory.path());
            assert_eq!(kept.ensure(&names(&[]), at(0)).unwrap(), Ensured::Made { new_key: true });
            Self(directory, kept)
        }

        fn texts(&self) -> [String; 3] {
            [self.1.authority(), self.1.key(), self.1.server()].map(|path| fs::read_to_string(path).unwrap())
        }

        /// Whether a client with `authority` takes what is served now.
        fn is_accepted(&self, authority: &str, names: &Names, days: u64) -> bool {
            use tokio_rustls::rustls::pki_types::pem::PemObject;
            let authority = CertificateDer::from_pem_slice(authority.as_bytes()).unwrap();
            let pair = Pair::load(&self.1.server(), &self.1.key()).unwrap();
            is_accepted(&pair.certified.cert[0], &authority, names, Duration::from_secs(NOW + days * DAY))
        }
    }

    #[test]
    fn what_is_made_is_verifiable_private_and_kept() {
        let kept = Kept::new();
        let texts = kept.texts();
        assert!(kept.is_accepted(&texts[0], &names(&[]), 0));
        assert!(!kept.is_accepted(&texts[0], &names(&["db"]), 0));
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            [mode(kept.1.authority()), mode(kept.1.key()), mode(kept.1.server())],
            [0o644, 0o600, 0o644]
        );
        assert_eq!(kept.1.ensure(&names(&[]), at(300)).unwrap(), Ensured::Kept);
        assert_eq!(kept.texts(), texts);
        assert_eq!(fs::read_dir(kept.0.path()).unwrap().count(), 3, "no temporary file is left");
    }

    #[test]
    fn it_is_renewed_in_time_and_an_old_copy_of_the_authority_still_verifies() {
        let kept = Kept::new();
        let [authority, key, server] = kept.texts();
        for (days, more) in [(370, &[][..]), (371, &["db", "10.0.0.1"]), (30_000, &["db", "10.0.0.1"])] {
            assert_eq!(kept.1.ensure(&names(more), at(days)).unwrap(), Ensured::Renewed);
            assert!(kept.is_accepted(&authority, &names(more), days));
        }
        let after = kept.texts();
        assert_eq!((&after[0], &after[1]), (&authority, &key));
        assert_ne!(after[2], server);
        // Names that vanish need no new certificate.
        assert_eq!(kept.1.ensure(&names(&[]), at(30_000)).unwrap(), Ensured::Kept);
    }

    #[test]
    fn a_clock_that_was_wrong_heals() {
        let kept = Kept::new();
        let [authority, ..] = kept.texts();
        assert_eq!(
            kept.1.ensure(&names(&[]), UNIX_EPOCH + Duration::from_secs(DAY)).unwrap(),
            Ensured::Renewed
        );
        assert_eq!(kept.1.ensure(&names(&[]), at(0)).unwrap(), Ensured::Renewed);
        assert!(kept.is_accepted(&authority, &names(&[]), 0));
    }

    #[test]
    fn whatever_a_crash_left_is_repaired_and_old_copies_still_verify() {
        let kept = Kept::new();
        let [authority, ..] = kept.texts();
        let broken = ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"];
        for path in [kept.1.authority(), kept.1.server()] {
            fs::write(path.with_extension("pem.new"), "half").unwrap();
            for text in [None, Some(broken[0]), Some(broken[1])] {
                match text {
                    None => fs::remove_file(&path).unwrap(),
                    Some(text) => fs::write(&path, text).unwrap(),
                }
                let ensured = kept.1.ensure(&names(&[]), at(0)).unwrap();
                let is_authority = path == kept.1.authority();
                assert_eq!(
                    ensured,
                    if is_authority { Ensured::Made { new_key: false } } else { Ensured::Renewed }
                );
                assert!(kept.is_accepted(&authority, &names(&[]), 0));
                assert_eq!(kept.1.ensure(&names(&[]), at(0)).unwrap(), Ensured::Kept);
            }
        }
    }

    #[test]
    fn certificates_of_another_key_are_made_anew() {
        let (kept, other) = (Kept::new(), Kept::new());
        fs::copy(other.1.key(), kept.1.key()).unwrap();
        assert_eq!(kept.1.ensure(&names(&[]), at(0)).unwrap(), Ensured::Made { new_key: false });
        assert!(kept.is_accepted(&other.texts()[0], &names(&[]), 0));
    }

    #[test]
    fn a_damaged_key_is_an_error_and_is_not_replaced() {
        let kept = Kept::new();
        fs::write(kept.1.key(), "damaged").unwrap();
        let error = kept.1.ensure(&names(&[]), at(0)).unwrap_err().to_string();
        assert!(error.contains("tls-key.pem") && error.contains("remove it"), "{error}");
        assert_eq!(fs::read_to_string(kept.1.key()).unwrap(), "damaged");
    }

    #[test]
    fn a_key_that_others_could_read_is_closed() {
        let kept = Kept::new();
        fs::set_permissions(kept.1.key(), Permissions::from_mode(0o644)).unwrap();
        kept.1.ensure(&names(&[]), at(0)).unwrap();
        assert_eq!(fs::metadata(kept.1.key()).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
