//! The configuration file: which keys there are, and what was written under them. Defaults, flags and the
//! environment are not its business.
//!
//! Keys that Etcha has keep Etcha's names; what only the exporter has stands under `exporter`. The file is the
//! exporter's own. Sharing one with the agent is not supported: the agent's may hold what an unprivileged process
//! should not be able to read, and half of it would be unknown here, where unknown keys are errors.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;

use super::address::ListenAddress;
use super::json::{Document, Member, Object};
use super::keys;
use super::problem::Problem;
use super::{text, value};
use crate::log;
use https::listener::ListenAddressError;

/// Longest file in bytes: thousands of times what the keys below take.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// All keys, by their full names. An unknown one is compared with these.
const KEYS: [&str; 27] = [
    "httpServer.listenAddress",
    "httpServer.tlsCertificatePath",
    "httpServer.tlsKeyPath",
    "run.stateDir",
    "run.systemMetricsKey",
    "run.systemMetricsSecret",
    "exporter.checkpointInterval",
    "exporter.journal",
    "exporter.logFormat",
    "exporter.logLevel",
    "exporter.maxConnections",
    "exporter.maxConnectionsPerClient",
    "exporter.maxLabelBytes",
    "exporter.maxLineBytes",
    "exporter.maxSegments",
    "exporter.maxSeries",
    "exporter.maxWriters",
    "exporter.metricsKeyFile",
    "exporter.noListener",
    "exporter.pollInterval",
    "exporter.refuseQueryKeys",
    "exporter.textfile",
    "exporter.tlsClientCAPath",
    "exporter.webConfigFile",
    "exporter",
    "httpServer",
    "run",
];

/// Keys that an agent's configuration has, and the exporter's has not.
const AGENTS: [&str; 19] = [
    "build",
    "cli",
    "exec",
    "httpClient",
    "httpServer.rateLimitRate",
    "jsonnet",
    "licenseKey",
    "lint",
    "run.jwtRule",
    "run.randomizedStartDelaySec",
    "run.timeoutPush",
    "run.timeoutShell",
    "run.timeoutWebhook",
    "run.verifyCommands",
    "run.verifyExec",
    "run.verifyKeys",
    "sources",
    "targets",
    "vars",
];

/// Keys of Etcha that carry in the file what belongs into files of its own.
const INLINE_TLS: [&str; 2] = ["httpServer.tlsCertificateBase64", "httpServer.tlsKeyBase64"];

/// What was written in a file. Relative paths in it are relative to its directory. Holds keys: not for printing.
#[derive(Default)]
pub(super) struct Written {
    /// Directory of the file.
    home: PathBuf,
    /// Whether everybody on this host can read the file.
    pub(super) open_to_all: bool,
    pub(super) listen: Option<Vec<ListenAddress>>,
    pub(super) tls_certificate: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) journal: Option<PathBuf>,
    pub(super) poll_interval: Option<Duration>,
    pub(super) checkpoint_interval: Option<Duration>,
    pub(super) max_series: Option<usize>,
    pub(super) max_label_bytes: Option<usize>,
    pub(super) max_line_bytes: Option<usize>,
    pub(super) max_writers: Option<usize>,
    pub(super) max_segments: Option<usize>,
    pub(super) max_connections: Option<usize>,
    pub(super) max_connections_per_client: Option<usize>,
    pub(super) tls_client_ca: Option<PathBuf>,
    pub(super) web_config_file: Option<PathBuf>,
    pub(super) textfile: Option<PathBuf>,
    pub(super) no_listener: Option<bool>,
    pub(super) refuse_query_keys: Option<bool>,
    pub(super) log_format: Option<log::Format>,
    pub(super) log_level: Option<log::Level>,
    pub(super) metrics_key_files: Vec<PathBuf>,
    /// Keys with the name of the setting that holds each.
    pub(super) keys: Vec<(&'static str, String)>,
}

impl Written {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub(super) fn read(path: &Path) -> Result<Self, Vec<Problem>> {
        let text::Text { text, open_to_all } = text::read(path, MAX_FILE_BYTES)
            .map_err(|what| vec![Problem::new(path.display().to_string(), what)])?;
        Ok(Self { open_to_all, ..Self::parse(path, &text)? })
    }

    /// Reads `text`, which stands in the file at `path`.
    fn parse(path: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        let mut document = Document::new(path, text);
        let mut written = Self { home: path.parent().unwrap_or(Path::new("")).to_owned(), ..Self::default() };
        if let Some(mut root) = document.root() {
            if let Some(mut section) = document.section(&mut root, "httpServer") {
                written.http_server(&mut document, &mut section);
                unknown(&mut document, section);
            }
            if let Some(mut section) = document.section(&mut root, "run") {
                written.run(&mut document, &mut section);
                unknown(&mut document, section);
            }
            if let Some(mut section) = document.section(&mut root, "exporter") {
                written.exporter(&mut document, &mut section);
                unknown(&mut document, section);
            }
            unknown(&mut document, root);
        }
        let problems = document.problems();
        if problems.is_empty() { Ok(written) } else { Err(problems) }
    }

    fn http_server<'a>(&mut self, document: &mut Document<'a>, section: &mut Object<'a>) {
        if let Some(member) = document.take(section, "listenAddress") {
            self.listen = document
                .strings(&member, |text| text.parse().map_err(|error: ListenAddressError| error.to_string()));
        }
        if let Some(member) = document.take(section, "tlsCertificatePath") {
            self.tls_certificate = self.path(document, &member);
        }
        if let Some(member) = document.take(section, "tlsKeyPath") {
            self.tls_key = self.path(document, &member);
        }
        for (present, absent, member) in [
            (&self.tls_certificate, &self.tls_key, "httpServer.tlsKeyPath"),
            (&self.tls_key, &self.tls_certificate, "httpServer.tlsCertificatePath"),
        ] {
            if present.is_some() && absent.is_none() {
                document.missing(member, "needed as well: certificate and key come as a pair");
            }
        }
    }

    fn run<'a>(&mut self, document: &mut Document<'a>, section: &mut Object<'a>) {
        if let Some(member) = document.take(section, "stateDir") {
            self.state_dir = self.path(document, &member);
        }
        for (key, name) in
            [("systemMetricsKey", "run.systemMetricsKey"), ("systemMetricsSecret", "run.systemMetricsSecret")]
        {
            let Some(member) = document.take(section, key) else { continue };
            let keys = document.strings(&member, |text| keys::check(text).map(|()| text.to_owned()));
            self.keys.extend(keys.into_iter().flatten().map(|key| (name, key)));
        }
    }

    fn exporter<'a>(&mut self, document: &mut Document<'a>, section: &mut Object<'a>) {
        if let Some(member) = document.take(section, "journal") {
            self.journal = self.path(document, &member);
        }
        if let Some(member) = document.take(section, "metricsKeyFile") {
            let paths = document.strings(&member, |text| placed(&self.home, text));
            self.metrics_key_files = paths.unwrap_or_default();
        }
        if let Some(member) = document.take(section, "pollInterval") {
            self.poll_interval = document.string(&member, value::poll_interval);
        }
        if let Some(member) = document.take(section, "checkpointInterval") {
            self.checkpoint_interval = document.string(&member, value::checkpoint_interval);
        }
        if let Some(member) = document.take(section, "maxSeries") {
            self.max_series = document.number(&member, value::max_series);
        }
        if let Some(member) = document.take(section, "maxLabelBytes") {
            self.max_label_bytes = document.number(&member, value::max_label_bytes);
        }
        for (key, place, read) in [
            (
                "maxConnections",
                &mut self.max_connections,
                value::max_connections as fn(&str) -> Result<usize, String>,
            ),
            (
                "maxConnectionsPerClient",
                &mut self.max_connections_per_client,
                value::max_connections_per_client,
            ),
            ("maxLineBytes", &mut self.max_line_bytes, value::max_line_bytes),
            ("maxSegments", &mut self.max_segments, value::max_segments),
            ("maxWriters", &mut self.max_writers, value::max_writers),
        ] {
            if let Some(member) = document.take(section, key) {
                *place = document.number(&member, read);
            }
        }
        for (key, place) in
            [("noListener", &mut self.no_listener), ("refuseQueryKeys", &mut self.refuse_query_keys)]
        {
            if let Some(member) = document.take(section, key) {
                *place = document.boolean(&member);
            }
        }
        if let Some(member) = document.take(section, "textfile") {
            let read = |text: &str| value::textfile(text).and_then(|_| placed(&self.home, text));
            self.textfile = document.string(&member, read);
        }
        if let Some(member) = document.take(section, "tlsClientCAPath") {
            self.tls_client_ca = self.path(document, &member);
        }
        if let Some(member) = document.take(section, "webConfigFile") {
            self.web_config_file = self.path(document, &member);
        }
        if let Some(member) = document.take(section, "logFormat") {
            self.log_format = document.string(&member, one_of);
        }
        if let Some(member) = document.take(section, "logLevel") {
            self.log_level = document.string(&member, one_of);
        }
    }

    fn path<'a>(&self, document: &mut Document<'a>, member: &Member<'a>) -> Option<PathBuf> {
        document.string(member, |text| placed(&self.home, text))
    }
}

/// A path as it is meant: relative ones start at `home`.
fn placed(home: &Path, text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("an empty path; leave the key out instead".to_owned());
    }
    Ok(home.join(text))
}

/// A word out of a fixed set.
fn one_of<T: ValueEnum>(text: &str) -> Result<T, String> {
    T::from_str(text, false).map_err(|_| {
        let words = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let words: Vec<_> = words.map(|word| format!("`{}`", word.get_name())).collect();
        format!("expected one of {}", words.join(", "))
    })
}

/// Notes each member that nobody took, with what may have been meant.
fn unknown<'a>(document: &mut Document<'a>, object: Object<'a>) {
    for member in object.rest() {
        let name = member.name();
        let what = if AGENTS.contains(&name) {
            "belongs to the agent; the exporter needs a configuration file of its own".to_owned()
        } else if INLINE_TLS.contains(&name) {
            let file = name.replace("Base64", "Path");
            format!("not supported; put it into a file and name that under `{file}`")
        } else {
            format!("unknown key; did you mean `{}`?", nearest(name))
        };
        document.wrong(&member, what);
    }
}

/// The known key that is most like `name`: by the whole name, or by its last part, which may stand in a wrong object.
fn nearest(name: &str) -> &'static str {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_lowercase();
    let mut best = (-1.0, KEYS[0]);
    for known in KEYS {
        let whole = strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase());
        let part = strsim::normalized_damerau_levenshtein(&last(name), &last(known));
        // Together, so that among equal last parts the one in the right object wins.
        let likeness = part + whole / 4.0;
        if likeness > best.0 {
            best = (likeness, known);
        }
    }
    best.1
}
