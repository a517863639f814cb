//! Answers for people: the page at `/`, which says what this is and where the metrics are, short texts, and the status
//! page. The page at `/` says nothing about the host.
//!
//! # Layout
//!
//! * [`status`]: the status page, out of a published state; [`history`]: the hour that its plots show.
//! * `values`: texts, times and sizes as HTML; `plot`: plots.

pub(super) mod history;
mod plot;
pub(super) mod status;
mod values;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use warp::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use warp::http::{HeaderValue, StatusCode};
use warp::hyper::body::Bytes;
use warp::reply::Response;

use super::site::{METRICS_PATH, STATUS_PATH};

/// The page at `/`.
pub(super) fn landing() -> Response {
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| policy(STYLE));
    html(LANDING.as_str().into(), &POLICY)
}

/// A page with the policy of its style sheet.
fn html(page: Bytes, policy: &HeaderValue) -> Response {
    let mut response = Response::new(page.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
    response
}

/// Plain text for people.
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// `text`, for people.
pub(super) fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, PLAIN);
    response
}

/// Nothing but a status.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Bytes::new().into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, PLAIN);
    response
}

/// Its style sheet.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:42rem;margin:12vh auto;padding:0 1.25rem}\
h1{font-size:1.5rem}\
dt{font-family:ui-monospace,monospace;margin-top:1rem}\
dd{margin:0}\
code{font-family:ui-monospace,monospace}";

/// The page at `/`.
static LANDING: LazyLock<String> = LazyLock::new(|| {
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>etcha-exporter</title>
<style>{STYLE}</style>
</head>
<body>
<h1>etcha-exporter</h1>
<p>This process follows the journal of an Etcha agent and serves what it counts to Prometheus.</p>
<dl>
<dt><a href="{METRICS_PATH}">{METRICS_PATH}</a></dt>
<dd>The metrics. They ask for a key: as <code>?key=</code>, as a bearer token, or as the password of basic
authentication.</dd>
<dt><a href="{STATUS_PATH}">{STATUS_PATH}</a></dt>
<dd>The same for people: Sources, shells, the state of journal and checkpoint. Your browser asks for a user name and a
password: a key is the password of any user name.</dd>
<dt><a href="/-/healthy">/-/healthy</a></dt>
<dd>Answers while the process lives.</dd>
<dt><a href="/-/ready">/-/ready</a></dt>
<dd>Answers 200 once the journal has been caught up with, 503 before.</dd>
</dl>
</body>
</html>
"#
    )
});

/// The policy for a page: nothing may be loaded, run, sent or framed, and its one style sheet, known by its digest, may
/// be applied.
fn policy(style: &str) -> HeaderValue {
    let digest = STANDARD.encode(Sha256::digest(style));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}
