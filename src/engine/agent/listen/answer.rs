//! Answers: statuses, headers, bodies. Decides nothing.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body as _;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

/// A body: whole, or a stream.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// An answer.
pub(crate) type Answer = Response<Body>;

/// An answer with a body of this type.
pub(crate) fn with_body(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).boxed_unsync());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// An answer in words.
pub(crate) fn text(status: StatusCode, text: &'static str) -> Answer {
    with_body(status, HeaderValue::from_static("text/plain; charset=utf-8"), text)
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    text(status, "")
}

/// The same answer, as it is to HEAD: its header says how long the body would be.
pub(crate) fn without_body(answer: Answer) -> Answer {
    let (mut parts, body) = answer.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    Response::from_parts(parts, Full::default().boxed_unsync())
}

/// Where there is nothing.
pub(crate) fn nothing() -> Answer {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// Refused, and not to be tried again for `rest`.
pub(crate) fn too_many(rest: Duration) -> Answer {
    // Rounded up: then the next one counts in a new window.
    later(StatusCode::TOO_MANY_REQUESTS, rest.as_secs() + 1)
}

/// There is no room or no turn for it now.
pub(crate) fn busy() -> Answer {
    later(StatusCode::SERVICE_UNAVAILABLE, 1)
}

fn later(status: StatusCode, seconds: u64) -> Answer {
    let mut answer = empty(status);
    answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    answer
}
