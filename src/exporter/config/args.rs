//! The command line: subcommands, and which settings each has flags for. The setting defines what its flag
//! means.

use std::path::PathBuf;

use clap::{Arg, Command, value_parser};
use settings::{Defined, flags};

use super::settings::{
    DEMO_ADDRESS, LOG_FORMAT, LOG_LEVEL, MAX_LABEL_BYTES, MAX_LINE_BYTES, MAX_SERIES, SETTINGS, STATE_DIR,
};

/// Widest help page in columns: longer lines are hard to read.
const HELP_COLUMNS: usize = 100;

/// What every variable that stands for a flag begins with.
pub(super) const VARIABLE_PREFIX: &str = "ETCHA_EXPORTER_";

/// What `--version` prints behind the name.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (revision ",
    env!("ETCHA_REVISION"),
    ", ",
    env!("ETCHA_TARGET"),
    ", ",
    env!("ETCHA_COMPILER"),
    ")"
);

const ABOUT: &str = "Serves the metrics of an Etcha agent to Prometheus, out of its journal";

const LONG_ABOUT: &str = "\
Follows the journal of an Etcha agent, counts what the agent did, and serves the counts to Prometheus over HTTPS at \
/etcha/v1/system/metrics, to clients that have the key. It reads the journal and writes nothing but its own state. Without \
a subcommand it serves.";

const AFTER: &str = "\
Environment:
  Each flag with a value has a variable: --poll-interval is
  ETCHA_EXPORTER_POLL_INTERVAL. Beside them:
  ETCHA_EXPORTER_METRICS_KEY   The key itself, as an alternative to a file
  NO_COLOR                     No colours in the log

Flags come before variables, variables before the configuration file, the file
before the defaults. A list (addresses, keys) is taken whole from the first of
them that names one.

Examples:
  # Make a key, then serve.
  (umask 077; openssl rand -hex 24 > metrics-key)
  etcha-exporter --metrics-key-file metrics-key

  # Is the configuration right? Shows what it means, and serves nothing.
  etcha-exporter --config /etc/etcha-exporter/config.json --check-config

  # Another journal; only this host may connect.
  etcha-exporter --metrics-key-file metrics-key --journal ./journal.jsonl \\
      --listen-address 127.0.0.1:4000 --listen-address '[::1]:4000'

  # What does a journal say?
  etcha-exporter render /var/lib/etcha/journal.jsonl | grep sources_total

Exit status: 0 done, 1 failed, 2 wrong usage or configuration.";

/// The command line.
pub(super) fn command() -> Command {
    let serving = SETTINGS.iter().filter(|setting| !setting.about().flag.is_empty());
    Command::new("etcha-exporter")
        .version(VERSION)
        .about(ABOUT)
        .long_about(LONG_ABOUT)
        .after_long_help(AFTER)
        .max_term_width(HELP_COLUMNS)
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
        .args(serving.map(|setting| flags::arg(*setting, VARIABLE_PREFIX)))
        .mut_arg("tls-certificate", |arg| arg.requires("tls-key"))
        .mut_arg("tls-key", |arg| arg.requires("tls-certificate"))
        .mut_arg("web-config-file", |arg| arg.conflicts_with_all(["tls-certificate", "tls-client-ca"]))
        .mut_arg(LOG_FORMAT.about.flag, |arg| arg.global(true))
        .mut_arg(LOG_LEVEL.about.flag, |arg| arg.global(true))
        .subcommands([render(), demo(), checkpoint(), documents()])
}

fn render() -> Command {
    Command::new("render")
        .about("Print the metrics of journal files and exit")
        .long_about(
            "Replays journal files, plain, gzip or zstd, as one journal in the order given, prints the Etcha \
             families in the text format, and exits.",
        )
        .arg(paths("files", "FILE", "Journal files, oldest first; `-` is standard input").num_args(1..))
        .args(with_variables(&[&MAX_SERIES, &MAX_LABEL_BYTES, &MAX_LINE_BYTES]))
}

fn demo() -> Command {
    Command::new("demo")
        .about("Run an agent and serve what it does, to see what this is like")
        .long_about(
            "Starts a demo agent, the etcha-engine beside this program, with a few sources that keep doing \
             something, and the exporter with a new key. Prints the URL, the key, and lines that are ready to \
             use: a scrape, a shell, a push, a webhook. Ctrl-C, or closing the terminal, ends both and removes \
             their files.",
        )
        .arg(flags::arg(&DEMO_ADDRESS, ""))
}

fn checkpoint() -> Command {
    let state_dir = || with_variables(&[&STATE_DIR]);
    Command::new("checkpoint")
        .about("Show the saved state, or start over")
        .subcommand_required(true)
        .subcommands([
            Command::new("show")
                .about("Show what is saved: positions in the journal, age, counts")
                .args(state_dir()),
            Command::new("reset")
                .about("Set the saved state aside; the next start reads the whole journal again")
                .args(state_dir()),
        ])
}

fn documents() -> Command {
    Command::new("documents")
        .about("Write man pages and shell completions into a directory, for packages")
        .hide(true)
        .arg(paths("directory", "DIR", "Where they go; has to exist"))
}

fn paths(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(value).value_parser(value_parser!(PathBuf)).required(true).help(help)
}

fn with_variables(settings: &[&dyn Defined]) -> Vec<Arg> {
    settings.iter().map(|setting| flags::arg(*setting, VARIABLE_PREFIX)).collect()
}
