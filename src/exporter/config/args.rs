//! The command line and its environment variables: what was typed, each value read but nothing decided. Defaults are
//! told in the help and applied elsewhere, because the configuration file stands between them and the flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, Args, CommandFactory as _, Parser, Subcommand};

use super::address::{DEMO_LISTEN, ListenAddress};
use super::value;
use crate::log;

/// Widest help page in columns: longer lines are hard to read.
const HELP_COLUMNS: usize = 100;

/// What every variable that stands for a flag begins with.
const VARIABLE_PREFIX: &str = "ETCHA_EXPORTER_";

const ABOUT: &str = "Serves the metrics of an Etcha agent to Prometheus, out of its journal";

const LONG_ABOUT: &str = "\
Follows the journal of an Etcha agent, counts what the agent did, and serves the counts to Prometheus over HTTPS at \
/etcha/v1/system/metrics, to whoever has the key. It reads the journal and writes nothing but its own state. Without \
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

/// The command line, each flag with its variable.
pub(super) fn command() -> clap::Command {
    Cli::command().mut_args(with_variable).mut_subcommands(|subcommand| match subcommand.get_name() {
        // A demonstration is the same on every host.
        "demo" | "documents" => subcommand,
        _ => subcommand.mut_args(with_variable).mut_subcommands(|nested| nested.mut_args(with_variable)),
    })
}

/// Gives a flag with a value its variable. The help tells the rule once, and no value of the environment.
fn with_variable(arg: Arg) -> Arg {
    match arg.get_long() {
        Some(long) if arg.get_action().takes_values() => {
            let variable = format!("{VARIABLE_PREFIX}{}", long.replace('-', "_").to_uppercase());
            arg.env(variable).hide_env(true).hide_env_values(true)
        }
        _ => arg,
    }
}

#[derive(Parser)]
#[command(
    name = "etcha-exporter",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_long_help = AFTER,
    max_term_width = HELP_COLUMNS,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) serve: ServeArgs,
    #[command(flatten)]
    pub(super) log: LogArgs,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Print the metrics of journal files and exit
    ///
    /// Replays journal files, plain, gzip or zstd, as one journal in the order given, prints the Etcha families in the
    /// text format, and exits.
    Render(RenderArgs),
    /// Run an agent and serve what it does, to see what this is like
    ///
    /// Starts the etcha-engine that lies beside this program, with a few sources that keep doing something, and serves
    /// its journal, with a key made for the occasion. Prints the URL, the key, and lines that are ready to use: a scrape,
    /// a shell, a push, a webhook. Ctrl-C, or closing the terminal, ends both, and nothing of it stays.
    Demo(DemoArgs),
    /// Look at the saved state, or start over
    #[command(subcommand)]
    Checkpoint(CheckpointCommand),
    /// Write man pages and shell completions into a directory, for packages
    #[command(hide = true)]
    Documents(DocumentsArgs),
}

#[derive(Args)]
pub(super) struct ServeArgs {
    /// Configuration file, JSON
    ///
    /// Keys as Etcha names them: httpServer.listenAddress, httpServer.tlsCertificatePath, httpServer.tlsKeyPath,
    /// run.stateDir, run.systemMetricsKey (or systemMetricsSecret). The exporter's own stand under "exporter": journal,
    /// metricsKeyFile, refuseQueryKeys, tlsClientCAPath, webConfigFile, textfile, noListener, pollInterval,
    /// checkpointInterval, maxSeries, maxLabelBytes, maxLineBytes, maxWriters, maxSegments, maxConnections, maxConnectionsPerClient,
    /// logFormat, logLevel. Relative paths start at the file's directory. After a SIGHUP it is read again: keys,
    /// certificates and the log level change at once, the rest with the next start.
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub(super) config: Option<PathBuf>,

    /// Check the configuration, show what it means, and exit
    ///
    /// Exits 0 when it is right; otherwise names everything that is wrong and exits 2. Shows no key.
    #[arg(long, help_heading = "Configuration")]
    pub(super) check_config: bool,

    /// Journal to follow [default: /var/lib/etcha/journal.jsonl]
    ///
    /// Rotated segments beside it are read, too. It need not exist yet.
    #[arg(long, value_name = "PATH", help_heading = "Journal and state")]
    pub(super) journal: Option<PathBuf>,

    #[command(flatten)]
    pub(super) state: StateArgs,

    /// Longest pause between two looks at the journal [default: 1s]
    ///
    /// A notification from the file system cuts it short. 10ms to 1h.
    #[arg(long, value_name = "DURATION", value_parser = value::poll_interval,
          help_heading = "Journal and state")]
    pub(super) poll_interval: Option<Duration>,

    /// Pause between two checkpoints [default: 15s]
    ///
    /// What came after the last one is read again after a restart. 100ms to 24h.
    #[arg(long, value_name = "DURATION",
          value_parser = value::checkpoint_interval, help_heading = "Journal and state")]
    pub(super) checkpoint_interval: Option<Duration>,

    /// Address to listen on; repeatable [default: :4000]
    ///
    /// `:4000` is every address of this host, IPv4 and IPv6; `127.0.0.1:4000` and `[::1]:4000` are one each. Commas
    /// separate several.
    #[arg(long, value_name = "ADDR", value_delimiter = ',', help_heading = "HTTPS")]
    pub(super) listen_address: Vec<ListenAddress>,

    /// Certificate chain, PEM; needs --tls-key
    ///
    /// Without it a self-signed certificate is made once and kept in the state directory, for Prometheus' ca_file.
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "HTTPS")]
    pub(super) tls_certificate: Option<PathBuf>,

    /// Private key of the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate", help_heading = "HTTPS")]
    pub(super) tls_key: Option<PathBuf>,

    /// Authorities of client certificates, PEM: only their clients may connect
    ///
    /// A client that shows no certificate of theirs is not let in, whatever key it has. It still needs the key, too.
    #[arg(long, value_name = "FILE", help_heading = "HTTPS")]
    pub(super) tls_client_ca: Option<PathBuf>,

    /// Web configuration file of Prometheus' exporters, YAML
    ///
    /// Certificate, client certificates and users with their bcrypt hashes, as other exporters on this host have them.
    /// Its users may read the metrics beside the keys. What stands in it and is not known here is an error.
    #[arg(long, alias = "web.config.file", value_name = "FILE", conflicts_with_all = ["tls_certificate", "tls_client_ca"],
          help_heading = "HTTPS")]
    pub(super) web_config_file: Option<PathBuf>,

    /// Refuse keys in the query
    ///
    /// URLs end up in logs of proxies. Then a key counts as a bearer token or as a password only.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          help_heading = "HTTPS")]
    pub(super) refuse_query_keys: Option<bool>,

    /// Write the metrics to this file, too, for node_exporter's textfile collector
    ///
    /// Written anew, as a whole and readable to everybody, when something changed; looked at once per poll interval.
    /// The name has to end in .prom. The families about the process itself are left out: node_exporter has its own.
    #[arg(long, value_name = "PATH", value_parser = value::textfile, help_heading = "HTTPS")]
    pub(super) textfile: Option<PathBuf>,

    /// Open no port; needs --textfile
    ///
    /// No key is needed then, and no certificate is made.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          help_heading = "HTTPS")]
    pub(super) no_listener: Option<bool>,

    /// Open connections [default: 512]
    ///
    /// One more closes the one that does least. Each takes a file descriptor. 2 to 65536.
    #[arg(long, value_name = "N", value_parser = value::max_connections, help_heading = "Limits")]
    pub(super) max_connections: Option<usize>,

    /// Open connections of one client [default: 256]
    ///
    /// A client is an IPv4 address or an IPv6 network of 64 bits. 1 to 65536.
    #[arg(long, value_name = "N", value_parser = value::max_connections_per_client, help_heading = "Limits")]
    pub(super) max_connections_per_client: Option<usize>,

    /// Runs of writing processes to remember [default: 4096]
    ///
    /// A line that comes again is recognised by its writer's number. 1 to 1000000.
    #[arg(long, value_name = "N", value_parser = value::max_writers, help_heading = "Limits")]
    pub(super) max_writers: Option<usize>,

    /// Segments of the journal to remember [default: 1024]
    ///
    /// Those that are gone included: one that comes back is recognised. 1 to 1000000.
    #[arg(long, value_name = "N", value_parser = value::max_segments, help_heading = "Limits")]
    pub(super) max_segments: Option<usize>,

    /// File with the key that a scrape has to show; repeatable
    ///
    /// One key a line. All are valid, so that one can replace the other. The key can also come from the variable
    /// ETCHA_EXPORTER_METRICS_KEY, from the systemd credential "metrics-key", or from the configuration file. There is
    /// no flag for the key itself: every user of this host could read it.
    #[arg(long, value_name = "FILE", help_heading = "HTTPS")]
    pub(super) metrics_key_file: Vec<PathBuf>,

    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

#[derive(Args)]
pub(super) struct StateArgs {
    /// Where the exporter keeps its state [default: /var/lib/etcha-exporter]
    ///
    /// Checkpoint and self-signed certificate. Under systemd the default is the unit's StateDirectory.
    #[arg(long, value_name = "DIR", help_heading = "Journal and state")]
    pub(super) state_dir: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct LimitArgs {
    /// Series per family [default: 100000]
    ///
    /// What comes beyond is summed up in one series and counted. 1 to 4000000000.
    #[arg(long, value_name = "N", value_parser = value::max_series,
          help_heading = "Limits")]
    pub(super) max_series: Option<usize>,

    /// Bytes of a label value [default: 1024]
    ///
    /// A longer one is cut, and a digest keeps it distinct. 64 to 1000000000; from 65536 on
    /// nothing is cut.
    #[arg(long, value_name = "N", value_parser = value::max_label_bytes,
          help_heading = "Limits")]
    pub(super) max_label_bytes: Option<usize>,

    /// Bytes of a line with its line feed [default: 65536]
    ///
    /// A longer one is passed over and counted. The journal's format allows no more than the
    /// default. 1024 to 65536.
    #[arg(long, value_name = "N", value_parser = value::max_line_bytes,
          help_heading = "Limits")]
    pub(super) max_line_bytes: Option<usize>,
}

#[derive(Args)]
pub(super) struct LogArgs {
    /// How log lines look: human, logfmt or json [default: human on a terminal, else logfmt]
    #[arg(long, value_name = "FORMAT", global = true, help_heading = "Logs", hide_possible_values = true)]
    pub(super) log_format: Option<log::Format>,

    /// Least important messages to log: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL", global = true, help_heading = "Logs", hide_possible_values = true)]
    pub(super) log_level: Option<log::Level>,
}

#[derive(Args)]
pub(super) struct RenderArgs {
    /// Journal files, oldest first; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub(super) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

#[derive(Args)]
pub(super) struct DemoArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value_t = DEMO_LISTEN)]
    pub(super) listen_address: ListenAddress,
}

#[derive(Args)]
pub(super) struct DocumentsArgs {
    /// Where they go; has to exist
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
}

#[derive(Subcommand)]
pub(super) enum CheckpointCommand {
    /// Show what is saved: positions in the journal, age, counts
    Show(StateArgs),
    /// Set the saved state aside; the next start reads the whole journal again
    Reset(StateArgs),
}
