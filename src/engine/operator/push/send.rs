//! One push over the network: the request, and what its answer means.

use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use tokio::time::timeout;

use super::plan::Planned;
use crate::program;
use crate::wire::bound::Bound;
use crate::wire::client::{Client, Connected, Server};
use crate::wire::push::PushResult;
use crate::wire::token::{self, Claims};

/// How long a target may take until it can be asked.
const CONNECT_TIME: Duration = Duration::from_secs(20);

/// How long a token may be on its way, in seconds: as long as a body may take, and as much again.
const LIFE: i64 = 60;

/// Longest answer in bytes: all output that a run keeps, escaped.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// What a target answered.
#[derive(Debug)]
pub(super) struct Answered {
    /// What came of the push, or why nobody knows.
    pub(super) result: Result<PushResult, String>,
    /// From the connection to the answer.
    pub(super) duration: Duration,
}

/// Sends a push and waits for its answer, for `patience` at most.
pub(super) async fn send(client: &Client, planned: &Planned, patience: Duration) -> Answered {
    let begin = Instant::now();
    let asked = timeout(patience, ask(client, planned)).await;
    let result = asked.unwrap_or_else(|_| {
        Err(format!("no answer within {} s; the run may still go on there", patience.as_secs()))
    });
    Answered { result, duration: begin.elapsed() }
}

async fn ask(client: &Client, planned: &Planned) -> Result<PushResult, String> {
    let Planned { host, port, tls, path, .. } = planned;
    let server = Server { host, port: *port, tls: *tls, skip_verify: false };
    let connected = timeout(CONNECT_TIME, client.meet(&server)).await;
    let Connected { mut sender, engine } =
        connected.map_err(|_| format!("no connection within {} s", CONNECT_TIME.as_secs()))??;
    let token = signed(planned, engine.as_ref())?;
    let mut request = Request::post(path).body(Full::new(Bytes::from(token)));
    if let Ok(request) = &mut request {
        let headers = request.headers_mut();
        let agent = concat!("etcha-engine/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let host =
            if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.clone() };
        if let Ok(host) = HeaderValue::from_str(&format!("{host}:{port}")) {
            headers.insert(HOST, host);
        }
    }
    let request = request.map_err(|error| format!("no request: {error}"))?;
    let answer = sender.send_request(request).await.map_err(|error| format!("HTTP: {error}"))?;
    read(answer).await
}

/// The token for the engine with this key alone. Without TLS it is known by none, and the token is for all that trust its
/// key.
fn signed(planned: &Planned, engine: Option<&[u8; 32]>) -> Result<String, String> {
    let bound = engine.map(|engine| Bound::new(engine, &planned.source, program::now(), LIFE)).transpose();
    let bound = bound.map_err(|error| format!("the system gives no randomness: {error}"))?;
    token::sign(&Claims { bound, ..planned.claims.clone() }, &planned.key)
}

async fn read(answer: Response<Incoming>) -> Result<PushResult, String> {
    let (parts, body) = answer.into_parts();
    let wait = parts.headers.get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()).unwrap_or("some");
    match parts.status {
        StatusCode::OK | StatusCode::INTERNAL_SERVER_ERROR => {}
        StatusCode::NOT_MODIFIED => return Ok(PushResult::default()),
        status => return Err(meaning(status, wait)),
    }
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| format!("answer: {error}"))?.to_bytes();
    match serde_json::from_slice::<PushResult>(&body) {
        Ok(result) if parts.status == StatusCode::OK || !result.err.is_empty() => Ok(result),
        _ => Err(format!("answered {}, but not with what a push is answered", parts.status)),
    }
}

/// What a refusal means, and what may help.
fn meaning(status: StatusCode, wait: &str) -> String {
    match status {
        StatusCode::BAD_REQUEST => "the filter is not understood there".to_owned(),
        StatusCode::NOT_FOUND => {
            "there is no such source, it takes no pushes, or it does not trust the token (key, clock, audience); the log \
             there says which"
                .to_owned()
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            "the token is longer than it takes there; see `run_maxTokenBytes` of its configuration".to_owned()
        }
        StatusCode::TOO_MANY_REQUESTS => {
            format!("too many requests from here were refused; try again in {wait} s")
        }
        StatusCode::SERVICE_UNAVAILABLE => "it is busy; try again".to_owned(),
        status => format!("answered {status}"),
    }
}
