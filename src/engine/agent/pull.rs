//! Fetching the token of a Source. What is fetched is verified by whoever asked for it.
//!
//! An answer that names its version is asked for only once. Redirects are not followed: they say where to, and headers that
//! are meant for one host reach no other.

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ETAG, HOST, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION, USER_AGENT,
};
use hyper::{Request, Response, StatusCode};

use crate::config::place::{Place, Remote};
use crate::wire::client::{Client, Server};
use crate::wire::token::{self, read_token};

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
