//! What the exporter answers to which path and method. Speaks to no socket: the listener hands requests in, and puts
//! the client's [`Peer`] into their extensions.
//!
//! | path | answers |
//! |---|---|
//! | [`METRICS_PATH`] | the metrics, to who has a key |
//! | `/` | a page for people |
//! | `/-/healthy` | 200 |
//! | `/-/ready` | 200 once the journal has been caught up with, 503 before |
//!
//! Each takes `GET` and `HEAD`; other methods get 405, other paths 404.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;
use warp::Filter;
use warp::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    REFERRER_POLICY, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode};
use warp::hyper::body::Bytes;
use warp::reply::Response;

use super::accept::Type;
use super::attempts::{Attempts, Standing};
use super::auth::{self, Keys, Refusal};
use super::body::Bodies;
use super::counts::Counts;
use super::encoding::{self, Encoding};
use super::{accept, landing};
use crate::exporter::published::Published;
use crate::https::Peer;

/// Path of the metrics, as in Etcha's monitoring guide.
pub const METRICS_PATH: &str = "/etcha/v1/system/metrics";

/// Methods that every path takes.
const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// Plain text for people.
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// What the routes answer from.
#[derive(Debug)]
pub struct Site {
    keys: Keys,
    attempts: Attempts,
    bodies: Bodies,
    published: Published,
    counts: Counts,
}

impl Site {
    /// A site that shows `published` and the families in `registry`, where it registers its own, to who has one of
    /// `keys`.
    ///
    /// # Errors
    ///
    /// When the families of this room are registered already.
    pub fn new(keys: Keys, published: Published, registry: &Registry) -> Result<Self, prometheus::Error> {
        let counts = Counts::register(registry)?;
        let bodies = Bodies::new(published.clone(), registry.clone(), counts.clone());
        Ok(Self { keys, attempts: Attempts::new(Instant::now()), bodies, published, counts })
    }
}

/// The routes of `site`. Every request has an answer: nothing is rejected.
pub fn routes(
    site: Arc<Site>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    let published = site.published.clone();
    let metrics = warp::path!("etcha" / "v1" / "system" / "metrics")
        .map(move || Arc::clone(&site))
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(client())
        .then(metrics);
    let landing = warp::path::end().and(warp::method()).map(|method| only_reads(&method, landing_page));
    let healthy = warp::path!("-" / "healthy")
        .and(warp::method())
        .map(|method| only_reads(&method, || plain(StatusCode::OK, "alive\n")));
    let ready = warp::path!("-" / "ready")
        .and(warp::method())
        .map(move |method| only_reads(&method, || readiness(&published)));
    let nothing = warp::any().map(|| plain(StatusCode::NOT_FOUND, "nothing here\n"));
    metrics.or(landing).unify().or(healthy).unify().or(ready).unify().or(nothing).unify().map(guarded)
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
    } else if let Err(refusal) = auth::judge(&site.keys, &query, &headers) {
        refuse(&site, refusal, client.map(|peer| peer.address().ip()))
    } else {
        if let Some(peer) = client {
            // Whoever has a key is the last to make room for others.
            peer.vouch();
        }
        let (kind, encoding) = (accept::negotiate(&headers), encoding::negotiate(&headers));
        match site.bodies.get(kind.format(), encoding).await {
            Ok(body) => exposed(&method, body, kind, encoding),
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be rendered\n"),
        }
    };
    site.counts.scrape(response.status());
    response
}

/// The metrics. An answer to `HEAD` has the headers of the answer to `GET`, its length included.
fn exposed(method: &Method, body: Bytes, kind: Type, encoding: Encoding) -> Response {
    let length = body.len();
    let body = if *method == Method::HEAD { Bytes::new() } else { body };
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind.content_type());
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if let Some(coding) = encoding.header() {
        headers.insert(CONTENT_ENCODING, coding);
    }
    response
}

/// Refuses a scrape with an empty body. Only wrong keys count as attempts: who offers none guesses nothing.
fn refuse(site: &Site, refusal: Refusal, client: Option<IpAddr>) -> Response {
    site.counts.refusal(refusal);
    let standing = match refusal {
        Refusal::Wrong => site.attempts.wrong(client, Instant::now()),
        Refusal::Missing | Refusal::Malformed => Standing::Within,
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

/// The answer beyond the limit of attempts, which ends after `rest`.
fn too_many(rest: Duration) -> Response {
    let mut response = empty(StatusCode::TOO_MANY_REQUESTS);
    // Whole seconds, rounded up: after them the next attempt counts in a new window.
    response.headers_mut().insert(RETRY_AFTER, (rest.as_secs() + 1).into());
    response
}

fn landing_page() -> Response {
    let mut response = Response::new(landing::PAGE.as_str().into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, landing::POLICY.clone());
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

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, PLAIN);
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Bytes::new().into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, PLAIN);
    response
}

/// Adds what every answer carries: it is kept nowhere, is only what it says it is, and its address, which may hold a
/// key, is told to no other site.
fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Read as _;
    use std::pin::Pin;

    use hyper_util::service::TowerToHyperService;
    use warp::http::Request;
    use warp::hyper::body::Body as _;
    use warp::hyper::service::Service as _;

    use super::*;
    use crate::exporter::log::{self, Page};
    use crate::exporter::published::Snapshot;

    struct Rig {
        site: Arc<Site>,
        registry: Registry,
    }

    struct Answer {
        status: StatusCode,
        headers: HeaderMap,
        body: Vec<u8>,
    }

    impl Rig {
        fn new() -> Self {
            let registry = Registry::new();
            let mut keys = Keys::default();
            assert!(keys.add(b"secret") && keys.add("n&w+1%é".as_bytes()));
            let site = Arc::new(Site::new(keys, Published::default(), &registry).unwrap());
            Self { site, registry }
        }

        async fn send(&self, request: Request<String>) -> Answer {
            let service = TowerToHyperService::new(warp::service(routes(Arc::clone(&self.site))));
            let (parts, mut body) = service.call(request).await.unwrap().into_parts();
            let mut bytes = Vec::new();
            while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                bytes.extend_from_slice(frame.unwrap().data_ref().unwrap());
            }
            Answer { status: parts.status, headers: parts.headers, body: bytes }
        }

        async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
            let mut request = Request::builder().method(method).uri(path);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            self.send(request.body(String::new()).unwrap()).await
        }

        async fn ask_from(&self, client: &str, query: &str) -> Answer {
            let request = Request::builder()
                .uri(format!("{METRICS_PATH}{query}"))
                .extension(Peer::new(std::net::SocketAddr::new(client.parse().unwrap(), 50_000)));
            self.send(request.body(String::new()).unwrap()).await
        }

        /// The value of a sample in our own families.
        fn own(&self, sample: &str) -> String {
            let text = prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
            let line = text.lines().find(|line| line.starts_with(&format!("{sample} "))).unwrap();
            line.rsplit(' ').next().unwrap().to_owned()
        }
    }

    impl Answer {
        fn header(&self, name: &str) -> Option<&str> {
            self.headers.get(name).map(|value| value.to_str().unwrap())
        }

        fn text(&self) -> &str {
            std::str::from_utf8(&self.body).unwrap()
        }
    }

    fn with_key(key: &str) -> String {
        format!("{METRICS_PATH}?key={key}")
    }

    #[tokio::test]
    async fn a_right_key_gets_the_metrics_in_the_text_format() {
        let rig = Rig::new();
        for (path, headers) in [
            (with_key("secret"), vec![]),
            (with_key("n%26w%2B1%25%C3%A9"), vec![]),
            (METRICS_PATH.to_owned(), vec![("authorization", "Bearer secret")]),
            (METRICS_PATH.to_owned(), vec![("authorization", "Basic b3BzOnNlY3JldA==")]),
            (with_key("secret"), vec![("accept", "application/json")]),
        ] {
            let answer = rig.ask("GET", &path, &headers).await;
            assert_eq!(answer.status, StatusCode::OK, "{path} {headers:?}");
            assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
            assert_eq!(answer.header("content-encoding"), None);
            assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"));
            assert_eq!(answer.header("content-length").unwrap(), answer.body.len().to_string());
            assert!(answer.text().contains("# TYPE etcha_exporter_scrapes_total counter\n"));
        }
        assert_eq!(rig.own("etcha_exporter_scrapes_total{code=\"200\"}"), "5");
    }

    #[tokio::test]
    async fn without_a_right_key_the_answer_is_403_and_empty() {
        let rig = Rig::new();
        for path in
            [METRICS_PATH.to_owned(), with_key(""), with_key("wrong"), with_key("a&key=b"), with_key("%")]
        {
            let answer = rig.ask("GET", &path, &[]).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
            assert!(answer.body.is_empty(), "{path}");
            assert!(answer.header("content-type").is_some(), "{path}");
        }
        assert_eq!(rig.own("etcha_exporter_scrapes_total{code=\"403\"}"), "5");
        assert_eq!(rig.own("etcha_exporter_scrape_refusals_total{reason=\"missing\"}"), "2");
        assert_eq!(rig.own("etcha_exporter_scrape_refusals_total{reason=\"wrong\"}"), "1");
        assert_eq!(rig.own("etcha_exporter_scrape_refusals_total{reason=\"malformed\"}"), "2");
    }

    #[tokio::test]
    async fn wrong_keys_are_limited_by_address_and_a_right_one_is_never_refused() {
        let rig = Rig::new();
        for _ in 0..10 {
            assert_eq!(rig.ask_from("192.0.2.1", "?key=wrong").await.status, StatusCode::FORBIDDEN);
        }
        let limited = rig.ask_from("192.0.2.1", "?key=wrong").await;
        assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(limited.body.is_empty());
        let wait: u64 = limited.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        assert_eq!(rig.ask_from("192.0.2.1", "?key=secret").await.status, StatusCode::OK);
        assert_eq!(rig.ask_from("192.0.2.1", "").await.status, StatusCode::FORBIDDEN);
        assert_eq!(rig.ask_from("192.0.2.2", "?key=wrong").await.status, StatusCode::FORBIDDEN);
        assert_eq!(rig.own("etcha_exporter_scrapes_limited_total"), "1");
        assert_eq!(rig.own("etcha_exporter_scrape_refusals_total{reason=\"wrong\"}"), "12");
    }

    #[tokio::test]
    async fn gzip_is_given_to_who_takes_it() {
        let rig = Rig::new();
        let plain = rig.ask("GET", &with_key("secret"), &[("accept-encoding", "gzip;q=0")]).await;
        assert_eq!(plain.header("content-encoding"), None);
        assert!(plain.text().starts_with("# HELP "));
        let packed = rig.ask("GET", &with_key("secret"), &[("accept-encoding", "br, gzip")]).await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert_eq!(packed.header("vary"), Some("Accept, Accept-Encoding"));
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_string(&mut unpacked).unwrap();
        assert!(unpacked.starts_with("# HELP "), "{unpacked}");
    }

    #[tokio::test]
    async fn every_wish_gets_a_right_type_and_coding() {
        let rig = Rig::new();
        let protobuf =
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        for (accept, kind) in [
            ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
            ("text/plain;q=0", "text/plain; version=0.0.4; charset=utf-8"),
            ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
            (
                "application/openmetrics-text;version=0.0.1",
                "application/openmetrics-text; version=0.0.1; charset=utf-8",
            ),
            (
                protobuf,
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
            ),
        ] {
            for (accepted, coding) in [("gzip;q=0", None), ("gzip", Some("gzip")), ("zstd", Some("zstd"))] {
                let wishes = [("accept", accept), ("accept-encoding", accepted)];
                let answer = rig.ask("GET", &with_key("secret"), &wishes).await;
                assert_eq!(answer.header("content-type"), Some(kind), "{accept}");
                assert_eq!(answer.header("content-encoding"), coding, "{accept} {accepted}");
            }
        }
    }

    #[tokio::test]
    async fn head_has_the_headers_of_get_and_no_body() {
        let rig = Rig::new();
        let get = rig.ask("GET", &with_key("secret"), &[]).await;
        let head = rig.ask("HEAD", &with_key("secret"), &[]).await;
        assert_eq!(head.status, StatusCode::OK);
        assert!(head.headers.keys().eq(get.headers.keys()));
        assert!(head.header("content-length").unwrap().parse::<usize>().unwrap() > 0);
        assert!(head.body.is_empty());
        assert_eq!(rig.ask("HEAD", METRICS_PATH, &[]).await.status, StatusCode::FORBIDDEN);
    }

    #[tokio::test]
    async fn other_methods_get_405_and_other_paths_404() {
        let rig = Rig::new();
        for path in [METRICS_PATH, "/", "/-/healthy", "/-/ready", &with_key("secret")] {
            for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
                let answer = rig.ask(method, path, &[]).await;
                assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
                assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{method} {path}");
            }
        }
        for path in
            ["/metrics", "/etcha/v1/system", "/etcha/v1/system/metrics/more", "/-/", "/-/healthy/x", "//"]
        {
            assert_eq!(rig.ask("GET", path, &[]).await.status, StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn ready_follows_the_published_state_and_healthy_does_not() {
        let rig = Rig::new();
        assert_eq!(rig.ask("GET", "/-/healthy", &[]).await.status, StatusCode::OK);
        assert_eq!(rig.ask("GET", "/-/ready", &[]).await.status, StatusCode::SERVICE_UNAVAILABLE);
        rig.site.published.publish(Snapshot { caught_up: true, ..Snapshot::default() });
        assert_eq!(rig.ask("GET", "/-/ready", &[]).await.status, StatusCode::OK);
        assert_eq!(rig.ask("GET", "/-/healthy", &[]).await.status, StatusCode::OK);
    }

    #[tokio::test]
    async fn every_answer_is_guarded_and_has_a_content_type() {
        let rig = Rig::new();
        for path in
            ["/", "/-/healthy", "/-/ready", "/nothing", METRICS_PATH, &with_key("secret"), &with_key("x")]
        {
            for method in ["GET", "POST"] {
                let answer = rig.ask(method, path, &[]).await;
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
                assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{method} {path}");
                assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{method} {path}");
                assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
                assert!(answer.header("content-type").is_some(), "{method} {path}");
            }
        }
    }

    #[tokio::test]
    async fn the_page_for_people_loads_nothing_and_holds_no_key() {
        let answer = Rig::new().ask("GET", "/", &[]).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.header("content-security-policy").unwrap().contains("style-src 'sha256-"));
        assert!(answer.text().contains(&format!("href=\"{METRICS_PATH}\"")));
        for hint in ["secret", "<script", "http:", "https:", "src="] {
            assert!(!answer.text().contains(hint), "{hint}");
        }
    }

    #[tokio::test]
    async fn no_key_that_is_offered_is_logged_or_answered() {
        let page = Page::default();
        let writer = page.clone();
        let subscriber =
            log::subscriber(log::Format::Logfmt, log::Level::Trace, false, move || writer.clone());
        let logging = tracing::subscriber::set_default(subscriber);
        let rig = Rig::new();
        let mut seen = String::new();
        for _ in 0..11 {
            for (path, authorization) in [
                (with_key("hunter2"), "Digest x"),
                (with_key("hunter2&key=hunter2"), "Bearer hunter2"),
                (with_key("secret"), "Basic b3BzOnNlY3JldA=="),
                (METRICS_PATH.to_owned(), "Bearer hunter2"),
                (METRICS_PATH.to_owned(), "Basic aHVudGVyMg"),
            ] {
                let answer = rig.ask("GET", &path, &[("authorization", authorization)]).await;
                seen += &format!("{:?} {}", answer.headers, answer.text());
            }
        }
        drop(logging);
        seen += &page.text();
        assert!(seen.contains("too many wrong keys"), "{seen}");
        for key in ["secret", "hunter2", "c2VjcmV0", "aHVudGVyMg", "NlY3JldA"] {
            assert!(!seen.contains(key), "{key}: {seen}");
        }
    }

    #[test]
    fn the_site_shows_no_key_when_it_is_debugged() {
        let shown = format!("{:?}", Rig::new().site);
        assert!(shown.contains("Keys { count: 2, .. }") && !shown.contains("secret"), "{shown}");
    }
}
