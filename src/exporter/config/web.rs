//! The web configuration file that Prometheus' exporters share, all of it. What this listener cannot do is an error or a
//! warning that says so: an operator who wrote it relies on it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use https::certificate::{Clients, Pem};
use https::policy::{Curve, Known, Policy, Suite, Version};
use serde_json::{Map, Value};
use settings::nearest::unknown;
use settings::{Problem, Value as _};
use warp::http::{HeaderName, HeaderValue};

use super::{TlsFiles, text};
use crate::serve::{RateLimit, UserError, Users};

/// Longest file in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// Headers that may be set, with the values that they may have; any if there are none.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// The longest interval of the rate limit. Above, the exporter would answer nothing for a day.
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// What the file means.
#[derive(Debug, Default)]
pub(super) struct Web {
    pub(super) tls: Option<TlsFiles>,
    pub(super) clients: Option<Clients>,
    pub(super) policy: Policy,
    pub(super) users: Users,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) rate_limit: Option<RateLimit>,
    /// What is not wrong, but not done as it is written.
    pub(super) warnings: Vec<String>,
}

/// Reads the file at `path`, which `setting` names. Relative paths in it are relative to its directory.
///
/// # Errors
///
/// Everything that is wrong with it. No hash and no key is in it.
pub(super) fn read(setting: &str, path: &Path) -> Result<Web, Vec<Problem>> {
    let place = format!("{setting} {}", path.display());
    let problem = |what: String| vec![Problem::new(place.clone(), what)];
    let text::Text { text, open_to_all } =
        text::read(path, MAX_FILE_BYTES).map_err(|error| problem(error.to_string()))?;
    let text = text.trim_start_matches('\u{feff}');
    if text.is_empty() && fs::metadata(path).is_ok_and(|about| about.file_type().is_fifo()) {
        return Err(problem("a pipe that nothing wrote to".to_owned()));
    }
    // Nothing, or comments alone, is a file that sets nothing.
    let lines = text.lines().map(str::trim_start);
    let is_empty = lines.into_iter().all(|line| line.is_empty() || line.starts_with('#') || line == "---");
    let value = if is_empty {
        Value::Null
    } else {
        // The lines below the first show a piece of the file, which may be a hash.
        serde_saphyr::from_str(text).map_err(|error| {
            let message = error.to_string();
            let first = message.lines().next().unwrap_or_default();
            problem(format!("not YAML: {}", first.trim_start_matches("error: ")))
        })?
    };
    let mut reader = Reader { place, home: path.parent().unwrap_or(Path::new("")), problems: Vec::new() };
    let mut web = Web::default();
    if let Some(mut root) = reader.object("", value) {
        let tls = reader.section(&mut root, "tls_server_config");
        reader.tls(tls, &mut web);
        if open_to_all && matches!(web.tls, Some(TlsFiles { key: Pem::Inline { .. }, .. })) {
            reader.wrong("tls_server_config", "key", EXPOSED);
        }
        let http = reader.section(&mut root, "http_server_config");
        reader.http(http, &mut web);
        let users = reader.section(&mut root, "basic_auth_users");
        reader.users(&users, &mut web);
        let rate_limit = reader.section(&mut root, "rate_limit");
        web.rate_limit = reader.rate_limit(rate_limit);
        reader.end(&root);
    }
    if reader.problems.is_empty() { Ok(web) } else { Err(reader.problems) }
}

/// What is said of a private key in a file that everybody on this host can read.
const EXPOSED: &str = "everybody on this host can read this private key; `chmod 640` the file, and make a new key if others \
                       may have it";

/// The members of an object that were not taken yet.
struct Object {
    name: &'static str,
    members: Map<String, Value>,
    known: Vec<&'static str>,
}

struct Reader<'p> {
    place: String,
    home: &'p Path,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn wrong(&mut self, object: &str, key: &str, what: impl Into<String>) {
        let dot = if object.is_empty() || key.is_empty() { "" } else { "." };
        let key = key.escape_debug();
        self.problems.push(Problem::new(format!("{}: {object}{dot}{key}", self.place), what));
    }

    fn object(&mut self, name: &'static str, value: Value) -> Option<Object> {
        match value {
            Value::Object(members) => Some(Object { name, members, known: Vec::new() }),
            Value::Null => None,
            _ if name.is_empty() => {
                self.problems
                    .push(Problem::new(self.place.clone(), "expected names and values, as in `name: value`"));
                None
            }
            _ => {
                self.wrong(name, "", "expected names and values below it");
                None
            }
        }
    }

    fn take(&mut self, object: &mut Object, key: &'static str) -> Option<Value> {
        object.known.push(key);
        object.members.remove(key).filter(|value| !value.is_null())
    }

    fn section(&mut self, object: &mut Object, key: &'static str) -> Object {
        let value = self.take(object, key).unwrap_or_default();
        let none = Object { name: key, members: Map::new(), known: Vec::new() };
        self.object(key, value).unwrap_or(none)
    }

    /// A text; an empty one is none.
    fn text(&mut self, object: &mut Object, key: &'static str) -> Option<String> {
        match self.take(object, key)? {
            Value::String(text) => Some(text).filter(|text| !text.is_empty()),
            Value::Bool(_) | Value::Number(_) if object.name == "tls_server_config" => {
                self.wrong(object.name, key, "expected a text");
                None
            }
            value @ (Value::Bool(_) | Value::Number(_)) => Some(value.to_string()),
            _ => {
                self.wrong(object.name, key, "expected a text");
                None
            }
        }
    }

    fn texts(&mut self, object: &mut Object, key: &'static str) -> Option<Vec<String>> {
        let texts = match self.take(object, key)? {
            Value::Array(items) => {
                items.into_iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        if texts.is_none() {
            self.wrong(object.name, key, "expected a list of texts");
        }
        texts
    }

    fn flag(&mut self, object: &mut Object, key: &'static str, default: bool) -> bool {
        match self.take(object, key) {
            None => default,
            Some(Value::Bool(flag)) => flag,
            Some(_) => {
                self.wrong(object.name, key, "expected true or false");
                default
            }
        }
    }

    /// Notes what is left in an object.
    fn end(&mut self, object: &Object) {
        for key in object.members.keys() {
            let what = unknown(object.known.iter().copied(), key).replace("unknown key", "unknown field");
            self.wrong(object.name, key, what);
        }
    }

    /// PEM out of a file or as it is; `None` if neither is there.
    fn pem(&mut self, object: &mut Object, file: &'static str, inline: &'static str) -> Option<Pem> {
        match (self.text(object, file), self.text(object, inline)) {
            (Some(_), Some(_)) => {
                self.wrong(object.name, inline, format!("contradicts {file}; leave one of them out"));
                None
            }
            (Some(file), None) => Some(self.home.join(file).into()),
            (None, Some(text)) => Some(Pem::Inline { name: inline_name(inline), text: text.into() }),
            (None, None) => None,
        }
    }

    fn tls(&mut self, mut object: Object, web: &mut Web) {
        let wrong_before = self.problems.len();
        let certificate = self.pem(&mut object, "cert_file", "cert");
        let key = self.pem(&mut object, "key_file", "key");
        let authorities = self.pem(&mut object, "client_ca_file", "client_ca");
        let kind = self.text(&mut object, "client_auth_type");
        let names = self.texts(&mut object, "client_allowed_sans");
        let is_on = certificate.is_some() || key.is_some() || authorities.is_some() || kind.is_some();
        if is_on && self.problems.len() == wrong_before {
            for (missing, file, inline) in
                [(certificate.is_none(), "cert_file", "cert"), (key.is_none(), "key_file", "key")]
            {
                if missing {
                    self.wrong(object.name, file, format!("missing; give {file} or {inline}"));
                }
            }
        }
        web.tls = certificate.zip(key).map(|(certificate, key)| TlsFiles { certificate, key });
        web.clients =
            self.clients(kind.as_deref().unwrap_or_default(), authorities.as_ref(), names, &mut web.warnings);
        web.policy.least = self.version(&mut object, "min_version", Version::V1_2);
        web.policy.most = self.version(&mut object, "max_version", Version::V1_3);
        if web.policy.least > web.policy.most {
            self.wrong(object.name, "max_version", "older than min_version");
        }
        let suites = self.texts(&mut object, "cipher_suites").unwrap_or_default();
        web.policy.suites = self.suites(&suites, web.policy.most, &mut web.warnings);
        let own_order = self.flag(&mut object, "prefer_server_cipher_suites", true);
        web.policy.own_order = own_order && !web.policy.suites.is_empty();
        let curves = self.texts(&mut object, "curve_preferences").unwrap_or_default();
        web.policy.curves = self.curves(&curves, &mut web.warnings);
        self.end(&object);
    }

    fn version(&mut self, object: &mut Object, key: &'static str, default: Version) -> Version {
        let what = match self.text(object, key).as_deref() {
            None => return default,
            Some("TLS12") => return Version::V1_2,
            Some("TLS13") => return Version::V1_3,
            Some(old @ ("TLS10" | "TLS11")) => {
                format!("{old} is not supported, because it is broken; use TLS12 or TLS13")
            }
            Some(_) => "unknown TLS version; use TLS12 or TLS13".to_owned(),
        };
        self.wrong(object.name, key, what);
        default
    }

    fn clients(
        &mut self,
        kind: &str,
        authorities: Option<&Pem>,
        names: Option<Vec<String>>,
        warnings: &mut Vec<String>,
    ) -> Option<Clients> {
        let (object, key) = ("tls_server_config", "client_auth_type");
        let requires = ["RequireAnyClientCert", "RequireClientCert", "RequireAndVerifyClientCert"];
        if names.as_ref().is_some_and(Vec::is_empty) {
            self.wrong(
                object,
                "client_allowed_sans",
                "an empty list would allow no client; leave it out instead",
            );
        }
        if names.is_some() && !requires.contains(&kind) {
            let what = "needs client_auth_type RequireAndVerifyClientCert or RequireAnyClientCert";
            self.wrong(object, "client_allowed_sans", what);
        }
        let names = names.unwrap_or_default();
        let verified =
            |required| Clients { authorities: authorities.cloned(), required, names: names.clone() };
        match kind {
            "" | "NoClientCert" => {
                if authorities.is_some() {
                    let what = "client authorities need client_auth_type RequireAndVerifyClientCert";
                    self.wrong(object, key, what);
                }
                None
            }
            "RequestClientCert" | "RequireAnyClientCert" | "RequireClientCert" => {
                warnings.push(format!(
                    "{object}.{key} {kind} verifies no client certificate; use RequireAndVerifyClientCert"
                ));
                Some(Clients { authorities: None, ..verified(kind != "RequestClientCert") })
            }
            "VerifyClientCertIfGiven" if authorities.is_none() => {
                warnings.push(format!(
                    "{object}.{key} {kind} without client_ca_file: no client certificate is requested"
                ));
                None
            }
            "RequireAndVerifyClientCert" if authorities.is_none() => {
                self.wrong(
                    object,
                    "client_ca_file",
                    format!("missing; client_auth_type {kind} needs it or client_ca"),
                );
                None
            }
            "VerifyClientCertIfGiven" => Some(verified(false)),
            "RequireAndVerifyClientCert" => Some(verified(true)),
            _ => {
                let known = ["NoClientCert", "RequestClientCert", "VerifyClientCertIfGiven"];
                let what = unknown(known.into_iter().chain(requires), kind);
                self.wrong(object, key, what.replace("unknown key", "unknown type"));
                None
            }
        }
    }

    fn suites(&mut self, names: &[String], most: Version, warnings: &mut Vec<String>) -> Vec<Suite> {
        let (object, key) = ("tls_server_config", "cipher_suites");
        let (mut suites, mut left_out, mut always) = (Vec::new(), Vec::new(), false);
        for name in names {
            match Suite::named(name) {
                Some(Known::Supported(suite)) => suites.push(suite),
                Some(Known::Always) => always = true,
                Some(Known::Unsupported) => left_out.push(name.as_str()),
                Some(Known::Insecure) => {
                    self.wrong(object, key, format!("{name} is not supported, because it is broken"));
                }
                None => {
                    let what = unknown(Suite::names(), name).replace("unknown key", "unknown cipher suite");
                    self.wrong(object, key, format!("{name:?}: {what}"));
                }
            }
        }
        if always && suites.is_empty() && most == Version::V1_2 {
            self.wrong(object, key, "none of them is of TLS 1.2, and max_version excludes TLS 1.3");
        } else if !left_out.is_empty() && suites.is_empty() && !always {
            let what = format!("none of them is supported here; take those of {}", supported().join(", "));
            self.wrong(object, key, what);
        } else if !left_out.is_empty() {
            warnings
                .push(format!("{object}.{key}: not supported here and left out: {}", left_out.join(", ")));
        }
        suites
    }

    fn curves(&mut self, names: &[String], warnings: &mut Vec<String>) -> Vec<Curve> {
        let (object, key) = ("tls_server_config", "curve_preferences");
        let (mut curves, mut left_out) = (Vec::new(), Vec::new());
        for name in names {
            match Curve::named(name) {
                Some(Known::Supported(curve)) => curves.push(curve),
                Some(_) => left_out.push(name.as_str()),
                None => {
                    let what = unknown(Curve::names(), name).replace("unknown key", "unknown curve");
                    self.wrong(object, key, format!("{name:?}: {what}"));
                }
            }
        }
        if !left_out.is_empty() {
            let instead = if curves.is_empty() { "; X25519, CurveP256 and CurveP384 are used" } else { "" };
            warnings.push(format!(
                "{object}.{key}: not supported here and left out: {}{instead}",
                left_out.join(", ")
            ));
        }
        curves
    }

    fn http(&mut self, mut object: Object, web: &mut Web) {
        web.policy.http2 = self.flag(&mut object, "http2", true);
        let mut headers = self.section(&mut object, "headers");
        for (name, values) in HEADERS {
            let Some(value) = self.text(&mut headers, name) else { continue };
            if !values.is_empty() && !values.contains(&value.as_str()) {
                let what = format!("has to be {}", values.join(" or "));
                self.wrong("http_server_config.headers", name, what);
                continue;
            }
            match (name.parse(), HeaderValue::from_str(&value)) {
                (Ok(name), Ok(value)) => web.headers.push((name, value)),
                _ => self.wrong("http_server_config.headers", name, "no header can have this value"),
            }
        }
        let headers = Object { name: "http_server_config.headers", ..headers };
        self.end(&headers);
        self.end(&object);
    }

    fn users(&mut self, object: &Object, web: &mut Web) {
        for (user, hash) in &object.members {
            let added = match hash {
                Value::String(hash) => web.users.add(user, hash),
                _ => Err(UserError::NoText),
            };
            match added {
                Ok(warning) => {
                    web.warnings.extend(warning.map(|what| format!("{}: {user:?}: {what}", object.name)));
                }
                Err(what) => {
                    let place = format!("{}: basic_auth_users", self.place);
                    self.problems.push(Problem::new(place, format!("{user:?}: {what}")));
                }
            }
        }
    }

    fn rate_limit(&mut self, mut object: Object) -> Option<RateLimit> {
        let interval = self.text(&mut object, "interval").unwrap_or_default();
        let burst = self.text(&mut object, "burst").unwrap_or_default();
        self.end(&object);
        let burst = if burst.is_empty() { Ok(0) } else { burst.parse::<u32>() };
        if burst.is_err() {
            self.wrong(object.name, "burst", "expected a whole number of requests");
        }
        if interval.is_empty() || interval == "0" {
            return None;
        }
        let bounds = Duration::ZERO..=MAX_INTERVAL;
        match Duration::read(OsStr::new(&interval), &bounds, Path::new("")) {
            Err(invalid) => self.wrong(object.name, "interval", invalid.to_string()),
            Ok(interval) if interval.is_zero() => {}
            Ok(interval) => match burst {
                Ok(0) => {
                    self.wrong(object.name, "burst", "has to be at least 1, or no request would be answered");
                }
                Ok(burst) => return Some(RateLimit { interval, burst }),
                Err(_) => {}
            },
        }
        None
    }
}

/// Names of the cipher suites of TLS 1.2 that can be chosen.
fn supported() -> Vec<&'static str> {
    Suite::names().filter(|name| matches!(Suite::named(name), Some(Known::Supported(_)))).collect()
}

/// How errors name a text that stands in the file itself.
fn inline_name(key: &str) -> &'static str {
    match key {
        "cert" => "tls_server_config.cert",
        "key" => "tls_server_config.key",
        _ => "tls_server_config.client_ca",
    }
}

/// The files among `pems`.
pub(super) fn files<'p>(pems: impl IntoIterator<Item = &'p Pem>) -> Vec<PathBuf> {
    let paths = pems.into_iter().filter_map(|pem| match pem {
        Pem::File(path) => Some(path.clone()),
        Pem::Inline { .. } => None,
    });
    paths.collect()
}
