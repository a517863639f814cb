//! What the exporter answers to which path and method. Speaks to no socket: the listener hands requests in, and puts
//! the client's [`Peer`] into their extensions.
//!
//! | path | answers |
//! |---|---|
//! | [`super::METRICS_PATH`] | the metrics, to who has a key |
//! | `/metrics`, or what `--telemetry-path` says | the same |
//! | [`super::site::STATUS_PATH`] | the status page, to who has a key; asks for it by 401 |
//! | `/` | a page for people |
//! | `/-/healthy` | 200 |
//! | `/-/ready` | 200 once the journal has been caught up with, 503 before |
//!
//! Each takes `GET` and `HEAD`; other methods get 405, other paths 404.

use std::convert::Infallible;
use std::future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use warp::Filter;
use warp::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    REFERRER_POLICY, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode};
use warp::hyper::body::Bytes;
use warp::path::FullPath;
use warp::reply::Response;

use super::access::{Audience, admit};
use super::negotiation::{self, Encoding, Type};
use super::pages::{self, plain, status};
use super::site::{METRICS_PATH, Site, Surface};
use crate::publish::Published;
use https::Peer;

/// Methods that every path takes.
const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// The routes of `site`. Every request has an answer: nothing is rejected.
pub(crate) fn routes(
    site: Arc<Site>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    let published = site.published.clone();
    let page = Arc::clone(&site);
    let page = warp::path!("etcha" / "v1" / "system" / "status")
        .map(move || Arc::clone(&page))
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(client())
        .then(status_page);
    let (limited, surface) = (Arc::clone(&site), site.surface.clone());
    let telemetry_path = surface.telemetry_path.as_str().to_owned();
    let metrics = warp::path::full()
        .and_then(move |path: FullPath| {
            let is_metrics = [METRICS_PATH, &telemetry_path].contains(&path.as_str());
            future::ready(if is_metrics { Ok(()) } else { Err(warp::reject()) })
        })
        .untuple_one()
        .map(move || Arc::clone(&site))
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(client())
        .then(metrics);
    let landing = warp::path::end().and(warp::method()).map(|method| only_reads(&method, pages::landing));
    let healthy = warp::path!("-" / "healthy")
        .and(warp::method())
        .map(|method| only_reads(&method, || plain(StatusCode::OK, "alive\n")));
    let ready = warp::path!("-" / "ready")
        .and(warp::method())
        .map(move |method| only_reads(&method, || readiness(&published)));
    let nothing = warp::any().map(|| plain(StatusCode::NOT_FOUND, "nothing here\n"));
    let limited = warp::any().and_then(move || {
        let admitted = limited.rate.as_ref().map_or(Ok(()), |rate| rate.admit(Instant::now()));
        future::ready(admitted.err().map(too_many).ok_or_else(warp::reject))
    });
    limited
        .or(metrics)
        .unify()
        .or(page)
        .unify()
        .or(landing)
        .unify()
        .or(healthy)
        .unify()
        .or(ready)
        .unify()
        .or(nothing)
        .unify()
        .map(move |response| guarded(response, &surface))
}

/// The client, where the listener told it.
fn client() -> impl Filter<Extract = (Option<Peer>,), Error = Infallible> + Copy {
    warp::ext::optional::<Peer>()
}

/// Answers a request for the metrics.
async fn metrics(
    site: Arc<Site>,
    method: Method,
    headers: HeaderMap,
    query: String,
    client: Option<Peer>,
) -> Response {
    let response = if !reads(&method) {
        method_not_allowed()
    } else if let Err(refused) = admit(&site, Audience::Scraper, &query, &headers, client.as_ref()).await {
        refused
    } else {
        let (kind, encoding) = (negotiation::content_type(&headers), negotiation::encoding(&headers));
        match site.bodies.get(kind.format(), encoding).await {
            Ok(body) => exposed(&method, body, kind, encoding),
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be rendered\n"),
        }
    };
    site.counts.scrape(response.status());
    response
}

/// Answers a request for the status page.
async fn status_page(
    site: Arc<Site>,
    method: Method,
    headers: HeaderMap,
    query: String,
    client: Option<Peer>,
) -> Response {
    if reads(&method) {
        status::show(site, method, headers, query, client).await
    } else {
        method_not_allowed()
    }
}

/// The metrics. An answer to `HEAD` has the headers of the answer to `GET`, its length included.
fn exposed(method: &Method, body: Bytes, kind: Type, encoding: Encoding) -> Response {
    let length = body.len();
    let body = if *method == Method::HEAD { Bytes::new() } else { body };
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind.header());
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if let Some(coding) = encoding.header() {
        headers.insert(CONTENT_ENCODING, coding);
    }
    response
}

/// The answer beyond the limit of requests, which lets the next one in after `rest`.
fn too_many(rest: Duration) -> Response {
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, "too many requests\n");
    response.headers_mut().insert(RETRY_AFTER, (rest.as_secs() + 1).into());
    response
}

fn readiness(published: &Published) -> Response {
    if published.latest().caught_up {
        plain(StatusCode::OK, "ready\n")
    } else {
        plain(StatusCode::SERVICE_UNAVAILABLE, "not ready: still reading the journal\n")
    }
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The answer for methods that only read; the listener leaves the body away after `HEAD`.
fn only_reads(method: &Method, answer: impl FnOnce() -> Response) -> Response {
    if reads(method) { answer() } else { method_not_allowed() }
}

fn method_not_allowed() -> Response {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    response.headers_mut().insert(ALLOW, ALLOWED);
    response
}

/// Adds what every answer carries: it is kept nowhere, is only what it says it is, and its address, which may hold a
/// key, is told to no other site.
fn guarded(mut response: Response, surface: &Surface) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    for (name, value) in &surface.headers {
        headers.insert(name, value.clone());
    }
    response
}

#[cfg(test)]
mod tests;
