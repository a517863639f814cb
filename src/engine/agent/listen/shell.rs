//! `POST /etcha/v1/shell/{source}`: the body is a token. One without a session opens a shell, whose lines are the answer
//! for as long as it lives; one with a session brings input, and is answered when the terminal has taken it.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::Site;
use super::answer::{self, Answer};
use super::bodies::{self, Held, Unread};
use crate::agent::record::{Action, Refusal};
use crate::agent::refusals::Denied;
use crate::agent::shell::{self, Lines, ShellRefusal, VerifiedRequest};
use crate::wire::shell::MAX_BYTES;
use https::Peer;

/// Answers a request for a shell of the Source `name`.
pub(super) async fn answer(site: &Arc<Site>, peer: Option<&Peer>, name: &str, body: Incoming) -> Answer {
    let wanted = (Action::Shell, name);
    let client = peer.map(|peer| peer.address().ip());
    let Held { bytes, room } = match bodies::read(&site.bodies.shells, client, body, MAX_BYTES, 0).await {
        Ok(held) => held,
        Err(Unread::NoRoom) => return answer::busy(),
        Err(unread) => return site.refuse(peer, wanted, &unread.denied()),
    };
    let (source, guard) = (name.to_owned(), Arc::clone(&site.guard));
    let verified = site.verify(move |sources| {
        let _held = room;
        let text =
            String::from_utf8(bytes).map_err(|_| Denied::new(Refusal::Malformed, "the token is no text"))?;
        let config = sources.config();
        VerifiedRequest::verify(&config, &source, &text)?.admitted(&config, &guard)
    });
    let asked = match verified.await {
        Ok(Ok(asked)) => asked,
        Ok(Err(denied)) => return site.refuse(peer, wanted, &denied),
        Err(answer) => return answer,
    };
    let Some(peer) = peer else {
        return site.refuse(None, wanted, &Denied::new(Refusal::Other, "the client has no address"));
    };
    // Whoever has a key is the last to make room for others.
    peer.vouch();
    let public_key = asked.key_id().to_owned();
    match site.shells.answer(asked, peer.address().ip()).await {
        Ok(shell::ShellAnswer::Opened(lines)) => stream(lines),
        Ok(shell::ShellAnswer::Taken) => answer::empty(StatusCode::OK),
        Err(ShellRefusal::NotFound(why)) => {
            let denied = Denied { public_key, ..Denied::new(Refusal::Unknown, why) };
            site.refuse(Some(peer), wanted, &denied)
        }
        Err(refused @ ShellRefusal::TooMany) => {
            let denied = Denied { public_key, ..Denied::new(Refusal::Limit, refused.to_string()) };
            site.sources.refused(Action::Shell, client, name, &denied);
            in_words(StatusCode::TOO_MANY_REQUESTS, &refused)
        }
        Err(refused @ ShellRefusal::Busy) => in_words(StatusCode::SERVICE_UNAVAILABLE, &refused),
        Err(refused @ ShellRefusal::NotStarted(_)) => in_words(StatusCode::INTERNAL_SERVER_ERROR, &refused),
    }
}

/// For somebody with a key.
fn in_words(status: StatusCode, refused: &ShellRefusal) -> Answer {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer::with_body(status, kind, format!("{refused}\n"))
}

fn stream(lines: Lines) -> Answer {
    let mut answer = Response::new(lines.boxed_unsync());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    answer
}
