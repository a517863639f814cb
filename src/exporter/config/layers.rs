//! Flags and variables over the file, the file over the defaults: what the settings mean together.

use std::fs::File as OpenFile;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use settings::layers::Layer;
use settings::value::{Parsed, Word};
use settings::{File, Found, Layers, Problem, Reread, Setting, Value as _};

use super::args::VARIABLE_PREFIX;
use super::explain::explain;
use super::keys::{self, Gathered};
use super::settings as known;
use super::{
    Bounds, ClientAuth, Config, Connections, DEFAULT_LISTEN, Limits, ListenAddress, Log, Surroundings,
    TlsFiles, TlsVersion, reread, text, web,
};
use crate::log::Format;
use crate::serve::{Access, Users};

/// Longest configuration file in bytes: thousands of times what its keys take.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The configuration for following and serving.
///
/// # Errors
///
/// Everything that is wrong: with single values, else with what they mean together.
pub(super) fn serve(
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
    let rows = layers.end()?;

    let mut problems = Vec::new();
    let listens = listening.check(textfile.as_deref(), &mut problems);
    let gathered = written.gather(path.as_deref().filter(|_| open_to_all == Some(true)), around);
    problems.extend(gathered.problems);
    let Secured { tls, client_auth, least_tls, users, mut files } = certificate.check(&mut problems);
    if listens && gathered.sources.is_empty() && users.is_empty() {
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
        access: Access { keys: gathered.keys, users, refuse_query_keys },
        key_sources: gathered.sources,
        tls,
        client_auth,
        least_tls,
        textfile,
        connections,
        poll_interval,
        checkpoint_interval,
        limits,
        bounds: Bounds { line_bytes, writers, segments },
        log,
        warnings: gathered.warnings,
        files,
        rows,
        reread: Some(reread),
    })
}

/// The configuration file, and whether everybody on this host can read it.
fn file(path: &Path) -> Result<(File, bool), Vec<Problem>> {
    let text::Text { text, open_to_all } = text::read(path, MAX_FILE_BYTES)
        .map_err(|what| vec![Problem::new(path.display().to_string(), what)])?;
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
        max_series: layers.get(&known::MAX_SERIES),
        max_label_bytes: layers.get(&known::MAX_LABEL_BYTES),
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
            let what = "needs --textfile: otherwise nobody could read the metrics";
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
    client_auth: Option<ClientAuth>,
    least_tls: TlsVersion,
    users: Users,
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

    fn check(self, problems: &mut Vec<Problem>) -> Secured {
        let mut files: Vec<_> = self.web.iter().map(|found| found.value.clone()).collect();
        let web = self.web.map(|found| web::read(&found.name, &found.value)).transpose();
        let web = web.unwrap_or_else(|wrong| {
            problems.extend(wrong);
            None
        });
        let mut tls = self.pair.map(|(certificate, key)| {
            let names = [certificate.name, key.name];
            (names, TlsFiles { certificate: certificate.value, key: key.value })
        });
        let mut client_auth =
            self.client_ca.map(|found| (found.name, ClientAuth { authorities: found.value, required: true }));
        let (mut least_tls, mut users) = (TlsVersion::default(), Users::default());
        if let Some(web) = web {
            if web.tls.is_some() && (tls.is_some() || client_auth.is_some()) {
                problems.push(Problem::new(
                    "web configuration file",
                    "names a certificate, and so does another setting; leave one of them out",
                ));
            }
            let name = || "web configuration file:".to_owned();
            tls = web.tls.map(|tls| ([name(), name()], tls)).or(tls);
            client_auth = web.client_auth.map(|auth| (name(), auth)).or(client_auth);
            (least_tls, users) = (web.least_version, web.users);
        }
        if let Some((names, tls)) = &tls {
            readable(&names[0], &tls.certificate, problems, &mut files);
            readable(&names[1], &tls.key, problems, &mut files);
        }
        if let Some((name, auth)) = &client_auth {
            readable(name, &auth.authorities, problems, &mut files);
        }
        let (tls, client_auth) = (tls.map(|(_, tls)| tls), client_auth.map(|(_, auth)| auth));
        Secured { tls, client_auth, least_tls, users, files }
    }
}

/// Whether a file that `name` names can be read.
fn readable(name: &str, path: &Path, problems: &mut Vec<Problem>, files: &mut Vec<PathBuf>) {
    files.push(path.to_owned());
    if let Err(error) = OpenFile::open(path) {
        let place = format!("{name} {}", path.display());
        problems.push(Problem::new(place, format!("cannot be read: {error}")));
    }
}
