//! What is negotiated with clients: versions of TLS, cipher suites, curves, HTTP/2. Names them as Go does, because the
//! web configuration file of Prometheus' exporters does.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{CipherSuite, NamedGroup, SupportedCipherSuite, SupportedProtocolVersion};

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 1.2.
    #[default]
    V1_2,
    /// 1.3.
    V1_3,
}

/// What is negotiated. The default is everything that this listener can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The oldest version of TLS.
    pub least: Version,
    /// The newest version of TLS.
    pub most: Version,
    /// Cipher suites of TLS 1.2 in the order of preference; all if empty. Those of TLS 1.3 cannot be chosen.
    pub suites: Vec<Suite>,
    /// Whether that order decides, and not the client's.
    pub own_order: bool,
    /// Curves in the order of preference; all if empty.
    pub curves: Vec<Curve>,
    /// Whether HTTP/2 is offered beside HTTP/1.1.
    pub http2: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            least: Version::V1_2,
            most: Version::V1_3,
            suites: Vec::new(),
            own_order: false,
            curves: Vec::new(),
            http2: true,
        }
    }
}

/// A cipher suite of TLS 1.2 that this listener can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite(CipherSuite);

/// A curve that this listener can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Curve(NamedGroup);

/// What a name of Go stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<T> {
    /// Something that this listener can do.
    Supported(T),
    /// Something of TLS 1.3, which is on whenever TLS 1.3 is.
    Always,
    /// Something that Go can do, and this listener cannot.
    Unsupported,
    /// Something that is broken, and that Go also refuses.
    Insecure,
}

/// Cipher suites by their names in Go.
const SUITES: [(&str, Known<Suite>); 25] = {
    use CipherSuite as C;
    use Known::{Always, Insecure, Supported, Unsupported};
    [
        (
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            Supported(Suite(C::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)),
        ),
        (
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            Supported(Suite(C::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)),
        ),
        (
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            Supported(Suite(C::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256)),
        ),
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Supported(Suite(C::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256))),
        ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Supported(Suite(C::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384))),
        (
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            Supported(Suite(C::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256)),
        ),
        ("TLS_AES_128_GCM_SHA256", Always),
        ("TLS_AES_256_GCM_SHA384", Always),
        ("TLS_CHACHA20_POLY1305_SHA256", Always),
        ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", Unsupported),
        ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", Unsupported),
        ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", Unsupported),
        ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", Unsupported),
        ("TLS_RSA_WITH_AES_128_CBC_SHA", Unsupported),
        ("TLS_RSA_WITH_AES_256_CBC_SHA", Unsupported),
        ("TLS_RSA_WITH_AES_128_GCM_SHA256", Unsupported),
        ("TLS_RSA_WITH_AES_256_GCM_SHA384", Unsupported),
        ("TLS_RSA_WITH_RC4_128_SHA", Insecure),
        ("TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", Insecure),
        ("TLS_ECDHE_RSA_WITH_RC4_128_SHA", Insecure),
        ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", Insecure),
        ("TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", Insecure),
        ("TLS_RSA_WITH_AES_128_CBC_SHA256", Insecure),
        ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", Insecure),
        ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", Insecure),
    ]
};

/// Curves by their names in Go.
const CURVES: [(&str, Known<Curve>); 5] = [
    ("CurveP256", Known::Supported(Curve(NamedGroup::secp256r1))),
    ("CurveP384", Known::Supported(Curve(NamedGroup::secp384r1))),
    ("CurveP521", Known::Unsupported),
    ("X25519", Known::Supported(Curve(NamedGroup::X25519))),
    ("X25519MLKEM768", Known::Unsupported),
];

impl Suite {
    /// The suite that Go calls `name`.
    pub fn named(name: &str) -> Option<Known<Self>> {
        find(&SUITES, name)
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SUITES.iter().map(|(name, _)| *name)
    }
}

impl Curve {
    /// The curve that Go calls `name`.
    pub fn named(name: &str) -> Option<Known<Self>> {
        find(&CURVES, name)
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        CURVES.iter().map(|(name, _)| *name)
    }
}

fn find<T: Copy>(known: &[(&str, Known<T>)], name: &str) -> Option<Known<T>> {
    known.iter().find(|(known, _)| *known == name).map(|(_, found)| *found)
}

impl Policy {
    /// The versions, the newest first.
    pub(super) fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let all = [(Version::V1_3, &TLS13), (Version::V1_2, &TLS12)];
        let within = all.into_iter().filter(|(version, _)| (self.least..=self.most).contains(version));
        within.map(|(_, version)| version).collect()
    }

    /// The cryptography, reduced to what is wanted.
    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        let mut reduced = (*provider()).clone();
        if !self.suites.is_empty() {
            let place = |suite: &SupportedCipherSuite| match suite {
                SupportedCipherSuite::Tls13(_) => Some(0),
                SupportedCipherSuite::Tls12(_) => {
                    self.suites.iter().position(|wanted| wanted.0 == suite.suite()).map(|place| place + 1)
                }
            };
            reduced.cipher_suites.retain(|suite| place(suite).is_some());
            reduced.cipher_suites.sort_by_key(place);
        }
        if !self.curves.is_empty() {
            let place = |group: NamedGroup| self.curves.iter().position(|wanted| wanted.0 == group);
            reduced.kx_groups.retain(|group| place(group.name()).is_some());
            reduced.kx_groups.sort_by_key(|group| place(group.name()));
        }
        Arc::new(reduced)
    }
}

/// The cryptography of this module, named outright: a process default could be set by anybody, or be missing.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_and_curves_are_reduced_and_put_in_order() {
        let suite = |name| match Suite::named(name) {
            Some(Known::Supported(suite)) => suite,
            other => panic!("{name}: {other:?}"),
        };
        let policy = Policy {
            suites: vec![
                suite("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
                suite("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
            ],
            curves: vec![Curve(NamedGroup::secp384r1), Curve(NamedGroup::X25519)],
            most: Version::V1_2,
            ..Policy::default()
        };
        let provider = policy.provider();
        let suites: Vec<_> = provider.cipher_suites.iter().map(|suite| suite.suite()).collect();
        assert_eq!(
            suites[3..],
            [
                CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
                CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
            ]
        );
        let curves: Vec<_> = provider.kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(curves, [NamedGroup::secp384r1, NamedGroup::X25519]);
        assert_eq!(policy.versions().len(), 1);
        assert_eq!(Policy::default().provider().cipher_suites.len(), 9);
    }

    #[test]
    fn each_suite_that_is_said_to_be_supported_is() {
        let all = provider();
        for (name, known) in SUITES {
            if let Known::Supported(Suite(suite)) = known {
                assert!(all.cipher_suites.iter().any(|supported| supported.suite() == suite), "{name}");
            }
        }
    }
}
