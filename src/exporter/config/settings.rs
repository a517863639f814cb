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
use settings::{About, Defined, Invalid, Many, Reread, Setting, Shape, Value};

use super::{Bounds, Connections, DEFAULT_LISTEN, DEFAULT_POLL_INTERVAL, ListenAddress, keys};
use super::{DEFAULT_CHECKPOINT_INTERVAL, DEFAULT_JOURNAL, DEFAULT_MAX_LABEL_BYTES, DEFAULT_MAX_SERIES};
use super::{DEFAULT_STATE_DIR, DEMO_LISTEN};
use crate::log;
use crate::metrics::labels::MIN_MAX_LABEL_BYTES;

const CONFIGURATION: &str = "Configuration";
const JOURNAL_AND_STATE: &str = "Journal and state";
const HTTPS: &str = "HTTPS";
const LIMITS: &str = "Limits";
const LOGS: &str = "Logs";

/// All of them, in the order in which they are shown.
pub(super) static SETTINGS: [&dyn Defined; 26] = [
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

pub(super) static CONFIG: Setting<Option<PathBuf>> = Setting {
    about: About {
        flag: "config",
        value: "FILE",
        group: CONFIGURATION,
        help: "Configuration file, JSON",
        more: "Relative paths in it start at its directory. After a SIGHUP it is read again: keys, users, \
               certificates and the log level change while the exporter runs, the rest with the next start.",
        ..About::NONE
    },
    bounds: None,
    default: || None,
};

pub(super) static CHECK_CONFIG: Setting<bool> = Setting {
    about: About {
        flag: "check-config",
        group: CONFIGURATION,
        help: "Check the configuration, show what it means, and exit",
        more: "Reads all files that a start reads. Exits 0 if the exporter could start with it; otherwise names \
               everything that is wrong and exits 2. Shows no key.",
        ..About::NONE
    },
    bounds: (),
    default: || false,
};

pub(super) static JOURNAL: Setting<PathBuf> = Setting {
    about: About {
        flag: "journal",
        key: "exporter.journal",
        value: "PATH",
        group: JOURNAL_AND_STATE,
        label: "journal",
        help: "Journal to follow",
        more: "Rotated segments beside it are also read. It need not exist yet.",
        ..About::NONE
    },
    bounds: None,
    default: || DEFAULT_JOURNAL.into(),
};

pub(super) static STATE_DIR: Setting<Option<PathBuf>> = Setting {
    about: About {
        flag: "state-dir",
        key: "run.stateDir",
        value: "DIR",
        group: JOURNAL_AND_STATE,
        label: "state directory",
        default: DEFAULT_STATE_DIR,
        help: "Directory for checkpoint and self-signed certificate; one exporter each",
        more: "Under systemd the default is the unit's StateDirectory.",
        ..About::NONE
    },
    bounds: None,
    default: || None,
};

pub(super) static POLL_INTERVAL: Setting<Duration> = Setting {
    about: About {
        flag: "poll-interval",
        key: "exporter.pollInterval",
        value: "DURATION",
        group: JOURNAL_AND_STATE,
        label: "poll interval",
        help: "Longest pause between two looks at the journal",
        more: "A notification from the file system cuts it short.",
        ..About::NONE
    },
    // Below, looking would take more time than it saves; above, a journal counts as lost.
    bounds: Duration::from_millis(10)..=Duration::from_secs(3600),
    default: || DEFAULT_POLL_INTERVAL,
};

pub(super) static CHECKPOINT_INTERVAL: Setting<Duration> = Setting {
    about: About {
        flag: "checkpoint-interval",
        key: "exporter.checkpointInterval",
        value: "DURATION",
        group: JOURNAL_AND_STATE,
        label: "checkpoint interval",
        help: "Pause between two checkpoints",
        more: "What came after the last one is read again after a restart.",
        ..About::NONE
    },
    // Each checkpoint writes and syncs the whole state, hence the floor.
    bounds: Duration::from_millis(100)..=Duration::from_secs(24 * 3600),
    default: || DEFAULT_CHECKPOINT_INTERVAL,
};

pub(super) static LISTEN_ADDRESS: Setting<Parsed<ListenAddress>> = Setting {
    about: About {
        flag: "listen-address",
        aliases: &["web.listen-address"],
        key: "httpServer.listenAddress",
        value: "ADDR",
        group: HTTPS,
        many: Many::Commas,
        help: "Address to listen on",
        more: "`:4000` is every address of this host, IPv4 and IPv6; `127.0.0.1:4000` and `[::1]:4000` are one \
               each. Commas separate several.",
        ..About::NONE
    },
    bounds: (),
    default: || Parsed(DEFAULT_LISTEN),
};

/// Of the subcommand `demo` alone: a demonstration is the same on every host, so it has neither variable nor key.
pub(super) static DEMO_ADDRESS: Setting<Parsed<ListenAddress>> = Setting {
    about: About { flag: "listen-address", value: "ADDR", help: "Address to listen on", ..About::NONE },
    bounds: (),
    default: || Parsed(DEMO_LISTEN),
};

pub(super) static TLS_CERTIFICATE: Setting<Option<PathBuf>> = Setting {
    about: About {
        flag: "tls-certificate",
        key: "httpServer.tlsCertificatePath",
        value: "FILE",
        group: HTTPS,
        reread: Reread::Running,
        help: "Certificate chain, PEM; needs --tls-key",
        more: "Without it a self-signed certificate is made once and kept in the state directory, for \
               Prometheus' ca_file.",
        ..About::NONE
    },
    bounds: None,
    default: || None,
};

pub(super) static TLS_KEY: Setting<Option<PathBuf>> = Setting {
    about: About {
        flag: "tls-key",
        key: "httpServer.tlsKeyPath",
        value: "FILE",
        group: HTTPS,
        reread: Reread::Running,
        help: "Private key of the certificate, PEM",
        ..About::NONE
    },
    bounds: None,
    default: || None,
};

pub(super) static TLS_CLIENT_CA: Setting<Option<PathBuf>> = Setting {
    about: About {
        flag: "tls-client-ca",
        key: "exporter.tlsClientCAPath",
        value: "FILE",
        group: HTTPS,
        reread: Reread::Running,
        help: "Authorities of client certificates, PEM: only their clients may connect",
        more: "A client that shows no certificate of theirs cannot connect, whatever key it has.",
        ..About::NONE
    },
    bounds: None,
    default: || None,
};

pub(super) static WEB_CONFIG_FILE: Setting<Option<PathBuf>> = Setting {
    about: About {
        flag: "web-config-file",
        aliases: &["web.config.file"],
        key: "exporter.webConfigFile",
        value: "FILE",
        group: HTTPS,
        reread: Reread::Running,
        help: "Web configuration file of Prometheus' exporters, YAML",
        more: "Certificate, client certificates and users with their bcrypt hashes, as other exporters on this \
               host have them. Its users may read the metrics beside the keys.",
        ..About::NONE
    },
    bounds: None,
    default: || None,
};

pub(super) static METRICS_KEY_FILE: Setting<Option<PathBuf>> = Setting {
    about: About {
        flag: "metrics-key-file",
        key: "exporter.metricsKeyFile",
        value: "FILE",
        group: HTTPS,
        many: Many::Repeated,
        reread: Reread::Running,
        help: "File with the key that a scrape has to show",
        more: "One key a line. All are valid, so that one can replace the other. The key can also come from the \
               variable ETCHA_EXPORTER_METRICS_KEY, from the systemd credential \"metrics-key\", or from the \
               configuration file. There is no flag for the key itself: every user of this host could read it.",
        ..About::NONE
    },
    bounds: None,
    default: || None,
};

pub(super) static SYSTEM_METRICS_KEY: Setting<Option<Key>> = Setting {
    about: About {
        key: "run.systemMetricsKey",
        many: Many::Repeated,
        reread: Reread::Running,
        help: "The key itself",
        ..About::NONE
    },
    bounds: (),
    default: || None,
};

pub(super) static SYSTEM_METRICS_SECRET: Setting<Option<Key>> = Setting {
    about: About {
        key: "run.systemMetricsSecret",
        help: "The key itself, by another name that Etcha's documents have",
        ..SYSTEM_METRICS_KEY.about
    },
    bounds: (),
    default: || None,
};

pub(super) static REFUSE_QUERY_KEYS: Setting<bool> = Setting {
    about: About {
        flag: "refuse-query-keys",
        key: "exporter.refuseQueryKeys",
        value: "BOOL",
        group: HTTPS,
        reread: Reread::Running,
        help: "Refuse keys in the query",
        more: "URLs end up in logs of proxies. Then a key counts as a bearer token or as a password only.",
        ..About::NONE
    },
    bounds: (),
    default: || false,
};

pub(super) static TEXTFILE: Setting<Option<PathBuf>> = Setting {
    about: About {
        flag: "textfile",
        key: "exporter.textfile",
        value: "PATH",
        group: HTTPS,
        label: "textfile",
        help: "Also write the metrics to this file, for node_exporter's textfile collector",
        more: "Replaced as a whole, readable to everybody, when something changed; checked once per poll \
               interval. The families about the process itself are left out: node_exporter has its own.",
        ..About::NONE
    },
    // A temporary file beside it must not match.
    bounds: Some(Ending {
        extension: "prom",
        wrong: "its name has to end in .prom, else node_exporter does not read it",
    }),
    default: || None,
};

pub(super) static NO_LISTENER: Setting<bool> = Setting {
    about: About {
        flag: "no-listener",
        key: "exporter.noListener",
        value: "BOOL",
        group: HTTPS,
        help: "Open no port; needs --textfile",
        more: "No key is needed then, and no certificate is made.",
        ..About::NONE
    },
    bounds: (),
    default: || false,
};

pub(super) static MAX_SERIES: Setting<usize> = Setting {
    about: About {
        flag: "max-series",
        key: "exporter.maxSeries",
        value: "N",
        group: LIMITS,
        label: "series per family",
        help: "Series per family",
        more: "Events beyond it are counted in one series whose labels are all `__overflow__`.",
        ..About::NONE
    },
    // The upper end is what the number of a series can hold.
    bounds: 1..=4_000_000_000,
    default: || DEFAULT_MAX_SERIES,
};

pub(super) static MAX_LABEL_BYTES: Setting<usize> = Setting {
    about: About {
        flag: "max-label-bytes",
        key: "exporter.maxLabelBytes",
        value: "N",
        group: LIMITS,
        label: "bytes of a label",
        help: "Bytes of a label value",
        more: "A longer one is cut, and a digest keeps it distinct. From 65536 on nothing is cut.",
        ..About::NONE
    },
    // Below, little but the digest would be left of a value. What is above the length of a line lifts the limit.
    bounds: MIN_MAX_LABEL_BYTES..=1_000_000_000,
    default: || DEFAULT_MAX_LABEL_BYTES,
};

pub(super) static MAX_LINE_BYTES: Setting<usize> = Setting {
    about: About {
        flag: "max-line-bytes",
        key: "exporter.maxLineBytes",
        value: "N",
        group: LIMITS,
        label: "bytes of a line",
        help: "Bytes of a line with its line feed",
        more: "A longer one is skipped and counted. The journal's format allows no more than the default.",
        ..About::NONE
    },
    // Below, lines of an agent that names things as people do would be lost. Above, there are no lines.
    bounds: 1024..=limits::MAX_LINE_BYTES,
    default: || Bounds::default().line_bytes,
};

/// A writer or a segment takes some hundred bytes; the upper end is a gigabyte.
const MEMORIES: RangeInclusive<usize> = 1..=1_000_000;

pub(super) static MAX_WRITERS: Setting<usize> = Setting {
    about: About {
        flag: "max-writers",
        key: "exporter.maxWriters",
        value: "N",
        group: LIMITS,
        label: "writers remembered",
        help: "Runs of writing processes to remember",
        more: "A line that comes again is recognised by its writer's number. Those with the fewest lines are \
               forgotten first.",
        ..About::NONE
    },
    bounds: MEMORIES,
    default: || Bounds::default().writers,
};

pub(super) static MAX_SEGMENTS: Setting<usize> = Setting {
    about: About {
        flag: "max-segments",
        key: "exporter.maxSegments",
        value: "N",
        group: LIMITS,
        label: "segments remembered",
        help: "Segments of the journal to remember",
        more: "Those that are gone included: one that comes back is recognised.",
        ..About::NONE
    },
    bounds: MEMORIES,
    default: || Bounds::default().segments,
};

pub(super) static MAX_CONNECTIONS: Setting<usize> = Setting {
    about: About {
        flag: "max-connections",
        key: "exporter.maxConnections",
        value: "N",
        group: LIMITS,
        help: "Open connections",
        more: "Beyond it, the least active connection is closed. Each takes a file descriptor.",
        ..About::NONE
    },
    // Two: with one, a client that merely connects could keep a scraper out for ever.
    bounds: 2..=65_536,
    default: || Connections::default().max,
};

pub(super) static MAX_CONNECTIONS_PER_CLIENT: Setting<usize> = Setting {
    about: About {
        flag: "max-connections-per-client",
        key: "exporter.maxConnectionsPerClient",
        value: "N",
        group: LIMITS,
        help: "Open connections of one client",
        more: "A client is an IPv4 address or an IPv6 network of 64 bits.",
        ..About::NONE
    },
    bounds: 1..=65_536,
    default: || Connections::default().max_per_client,
};

pub(super) static LOG_FORMAT: Setting<Option<Word<log::Format>>> = Setting {
    about: About {
        flag: "log-format",
        aliases: &["log.format"],
        key: "exporter.logFormat",
        value: "FORMAT",
        group: LOGS,
        label: "log format",
        default: "human on a terminal, else logfmt",
        help: "How log lines look: human, logfmt or json",
        ..About::NONE
    },
    bounds: (),
    default: || None,
};

pub(super) static LOG_LEVEL: Setting<Word<log::Level>> = Setting {
    about: About {
        flag: "log-level",
        aliases: &["log.level"],
        key: "exporter.logLevel",
        value: "LEVEL",
        group: LOGS,
        label: "log level",
        reread: Reread::Running,
        help: "Least important messages to log: error, warn, info, debug or trace",
        ..About::NONE
    },
    bounds: (),
    default: || Word(log::Level::Info),
};

/// A key to the metrics. Shows nothing.
pub(super) struct Key(pub(super) String);

impl Value for Key {
    type Bounds = ();

    const SHAPE: Shape = Shape::Text;

    fn read(text: &OsStr, (): &(), _: &Path) -> Result<Self, Invalid> {
        let text = text.to_str().ok_or(Invalid::NotUtf8)?;
        keys::check(text).map(|()| Self(text.to_owned())).map_err(Invalid::Other)
    }

    fn show(&self) -> String {
        String::new()
    }
}
