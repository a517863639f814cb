//! A certificate for hosts that have none: made here, kept in a directory, verifiable by every client that has a copy of
//! its file. Looks at no clock by itself and starts no timer.
//!
//! | file | mode | what |
//! |---|---|---|
//! | `tls-certificate.pem` | 0644 | the certificate that is served, and what clients take as `ca_file` |
//! | `tls-key.pem` | 0600 | its private key |
//!
//! The certificate is not an authority: it is valid for the names in it and can sign nothing. So a client that trusts
//! it, or a file of many such certificates, trusts each host for its own names alone. Clients compare the certificate
//! as a whole, so each client needs a copy of a new one. That is why none is made while the present one can serve. It
//! is valid for ten years, and a host that gets another name or address keeps it. `ensure` says which names are not in
//! it.
//!
//! # What a crash leaves
//!
//! Each file is replaced whole. The key comes first, because the certificate is made from it. [`SelfSigned::ensure`]
//! never looks at what was done last time. It asks whether a client with a copy would accept what is served, and makes
//! what is missing.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SerialNumber, date_time_ymd,
};
use terminal::{file, replace};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificate::{self, Files, Pair, What};
use super::names::Names;
use super::policy::provider;

/// The certificate's file.
const CERTIFICATE: &str = "tls-certificate.pem";

/// The file of its key.
const KEY: &str = "tls-key.pem";

/// The names of the files that are written.
pub const FILES: [&str; 2] = [CERTIFICATE, KEY];

/// How long a certificate is valid. Not shorter, because a new one has to be copied to each client. Not unlimited, so
/// that a key that was stolen unnoticed becomes useless one day.
const VALID: Duration = Duration::from_secs(3650 * DAY);

/// A new certificate is made when the present one is valid for less than this: even with one check a day,
/// about thirty checks fall into it.
const RENEW: Duration = Duration::from_secs(30 * DAY);

/// A certificate is valid from a day before it was made, for clients whose clocks are behind.
const CLOCK_SKEW: Duration = Duration::from_secs(DAY);

const DAY: u64 = 24 * 60 * 60;

/// The certificate kept in one directory.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    directory: PathBuf,
}

/// What [`SelfSigned::ensure`] had to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// The certificate can serve.
    Kept {
        /// Names and addresses of this host that are not in it.
        missing: Vec<String>,
    },
    /// A certificate was made, at the first start or because there was none that could serve. Clients need its file.
    Made {
        /// A key was made, too.
        new_key: bool,
    },
}

impl SelfSigned {
    /// A certificate in `directory`, which must exist. Touches nothing yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The certificate: what is served, and what clients need to verify it (`ca_file`).
    pub fn certificate(&self) -> PathBuf {
        self.directory.join(CERTIFICATE)
    }

    /// The files to serve, once [`SelfSigned::ensure`] has succeeded.
    pub fn files(&self) -> Files {
        Files::new(self.certificate(), self.key())
    }

    /// Makes what is missing, unusable, or expiring within 30 days of `now`. Call it at start, and then at least once a
    /// week; [`super::Tls::reload`] takes up what it made. Only one process at a time may use the directory.
    ///
    /// # Errors
    /// A file cannot be read or written, or the key cannot be used. A key is never replaced: that is for a person
    /// to decide.
    pub fn ensure(&self, names: &Names, now: SystemTime) -> Result<Ensured, Error> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (key, new_key) = self.load_or_make_key()?;
        if let Ok(pair) = Pair::load(&self.certificate(), &self.key()) {
            let refused = refused(&pair.certified.cert[0], names, now);
            // Each certificate that was made here has the names of the loopback interface.
            if !refused.contains(&"localhost") {
                return Ok(Ensured::Kept { missing: refused.into_iter().map(str::to_owned).collect() });
            }
        }
        let made = make(&key, names, now).map_err(|error| self.make_error(&error))?;
        self.write(&self.certificate(), &made.pem(), 0o644)?;
        Ok(Ensured::Made { new_key })
    }

    fn key(&self) -> PathBuf {
        self.directory.join(KEY)
    }

    fn load_or_make_key(&self) -> Result<(KeyPair, bool), Error> {
        let path = self.key();
        if matches!(std::fs::symlink_metadata(&path), Err(error) if error.kind() == io::ErrorKind::NotFound) {
            let key = KeyPair::generate().map_err(|error| self.make_error(&error))?;
            self.write(&path, &key.serialize_pem(), 0o600)?;
            return Ok((key, true));
        }
        let text = certificate::read(&path, What::Key).map_err(Error::Key)?;
        let key = std::str::from_utf8(&text).ok().and_then(|text| KeyPair::from_pem(text).ok());
        let key = key.ok_or_else(|| Error::BadKey { path: path.clone() })?;
        close_key(&path).map_err(|source| Error::Write { path, source })?;
        Ok((key, false))
    }

    /// The file is there whole, or as it was before.
    fn write(&self, path: &Path, text: &str, mode: u32) -> Result<(), Error> {
        replace::file(path, mode, text.as_bytes())
            .map_err(|source| Error::Write { path: path.to_owned(), source })
    }

    fn make_error(&self, source: &rcgen::Error) -> Error {
        Error::Make { directory: self.directory.clone(), reason: source.to_string() }
    }
}

/// A key that a restored backup left open is closed again. A link is left alone, and so is a file that has another name
/// elsewhere: what it leads to is not ours.
fn close_key(path: &Path) -> io::Result<()> {
    let file = match file::open_itself(path) {
        Err(error) if file::is_link(&error) => return Ok(()),
        other => other?,
    };
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.nlink() == 1 && metadata.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// Random, for each certificate: two of one name with the same number are refused by some browsers.
fn serial_number() -> Result<SerialNumber, rcgen::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| rcgen::Error::RingUnspecified)?;
    // Positive, and without a leading zero byte.
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// The names for which a client that has this certificate, and nothing else, would not take it, now or when it is due.
fn refused<'n>(certificate: &CertificateDer<'_>, names: &'n Names, now: Duration) -> Vec<&'n str> {
    let mut roots = RootCertStore::empty();
    let verifier = roots
        .add(certificate.clone().into_owned())
        .ok()
        .and_then(|()| WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().ok());
    let is_accepted = |name: &str| {
        let (Some(verifier), Ok(name)) = (&verifier, ServerName::try_from(name)) else { return false };
        [now, now + RENEW].into_iter().all(|moment| {
            let moment = UnixTime::since_unix_epoch(moment);
            verifier.verify_server_cert(certificate, &[], &name, &[], moment).is_ok()
        })
    };
    names.iter().filter(|name| !is_accepted(name)).collect()
}

/// Signed by itself, and no authority.
fn make(key: &KeyPair, names: &Names, now: Duration) -> Result<rcgen::Certificate, rcgen::Error> {
    let epoch = date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, names.host());
    params.serial_number = Some(serial_number()?);
    params.subject_alt_names = subject_names(names)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = epoch + now.saturating_sub(CLOCK_SKEW);
    params.not_after = epoch + now + VALID;
    params.self_signed(key)
}

fn subject_names(names: &Names) -> Result<Vec<rcgen::SanType>, rcgen::Error> {
    let all: Vec<String> = names.iter().map(str::to_owned).collect();
    CertificateParams::new(all).map(|params| params.subject_alt_names)
}

/// The certificates could not be kept in their directory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be written, or its mode not be set.
    #[error("{}: {source}; let the user of this process write there", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The key is there, but cannot be read.
    #[error(transparent)]
    Key(certificate::Error),
    /// The key was read, but is none.
    #[error(
        "TLS key {}: cannot be used; restore it, or remove it to have a new one made, and give clients the new \
         tls-certificate.pem then",
        path.display()
    )]
    BadKey {
        /// Its file.
        path: PathBuf,
    },
    /// Making a key or certificate failed.
    #[error("{}: no self-signed certificate could be made: {reason}", directory.display())]
    Make {
        /// For this directory.
        directory: PathBuf,
        /// Why.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn at(days: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW + days * DAY)
    }

    fn names(more: &[&str]) -> Names {
        Names::new("web", more.iter().map(|name| (*name).to_owned()))
    }

    struct Directory(tempfile::TempDir, SelfSigned);

    impl Directory {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let own = SelfSigned::new(directory.path());
            assert_eq!(own.ensure(&names(&[]), at(0)).unwrap(), Ensured::Made { new_key: true });
            Self(directory, own)
        }

        fn ensure(&self, names: &Names, days: u64) -> Ensured {
            self.1.ensure(names, at(days)).unwrap()
        }

        fn texts(&self) -> [String; 2] {
            [self.1.certificate(), self.1.key()].map(|path| fs::read_to_string(path).unwrap())
        }

        /// The names for which a client with what is there now does not take it.
        fn refused(&self, names: &Names, days: u64) -> Vec<String> {
            let pair = Pair::load(&self.1.certificate(), &self.1.key()).unwrap();
            let moment = Duration::from_secs(NOW + days * DAY);
            refused(&pair.certified.cert[0], names, moment).into_iter().map(str::to_owned).collect()
        }
    }

    fn kept(missing: &[&str]) -> Ensured {
        Ensured::Kept { missing: missing.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn what_is_made_verifies_by_itself_is_private_no_authority_and_kept_for_years() {
        let own = Directory::new();
        let texts = own.texts();
        assert!(own.refused(&names(&[]), 3600).is_empty());
        assert_eq!(own.refused(&names(&["db"]), 0), ["db"]);
        let pair = Pair::load(&own.1.certificate(), &own.1.key()).unwrap();
        let years = (pair.not_after() - i64::try_from(NOW).unwrap()) / i64::try_from(365 * DAY).unwrap();
        assert_eq!(years, 10);
        // The extension of basic constraints, which says that it is no authority.
        let der = &pair.certified.cert[0];
        let constraints = [0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x02, 0x30, 0x00];
        assert!(der.windows(constraints.len()).any(|part| part == constraints), "{der:02x?}");
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(own.1.certificate()), mode(own.1.key())], [0o644, 0o600]);
        assert_eq!(own.ensure(&names(&[]), 3600), kept(&[]));
        assert_eq!(own.texts(), texts);
        assert_eq!(fs::read_dir(own.0.path()).unwrap().count(), 2, "no temporary file is left");
    }

    #[test]
    fn a_new_name_makes_no_new_certificate_and_the_end_of_its_time_does() {
        let own = Directory::new();
        let [certificate, key] = own.texts();
        assert_eq!(own.ensure(&names(&["db", "10.0.0.1"]), 100), kept(&["10.0.0.1", "db"]));
        assert_eq!(own.texts(), [certificate.clone(), key.clone()]);
        assert_eq!(own.ensure(&names(&["db"]), 3621), Ensured::Made { new_key: false });
        assert!(own.refused(&names(&["db"]), 3621).is_empty());
        let after = own.texts();
        assert!(after[0] != certificate && after[1] == key);
    }

    #[test]
    fn a_clock_that_was_wrong_heals() {
        let own = Directory::new();
        let early = UNIX_EPOCH + Duration::from_secs(DAY);
        assert_eq!(own.1.ensure(&names(&[]), early).unwrap(), Ensured::Made { new_key: false });
        assert_eq!(own.ensure(&names(&[]), 0), Ensured::Made { new_key: false });
        assert!(own.refused(&names(&[]), 0).is_empty());
    }

    #[test]
    fn whatever_a_crash_or_an_earlier_version_left_is_repaired() {
        let own = Directory::new();
        let path = own.1.certificate();
        let (_, key) = (own.texts(), KeyPair::from_pem(&own.texts()[1]).unwrap());
        let mut authority = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = authority.self_signed(&key).unwrap().pem();
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in [None, Some(""), Some(cut), Some(&authority)] {
            match text {
                None => fs::remove_file(&path).unwrap(),
                Some(text) => fs::write(&path, text).unwrap(),
            }
            assert_eq!(own.ensure(&names(&[]), 0), Ensured::Made { new_key: false });
            assert_eq!(own.ensure(&names(&[]), 0), kept(&[]));
        }
    }

    #[test]
    fn a_certificate_of_another_key_is_made_anew() {
        let (own, other) = (Directory::new(), Directory::new());
        fs::copy(other.1.key(), own.1.key()).unwrap();
        assert_eq!(own.ensure(&names(&[]), 0), Ensured::Made { new_key: false });
        assert!(own.refused(&names(&[]), 0).is_empty());
    }

    #[test]
    fn a_damaged_key_is_an_error_and_is_not_replaced() {
        let own = Directory::new();
        fs::write(own.1.key(), "damaged").unwrap();
        let error = own.1.ensure(&names(&[]), at(0)).unwrap_err().to_string();
        assert!(error.contains("tls-key.pem") && error.contains("remove it"), "{error}");
        assert_eq!(fs::read_to_string(own.1.key()).unwrap(), "damaged");
    }

    #[test]
    fn a_key_that_others_could_read_is_closed_and_what_a_link_points_to_is_left_alone() {
        let own = Directory::new();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        fs::set_permissions(own.1.key(), Permissions::from_mode(0o644)).unwrap();
        own.ensure(&names(&[]), 0);
        assert_eq!(mode(&own.1.key()), 0o600);
        let elsewhere = own.0.path().join("elsewhere");
        fs::rename(own.1.key(), &elsewhere).unwrap();
        fs::set_permissions(&elsewhere, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, own.1.key()).unwrap();
        assert_eq!(own.ensure(&names(&[]), 0), kept(&[]));
        assert_eq!(mode(&elsewhere), 0o640);
    }
}
