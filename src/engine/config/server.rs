//! Where the engine listens, and with which certificate.

use std::path::PathBuf;

use https::listener::ListenAddress;

use super::keys;
use super::section::Section;

/// Where to listen and who to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerConfig {
    /// Nowhere if absent.
    pub listen: Option<ListenAddress>,
    /// Certificate and key, PEM; without them they are made in the state directory.
    pub tls: Option<(PathBuf, PathBuf)>,
}

impl ServerConfig {
    /// Reads `httpServer`.
    pub(super) fn read(mut section: Section<'_>) -> ServerConfig {
        let nowhere = section.is_emptied(&keys::LISTEN_ADDRESS.about);
        let listen = section.get(&keys::LISTEN_ADDRESS).0;
        let tls = match (section.get(&keys::TLS_CERTIFICATE), section.get(&keys::TLS_KEY)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (certificate, _) => {
                let keys = ["tlsCertificatePath", "tlsKeyPath"];
                let (missing, given) =
                    if certificate.is_some() { (keys[1], keys[0]) } else { (keys[0], keys[1]) };
                section.wrong(missing, format_args!("is missing beside {given}"));
                None
            }
        };
        ServerConfig { listen: (!nowhere).then_some(listen), tls }
    }
}
