//! Where the engine listens, and with which certificate.

use std::path::PathBuf;

use crate::fields::{Fields, Wrong};
use https::listener::ListenAddress;

/// Where the engine listens unless told otherwise. Etcha's own port belongs to the metrics here.
const DEFAULT_LISTEN: ListenAddress = ListenAddress::Every(4001);

/// Keys of Etcha that carry in the configuration what belongs into files, or that are constants here.
const OTHER: [&str; 3] = ["rateLimitRate", "tlsCertificateBase64", "tlsKeyBase64"];

/// Where to listen and who to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerConfig {
    /// Nowhere if absent.
    pub listen: Option<ListenAddress>,
    /// Certificate and key, PEM; without them they are made in the state directory.
    pub tls: Option<(PathBuf, PathBuf)>,
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        ServerConfig { listen: Some(DEFAULT_LISTEN), tls: None }
    }
}

impl ServerConfig {
    /// Reads `httpServer`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub(crate) fn read(mut fields: Fields) -> Result<ServerConfig, Wrong> {
        fields.not_covered(&OTHER)?;
        let listen = match fields.string("listenAddress")? {
            None => Some(DEFAULT_LISTEN),
            Some(text) if text.is_empty() => None,
            Some(text) => Some(text.parse().map_err(|error| fields.wrong("listenAddress", error))?),
        };
        let certificate = fields.string("tlsCertificatePath")?.filter(|path| !path.is_empty());
        let key = fields.string("tlsKeyPath")?.filter(|path| !path.is_empty());
        let tls = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            (Some(_), None) => return Err(fields.wrong("tlsKeyPath", "is missing beside tlsCertificatePath")),
            (None, Some(_)) => return Err(fields.wrong("tlsCertificatePath", "is missing beside tlsKeyPath")),
        };
        fields.end()?;
        Ok(ServerConfig { listen, tls })
    }
}
