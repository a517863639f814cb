//! Admission: lets a request in, or answers it instead. What a request offers is judged by `credentials`; wrong keys
//! are counted by [`https::attempts`].

use std::net::IpAddr;
use std::time::{Duration, Instant};

use warp::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use warp::http::{HeaderMap, HeaderValue, StatusCode};
use warp::reply::Response;

use super::credentials::{self, Judged, Refusal};
use super::passwords::Checked;
use crate::serve::pages::empty;
use crate::serve::site::Site;
use https::Peer;
use https::attempts::Standing;

/// What makes a browser ask for a user name and a password.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"etcha-exporter\", charset=\"UTF-8\"");

/// Who is expected to ask, which decides how a request without a right key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) enum Audience {
    /// 403, as Etcha answers. Where there are users 401 and a challenge: some clients send a password only after one.
    Scraper,
    /// 401 and a challenge, at which a browser asks its user.
    Browser,
}

/// Lets a request in, or says how it is answered instead.
pub(in crate::serve) async fn admit(
    site: &Site,
    audience: Audience,
    query: &str,
    headers: &HeaderMap,
    client: Option<&Peer>,
) -> Result<(), Response> {
    let access = site.gate.current();
    let address = client.map(|peer| peer.address().ip());
    let verdict = match credentials::judge(&access, query, headers) {
        Ok(Judged::Admitted) => Ok(()),
        Ok(Judged::Password(offered)) => {
            match site.passwords.check(&site.attempts, address, &access.users, offered).await {
                Checked::Right => Ok(()),
                Checked::Wrong(standing) => Err((Refusal::Wrong, standing)),
                Checked::Busy => return Err(busy()),
            }
        }
        Err(Refusal::Wrong) => Err((Refusal::Wrong, site.attempts.wrong(address, Instant::now()))),
        // Only wrong keys count as attempts: a request without one guesses nothing.
        Err(refusal) => Err((refusal, Standing::Within)),
    };
    if let Err((refusal, standing)) = verdict {
        let challenged = audience == Audience::Browser || !access.users.is_empty();
        return Err(refuse(site, refusal, standing, challenged, address));
    }
    if let Some(peer) = client {
        // A client with a key is the last to make room for others.
        peer.vouch();
    }
    Ok(())
}

/// Refuses a request with an empty body.
fn refuse(
    site: &Site,
    refusal: Refusal,
    standing: Standing,
    challenged: bool,
    client: Option<IpAddr>,
) -> Response {
    site.counts.refusal(refusal);
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
    if !challenged {
        return empty(StatusCode::FORBIDDEN);
    }
    let mut response = empty(StatusCode::UNAUTHORIZED);
    response.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
    response
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
