//! `POST /etcha/v1/push/{source}`: the body is a token; `?check` asks only, `?filter=` leaves Commands out. The answer is
//! what changed, as JSON; 500 with the same if it failed.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use regex::Regex;

use super::Site;
use super::answer::{self, Answer};
use super::bodies::{self, Held, Unread};
use super::site::broken;
use crate::agent::record::{Action, Refusal};
use crate::agent::refusals::Denied;
use crate::agent::source::NoTurn;
use crate::agent::source::push::PushRequest;
use crate::wire::push::PushResult;
use https::Peer;

/// Answers a push to the Source `name`.
pub(super) async fn answer(
    site: &Arc<Site>,
    peer: Option<&Peer>,
    name: &str,
    query: &str,
    body: Incoming,
) -> Answer {
    let asked = (Action::Push, name);
    let (client, limit) = (peer.map(|peer| peer.address().ip()), site.sources.config().max_token_bytes);
    let Held { bytes, room } = match bodies::read(&site.bodies.pushes, client, body, limit, 0).await {
        Ok(held) => held,
        Err(Unread::NoRoom) => return answer::busy(),
        Err(Unread::TooLong) => {
            let answer = || answer::empty(StatusCode::PAYLOAD_TOO_LARGE);
            let denied = Denied::new(Refusal::Malformed, "the token is longer than `run_maxTokenBytes`");
            return site.refuse_with(peer, asked, &denied, answer);
        }
        Err(Unread::Broken) => return site.refuse(peer, asked, &Unread::Broken.denied()),
    };
    let (source, length, guard) = (name.to_owned(), bytes.len(), Arc::clone(&site.guard));
    let verified = site.verify(move |sources| {
        let _held = room;
        match String::from_utf8(bytes) {
            Ok(text) => sources.verify_push(&source, &text, &guard).map_err(|why| why.denied()),
            Err(_) => Err(Denied::new(Refusal::Malformed, "the token is no text")),
        }
    });
    let token = match verified.await {
        Ok(Ok(token)) => token,
        Ok(Err(denied)) => return site.refuse(peer, asked, &denied),
        Err(answer) => return answer,
    };
    if let Some(peer) = peer {
        // Whoever has a key is the last to make room for others.
        peer.vouch();
    }
    let Some(room) = site.bodies.trust(name, length) else { return answer::busy() };
    let Ok((check, filter)) = wishes(query) else { return answer::empty(StatusCode::BAD_REQUEST) };
    let remote_addr = peer.map(|peer| peer.address().ip().to_string()).unwrap_or_default();
    tracing::info!(source = name, client = remote_addr, key = token.key_id(), check, "push");
    let push = PushRequest { source: name.to_owned(), token, check, filter, remote_addr };
    let sources = Arc::clone(&site.sources);
    // A task of its own: a client that goes away ends nothing.
    let pushed = tokio::spawn(async move {
        let _held = room;
        sources.push(push).await
    });
    match pushed.await {
        Ok(Ok(result)) => told(&result),
        Ok(Err(NoTurn)) => answer::busy(),
        Err(_) => broken(),
    }
}

/// What the query asks for.
fn wishes(query: &str) -> Result<(bool, Option<Regex>), regex::Error> {
    let (mut check, mut filter) = (false, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "check" => check = true,
            "filter" if !value.is_empty() => filter = Some(Regex::new(&value)?),
            _ => {}
        }
    }
    Ok((check, filter))
}

fn told(result: &PushResult) -> Answer {
    let status = if result.err.is_empty() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    match serde_json::to_vec_pretty(result) {
        Ok(json) => answer::with_body(status, HeaderValue::from_static("application/json"), json),
        Err(_) => broken(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_query_asks_by_presence_and_filters_by_expression() {
        let read = |query| wishes(query).map(|(check, filter)| (check, filter.map(|it| it.to_string())));
        assert_eq!(read("").unwrap(), (false, None));
        assert_eq!(read("check").unwrap(), (true, None));
        assert_eq!(read("filter=web+%3E+a.*&check=").unwrap(), (true, Some("web > a.*".to_owned())));
        assert_eq!(read("filter=&other=1").unwrap(), (false, None));
        assert!(read("filter=(").is_err());
    }

    #[test]
    fn what_came_of_it_has_the_names_that_clients_know() {
        let result = PushResult { changed_ids: Some(vec!["a".to_owned()]), ..PushResult::default() };
        let json = serde_json::to_value(&result).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "changedIDs": ["a"], "changedOutputs": null, "err": "", "exit": false,
                "removedIDs": null, "removedOutputs": null
            })
        );
    }
}
