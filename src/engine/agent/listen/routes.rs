//! Which path gets what.
//!
//! | path | method | |
//! |---|---|---|
//! | `/etcha/v1/push/{source}` | POST | `push` |
//! | `/etcha/v1/shell/{source}` | POST | `shell` |
//! | a path in `webhookPaths` | any | `webhook` |
//!
//! Everything else is 404. The name of a Source is one segment of the path, percent-encoded where it has to be, and is
//! only ever compared with the names in the configuration.

use std::borrow::Cow;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request};
use percent_encoding::percent_decode_str;

use super::answer::{self, Answer};
use super::{Site, push, shell, webhook};
use crate::wire::paths::{PUSH, SHELL};
use https::Peer;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    Push(Cow<'a, str>),
    Shell(Cow<'a, str>),
    /// A path that may be a webhook's, decoded.
    Path(Cow<'a, str>),
    /// A path that no text is.
    Nothing,
}

impl<'a> Route<'a> {
    fn of(method: &Method, path: &'a str) -> Route<'a> {
        let decoded = |text: &'a str| percent_decode_str(text).decode_utf8().ok();
        let segment = |prefix| {
            path.strip_prefix(prefix).filter(|rest| !rest.is_empty() && !rest.contains('/')).and_then(decoded)
        };
        if let (Some(source), &Method::POST) = (segment(PUSH), method) {
            return Route::Push(source);
        }
        if let (Some(source), &Method::POST) = (segment(SHELL), method) {
            return Route::Shell(source);
        }
        decoded(path).map_or(Route::Nothing, Route::Path)
    }
}

/// Answers a request. There always is an answer.
pub(crate) async fn answer(site: Arc<Site>, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().cloned();
    let is_head = parts.method == Method::HEAD;
    let answer = match Route::of(&parts.method, parts.uri.path()) {
        Route::Push(source) => {
            let query = parts.uri.query().unwrap_or_default();
            push::answer(&site, peer.as_ref(), &source, query, body).await
        }
        Route::Shell(source) => shell::answer(&site, peer.as_ref(), &source, body).await,
        Route::Path(path) => webhook::answer(&site, peer.as_ref(), &path, &parts, body).await,
        Route::Nothing => webhook::unknown(&site, peer.as_ref()),
    };
    // An answer to HEAD has no body; over HTTP/2 one would break the protocol.
    if is_head { answer::without_body(answer) } else { answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_one_segment_of_the_path_and_nothing_else() {
        let push = |path: &'static str| match Route::of(&Method::POST, path) {
            Route::Push(source) => Some(source.into_owned()),
            Route::Shell(_) | Route::Path(_) | Route::Nothing => None,
        };
        assert_eq!(push("/etcha/v1/push/web").as_deref(), Some("web"));
        assert_eq!(push("/etcha/v1/push/a%20b+c").as_deref(), Some("a b+c"));
        // What this decodes to is the name of no Source.
        assert_eq!(push("/etcha/v1/push/..%2Fweb").as_deref(), Some("../web"));
        for path in [
            "/etcha/v1/push/web/",
            "/etcha/v1/push/../web",
            "/etcha/v1/push//web",
            "/etcha/v1/push",
            "/etcha/v1/push/",
            "//etcha/v1/push/web",
            "/etcha/v1/%70ush/web",
            "/etcha/v1/push/%ff",
        ] {
            assert_eq!(push(path), None, "{path}");
        }
        assert_eq!(Route::of(&Method::GET, "/etcha/v1/push/web"), Route::Path("/etcha/v1/push/web".into()));
    }
}
