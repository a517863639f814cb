//! Flags and variables over the file, the file over the defaults: what the settings mean together.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use settings::layers::Layer;
use settings::value::{Parsed, Word};
use settings::{File, Found, Layers, Problem, Reread, Row, Setting, Value as _};

use super::args::VARIABLE_PREFIX;
use super::explain::explain;
use super::keys::{self, Gathered};
use super::settings as known;
use super::web::Web;
use super::{
    Bounds, Clients, Config, Connections, DEFAULT_LISTEN, Limits, ListenAddress, Log, Surface, Surroundings,
    TlsFiles, reread, text, web,
};
use crate::log::Format;
use crate::metrics::labels::LabelLimit;
use crate::serve::Access;

/// Longest configuration file in bytes: thousands of times what its keys take.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The configuration for following and serving.
///
/// # Errors
///
/// Everything that is wrong: with single values, else with what they mean together.
pub(super) fn serving(
    matches: &ArgMatches,
    around: &Surroundings,
    reread: reread::Reread,
) -> Result<Config, Vec<Problem>> {
    let path = Layers::new(matches, VARIABLE_PREFIX, None).get(&known::CONFIG);
    let (file, open_to_all) = path.as_deref().map(file).transpose()?.unzip();
    let mut layers = Layers::new(matches, VARIABLE_PREFIX, file);
    let journal = layers.get(&known::JOURNAL);
    let state_dir = state_dir_of(&mut layers, around);
    let listening = Listening::read(&mut layers);
    let written = KeySettings::read(&mut layers);
    let certificate = Certificate::read(&mut layers);
    let textfile = layers.get(&known::TEXTFILE);
    let poll_interval = layers.get(&known::POLL_INTERVAL);
    let checkpoint_interval = layers.get(&known::CHECKPOINT_INTERVAL);
    let (limits, line_bytes) = limits_of(&mut layers);
    let writers = layers.get(&known::MAX_WRITERS);
    let segments = layers.get(&known::MAX_SEGMENTS);
    let connections = connections_of(&mut layers);
    let log = log_of(&mut layers, around);
    let refuse_query_keys = layers.get(&known::REFUSE_QUERY_KEYS);
    let mut surface = surface_of(&mut layers);
    let mut rows = layers.end()?;

    let mut problems = Vec::new();
    let listens = listening.check(textfile.as_deref(), &mut problems);
    let gathered = written.gather(path.as_deref().filter(|_| open_to_all == Some(true)), around);
    problems.extend(gathered.problems);
    let Secured { tls, clients, web, mut files } = certificate.check(around.running, &mut problems);
    surface.headers = web.headers;
    surface.rate_limit = web.rate_limit;
    rows.extend(rows_of(&surface, web.policy.http2));
    let (users, keyless) = (web.users, gathered.sources.is_empty());
    let is_verified = clients.as_ref().is_some_and(|it| it.required && it.authorities.is_some());
    let certificate_suffices = keyless && users.is_empty() && is_verified;
    if listens && keyless && users.is_empty() && !certificate_suffices {
        problems.push(Problem::new("", keys::HOW_TO_SET_ONE));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    files.extend(path.into_iter().chain(gathered.files));
    Ok(Config {
        journal,
        state_dir,
        listen: if listens { listening.addresses } else { Vec::new() },
        access: Access { keys: gathered.keys, users, refuse_query_keys, certificate_suffices },
        key_sources: gathered.sources,
        tls,
        clients,
        policy: web.policy,
        surface,
        textfile,
        connections,
        poll_interval,
        checkpoint_interval,
        limits,
        bounds: Bounds { line_bytes, writers, segments },
        log,
        warnings: [gathered.warnings, web.warnings].concat(),
        files,
        rows,
        reread: Some(reread),
    })
}

/// The configuration file, and whether everybody on this host can read it.
fn file(path: &Path) -> Result<(File, bool), Vec<Problem>> {
    let text::Text { text, open_to_all } = text::read(path, MAX_FILE_BYTES)
        .map_err(|error| vec![Problem::new(path.display().to_string(), error.to_string())])?;
    Ok((File::new(path, &text, &known::SETTINGS, explain), open_to_all))
}

pub(super) fn state_dir_of(layers: &mut Layers<'_>, around: &Surroundings) -> PathBuf {
    let found = layers.found(&known::STATE_DIR).and_then(|found| found.value);
    let state_dir = found.unwrap_or_else(|| around.state_dir());
    layers.show(known::STATE_DIR.about.label, state_dir.show(), Reread::Restart);
    state_dir
}

/// Limits on what is counted, and the bytes of a line.
pub(super) fn limits_of(layers: &mut Layers<'_>) -> (Limits, usize) {
    let limits = Limits {
        series: layers.get(&known::MAX_SERIES),
        label: LabelLimit::new(layers.get(&known::MAX_LABEL_BYTES)),
    };
    (limits, layers.get(&known::MAX_LINE_BYTES))
}

pub(super) fn log_of(layers: &mut Layers<'_>, around: &Surroundings) -> Log {
    let format = layers.get(&known::LOG_FORMAT);
    let Word(level) = layers.get(&known::LOG_LEVEL);
    Log { format: format.map_or_else(|| Format::suited(around.terminal), |Word(format)| format), level }
}

fn connections_of(layers: &mut Layers<'_>) -> Connections {
    let connections = Connections {
        max: layers.get(&known::MAX_CONNECTIONS),
        max_per_client: layers.get(&known::MAX_CONNECTIONS_PER_CLIENT),
    };
    let Connections { max, max_per_client } = connections;
    layers.show("connections", format!("{max}, {max_per_client} of one client"), Reread::Restart);
    connections
}

/// Where to listen, if anywhere.
struct Listening {
    addresses: Vec<ListenAddress>,
    typed: bool,
    no_listener: Option<Found<bool>>,
}

impl Listening {
    fn read(layers: &mut Layers<'_>) -> Self {
        let found = layers.all(&known::LISTEN_ADDRESS);
        let typed = found.iter().any(|found| found.layer != Layer::File);
        let mut addresses: Vec<_> =
            found.into_iter().map(|Found { value: Parsed(address), .. }| address).collect();
        if addresses.is_empty() {
            addresses.push(DEFAULT_LISTEN);
        }
        addresses.sort_unstable();
        addresses.dedup();
        let listening = Self { addresses, typed, no_listener: layers.found(&known::NO_LISTENER) };
        let shown: Vec<_> = if listening.listens() {
            listening.addresses.iter().map(ToString::to_string).collect()
        } else {
            vec!["nothing".to_owned()]
        };
        for address in shown {
            layers.show("listens on", address, Reread::Restart);
        }
        listening
    }

    /// An address that was typed says enough against a file.
    fn listens(&self) -> bool {
        match &self.no_listener {
            Some(found) if found.layer == Layer::File && self.typed => true,
            Some(found) => !found.value,
            None => true,
        }
    }

    fn check(&self, textfile: Option<&Path>, problems: &mut Vec<Problem>) -> bool {
        let listens = self.listens();
        if !listens && self.typed {
            problems
                .push(Problem::new("--no-listener", "contradicts --listen-address; leave one of them out"));
        }
        if !listens && textfile.is_none() {
            let what = "needs --textfile: without it the metrics could not be read";
            problems.push(Problem::new("--no-listener", what));
        }
        listens
    }
}

/// What names keys, outside of the environment.
struct KeySettings {
    /// From flags, the variable, or the file.
    files: Vec<Found<PathBuf>>,
    /// Keys in the file, each with its setting.
    written: Vec<(String, String)>,
}

impl KeySettings {
    fn read(layers: &mut Layers<'_>) -> Self {
        let files = layers.all(&known::METRICS_KEY_FILE).into_iter();
        let files =
            files.filter_map(|Found { value, name, layer }| Some(Found { value: value?, name, layer }));
        let mut written = Vec::new();
        for setting in [&known::SYSTEM_METRICS_KEY, &known::SYSTEM_METRICS_SECRET] {
            let keys = layers.all(setting).into_iter();
            written.extend(keys.filter_map(|found| Some((found.name, found.value?.0))));
        }
        Self { files: files.collect(), written }
    }

    /// The keys of the strongest layer that names any. `exposed` is the configuration file if everybody can read it.
    fn gather(&self, exposed: Option<&Path>, around: &Surroundings) -> Gathered {
        let mut gathered = Gathered::default();
        let files = |gathered: &mut Gathered, layer| {
            for found in self.files.iter().filter(|found| found.layer == layer) {
                gathered.file(&found.name, &found.value);
            }
        };
        files(&mut gathered, Layer::Flag);
        if !gathered.sources.is_empty() {
            return gathered;
        }
        files(&mut gathered, Layer::Variable);
        gathered.environment(around);
        if gathered.sources.is_empty() {
            for (name, key) in &self.written {
                gathered.text(name, key);
            }
            if let Some(path) = exposed.filter(|_| !self.written.is_empty()) {
                gathered.warnings.push(format!("{}: {}", path.display(), keys::OPEN_TO_ALL));
            }
            files(&mut gathered, Layer::File);
        }
        gathered
    }
}

/// What names the listener's certificate and those of clients.
struct Certificate {
    /// Certificate and key: both from flags, or both from the file, so that no pair is mixed.
    pair: Option<(Found<PathBuf>, Found<PathBuf>)>,
    client_ca: Option<Found<PathBuf>>,
    web: Option<Found<PathBuf>>,
}

/// Who the listener is and whom it lets in, beside the keys.
struct Secured {
    tls: Option<TlsFiles>,
    clients: Option<Clients>,
    /// What else the web configuration file says.
    web: Web,
    files: Vec<PathBuf>,
}

impl Certificate {
    fn read(layers: &mut Layers<'_>) -> Self {
        let mut found = |setting: &Setting<Option<PathBuf>>| {
            let Found { value, name, layer } = layers.found(setting)?;
            value.map(|value| Found { value, name, layer })
        };
        let (certificate, key) = (found(&known::TLS_CERTIFICATE), found(&known::TLS_KEY));
        let (client_ca, web) = (found(&known::TLS_CLIENT_CA), found(&known::WEB_CONFIG_FILE));
        if let Some(file) = layers.file() {
            let keys = [known::TLS_CERTIFICATE.about.key, known::TLS_KEY.about.key];
            for (present, absent) in [(keys[0], keys[1]), (keys[1], keys[0])] {
                if file.has(present) && !file.has(absent) {
                    file.missing(absent, "needed as well: certificate and key come as a pair");
                }
            }
        }
        Self { pair: certificate.zip(key), client_ca, web }
    }

    fn check(self, running: bool, problems: &mut Vec<Problem>) -> Secured {
        const WEB: &str = "web configuration file:";
        let mut files: Vec<_> = self.web.iter().map(|found| found.value.clone()).collect();
        let web = self.web.map(|found| web::read(&found.name, &found.value)).transpose();
        let mut web = web.unwrap_or_else(|wrong| {
            problems.extend(wrong);
            None
        });
        let web = web.take().unwrap_or_default();
        if web.tls.is_some() && (self.pair.is_some() || self.client_ca.is_some()) {
            problems.push(Problem::new(
                "web configuration file",
                "names a certificate, and so does another setting; leave one of them out",
            ));
        }
        let mut named = Vec::new();
        let tls = web.tls.clone().or_else(|| {
            let (certificate, key) = self.pair?;
            named.extend([(certificate.name, certificate.value.clone()), (key.name, key.value.clone())]);
            Some(TlsFiles { certificate: certificate.value.into(), key: key.value.into() })
        });
        let clients = web.clients.clone().or_else(|| {
            let found = self.client_ca?;
            named.push((found.name, found.value.clone()));
            Some(Clients { authorities: Some(found.value.into()), required: true, names: Vec::new() })
        });
        let authorities = web.clients.iter().filter_map(|clients| clients.authorities.as_ref());
        let pair = web.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]);
        named.extend(web::files(pair.chain(authorities)).into_iter().map(|path| (WEB.to_owned(), path)));
        for (name, path) in named {
            if !running {
                readable(&name, &path, problems);
            }
            files.push(path);
        }
        Secured { tls, clients, web, files }
    }
}

/// Whether a file that `name` names can be read.
fn readable(name: &str, path: &Path, problems: &mut Vec<Problem>) {
    if let Err(error) = terminal::file::regular(path, https::certificate::MAX_FILE_BYTES) {
        problems.push(Problem::new(format!("{name} {}", path.display()), format!("cannot be read: {error}")));
    }
}

/// What is settled at start about the answers, outside of the web configuration file.
fn surface_of(layers: &mut Layers<'_>) -> Surface {
    let Parsed(telemetry_path) = layers.get(&known::TELEMETRY_PATH);
    let without_own = layers.get(&known::NO_EXPORTER_METRICS);
    Surface { telemetry_path, without_own, ..Surface::default() }
}

/// What is shown of it: what differs from the default.
fn rows_of(surface: &Surface, http2: bool) -> Vec<Row> {
    let default = Surface::default();
    let path = (surface.telemetry_path != default.telemetry_path).then(|| surface.telemetry_path.to_string());
    let headers =
        surface.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("…")));
    let headers: Vec<_> = headers.collect();
    let rate = surface
        .rate_limit
        .map(|rate| format!("one request each {}, {} together", rate.interval.show(), rate.burst));
    let rows = [
        ("also at", path),
        ("exporter metrics", surface.without_own.then(|| "left out".to_owned())),
        ("headers", Some(headers.join("; ")).filter(|text| !text.is_empty())),
        ("rate limit", rate),
        ("HTTP/2", (!http2).then(|| "off".to_owned())),
    ];
    let rows = rows.into_iter().filter_map(|(label, value)| Some((label, value?)));
    // TLS is set up for each connection, so HTTP/2 can come and go.
    let reread = |label| if label == "HTTP/2" { Reread::Running } else { Reread::Restart };
    rows.map(|(label, value)| Row { label, value, reread: reread(label) }).collect()
}
