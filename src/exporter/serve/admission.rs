//! Admission: lets a request in, or says how it is answered instead. What a request offers is judged by
//! [`super::auth`]; wrong keys are counted by [`https::attempts`].

use std::net::IpAddr;
use std::time::{Duration, Instant};

use warp::http::header::RETRY_AFTER;
use warp::http::{HeaderMap, StatusCode};
use warp::reply::Response;

use super::access::Access;
use super::answer::empty;
use super::auth::{self, Credentials, Judged, Refusal};
use super::passwords::Busy;
use super::site::Site;
use https::Peer;
use https::attempts::Standing;

/// Lets a request in, or says how it is answered instead.
pub(super) async fn admit(
    site: &Site,
    query: &str,
    headers: &HeaderMap,
    client: Option<&Peer>,
) -> Result<(), Response> {
    let access = site.gate.current();
    let verdict = match auth::judge(&access, query, headers) {
        Ok(Judged::Admitted) => Ok(()),
        Ok(Judged::Password(offered)) => check(site, &access, offered).await?,
        Err(refusal) => Err(refusal),
    };
    if let Err(refusal) = verdict {
        return Err(refuse(site, refusal, client.map(|peer| peer.address().ip())));
    }
    if let Some(peer) = client {
        // Whoever has a key is the last to make room for others.
        peer.vouch();
    }
    Ok(())
}

/// Checks a user's password; an answer instead when too many others wait for theirs.
pub(super) async fn check(
    site: &Site,
    access: &Access,
    offered: Credentials,
) -> Result<Result<(), Refusal>, Response> {
    match site.passwords.verify(access.users.hash(&offered.user), offered.password).await {
        Ok(true) => Ok(Ok(())),
        Ok(false) => Ok(Err(Refusal::Wrong)),
        Err(Busy) => Err(busy()),
    }
}

/// Refuses a request with an empty body. Only wrong keys count as attempts: who offers none guesses nothing.
pub(super) fn refuse(site: &Site, refusal: Refusal, client: Option<IpAddr>) -> Response {
    site.counts.refusal(refusal);
    let standing = match refusal {
        Refusal::Wrong => site.attempts.wrong(client, Instant::now()),
        Refusal::Missing | Refusal::Malformed | Refusal::InQuery => Standing::Within,
    };
    let shown = client.map_or_else(|| "unknown".to_owned(), |client| client.to_canonical().to_string());
    match standing {
        Standing::Within => tracing::debug!(client = shown, reason = refusal.name(), "refused a scrape"),
        Standing::Last => {
            tracing::warn!(client = shown, "too many wrong keys, further ones get 429 for a while");
        }
        Standing::Beyond(rest) => {
            site.counts.limited();
            return too_many(rest);
        }
    }
    empty(StatusCode::FORBIDDEN)
}

/// The answer while too many passwords wait to be checked.
fn busy() -> Response {
    let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, 1.into());
    response
}

/// The answer beyond the limit of attempts, which ends after `rest`.
fn too_many(rest: Duration) -> Response {
    let mut response = empty(StatusCode::TOO_MANY_REQUESTS);
    // Whole seconds, rounded up: after them the next attempt counts in a new window.
    response.headers_mut().insert(RETRY_AFTER, (rest.as_secs() + 1).into());
    response
}
