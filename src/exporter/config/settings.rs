//! The settings of the exporter, each defined once. Flag, variable, key in the file, `--help`, the table of the
//! documentation, `--check-config` and what takes a restart come out of it.
//!
//! Keys that Etcha has keep Etcha's names; what only the exporter has stands under `exporter`. The file is the
//! exporter's own. Sharing one with the agent is not supported: the agent's may hold what an unprivileged process
//! should not be able to read, and half of it would be unknown here, where unknown keys are errors.

use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use journal_schema::limits;
use settings::value::{Ending, Parsed, Word};
use settings::{About, Defined, Invalid, Setting, Shape, Value};

use super::{Bounds, Connections, DEFAULT_LISTEN, DEFAULT_POLL_INTERVAL, ListenAddress, keys};
use super::{DEFAULT_CHECKPOINT_INTERVAL, DEFAULT_JOURNAL, DEFAULT_MAX_LABEL_BYTES, DEFAULT_MAX_SERIES};
use super::{DEFAULT_STATE_DIR, DEMO_LISTEN};
use crate::log;
use crate::metrics::labels::MIN_MAX_LABEL_BYTES;
use crate::serve::TelemetryPath;

const CONFIGURATION: &str = "Configuration";
const JOURNAL_AND_STATE: &str = "Journal and state";
const HTTPS: &str = "HTTPS";
const LIMITS: &str = "Limits";
const LOGS: &str = "Logs";

/// All of them, in the order in which they are shown.
pub(super) static SETTINGS: [&dyn Defined; 28] = [
    &CONFIG,
    &CHECK_CONFIG,
    &JOURNAL,
    &STATE_DIR,
    &POLL_INTERVAL,
    &CHECKPOINT_INTERVAL,
    &LISTEN_ADDRESS,
    &TLS_CERTIFICATE,
    &TLS_KEY,
    &TLS_CLIENT_CA,
    &WEB_CONFIG_FILE,
    &METRICS_KEY_FILE,
    &SYSTEM_METRICS_KEY,
    &SYSTEM_METRICS_SECRET,
    &REFUSE_QUERY_KEYS,
    &TELEMETRY_PATH,
    &NO_EXPORTER_METRICS,
    &TEXTFILE,
    &NO_LISTENER,
    &MAX_SERIES,
    &MAX_LABEL_BYTES,
    &MAX_LINE_BYTES,
    &MAX_WRITERS,
    &MAX_SEGMENTS,
    &MAX_CONNECTIONS,
    &MAX_CONNECTIONS_PER_CLIENT,
    &LOG_FORMAT,
    &LOG_LEVEL,
];

pub(super) static CONFIG: Setting<Option<PathBuf>> = Setting::new(
    About::flag("config", "FILE", CONFIGURATION).help(
        "Configuration file, JSON",
        "Relative paths in it start at its directory. After a SIGHUP it is read again: keys, users, \
             certificates and the log level change while the exporter runs, the rest with the next start.",
    ),
    None,
    || None,
);

pub(super) static CHECK_CONFIG: Setting<bool> = Setting::new(
    About::flag("check-config", "", CONFIGURATION).help(
        "Check the configuration, show what it means, and exit",
        "Reads all files that a start reads. Exits 0 if the exporter could start with it; otherwise names \
             everything that is wrong and exits 2. Shows no key.",
    ),
    (),
    || false,
);

pub(super) static JOURNAL: Setting<PathBuf> = Setting::new(
    About::flag("journal", "PATH", JOURNAL_AND_STATE)
        .key("exporter.journal")
        .label("journal")
        .help("Journal to follow", "Rotated segments beside it are also read. It need not exist yet."),
    None,
    || DEFAULT_JOURNAL.into(),
);

pub(super) static STATE_DIR: Setting<Option<PathBuf>> = Setting::new(
    About::flag("state-dir", "DIR", JOURNAL_AND_STATE)
        .key("run.stateDir")
        .label("state directory")
        .default(DEFAULT_STATE_DIR)
        .help(
            "Directory for checkpoint and self-signed certificate; one exporter each",
            "Under systemd the default is the unit's StateDirectory.",
        ),
    None,
    || None,
);

pub(super) static POLL_INTERVAL: Setting<Duration> = Setting::new(
    About::flag("poll-interval", "DURATION", JOURNAL_AND_STATE)
        .key("exporter.pollInterval")
        .label("poll interval")
        .help(
            "Longest pause between two looks at the journal",
            "A notification from the file system cuts it short. Looks are also a sign of life, so there is one every 30s at \
             least.",
        ),
    // Below the minimum, looking costs more time than it saves. Above the maximum, the journal would count as
    // lost.
    Duration::from_millis(10)..=Duration::from_secs(3600),
    || DEFAULT_POLL_INTERVAL,
);

pub(super) static CHECKPOINT_INTERVAL: Setting<Duration> = Setting::new(
    About::flag("checkpoint-interval", "DURATION", JOURNAL_AND_STATE)
        .key("exporter.checkpointInterval")
        .label("checkpoint interval")
        .help("Pause between two checkpoints", "What came after the last one is read again after a restart."),
    // Each checkpoint writes and syncs the whole state, hence the floor.
    Duration::from_millis(100)..=Duration::from_secs(24 * 3600),
    || DEFAULT_CHECKPOINT_INTERVAL,
);

pub(super) static LISTEN_ADDRESS: Setting<Parsed<ListenAddress>> = Setting::new(
    About::flag("listen-address", "ADDR", HTTPS)
        .aliases(&["web.listen-address"])
        .key("httpServer.listenAddress")
        .commas()
        .help(
            "Address to listen on",
            "`:4000` is every address of this host, IPv4 and IPv6; `127.0.0.1:4000` and `[::1]:4000` are one \
             each. Commas separate several.",
        ),
    (),
    || Parsed(DEFAULT_LISTEN),
);

/// Of the subcommand `demo` alone: a demonstration is the same on every host, so it has neither variable nor key.
pub(super) static DEMO_ADDRESS: Setting<Parsed<ListenAddress>> =
    Setting::new(About::flag("listen-address", "ADDR", "").help("Address to listen on", ""), (), || {
        Parsed(DEMO_LISTEN)
    });

pub(super) static TLS_CERTIFICATE: Setting<Option<PathBuf>> = Setting::new(
    About::flag("tls-certificate", "FILE", HTTPS).key("httpServer.tlsCertificatePath").running().help(
        "Certificate chain, PEM; needs --tls-key",
        "Without it a self-signed certificate is made once and kept in the state directory, for \
             Prometheus' ca_file.",
    ),
    None,
    || None,
);

pub(super) static TLS_KEY: Setting<Option<PathBuf>> = Setting::new(
    About::flag("tls-key", "FILE", HTTPS)
        .key("httpServer.tlsKeyPath")
        .running()
        .help("Private key of the certificate, PEM", ""),
    None,
    || None,
);

pub(super) static TLS_CLIENT_CA: Setting<Option<PathBuf>> = Setting::new(
    About::flag("tls-client-ca", "FILE", HTTPS).key("exporter.tlsClientCAPath").running().help(
        "Authorities of client certificates, PEM: only their clients may connect",
        "A client that shows no certificate of theirs cannot connect, whatever key it has.",
    ),
    None,
    || None,
);

pub(super) static WEB_CONFIG_FILE: Setting<Option<PathBuf>> = Setting::new(
    About::flag("web-config-file", "FILE", HTTPS)
        .aliases(&["web.config.file"])
        .key("exporter.webConfigFile")
        .running()
        .help(
            "Web configuration file of Prometheus' exporters, YAML",
            "Certificate, client certificates, TLS, headers, rate limit and users with their bcrypt hashes, as \
             other exporters on this host have them. Its users may read the metrics beside the keys. Headers \
             and rate limit take effect at start.",
        ),
    None,
    || None,
);

pub(super) static METRICS_KEY_FILE: Setting<Option<PathBuf>> = Setting::new(
    About::flag("metrics-key-file", "FILE", HTTPS)
        .key("exporter.metricsKeyFile")
        .repeated()
        .running()
        .help(
            "File with the key that a scrape has to show",
            "One key a line. All are valid, so that one can replace the other. The key can also come from the variable \
             ETCHA_EXPORTER_METRICS_KEY, from the systemd credential \"metrics-key\", or from the configuration file. \
             There is no flag for the key itself: every user of this host could read it.",
        ),
    None,
    || None,
);

pub(super) static SYSTEM_METRICS_KEY: Setting<Option<Key>> = Setting::new(
    About::NONE.key("run.systemMetricsKey").repeated().running().help("The key itself", ""),
    (),
    || None,
);

pub(super) static SYSTEM_METRICS_SECRET: Setting<Option<Key>> = Setting::new(
    About::NONE
        .key("run.systemMetricsSecret")
        .repeated()
        .running()
        .help("The key itself, by another name that Etcha's documents have", ""),
    (),
    || None,
);

pub(super) static REFUSE_QUERY_KEYS: Setting<bool> = Setting::new(
    About::flag("refuse-query-keys", "BOOL", HTTPS).key("exporter.refuseQueryKeys").running().help(
        "Refuse keys in the query",
        "URLs end up in logs of proxies. Then a key counts as a bearer token or as a password only.",
    ),
    (),
    || false,
);

pub(super) static TELEMETRY_PATH: Setting<Parsed<TelemetryPath>> = Setting::new(
    About::flag("telemetry-path", "PATH", HTTPS)
        .aliases(&["web.telemetry-path"])
        .key("exporter.telemetryPath")
        .help(
            "Path of the metrics, beside that of Etcha's guide",
            "Behind the same key. The path /etcha/v1/system/metrics always answers.",
        ),
    (),
    || Parsed(TelemetryPath::default()),
);

pub(super) static NO_EXPORTER_METRICS: Setting<bool> = Setting::new(
    About::flag("no-exporter-metrics", "BOOL", HTTPS)
        .aliases(&["web.disable-exporter-metrics"])
        .key("exporter.noExporterMetrics")
        .help(
            "Leave out the metrics about the exporter and its process",
            "About a hundred series less for each host. The alerts about the exporter itself need them.",
        ),
    (),
    || false,
);

pub(super) static TEXTFILE: Setting<Option<PathBuf>> = Setting::new(
    About::flag("textfile", "PATH", HTTPS).key("exporter.textfile").label("textfile").help(
        "Also write the metrics to this file, for node_exporter's textfile collector",
        "Replaced as a whole, readable to everybody, when something changed; checked once per poll \
             interval. The families about the process itself are left out: node_exporter has its own.",
    ),
    // A temporary file beside it must not match.
    Some(Ending {
        extension: "prom",
        wrong: "its name has to end in .prom, else node_exporter does not read it",
    }),
    || None,
);

pub(super) static NO_LISTENER: Setting<bool> = Setting::new(
    About::flag("no-listener", "BOOL", HTTPS)
        .key("exporter.noListener")
        .help("Open no port; needs --textfile", "No key is needed then, and no certificate is made."),
    (),
    || false,
);

pub(super) static MAX_SERIES: Setting<usize> = Setting::new(
    About::flag("max-series", "N", LIMITS).key("exporter.maxSeries").label("series per family").help(
        "Series per family",
        "Events beyond it are counted in one series whose labels are all `__overflow__`.",
    ),
    // The upper end is what the number of a series can hold.
    1..=4_000_000_000,
    || DEFAULT_MAX_SERIES,
);

pub(super) static MAX_LABEL_BYTES: Setting<usize> = Setting::new(
    About::flag("max-label-bytes", "N", LIMITS).key("exporter.maxLabelBytes").label("bytes of a label").help(
        "Bytes of a label value",
        "A longer one is cut, and a digest keeps it distinct. Below 65536, a carriage return and other characters \
         that break lines are shown as `\\u{d}`. From 65536 on values are kept byte by byte.",
    ),
    // Below, little but the digest would be left of a value. What is above the length of a line lifts the limit.
    MIN_MAX_LABEL_BYTES..=1_000_000_000,
    || DEFAULT_MAX_LABEL_BYTES,
);

pub(super) static MAX_LINE_BYTES: Setting<usize> = Setting::new(
    About::flag("max-line-bytes", "N", LIMITS).key("exporter.maxLineBytes").label("bytes of a line").help(
        "Bytes of a line with its line feed",
        "A longer one is skipped and counted. The journal's format allows no more than the default.",
    ),
    // Below the minimum, ordinary lines of an agent would be rejected. Above the maximum, no line is valid.
    1024..=limits::MAX_LINE_BYTES,
    || Bounds::default().line_bytes,
);

/// A writer or a segment takes some hundred bytes; the upper end is a gigabyte.
const MEMORIES: RangeInclusive<usize> = 1..=1_000_000;

pub(super) static MAX_WRITERS: Setting<usize> = Setting::new(
    About::flag("max-writers", "N", LIMITS).key("exporter.maxWriters").label("writers remembered").help(
        "Runs of writing processes to remember",
        "A line that comes again is recognised by its writer and number. Writers that were quiet the longest are \
         forgotten first.",
    ),
    MEMORIES,
    || Bounds::default().writers,
);

pub(super) static MAX_SEGMENTS: Setting<usize> = Setting::new(
    About::flag("max-segments", "N", LIMITS).key("exporter.maxSegments").label("segments remembered").help(
        "Segments of the journal to remember",
        "Those that are gone included: one that comes back is recognised. Those on disk are never forgotten; \
         further files are not read, and counted.",
    ),
    MEMORIES,
    || Bounds::default().segments,
);

pub(super) static MAX_CONNECTIONS: Setting<usize> = Setting::new(
    About::flag("max-connections", "N", LIMITS).key("exporter.maxConnections").help(
        "Open connections",
        "Beyond it, the least active connection is closed. Each takes a file descriptor.",
    ),
    // Two: with one, a client that merely connects could keep a scraper out for ever.
    2..=65_536,
    || Connections::default().max,
);

pub(super) static MAX_CONNECTIONS_PER_CLIENT: Setting<usize> = Setting::new(
    About::flag("max-connections-per-client", "N", LIMITS)
        .key("exporter.maxConnectionsPerClient")
        .help("Open connections of one client", "A client is an IPv4 address or an IPv6 network of 64 bits."),
    1..=65_536,
    || Connections::default().max_per_client,
);

pub(super) static LOG_FORMAT: Setting<Option<Word<log::Format>>> = Setting::new(
    About::flag("log-format", "FORMAT", LOGS)
        .aliases(&["log.format"])
        .key("exporter.logFormat")
        .label("log format")
        .default("human on a terminal, else logfmt")
        .help("How log lines look: human, logfmt or json", ""),
    (),
    || None,
);

pub(super) static LOG_LEVEL: Setting<Word<log::Level>> = Setting::new(
    About::flag("log-level", "LEVEL", LOGS)
        .aliases(&["log.level"])
        .key("exporter.logLevel")
        .label("log level")
        .running()
        .help("Least important messages to log: error, warn, info, debug or trace", ""),
    (),
    || Word(log::Level::Info),
);

/// A key to the metrics. Shows nothing.
pub(super) struct Key(pub(super) String);

impl Value for Key {
    type Bounds = ();

    const SHAPE: Shape = Shape::Text;

    fn read(text: &OsStr, (): &(), _: &Path) -> Result<Self, Invalid> {
        let text = text.to_str().ok_or(Invalid::NotUtf8)?;
        keys::check(text).map(|()| Self(text.to_owned())).map_err(|why| Invalid::Other(why.to_string()))
    }

    fn show(&self) -> String {
        String::new()
    }
}
