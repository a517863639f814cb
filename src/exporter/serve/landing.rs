//! The page at `/`: for a person who opened the address to see what listens there. Says what this is and where the
//! metrics are; says nothing about the host, and holds no key.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use warp::http::HeaderValue;

use super::site::{METRICS_PATH, STATUS_PATH};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:42rem;margin:12vh auto;padding:0 1.25rem}\
h1{font-size:1.5rem}\
dt{font-family:ui-monospace,monospace;margin-top:1rem}\
dd{margin:0}\
code{font-family:ui-monospace,monospace}";

/// The page.
pub(super) static PAGE: LazyLock<String> = LazyLock::new(|| {
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
<dd>The same for people: Sources, shells, the state of journal and checkpoint. It asks for a key in a form.</dd>
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

/// The policy for the page: nothing may be loaded, run, sent or framed, and this one style sheet, known by its
/// digest, may be applied.
pub(super) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});
