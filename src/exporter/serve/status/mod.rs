//! The status page: what the agent on this host does, for a person with a browser. Shows a published state to who has
//! a key; the key comes by form or by `Authorization`, never in a link.
//!
//! # Layout
//!
//! * `page`: the HTML; `plot`: the drawings in it; `shown`: single values.
//! * [`history`]: the hour that the drawings show.
//! * `session`: who has shown a key already; `kept`: these and the history, between requests.
//! * this file: requests and answers.

pub(crate) mod history;
pub(super) mod kept;
mod page;
mod plot;
mod session;
mod shown;

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use warp::http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, RETRY_AFTER, SET_COOKIE,
};
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode};
use warp::hyper::body::Bytes;
use warp::reply::Response;

use super::admission::{admit, check, refuse};
use super::answer::plain;
use super::auth::{Credentials, Refusal};
use super::query;
use super::site::{STATUS_PATH, Site};
use https::Peer;

/// Longest form in bytes: the longest key, fully encoded, and a user's name.
pub(super) const MAX_FORM_BYTES: u64 = 8 * 1024;

/// Answers a request to see the page.
pub(super) async fn show(
    site: Arc<Site>,
    method: Method,
    headers: HeaderMap,
    client: Option<Peer>,
) -> Response {
    let access = site.gate.current();
    let session = site.status.sessions.has(&headers, &access, Instant::now());
    if session {
        if let Some(peer) = &client {
            peer.vouch();
        }
    } else if headers.contains_key(AUTHORIZATION) {
        // The query is not looked at: a key in a link ends up in histories and bookmarks.
        if let Err(refused) = admit(&site, "", &headers, client.as_ref()).await {
            return refused;
        }
    } else {
        return html(StatusCode::FORBIDDEN, page::form(!access.users.is_empty(), None));
    }
    let (latest, samples) = (site.published.latest(), site.status.history.samples());
    // Many series take a while: not where connections are served.
    let page =
        tokio::task::spawn_blocking(move || page::status(&latest, &samples, session, Timestamp::now()));
    match page.await {
        Ok(page) if method == Method::HEAD => {
            let mut response = html(StatusCode::OK, String::new());
            response.headers_mut().insert(CONTENT_LENGTH, page.len().into());
            response
        }
        Ok(page) => html(StatusCode::OK, page),
        Err(error) => {
            tracing::error!(%error, "the status page stopped early");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made\n")
        }
    }
}

/// Answers the form: opens a session for a right key, or ends one.
pub(super) async fn enter(
    site: Arc<Site>,
    headers: HeaderMap,
    client: Option<Peer>,
    form: Bytes,
) -> Response {
    // Browsers say where a form comes from; one of another site has no business here.
    if headers.get("sec-fetch-site").is_some_and(|from| !matches!(from.as_bytes(), b"same-origin" | b"none"))
    {
        return plain(StatusCode::FORBIDDEN, "the form was sent from another site\n");
    }
    let form = String::from_utf8_lossy(&form);
    if query::values(&form, "end").next().is_some() {
        return back(site.status.sessions.end(&headers));
    }
    let access = site.gate.current();
    let field = |name| query::values(&form, name).next().and_then(Result::ok).unwrap_or_default();
    let (user, key) = (field("user"), field("key"));
    let right = if key.is_empty() {
        Err(Refusal::Missing)
    } else if access.keys.admit(&key) {
        Ok(())
    } else if access.users.is_empty() {
        Err(Refusal::Wrong)
    } else {
        match check(&site, &access, Credentials { user, password: key }).await {
            Ok(verdict) => verdict,
            Err(busy) => return busy,
        }
    };
    let Err(refusal) = right else {
        if let Some(peer) = &client {
            peer.vouch();
        }
        return back(site.status.sessions.open(access, Instant::now()));
    };
    let refused = refuse(&site, refusal, client.map(|peer| peer.address().ip()));
    let said = if refused.status() == StatusCode::TOO_MANY_REQUESTS {
        "Too many wrong keys from your address. Wait a minute."
    } else {
        "That key is not right."
    };
    let mut response = html(refused.status(), page::form(!access.users.is_empty(), Some(said)));
    if let Some(wait) = refused.headers().get(RETRY_AFTER) {
        response.headers_mut().insert(RETRY_AFTER, wait.clone());
    }
    response
}

/// Back to the page, with a cookie.
fn back(cookie: Option<HeaderValue>) -> Response {
    let Some(cookie) = cookie else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "no session could be opened\n");
    };
    let mut response = plain(StatusCode::SEE_OTHER, "");
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(STATUS_PATH));
    response.headers_mut().insert(SET_COOKIE, cookie);
    response
}

fn html(status: StatusCode, page: String) -> Response {
    let mut response = Response::new(page.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, page::POLICY.clone());
    response
}
