//! Fetching the token of a Source. What is fetched is verified by whoever asked for it.
//!
//! An answer that names its version is asked for only once. Redirects are not followed: they say where to, and headers that
//! are meant for one host reach no other.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{
    CONTENT_ENCODING, ETAG, HOST, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
    USER_AGENT,
};
use hyper::{Request, Response, StatusCode};
use terminal::file;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::config::pull_path::{PullPath, Remote};
use crate::wire::client::{Client, ConnectError, Server};
use crate::wire::token;

/// How long reading a file may take: one on a dead mount never ends.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// What was fetched, and how to ask whether it is still the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fetched {
    /// The token.
    pub text: String,
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// It did not come in this time.
    #[error("no answer within {} s", .0.as_secs())]
    TooSlow(Duration),
    /// All reads of it that may be under way are.
    #[error("earlier reads of it still hang; check the file system that it is on")]
    Hanging,
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// Connecting failed.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The address cannot be part of a request.
    #[error("cannot make a request: {0}")]
    Request(#[from] hyper::http::Error),
    /// The answer is not HTTP, or broke off before its body.
    #[error("HTTP: {0}")]
    Http(#[source] hyper::Error),
    /// The server has none here.
    #[error("answered {0}")]
    Status(StatusCode),
    /// The server has it elsewhere: there, without what may be secret in the address.
    #[error("answered {0}: it moved to {1}; use that address")]
    Moved(StatusCode, String),
    /// It would have to be unpacked, by what the server says.
    #[error("the answer is compressed ({0}), which was not asked for")]
    Compressed(String),
    /// Its body is longer than this many bytes.
    #[error("body: longer than {0} bytes (`run_maxTokenBytes`)")]
    TooLong(usize),
    /// Its body broke off.
    #[error("body: {0}")]
    Body(#[source] hyper::Error),
    /// Its body is not UTF-8.
    #[error("the answer is no text")]
    NoText,
    /// The engine ends, or the thread that read broke off.
    #[error("interrupted: {0}")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The longest tokens that are fetched at once. Another one waits within its own time.
const FETCHES: usize = 3;

/// What may be fetched before anything of it is verified: by each fetch, and by all that go on side by side.
#[derive(Clone, Debug)]
pub(crate) struct FetchBudget {
    max_bytes: usize,
    /// A permit for each byte.
    bytes: Arc<Semaphore>,
}

impl FetchBudget {
    /// For tokens of at most `max_bytes`.
    pub(crate) fn new(max_bytes: usize) -> FetchBudget {
        FetchBudget { max_bytes, bytes: Arc::new(Semaphore::new(FETCHES * max_bytes)) }
    }
}

impl Client {
    /// Fetches from `place`. `before` is what came from there the last time; if it is still the same, that is the answer.
    /// Files are read in threads, of which each holds one of `reads` as long as it is busy.
    ///
    /// # Errors
    ///
    /// There is no answer, or it is none that could be a token.
    pub(crate) async fn fetch(
        &self,
        place: &PullPath,
        before: Option<&Fetched>,
        room: &FetchBudget,
        reads: &Arc<Semaphore>,
    ) -> Result<Fetched, FetchError> {
        let (fetched, time) = match place {
            PullPath::File(path) => {
                (timeout(READ_TIMEOUT, read_file(path.clone(), reads)).await, READ_TIMEOUT)
            }
            PullPath::Remote(remote) => {
                (timeout(remote.timeout, self.ask(remote, before, room)).await, remote.timeout)
            }
        };
        fetched.unwrap_or(Err(FetchError::TooSlow(time)))
    }

    async fn ask(
        &self,
        remote: &Remote,
        before: Option<&Fetched>,
        room: &FetchBudget,
    ) -> Result<Fetched, FetchError> {
        let is_tls = remote.uri.scheme_str() == Some("https");
        let server = Server {
            host: remote.uri.host().unwrap_or_default(),
            port: remote.uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            tls: is_tls,
            skip_verify: remote.skip_verify,
        };
        let mut sender = self.connect(&server).await?;
        let response = sender.send_request(request(remote, before)?).await.map_err(FetchError::Http)?;
        read(response, before, room).await
    }
}

/// Reads a file in a thread. That thread may hang for ever, so it takes one of `reads` with it.
async fn read_file(path: PathBuf, reads: &Arc<Semaphore>) -> Result<Fetched, FetchError> {
    let Ok(place) = Arc::clone(reads).try_acquire_owned() else {
        return Err(FetchError::Hanging);
    };
    let read = spawn_blocking(move || {
        let _held = place;
        token::read_from(file::open_regular(&path)?)
    });
    let text = read.await.map_err(|error| FetchError::Broken(error.into()))??;
    Ok(Fetched { text, ..Fetched::default() })
}

fn request(remote: &Remote, before: Option<&Fetched>) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
    let target = remote.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut request = Request::get(target).body(Empty::new())?;
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

async fn read(
    response: Response<Incoming>,
    before: Option<&Fetched>,
    room: &FetchBudget,
) -> Result<Fetched, FetchError> {
    let (parts, body) = response.into_parts();
    match (parts.status, before) {
        (StatusCode::OK, _) => {}
        (StatusCode::NOT_MODIFIED, Some(before)) => return Ok(before.clone()),
        (status, _) => {
            let to = parts.headers.get(LOCATION).and_then(|to| to.to_str().ok());
            return Err(match to {
                Some(to) => FetchError::Moved(status, without_secrets(to)),
                None => FetchError::Status(status),
            });
        }
    }
    let packed = parts.headers.get(CONTENT_ENCODING).filter(|packed| *packed != "identity");
    if let Some(packed) = packed {
        let packed = String::from_utf8_lossy(packed.as_bytes()).into_owned();
        return Err(FetchError::Compressed(packed));
    }
    let text = String::from_utf8(whole(body, room).await?).map_err(|_| FetchError::NoText)?;
    let header = |name| parts.headers.get(name).cloned();
    Ok(Fetched { text, etag: header(ETAG), modified: header(LAST_MODIFIED) })
}

/// The body of an answer, once there is room for all that it may be.
async fn whole(mut body: Incoming, room: &FetchBudget) -> Result<Vec<u8>, FetchError> {
    let too_long = || FetchError::TooLong(room.max_bytes);
    let announced = usize::try_from(body.size_hint().upper().unwrap_or(room.max_bytes as u64));
    let announced = announced.ok().filter(|bytes| *bytes <= room.max_bytes).ok_or_else(too_long)?;
    let permits = u32::try_from(announced).map_err(|_| too_long())?;
    let held = room.bytes.acquire_many(permits).await;
    let _held = held.map_err(|error| FetchError::Broken(error.into()))?;
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(FetchError::Body)?.into_data() else { continue };
        if bytes.len() + chunk.len() > announced {
            return Err(too_long());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// An address without what may be secret in it: credentials, a query, a fragment.
fn without_secrets(address: &str) -> String {
    let shown = address.split(['?', '#']).next().unwrap_or_default();
    let hidden = if shown.len() < address.len() { "?…" } else { "" };
    let shown = match shown.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            format!("{scheme}://{}{path}", host.rsplit('@').next().unwrap_or_default())
        }
        None => shown.to_owned(),
    };
    format!("{}{hidden}", terminal::printable::line(&shown))
}

#[cfg(test)]
mod tests;
