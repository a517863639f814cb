//! Where a Source fetches its token: a file, or an address. What is fetched is verified by whoever asked for it.
//!
//! Behind `#`, an address may carry header lines joined by CR LF, `name:value`, and two words to the client:
//! `skipVerify:true` and `clientTimeout:SECONDS`. An answer that names its version is asked for only once. Redirects are not
//! followed: they say where to, and headers that are meant for one host reach no other.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ETAG, HOST, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    LOCATION, USER_AGENT,
};
use hyper::{Request, Response, StatusCode, Uri};

use super::client::{Client, Server};
use super::state::read_token;
use super::token;

/// How long a fetch may take from the look-up of the name to the last byte, unless the path says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A place to fetch from.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// A file on this host.
    File(PathBuf),
    /// An address.
    Remote(Box<Remote>),
}

/// An address and how to ask there. Its headers may be secrets, and are not shown.
#[derive(Clone, PartialEq)]
pub struct Remote {
    uri: Uri,
    headers: HeaderMap,
    skip_verify: bool,
    timeout: Duration,
}

impl Place {
    /// Reads a path as it stands in `pullPaths`. `file:` before a path and `~` for the home directory are understood.
    ///
    /// # Errors
    ///
    /// It is an address that cannot be asked. Says why.
    pub fn read(text: &str) -> Result<Place, String> {
        if text.starts_with("http://") || text.starts_with("https://") {
            return Remote::read(text).map(|remote| Place::Remote(Box::new(remote)));
        }
        let path = text.strip_prefix("file:").unwrap_or(text);
        Ok(Place::File(match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
            (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
            _ => PathBuf::from(path),
        }))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => write!(out, "{}", path.display()),
            Place::Remote(remote) => write!(out, "{remote:?}"),
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
    fn read(text: &str) -> Result<Remote, String> {
        let (address, lines) = text.split_once('#').unwrap_or((text, ""));
        let uri: Uri = address.parse().map_err(|_| "is no address".to_owned())?;
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err("holds credentials in an address; give them as a header behind #".to_owned());
        }
        let mut remote =
            Remote { uri, headers: HeaderMap::new(), skip_verify: false, timeout: DEFAULT_TIMEOUT };
        for line in lines.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or("has a header behind # that is no name:value")?;
            remote.take(name.trim(), value.trim())?;
        }
        Ok(remote)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "skipVerify" | "clientSkipVerify" => self.skip_verify = value != "false",
            "clientTimeout" => {
                self.timeout = match value.parse() {
                    Ok(seconds) if seconds > 0 => Duration::from_secs(seconds),
                    _ => return Err("has a clientTimeout that is no number of seconds".to_owned()),
                };
            }
            _ => {
                let name: HeaderName = name.parse().map_err(|_| "has a header with an impossible name")?;
                let mut value: HeaderValue =
                    value.parse().map_err(|_| "has a header with an impossible value")?;
                value.set_sensitive(true);
                self.headers.append(name, value);
            }
        }
        Ok(())
    }
}

/// What was fetched, and how to ask whether it is still the same.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The token.
    pub text: String,
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
}

impl Client {
    /// Fetches from `place`. `before` is what came from there the last time; if it is still the same, that is the answer.
    ///
    /// # Errors
    ///
    /// There is no answer, or it is none that could be a token. Says why.
    pub fn fetch(&self, place: &Place, before: Option<&Fetched>) -> Result<Fetched, String> {
        match place {
            Place::File(path) => {
                let text = read_token(path).map_err(|error| error.to_string())?;
                Ok(Fetched { text, ..Fetched::default() })
            }
            Place::Remote(remote) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(|error| error.to_string())?;
                let asked = runtime
                    .block_on(async { tokio::time::timeout(remote.timeout, self.ask(remote, before)).await });
                // A look-up that hangs is not waited for.
                runtime.shutdown_background();
                asked.unwrap_or_else(|_| Err(format!("no answer within {} s", remote.timeout.as_secs())))
            }
        }
    }

    async fn ask(&self, remote: &Remote, before: Option<&Fetched>) -> Result<Fetched, String> {
        let is_tls = remote.uri.scheme_str() == Some("https");
        let server = Server {
            host: remote.uri.host().unwrap_or_default(),
            port: remote.uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            tls: is_tls,
            skip_verify: remote.skip_verify,
        };
        let mut sender = self.connect(&server).await?;
        let response = sender.send_request(request(remote, before)?).await;
        let response = response.map_err(|error| format!("HTTP: {error}"))?;
        read(response, before).await
    }
}

fn request(remote: &Remote, before: Option<&Fetched>) -> Result<Request<Empty<Bytes>>, String> {
    let target = remote.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut request =
        Request::get(target).body(Empty::new()).map_err(|error| format!("no request: {error}"))?;
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("etcha-engine/", env!("CARGO_PKG_VERSION"))));
    if let Some(Ok(host)) = remote.uri.authority().map(|authority| HeaderValue::from_str(authority.as_str()))
    {
        headers.insert(HOST, host);
    }
    headers.extend(remote.headers.clone());
    let validators =
        before.map(|before| [(IF_NONE_MATCH, &before.etag), (IF_MODIFIED_SINCE, &before.modified)]);
    for (name, value) in validators.into_iter().flatten() {
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    }
    Ok(request)
}

async fn read(response: Response<Incoming>, before: Option<&Fetched>) -> Result<Fetched, String> {
    let (parts, body) = response.into_parts();
    match (parts.status, before) {
        (StatusCode::OK, _) => {}
        (StatusCode::NOT_MODIFIED, Some(before)) => return Ok(before.clone()),
        (status, _) => {
            let to = parts.headers.get(LOCATION).and_then(|to| to.to_str().ok());
            return Err(match to {
                Some(to) => format!("answered {status} to {to}; give that address"),
                None => format!("answered {status}"),
            });
        }
    }
    let body =
        Limited::new(body, token::MAX_BYTES).collect().await.map_err(|error| format!("body: {error}"))?;
    let text = String::from_utf8(body.to_bytes().into()).map_err(|_| "the answer is no text".to_owned())?;
    let header = |name| parts.headers.get(name).cloned();
    Ok(Fetched { text, etag: header(ETAG), modified: header(LAST_MODIFIED) })
}

#[cfg(test)]
mod tests;
