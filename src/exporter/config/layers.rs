//! Flags and variables over the file, the file over the defaults: for each value, the strongest layer that names it
//! decides. Flags and variables arrive as one layer, in which clap has put the flags first.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::args::{LimitArgs, LogArgs, ServeArgs, StateArgs};
use super::file::Written;
use super::keys::{self, Gathered};
use super::web;
use super::{
    Bounds, ClientAuth, Config, Connections, DEFAULT_CHECKPOINT_INTERVAL, DEFAULT_JOURNAL, DEFAULT_LISTEN,
    DEFAULT_MAX_LABEL_BYTES, DEFAULT_MAX_SERIES, DEFAULT_POLL_INTERVAL, Invocation, Limits, ListenAddress,
    Log, Problem, Reread, Surroundings, Task, TlsFiles, TlsVersion,
};
use crate::log;
use crate::serve::{Access, Users};

/// The configuration for following and serving, or everything that is wrong with it.
pub(super) fn serve(
    args: ServeArgs,
    log: &LogArgs,
    key_files_typed: bool,
    around: &Surroundings,
    reread: Reread,
) -> Result<Invocation, Vec<Problem>> {
    let written = args.config.as_deref().map(Written::read).transpose()?.unwrap_or_default();
    let gathered = gather(&args, key_files_typed, &written, around);
    let mut problems = gathered.problems;
    // An address that was typed says enough against a file.
    let listens = match (args.no_listener, args.listen_address.is_empty()) {
        (Some(no_listener), _) => !no_listener,
        (None, true) => !written.no_listener.unwrap_or(false),
        (None, false) => true,
    };
    if !listens && !args.listen_address.is_empty() {
        problems.push(Problem::new("--no-listener", "contradicts --listen-address; leave one of them out"));
    }
    let textfile = args.textfile.clone().or_else(|| written.textfile.clone());
    if !listens && textfile.is_none() {
        problems
            .push(Problem::new("--no-listener", "needs --textfile: otherwise nobody could read the metrics"));
    }
    let Secured { tls, client_auth, least_tls, users, mut files } = secured(&args, &written, &mut problems);
    if listens && gathered.sources.is_empty() && users.is_empty() {
        problems.push(Problem::new("", keys::HOW_TO_SET_ONE));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    files.extend(args.config.iter().cloned().chain(gathered.files));
    let log = log_of(log, &written, around);
    let config = Box::new(Config {
        listen: if listens { listen_of(&args, &written) } else { Vec::new() },
        access: Access {
            keys: gathered.keys,
            users,
            refuse_query_keys: args.refuse_query_keys.or(written.refuse_query_keys).unwrap_or(false),
        },
        key_sources: gathered.sources,
        tls,
        client_auth,
        least_tls,
        textfile,
        connections: connections_of(&args, &written),
        poll_interval: args.poll_interval.or(written.poll_interval).unwrap_or(DEFAULT_POLL_INTERVAL),
        checkpoint_interval: args
            .checkpoint_interval
            .or(written.checkpoint_interval)
            .unwrap_or(DEFAULT_CHECKPOINT_INTERVAL),
        limits: limits_of(&args.limits, &written),
        bounds: bounds_of(&args, &written),
        log,
        warnings: gathered.warnings,
        journal: args.journal.or(written.journal).unwrap_or_else(|| DEFAULT_JOURNAL.into()),
        state_dir: state_dir_of(args.state, written.state_dir, around),
        files,
        reread: Some(reread),
    });
    Ok(Invocation {
        log,
        task: if args.check_config { Task::CheckConfig(config) } else { Task::Serve(config) },
    })
}

/// Who the listener is and whom it lets in, beside the keys.
struct Secured {
    tls: Option<TlsFiles>,
    client_auth: Option<ClientAuth>,
    least_tls: TlsVersion,
    users: Users,
    files: Vec<PathBuf>,
}

fn secured(args: &ServeArgs, written: &Written, problems: &mut Vec<Problem>) -> Secured {
    let web = match (&args.web_config_file, &written.web_config_file) {
        (Some(path), _) => Some(("--web-config-file", path)),
        (None, Some(path)) => Some(("exporter.webConfigFile", path)),
        (None, None) => None,
    };
    let mut files: Vec<_> = web.iter().map(|(_, path)| (*path).clone()).collect();
    let web = web.map(|(setting, path)| web::read(setting, path)).transpose();
    let web = web.unwrap_or_else(|wrong| {
        problems.extend(wrong);
        None
    });
    let mut tls = tls_of(args, written);
    let mut client_auth = args
        .tls_client_ca
        .clone()
        .map(|path| ("--tls-client-ca", path))
        .or_else(|| written.tls_client_ca.clone().map(|path| ("exporter.tlsClientCAPath", path)))
        .map(|(name, authorities)| (name, ClientAuth { authorities, required: true }));
    let (mut least_tls, mut users) = (TlsVersion::default(), Users::default());
    if let Some(web) = web {
        if web.tls.is_some() && (tls.is_some() || client_auth.is_some()) {
            problems.push(Problem::new(
                "web configuration file",
                "names a certificate, and so does another setting; leave one of them out",
            ));
        }
        let name = "web configuration file:";
        tls = web.tls.map(|tls| ([name, name], tls)).or(tls);
        client_auth = web.client_auth.map(|auth| (name, auth)).or(client_auth);
        (least_tls, users) = (web.least_version, web.users);
    }
    if let Some((names, tls)) = &tls {
        readable(names[0], &tls.certificate, problems, &mut files);
        readable(names[1], &tls.key, problems, &mut files);
    }
    if let Some((name, auth)) = &client_auth {
        readable(name, &auth.authorities, problems, &mut files);
    }
    Secured {
        tls: tls.map(|(_, tls)| tls),
        client_auth: client_auth.map(|(_, auth)| auth),
        least_tls,
        users,
        files,
    }
}

/// Whether a file that `name` names can be read.
fn readable(name: &str, path: &Path, problems: &mut Vec<Problem>, files: &mut Vec<PathBuf>) {
    files.push(path.to_owned());
    if let Err(error) = File::open(path) {
        let place = format!("{name} {}", path.display());
        problems.push(Problem::new(place, format!("cannot be read: {error}")));
    }
}

/// The keys of the strongest layer that names any.
fn gather(args: &ServeArgs, key_files_typed: bool, written: &Written, around: &Surroundings) -> Gathered {
    let mut gathered = Gathered::default();
    if key_files_typed {
        for path in &args.metrics_key_file {
            gathered.file("--metrics-key-file", path);
        }
        return gathered;
    }
    for path in &args.metrics_key_file {
        gathered.file("ETCHA_EXPORTER_METRICS_KEY_FILE", path);
    }
    if let Some(key) = &around.metrics_key {
        match key.to_str() {
            Some(key) => gathered.text(keys::KEY_VARIABLE, key),
            None => gathered.unusable(keys::KEY_VARIABLE, "not UTF-8"),
        }
    }
    if let Some(directory) = &around.credentials_directory {
        gathered.credential(directory);
    }
    if gathered.sources.is_empty() {
        for (name, key) in &written.keys {
            gathered.text(name, key);
        }
        if let Some(path) = args.config.as_deref().filter(|_| written.open_to_all && !written.keys.is_empty())
        {
            gathered.warnings.push(format!("{}: {}", path.display(), keys::OPEN_TO_ALL));
        }
        for path in &written.metrics_key_files {
            gathered.file("exporter.metricsKeyFile", path);
        }
    }
    gathered
}

fn listen_of(args: &ServeArgs, written: &Written) -> Vec<ListenAddress> {
    let named =
        if args.listen_address.is_empty() { written.listen.as_deref() } else { Some(&*args.listen_address) };
    let mut listen = named.unwrap_or(&[DEFAULT_LISTEN]).to_vec();
    listen.sort_unstable();
    listen.dedup();
    listen
}

/// The certificate's files, with the names of their settings: both from the flags, or both from the file, so that no
/// pair is mixed.
fn tls_of(args: &ServeArgs, written: &Written) -> Option<([&'static str; 2], TlsFiles)> {
    let files = |(certificate, key)| TlsFiles { certificate, key };
    if let Some(pair) = args.tls_certificate.clone().zip(args.tls_key.clone()) {
        return Some((["--tls-certificate", "--tls-key"], files(pair)));
    }
    let pair = written.tls_certificate.clone().zip(written.tls_key.clone())?;
    Some((["httpServer.tlsCertificatePath", "httpServer.tlsKeyPath"], files(pair)))
}

fn connections_of(args: &ServeArgs, written: &Written) -> Connections {
    let default = Connections::default();
    Connections {
        max: args.max_connections.or(written.max_connections).unwrap_or(default.max),
        max_per_client: args
            .max_connections_per_client
            .or(written.max_connections_per_client)
            .unwrap_or(default.max_per_client),
    }
}

fn bounds_of(args: &ServeArgs, written: &Written) -> Bounds {
    let default = Bounds::default();
    Bounds {
        line_bytes: line_bytes_of(&args.limits, written),
        writers: args.max_writers.or(written.max_writers).unwrap_or(default.writers),
        segments: args.max_segments.or(written.max_segments).unwrap_or(default.segments),
    }
}

pub(super) fn state_dir_of(args: StateArgs, written: Option<PathBuf>, around: &Surroundings) -> PathBuf {
    args.state_dir.or(written).unwrap_or_else(|| around.state_dir())
}

pub(super) fn limits_of(args: &LimitArgs, written: &Written) -> Limits {
    Limits {
        max_series: args.max_series.or(written.max_series).unwrap_or(DEFAULT_MAX_SERIES),
        max_label_bytes: args.max_label_bytes.or(written.max_label_bytes).unwrap_or(DEFAULT_MAX_LABEL_BYTES),
    }
}

pub(super) fn line_bytes_of(args: &LimitArgs, written: &Written) -> usize {
    args.max_line_bytes.or(written.max_line_bytes).unwrap_or(Bounds::default().line_bytes)
}

pub(super) fn log_of(args: &LogArgs, written: &Written, around: &Surroundings) -> Log {
    Log {
        format: args.log_format.or(written.log_format).unwrap_or(log::Format::suited(around.terminal)),
        level: args.log_level.or(written.log_level).unwrap_or_default(),
    }
}
