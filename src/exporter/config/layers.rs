//! Flags and variables over the file, the file over the defaults: for each value, the strongest layer that names it
//! decides. Flags and variables arrive as one layer, in which clap has put the flags first.

use std::fs::File;
use std::path::PathBuf;

use super::args::{LimitArgs, LogArgs, ServeArgs, StateArgs};
use super::file::Written;
use super::keys::{self, Gathered};
use super::{
    Config, DEFAULT_CHECKPOINT_INTERVAL, DEFAULT_JOURNAL, DEFAULT_LISTEN, DEFAULT_MAX_LABEL_BYTES,
    DEFAULT_MAX_SERIES, DEFAULT_POLL_INTERVAL, Invocation, Limits, ListenAddress, Log, Problem, Surroundings,
    Task, TlsFiles,
};
use crate::exporter::log;

/// The configuration for following and serving, or everything that is wrong with it.
pub(super) fn serve(
    args: ServeArgs,
    log: &LogArgs,
    key_files_typed: bool,
    around: &Surroundings,
) -> Result<Invocation, Vec<Problem>> {
    let written = args.config.as_deref().map(Written::read).transpose()?.unwrap_or_default();
    let gathered = gather(&args, key_files_typed, &written, around);
    let mut problems = gathered.problems;
    if gathered.sources.is_empty() {
        problems.push(Problem::new("", keys::HOW_TO_SET_ONE));
    }
    let tls = tls_of(&args, &written, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let log = log_of(log, &written, around);
    let config = Box::new(Config {
        listen: listen_of(&args, &written),
        keys: gathered.keys,
        key_sources: gathered.sources,
        tls,
        poll_interval: args.poll_interval.or(written.poll_interval).unwrap_or(DEFAULT_POLL_INTERVAL),
        checkpoint_interval: args
            .checkpoint_interval
            .or(written.checkpoint_interval)
            .unwrap_or(DEFAULT_CHECKPOINT_INTERVAL),
        limits: limits_of(&args.limits, &written),
        log,
        warnings: gathered.warnings,
        journal: args.journal.or(written.journal).unwrap_or_else(|| DEFAULT_JOURNAL.into()),
        state_dir: state_dir_of(args.state, written.state_dir, around),
    });
    Ok(Invocation {
        log,
        task: if args.check_config { Task::CheckConfig(config) } else { Task::Serve(config) },
    })
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

/// The certificate's files: both from the flags, or both from the file, so that no pair is mixed.
fn tls_of(args: &ServeArgs, written: &Written, problems: &mut Vec<Problem>) -> Option<TlsFiles> {
    let typed = args.tls_certificate.clone().zip(args.tls_key.clone());
    let (names, pair) = match typed {
        Some(pair) => (["--tls-certificate", "--tls-key"], pair),
        None => (
            ["httpServer.tlsCertificatePath", "httpServer.tlsKeyPath"],
            written.tls_certificate.clone().zip(written.tls_key.clone())?,
        ),
    };
    for (name, path) in names.into_iter().zip([&pair.0, &pair.1]) {
        if let Err(error) = File::open(path) {
            let place = format!("{name} {}", path.display());
            problems.push(Problem::new(place, format!("cannot be read: {error}")));
        }
    }
    Some(TlsFiles { certificate: pair.0, key: pair.1 })
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

pub(super) fn log_of(args: &LogArgs, written: &Written, around: &Surroundings) -> Log {
    Log {
        format: args.log_format.or(written.log_format).unwrap_or(log::Format::suited(around.terminal)),
        level: args.log_level.or(written.log_level).unwrap_or_default(),
    }
}
