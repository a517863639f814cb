//! Where a Source fetches its token: a file, or an address. Fetches nothing.
//!
//! Behind `#`, an address may carry header lines joined by CR LF, `name:value`, and two words to the client:
//! `skipVerify:true` and `clientTimeout:SECONDS`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::value::read_from_text;

/// How long a fetch may take from the look-up of the name to the last byte, unless the path says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A place to fetch from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PullPath {
    /// A file on this host.
    File(PathBuf),
    /// An address.
    Remote(Box<Remote>),
}

/// An address and how to ask there. Its headers may be secrets, and are not shown.
#[derive(Clone, PartialEq)]
pub(crate) struct Remote {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) skip_verify: bool,
    pub(crate) timeout: Duration,
}

/// Why an address cannot be asked. Never holds the address: it may carry secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PullPathError {
    #[error("is no address")]
    NoAddress,
    #[error("holds credentials in an address; give them as a header behind #")]
    Credentials,
    #[error("has a header behind # that is no name:value")]
    NoHeader,
    #[error("has a clientTimeout that is no number of seconds")]
    Timeout,
    #[error("has a header with an impossible name")]
    HeaderName,
    #[error("has a header with an impossible value")]
    HeaderValue,
}

read_from_text!(PullPath, PullPath::read);

impl PullPath {
    /// Reads a path as it stands in `pullPaths`. `file:` before a path and `~` for the home directory are understood.
    ///
    /// # Errors
    ///
    /// It is an address that cannot be asked.
    pub(crate) fn read(text: &str) -> Result<PullPath, PullPathError> {
        if text.starts_with("http://") || text.starts_with("https://") {
            return Remote::read(text).map(|remote| PullPath::Remote(Box::new(remote)));
        }
        let path = text.strip_prefix("file:").unwrap_or(text);
        Ok(PullPath::File(match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
            (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
            _ => PathBuf::from(path),
        }))
    }
}

impl fmt::Display for PullPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PullPath::File(path) => write!(out, "{}", path.display()),
            PullPath::Remote(remote) => write!(out, "{remote:?}"),
        }
    }
}

impl fmt::Debug for Remote {
    /// Without headers, query and credentials.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host) = (self.uri.scheme_str().unwrap_or_default(), self.uri.host().unwrap_or_default());
        write!(out, "{scheme}://{host}")?;
        if let Some(port) = self.uri.port_u16() {
            write!(out, ":{port}")?;
        }
        out.write_str(self.uri.path())
    }
}

impl Remote {
    fn read(text: &str) -> Result<Remote, PullPathError> {
        let (address, lines) = text.split_once('#').unwrap_or((text, ""));
        let uri: Uri = address.parse().map_err(|_| PullPathError::NoAddress)?;
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err(PullPathError::Credentials);
        }
        let mut remote =
            Remote { uri, headers: HeaderMap::new(), skip_verify: false, timeout: DEFAULT_TIMEOUT };
        for line in lines.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or(PullPathError::NoHeader)?;
            remote.take(name.trim(), value.trim())?;
        }
        Ok(remote)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), PullPathError> {
        match name {
            "skipVerify" | "clientSkipVerify" => self.skip_verify = value != "false",
            "clientTimeout" => {
                self.timeout = match value.parse() {
                    Ok(seconds) if seconds > 0 => Duration::from_secs(seconds),
                    _ => return Err(PullPathError::Timeout),
                };
            }
            _ => {
                let name: HeaderName = name.parse().map_err(|_| PullPathError::HeaderName)?;
                let mut value: HeaderValue = value.parse().map_err(|_| PullPathError::HeaderValue)?;
                value.set_sensitive(true);
                self.headers.append(name, value);
            }
        }
        Ok(())
    }
}
