//! One push over the network: the request, and what its answer means.

use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::RETRY_AFTER;
use hyper::{Response, StatusCode};
use tokio::time::timeout;

use super::plan::Planned;
use crate::operator::ask::{self, AskError};
use crate::program;
use crate::wire::bound::Bound;
use crate::wire::client::{Client, Connected, Server};
use crate::wire::push::PushResult;
use crate::wire::token::{self, Claims};

/// How long a token may be on its way, in seconds: as long as a body may take, and as much again.
const LIFE: i64 = 60;

/// Longest answer in bytes: all output that a run keeps, escaped.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// What a target answered.
#[derive(Debug)]
pub(super) struct Answered {
    /// What came of the push, or why that is not known.
    pub(super) result: Result<PushResult, SendError>,
    /// From the connection to the answer.
    pub(super) duration: Duration,
}

/// Why it is not known what came of a push.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// It was not answered.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// It was not answered in this time.
    #[error("no answer within {} s; the run may still go on there", .0.as_secs())]
    TooSlow(Duration),
    /// It was refused.
    #[error("{}", meaning(*status, wait))]
    Refused {
        /// The answer's status.
        status: StatusCode,
        /// Seconds after which to try again, in the answer's words.
        wait: String,
    },
    /// The answer broke off, or is longer than [`MAX_ANSWER_BYTES`].
    #[error("answer: {0}")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer is not one to a push.
    #[error("answered {0}, but the body is not an answer to a push")]
    Other(StatusCode),
}

/// Sends a push and waits for its answer, for `patience` at most.
pub(super) async fn send(client: &Client, planned: &Planned, patience: Duration) -> Answered {
    let begin = Instant::now();
    let asked = timeout(patience, ask(client, planned)).await;
    let result = asked.unwrap_or(Err(SendError::TooSlow(patience)));
    Answered { result, duration: begin.elapsed() }
}

async fn ask(client: &Client, planned: &Planned) -> Result<PushResult, SendError> {
    let Planned { host, port, tls, path, .. } = planned;
    let server = Server { host, port: *port, tls: *tls, skip_verify: false };
    let Connected { mut sender, engine } = ask::connect(client, &server).await?;
    let token = signed(planned, engine.as_ref())?;
    let request = ask::post(&server, path, token)?;
    let answer = sender.send_request(request).await.map_err(AskError::Http)?;
    read(answer).await
}

/// The token for the engine with this key alone. Without TLS it is known by none, and the token is for all that trust its
/// key.
fn signed(planned: &Planned, engine: Option<&[u8; 32]>) -> Result<String, AskError> {
    let bound = engine.map(|engine| Bound::new(engine, &planned.source, program::now(), LIFE)).transpose();
    let bound = bound.map_err(AskError::Bind)?;
    Ok(token::sign(&Claims { bound, ..planned.claims.clone() }, &planned.key)?)
}

async fn read(answer: Response<Incoming>) -> Result<PushResult, SendError> {
    let (parts, body) = answer.into_parts();
    let wait = parts.headers.get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()).unwrap_or("some");
    match parts.status {
        StatusCode::OK | StatusCode::INTERNAL_SERVER_ERROR => {}
        StatusCode::NOT_MODIFIED => return Ok(PushResult::default()),
        status => return Err(SendError::Refused { status, wait: wait.to_owned() }),
    }
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(SendError::Body)?.to_bytes();
    match serde_json::from_slice::<PushResult>(&body) {
        Ok(result) if parts.status == StatusCode::OK || !result.err.is_empty() => Ok(result),
        _ => Err(SendError::Other(parts.status)),
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
            "the token is longer than the target accepts; see `run_maxTokenBytes` in its configuration".to_owned()
        }
        StatusCode::TOO_MANY_REQUESTS => {
            format!("too many requests from here were refused; try again in {wait} s")
        }
        StatusCode::SERVICE_UNAVAILABLE => "it is busy; try again".to_owned(),
        status => format!("answered {status}"),
    }
}
