//! What the exporter answers to which path and method. Speaks to no socket: the listener hands requests in, and puts
//! the client's [`Peer`] into their extensions.
//!
//! | path | answers |
//! |---|---|
//! | [`METRICS_PATH`] | the metrics, to who has a key |
//! | [`status::STATUS_PATH`] | the status page, to who has a key; its form comes back by `POST` |
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
use super::access::Access;
use super::access::Gate;
use super::attempts::{Attempts, Standing};
use super::auth::Credentials;
use super::auth::{self, Judged, Refusal};
use super::body::Bodies;
use super::counts::Counts;
use super::encoding::{self, Encoding};
use super::passwords::{Busy, Passwords};
use super::status::history::History;
use super::status::{self, Status};
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
    pub(super) gate: Gate,
    attempts: Attempts,
    passwords: Passwords,
    bodies: Bodies,
    pub(super) published: Published,
    pub(super) status: Status,
    counts: Counts,
}

impl Site {
    /// A site that shows `published` and the families in `registry`, where it registers its own, to whom
    /// `gate` lets in.
    ///
    /// # Errors
    ///
    /// When the families of this room are registered already.
    pub fn new(gate: Gate, published: Published, registry: &Registry) -> Result<Self, prometheus::Error> {
        let counts = Counts::register(registry)?;
        let bodies = Bodies::new(published.clone(), registry.clone(), counts.clone());
        Ok(Self {
            gate,
            attempts: Attempts::new(Instant::now()),
            passwords: Passwords::default(),
            bodies,
            published,
            status: Status::default(),
            counts,
        })
    }

    /// The history that the status page shows, for who fills it.
    pub fn history(&self) -> Arc<History> {
        self.status.history()
    }
}

/// The routes of `site`. Every request has an answer: nothing is rejected.
pub fn routes(
    site: Arc<Site>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    let published = site.published.clone();
    let page = Arc::clone(&site);
    let page = warp::path!("etcha" / "v1" / "system" / "status").map(move || Arc::clone(&page));
    let form = page
        .clone()
        .and(warp::post())
        .and(warp::header::headers_cloned())
        .and(client())
        .and(warp::body::content_length_limit(status::MAX_FORM_BYTES))
        .and(warp::body::bytes())
        .then(status::enter);
    let page = page.and(warp::method()).and(warp::header::headers_cloned()).and(client()).then(status_page);
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
    metrics
        .or(form)
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
        .map(guarded)
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
    } else if let Err(refused) = admit(&site, &query, &headers, client.as_ref()).await {
        refused
    } else {
        let (kind, encoding) = (accept::negotiate(&headers), encoding::negotiate(&headers));
        match site.bodies.get(kind.format(), encoding).await {
            Ok(body) => exposed(&method, body, kind, encoding),
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be rendered\n"),
        }
    };
    site.counts.scrape(response.status());
    response
}

/// Answers a request for the status page that carries no form that could be read.
async fn status_page(site: Arc<Site>, method: Method, headers: HeaderMap, client: Option<Peer>) -> Response {
    match method {
        Method::GET | Method::HEAD => status::show(site, method, headers, client).await,
        Method::POST => plain(StatusCode::PAYLOAD_TOO_LARGE, "the form is too long\n"),
        _ => {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and POST\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            response
        }
    }
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

/// The answer while too many passwords wait to be checked.
fn busy() -> Response {
    let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, 1.into());
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

pub(super) fn plain(status: StatusCode, text: &'static str) -> Response {
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

    use super::super::status::STATUS_PATH;
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
            let mut access = Access::default();
            assert!(access.keys.add(b"secret") && access.keys.add("n&w+1%é".as_bytes()));
            let gate = Gate::new(access);
            let site = Arc::new(Site::new(gate, Published::default(), &registry).unwrap());
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
    async fn a_user_of_the_web_configuration_file_gets_in_with_the_password_alone() {
        let rig = Rig::new();
        let mut access = (*rig.site.gate.current()).clone();
        access.users.add("alice", &bcrypt::hash("pass", 4).unwrap()).unwrap();
        rig.site.gate.replace(access);
        for (pair, status) in [
            ("alice:pass", StatusCode::OK),
            ("alice:wrong", StatusCode::FORBIDDEN),
            ("bob:pass", StatusCode::FORBIDDEN),
            ("alice:", StatusCode::FORBIDDEN),
            ("bob:secret", StatusCode::OK),
        ] {
            use base64::Engine as _;
            let header = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
            let answer = rig.ask("GET", METRICS_PATH, &[("authorization", &header)]).await;
            assert_eq!(answer.status, status, "{pair}");
        }
        assert_eq!(rig.own("etcha_exporter_scrape_refusals_total{reason=\"wrong\"}"), "2");
    }

    #[tokio::test]
    async fn keys_are_replaced_while_requests_come() {
        let rig = Rig::new();
        assert_eq!(rig.ask("GET", &with_key("secret"), &[]).await.status, StatusCode::OK);
        let mut access = Access { refuse_query_keys: true, ..Access::default() };
        assert!(access.keys.add(b"new"));
        rig.site.gate.replace(access);
        let bearer = |key| [("authorization", key)];
        assert_eq!(
            rig.ask("GET", METRICS_PATH, &bearer("Bearer secret")).await.status,
            StatusCode::FORBIDDEN
        );
        assert_eq!(rig.ask("GET", METRICS_PATH, &bearer("Bearer new")).await.status, StatusCode::OK);
        assert_eq!(rig.ask("GET", &with_key("new"), &[]).await.status, StatusCode::FORBIDDEN);
        assert_eq!(rig.own("etcha_exporter_scrape_refusals_total{reason=\"in_query\"}"), "1");
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
    async fn the_status_page_opens_by_form_and_by_header_and_never_by_link() {
        let rig = Rig::new();
        let closed = rig.ask("GET", STATUS_PATH, &[]).await;
        assert_eq!(closed.status, StatusCode::FORBIDDEN);
        assert!(closed.text().contains("<form method=\"post\""));
        let link = rig.ask("GET", &format!("{STATUS_PATH}?key=secret"), &[]).await;
        assert_eq!(link.status, StatusCode::FORBIDDEN);
        let header = rig.ask("GET", STATUS_PATH, &[("authorization", "Bearer secret")]).await;
        assert_eq!(header.status, StatusCode::OK);
        assert!(header.text().contains("Shells open now: 0"), "{}", header.text());
        assert_eq!(
            rig.ask("GET", STATUS_PATH, &[("authorization", "Bearer x")]).await.status,
            StatusCode::FORBIDDEN
        );

        let post = async |form: &str, headers: &[(&str, &str)]| {
            let mut request = Request::builder().method("POST").uri(STATUS_PATH);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.header("content-length", form.len());
            rig.send(request.body(form.to_owned()).unwrap()).await
        };
        let wrong = post("key=wrong", &[]).await;
        assert_eq!(wrong.status, StatusCode::FORBIDDEN);
        assert!(wrong.text().contains("not right") && !wrong.text().contains("wrong\""));
        assert_eq!(
            post("key=secret", &[("sec-fetch-site", "cross-site")]).await.status,
            StatusCode::FORBIDDEN
        );
        assert_eq!(post(&"k".repeat(9000), &[]).await.status, StatusCode::PAYLOAD_TOO_LARGE);
        let right = post("key=n%26w%2B1%25%C3%A9", &[]).await;
        assert_eq!((right.status, right.header("location")), (StatusCode::SEE_OTHER, Some(STATUS_PATH)));
        let cookie = right.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let open = rig.ask("GET", STATUS_PATH, &[("cookie", &cookie)]).await;
        assert_eq!(open.status, StatusCode::OK);
        assert_eq!(rig.ask("GET", METRICS_PATH, &[("cookie", &cookie)]).await.status, StatusCode::FORBIDDEN);
        assert_eq!(post("end=1", &[("cookie", &cookie)]).await.status, StatusCode::SEE_OTHER);
        assert_eq!(rig.ask("GET", STATUS_PATH, &[("cookie", &cookie)]).await.status, StatusCode::FORBIDDEN);
        let other = rig.ask("PUT", STATUS_PATH, &[]).await;
        assert_eq!(
            (other.status, other.header("allow")),
            (StatusCode::METHOD_NOT_ALLOWED, Some("GET, HEAD, POST"))
        );
        for _ in 0..12 {
            post("key=wrong", &[]).await;
        }
        assert_eq!(post("key=wrong", &[]).await.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(post("key=secret", &[]).await.status, StatusCode::SEE_OTHER);
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
        for path in [
            "/",
            STATUS_PATH,
            "/-/healthy",
            "/-/ready",
            "/nothing",
            METRICS_PATH,
            &with_key("secret"),
            &with_key("x"),
        ] {
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
