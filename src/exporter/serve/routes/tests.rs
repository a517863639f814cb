//! The routes without a socket: requests in, answers out.

#![allow(clippy::unwrap_used)]

use std::io::Read as _;
use std::pin::Pin;

use hyper_util::service::TowerToHyperService;
use prometheus::Registry;
use warp::http::Request;
use warp::hyper::body::Body as _;
use warp::hyper::service::Service as _;

use super::super::Gate;
use super::super::site::{METRICS_PATH, STATUS_PATH};
use super::*;
use crate::log::{self, Page};
use crate::publish::Snapshot;
use crate::serve::Access;

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
        let site = Arc::new(Site::new(gate, Published::default(), &registry, Surface::default()).unwrap());
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
        ("/metrics?key=secret".to_owned(), vec![]),
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
    assert_eq!(rig.own("etcha_exporter_scrapes_total{code=\"200\"}"), "6");
}

#[tokio::test]
async fn without_a_right_key_the_answer_is_403_and_empty() {
    let rig = Rig::new();
    for path in [METRICS_PATH.to_owned(), with_key(""), with_key("wrong"), with_key("a&key=b"), with_key("%")]
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
async fn gzip_is_given_to_clients_that_accept_it() {
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
        ("alice:wrong", StatusCode::UNAUTHORIZED),
        ("bob:pass", StatusCode::UNAUTHORIZED),
        ("alice:", StatusCode::UNAUTHORIZED),
        ("bob:secret", StatusCode::OK),
    ] {
        let answer = rig.ask("GET", METRICS_PATH, &[("authorization", &basic(pair))]).await;
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
    assert_eq!(rig.ask("GET", METRICS_PATH, &bearer("Bearer secret")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(rig.ask("GET", METRICS_PATH, &bearer("Bearer new")).await.status, StatusCode::OK);
    assert_eq!(rig.ask("GET", &with_key("new"), &[]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(rig.own("etcha_exporter_scrape_refusals_total{reason=\"in_query\"}"), "1");
}

#[tokio::test]
async fn each_request_gets_a_right_type_and_coding() {
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
        for (codings, coding) in [("gzip;q=0", None), ("gzip", Some("gzip")), ("zstd", Some("zstd"))] {
            let accepted = [("accept", accept), ("accept-encoding", codings)];
            let answer = rig.ask("GET", &with_key("secret"), &accepted).await;
            assert_eq!(answer.header("content-type"), Some(kind), "{accept}");
            assert_eq!(answer.header("content-encoding"), coding, "{accept} {codings}");
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
    for path in [METRICS_PATH, STATUS_PATH, "/metrics", "/", "/-/healthy", "/-/ready", &with_key("secret")] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let answer = rig.ask(method, path, &[]).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{method} {path}");
        }
    }
    for path in
        ["/metrics/x", "/etcha/v1/system", "/etcha/v1/system/metrics/more", "/-/", "/-/healthy/x", "//"]
    {
        assert_eq!(rig.ask("GET", path, &[]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn the_status_page_asks_a_browser_for_a_name_and_a_password_and_never_opens_by_link() {
    let rig = Rig::new();
    for (path, headers) in [
        (STATUS_PATH.to_owned(), vec![]),
        (format!("{STATUS_PATH}?key=secret"), vec![]),
        (STATUS_PATH.to_owned(), vec![("authorization", "Bearer x")]),
    ] {
        let closed = rig.ask("GET", &path, &headers).await;
        assert_eq!(closed.status, StatusCode::UNAUTHORIZED, "{path}");
        let challenge = closed.header("www-authenticate").unwrap();
        assert_eq!(challenge, "Basic realm=\"etcha-exporter\", charset=\"UTF-8\"");
        assert!(closed.body.is_empty());
    }
    let mut access = (*rig.site.gate.current()).clone();
    access.users.add("alice", &bcrypt::hash("pass", 4).unwrap()).unwrap();
    rig.site.gate.replace(access);
    // A key is the password of any user name, also of an empty one.
    for authorization in
        ["Bearer secret".to_owned(), basic("any:secret"), basic(":secret"), basic("alice:pass")]
    {
        let open = rig.ask("GET", STATUS_PATH, &[("authorization", &authorization)]).await;
        assert_eq!(open.status, StatusCode::OK, "{authorization}");
        assert!(open.text().contains("<h1>Status of "), "{}", open.text());
        assert_eq!(open.header("set-cookie"), None);
    }
    let head = rig.ask("HEAD", STATUS_PATH, &[("authorization", "Bearer secret")]).await;
    assert!(head.body.is_empty() && head.header("content-length").unwrap() != "0");
    for _ in 0..12 {
        rig.ask("GET", STATUS_PATH, &[("authorization", "Bearer x")]).await;
    }
    let limited = rig.ask("GET", STATUS_PATH, &[("authorization", "Bearer x")]).await;
    assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_refusal_is_403_without_users_and_a_challenge_with_them() {
    let rig = Rig::new();
    let keys = rig.ask("GET", METRICS_PATH, &[]).await;
    assert_eq!((keys.status, keys.header("www-authenticate")), (StatusCode::FORBIDDEN, None));
    let mut access = (*rig.site.gate.current()).clone();
    access.users.add("alice", &bcrypt::hash("pass", 4).unwrap()).unwrap();
    rig.site.gate.replace(access);
    for path in [METRICS_PATH.to_owned(), with_key("wrong"), with_key("%")] {
        let users = rig.ask("GET", &path, &[]).await;
        assert_eq!(users.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(users.header("www-authenticate").unwrap().starts_with("Basic realm="), "{path}");
        assert!(users.body.is_empty());
    }
    assert_eq!(rig.own("etcha_exporter_scrapes_total{code=\"401\"}"), "3");
}

fn basic(pair: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
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
    let subscriber = log::subscriber(log::Format::Logfmt, log::Level::Trace, false, move || writer.clone());
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
