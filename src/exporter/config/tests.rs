//! The layers together. What files give lies as data under `tests/config`: `NAME.good.json` beside the summary it
//! means, `NAME.bad.json` beside everything that is wrong with it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ::settings::Value as _;

use super::*;
use crate::metrics::labels::LabelLimit;

/// A key that is in many of the files; must never be shown.
const SECRET: &str = "secret";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/config")
}

/// Reads as the process would: a word is a flag or its value.
fn read_words(words: &[&str], around: &Surroundings) -> Result<Invocation, String> {
    let args = ["etcha-exporter"].iter().chain(words);
    read(args, around).map_err(|error| match error {
        Error::Usage(error) => error.to_string(),
        Error::Config(problems) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
    })
}

fn config(words: &[&str], around: &Surroundings) -> Result<Box<Config>, String> {
    match read_words(words, around)?.task {
        Task::Serve(config) | Task::CheckConfig(config) => Ok(config),
        other => panic!("{other:?}"),
    }
}

fn with_key() -> Surroundings {
    Surroundings { metrics_key: Some(SECRET.into()), ..Surroundings::default() }
}

/// Files under `tests/config` whose names end so, at least one.
fn files(end: &str) -> BTreeSet<PathBuf> {
    let all = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let files: BTreeSet<_> = all.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    assert!(!files.is_empty());
    files
}

/// What a file gives, without what depends on where and how the files lie.
fn outcome(path: &Path) -> Result<String, String> {
    let local = |text: String| {
        let lines = text.lines().filter(|line| !line.starts_with("warning "));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        text.replace(directory().to_str().unwrap(), "DIR")
    };
    let result = config(&["--config", path.to_str().unwrap()], &Surroundings::default());
    result.map(|config| local(config.to_string())).map_err(local)
}

#[test]
fn good_files_mean_what_stands_beside_them() {
    for path in files(".good.json") {
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
        assert_eq!(outcome(&path), Ok(expected), "{}", path.display());
    }
}

#[test]
fn bad_files_are_refused_with_what_stands_beside_them() {
    for path in files(".bad.json") {
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
        assert_eq!(outcome(&path), Err(expected), "{}", path.display());
    }
}

#[test]
fn no_key_is_in_what_is_shown() {
    for path in files(".json") {
        let shown = match config(&["--config", path.to_str().unwrap()], &Surroundings::default()) {
            Ok(config) => format!("{config} {config:?}"),
            Err(problems) => problems,
        };
        for key in [SECRET, "c2VjcmV0", "aardvark", "new & better", "in the file", "from a file"] {
            assert!(!shown.contains(key), "{}: {shown}", path.display());
        }
    }
}

#[test]
fn without_a_file_the_defaults_hold() {
    let config = config(&[], &with_key()).unwrap();
    assert_eq!(config.journal, Path::new("/var/lib/etcha/journal.jsonl"));
    assert_eq!(config.state_dir, Path::new("/var/lib/etcha-exporter"));
    assert_eq!(config.listen, [DEFAULT_LISTEN]);
    assert_eq!(config.tls, None);
    assert_eq!(
        (config.poll_interval, config.checkpoint_interval),
        (Duration::from_secs(1), Duration::from_secs(15))
    );
    assert_eq!(config.limits, Limits { series: 100_000, label: LabelLimit::new(1024) });
    assert_eq!(config.log, Log { format: log::Format::Logfmt, level: log::Level::Info });
    assert!(config.access.keys.admit(SECRET.as_bytes()));
}

#[test]
fn spellings_of_other_exporters_mean_the_same() {
    let web = tempfile::NamedTempFile::new().unwrap();
    let web = web.path().to_str().unwrap();
    for (theirs, ours, value) in [
        ("--web.listen-address", "--listen-address", ":4002,[::1]:4003"),
        ("--web.config.file", "--web-config-file", web),
        ("--web.telemetry-path", "--telemetry-path", "/probe"),
        ("--web.disable-exporter-metrics", "--no-exporter-metrics", "true"),
        ("--log.format", "--log-format", "json"),
        ("--log.level", "--log-level", "debug"),
    ] {
        let [theirs, ours] = [theirs, ours]
            .map(|flag| format!("{:?}", config(&[&format!("{flag}={value}")], &with_key()).unwrap()));
        assert_eq!(theirs, ours);
        assert_ne!(ours, format!("{:?}", config(&[], &with_key()).unwrap()));
    }
}

#[test]
fn flags_are_stronger_than_the_file() {
    let file = directory().join("full.good.json");
    let other = tempfile::NamedTempFile::new().unwrap();
    fs::write(other.path(), "typed\r\n").unwrap();
    let other = other.path().to_str().unwrap();
    let words = [
        ["--config", file.to_str().unwrap()],
        ["--journal", "typed.jsonl"],
        ["--max-connections", "9"],
        ["--max-connections-per-client", "5"],
        ["--max-writers", "11"],
        ["--max-segments", "12"],
        ["--textfile", "typed.prom"],
        ["--tls-client-ca", other],
        ["--state-dir", "typed"],
        ["--listen-address", ":4002"],
        ["--listen-address", "[::1]:4003,127.0.0.1:4003"],
        ["--metrics-key-file", other],
        ["--tls-certificate", other],
        ["--tls-key", other],
        ["--poll-interval", "2m"],
        ["--checkpoint-interval", "1s"],
        ["--max-series", "7"],
        ["--max-label-bytes", "64"],
        ["--max-line-bytes", "2048"],
        ["--log-format", "human"],
        ["--log-level", "error"],
    ]
    .concat();
    let config = config(&words, &with_key()).unwrap();
    assert_eq!(config.journal, Path::new("typed.jsonl"));
    assert_eq!(config.state_dir, Path::new("typed"));
    let addresses: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, [":4002", "127.0.0.1:4003", "[::1]:4003"]);
    assert_eq!((config.access.keys.len(), config.access.keys.admit(b"typed")), (1, true));
    assert_eq!(
        config.tls,
        Some(TlsFiles { certificate: PathBuf::from(other).into(), key: PathBuf::from(other).into() })
    );
    assert_eq!(
        (config.poll_interval, config.checkpoint_interval),
        (Duration::from_secs(120), Duration::from_secs(1))
    );
    assert_eq!(config.limits, Limits { series: 7, label: LabelLimit::new(64) });
    assert_eq!(config.connections, Connections { max: 9, max_per_client: 5 });
    assert_eq!(config.bounds, Bounds { line_bytes: 2048, writers: 11, segments: 12 });
    assert_eq!(config.textfile.as_deref(), Some(Path::new("typed.prom")));
    let authorities = Some(PathBuf::from(other).into());
    assert_eq!(config.clients, Some(Clients { authorities, required: true, names: Vec::new() }));
    assert_eq!(config.log, Log { format: log::Format::Human, level: log::Level::Error });
}

#[test]
fn keys_come_from_the_strongest_layer_that_names_any() {
    let credentials = tempfile::tempdir().unwrap();
    fs::write(credentials.path().join("metrics-key"), "handed over\n").unwrap();
    let around = Surroundings {
        metrics_key: Some("from the environment".into()),
        credentials_directory: Some(credentials.path().into()),
        ..Surroundings::default()
    };
    let file = directory().join("guide.good.json");
    let words = ["--config", file.to_str().unwrap()];
    let config = config(&words, &around).unwrap();
    assert_eq!(config.access.keys.len(), 2);
    assert!(config.access.keys.admit(b"from the environment") && config.access.keys.admit(b"handed over"));
    assert_eq!(config.key_sources[0], "ETCHA_EXPORTER_METRICS_KEY");
}

#[test]
fn an_empty_key_in_the_environment_never_falls_back_to_a_weaker_layer() {
    let around = Surroundings { metrics_key: Some("".into()), ..Surroundings::default() };
    let file = directory().join("guide.good.json");
    let problems = config(&["--config", file.to_str().unwrap()], &around).unwrap_err();
    assert_eq!(
        problems,
        "ETCHA_EXPORTER_METRICS_KEY: the key is empty; an empty key would open the metrics to everyone\n"
    );
}

#[test]
fn without_a_key_the_four_ways_to_set_one_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let around =
        Surroundings { credentials_directory: Some(directory.path().into()), ..Surroundings::default() };
    let problems = config(&[], &around).unwrap_err();
    for way in
        ["--metrics-key-file", "ETCHA_EXPORTER_METRICS_KEY", "LoadCredential=metrics-key", "systemMetricsKey"]
    {
        assert!(problems.contains(way), "{problems}");
    }
}

#[test]
fn the_state_directory_of_the_unit_is_the_default() {
    let around = |text: &str| Surroundings { state_directory: Some(text.into()), ..with_key() };
    for (given, expected) in [("/run/a", "/run/a"), ("/run/a:/run/b", "/run/a"), ("", DEFAULT_STATE_DIR)] {
        assert_eq!(config(&[], &around(given)).unwrap().state_dir, Path::new(expected));
    }
    assert_eq!(config(&["--state-dir", "x"], &around("/run/a")).unwrap().state_dir, Path::new("x"));
}

#[test]
fn a_flag_that_is_there_or_not_can_take_back_what_the_file_says() {
    let file = directory().join("surface.good.json");
    let refuses = |words: &[&str]| {
        let words = [&["--config", file.to_str().unwrap()], words].concat();
        config(&words, &with_key()).unwrap().access.refuse_query_keys
    };
    assert!(refuses(&[]) && refuses(&["--refuse-query-keys"]) && !refuses(&["--refuse-query-keys=false"]));
    let listens = |words: &[&str]| !config(words, &with_key()).unwrap().listen.is_empty();
    assert!(!listens(&["--no-listener", "--textfile", "a.prom"]));
    assert!(listens(&["--no-listener=false", "--textfile", "a.prom"]));
}

#[test]
fn wrong_usage_names_the_flag() {
    for (words, flag) in [
        (&["--tls-certificate", "x"] as &[&str], "--tls-key"),
        (&["--tls-key", "x"], "--tls-certificate"),
        (&["--poll-interval", "1"], "--poll-interval"),
        (&["--listen-address", "local host:4000"], "--listen-address"),
        (&["--max-series", "0"], "--max-series"),
        (&["--log-format", "xml"], "--log-format"),
        (&["--metrics-key", "secret"], "--metrics-key-file"),
        (&["--journal", ""], "--journal"),
        (&["--textfile", "metrics.txt"], ".prom"),
        (&["--no-listener"], "--textfile"),
        (&["--no-listener", "--listen-address", ":1"], "--listen-address"),
        (&["--web-config-file", "x", "--tls-client-ca", "y"], "--web-config-file"),
        (&["--max-connections", "1"], "--max-connections"),
        (&["render"], "FILE"),
        (&["demo", "--listen-address", "x y"], "--listen-address"),
        (&["--journal", "x", "render", "y"], "render"),
        (&["reader"], "render"),
    ] {
        let error = read_words(words, &with_key()).unwrap_err();
        assert!(error.contains(flag), "{words:?}: {error}");
    }
}

#[test]
fn subcommands_need_no_key() {
    let task = |words: &[&str]| read_words(words, &Surroundings::default()).unwrap().task;
    let limits = Limits { series: 5, label: LabelLimit::default() };
    assert!(matches!(
        task(&["render", "--max-series", "5", "--max-line-bytes", "2048", "a.jsonl", "-"]),
        Task::Render { files, limits: found, bounds } if files == [Path::new("a.jsonl"), Path::new("-")]
            && found == limits
            && bounds == Bounds { line_bytes: 2048, ..Bounds::default() }
    ));
    assert!(matches!(task(&["demo"]), Task::Demo { listen: DEMO_LISTEN }));
    assert!(matches!(
        task(&["checkpoint", "show"]),
        Task::ShowCheckpoint { state_dir } if state_dir == Path::new(DEFAULT_STATE_DIR)
    ));
    assert!(matches!(
        task(&["checkpoint", "reset", "--state-dir", "x"]),
        Task::ResetCheckpoint { state_dir } if state_dir == Path::new("x")
    ));
}

#[test]
fn check_config_is_a_task_of_its_own() {
    let invocation = read_words(&["--check-config"], &with_key()).unwrap();
    assert!(matches!(invocation.task, Task::CheckConfig(_)));
}

#[test]
fn every_flag_with_a_value_has_its_variable_and_the_help_shows_no_value_of_it() {
    let command = args::command();
    command.clone().debug_assert();
    for arg in command.get_arguments().filter(|arg| arg.get_action().takes_values()) {
        let long = arg.get_long().unwrap();
        let variable = format!("ETCHA_EXPORTER_{}", long.to_uppercase().replace('-', "_"));
        assert_eq!(arg.get_env().unwrap(), variable.as_str());
        assert!(arg.is_hide_env_values_set(), "{long}");
    }
}

#[test]
fn the_help_fits_a_terminal_and_tells_defaults() {
    let help = args::command().term_width(80).render_long_help().to_string();
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    for default in [DEFAULT_JOURNAL, DEFAULT_STATE_DIR, "[default: :4000]"] {
        assert!(help.contains(default), "{default}");
    }
    for (flag, default) in [
        ("--poll-interval", DEFAULT_POLL_INTERVAL.show()),
        ("--checkpoint-interval", DEFAULT_CHECKPOINT_INTERVAL.show()),
        ("--max-series", DEFAULT_MAX_SERIES.to_string()),
        ("--max-label-bytes", DEFAULT_MAX_LABEL_BYTES.to_string()),
        ("--max-line-bytes", Bounds::default().line_bytes.to_string()),
        ("--max-writers", Bounds::default().writers.to_string()),
        ("--max-segments", Bounds::default().segments.to_string()),
        ("--max-connections", Connections::default().max.to_string()),
        ("--max-connections-per-client", Connections::default().max_per_client.to_string()),
    ] {
        let after = help.split(&format!("{flag} <")).nth(1).unwrap();
        let told = after.split("[default: ").nth(1).unwrap();
        assert!(told.starts_with(&format!("{default}]")), "{flag}: {told}");
    }
}
