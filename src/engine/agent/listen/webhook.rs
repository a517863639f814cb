//! Webhooks: a request to a path that Sources name, answered by what their Commands say.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::http::request::Parts;

use super::Site;
use super::answer::{self, Answer};
use super::bodies::{self, Held, Unread};
use super::site::broken;
use crate::agent::record::{Action, Refusal};
use crate::agent::refusals::Denied;
use crate::agent::source::NoTurn;
use crate::agent::source::webhook::{Hook, HookAnswer, query};
use https::Peer;

/// Longest body in bytes: in base64 it has to fit into a variable.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Answers a request for `path`, which is decoded.
pub(super) async fn answer(
    site: &Arc<Site>,
    peer: Option<&Peer>,
    path: &str,
    parts: &Parts,
    body: Incoming,
) -> Answer {
    let names = site.hooks(path);
    if names.is_empty() {
        return unknown(site, peer);
    }
    let client = peer.map(|peer| peer.address().ip());
    let header = header_bytes(parts);
    let read = bodies::read(&site.bodies.webhooks, client, body, MAX_BODY_BYTES, header).await;
    // The room is for those that are being read. Those that wait are few: each Source has places for them.
    let Held { bytes, room: _ } = match read {
        Ok(held) => held,
        Err(Unread::NoRoom) => return answer::busy(),
        Err(Unread::TooLong) => return answer::empty(StatusCode::PAYLOAD_TOO_LARGE),
        Err(Unread::Broken) => return answer::empty(StatusCode::REQUEST_TIMEOUT),
    };
    let hook = Arc::new(Hook {
        body: STANDARD.encode(&bytes),
        headers: lines(&parts.headers),
        method: parts.method.to_string(),
        path: path.to_owned(),
        query: query(parts.uri.query().unwrap_or_default()),
    });
    for name in names {
        let (sources, hook) = (Arc::clone(&site.sources), Arc::clone(&hook));
        // A task of its own: a client that goes away ends nothing.
        match tokio::spawn(async move { sources.webhook(&name, &hook).await }).await {
            Ok(Ok(Some(answer))) => return said(answer),
            Ok(Ok(None)) => {}
            Ok(Err(NoTurn)) => return answer::busy(),
            Err(_) => return broken(),
        }
    }
    answer::nothing()
}

/// Answers for a path that nobody has. Who tries many of them looks for one.
pub(super) fn unknown(site: &Site, peer: Option<&Peer>) -> Answer {
    let denied = Denied::new(Refusal::Unknown, "there is no such path");
    site.refuse_with(peer, (Action::Other, ""), &denied, answer::nothing)
}

fn said(answer: HookAnswer) -> Answer {
    // A type that no header can hold is as good as none.
    let kind = answer.content_type.and_then(|kind| HeaderValue::from_str(&kind).ok());
    let kind = kind.unwrap_or(HeaderValue::from_static("text/plain; charset=utf-8"));
    answer::with_body(StatusCode::OK, kind, answer.body)
}

/// What the header of a request takes, about.
fn header_bytes(parts: &Parts) -> usize {
    let lines = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    parts.uri.to_string().len() + lines.sum::<usize>()
}

/// Headers as lines, each word of a name with a capital letter, sorted.
fn lines(headers: &HeaderMap) -> String {
    let mut lines: Vec<_> = headers
        .iter()
        .filter(|(name, _)| *name != hyper::header::HOST)
        .map(|(name, value)| {
            let words = name.as_str().split('-').map(|word| {
                let (first, rest) = word.split_at(word.len().min(1));
                first.to_ascii_uppercase() + rest
            });
            let name = words.collect::<Vec<_>>().join("-");
            format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
        })
        .collect();
    // Values of one name stay in their order.
    lines.sort_by(|one, other| one.split(':').next().cmp(&other.split(':').next()));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_sorted_lines_with_capital_letters_and_without_host() {
        let mut headers = HeaderMap::new();
        headers.append("x-b", HeaderValue::from_static("2"));
        headers.append("content-type", HeaderValue::from_static("a/b"));
        headers.append("x-b", HeaderValue::from_static("1"));
        headers.append("host", HeaderValue::from_static("h"));
        assert_eq!(lines(&headers), "Content-Type: a/b\nX-B: 2\nX-B: 1");
    }
}
