//! The keys of the configuration, each defined once: its name, type, bounds and default, what it means, and how it compares
//! with Etcha's. Errors about unknown keys and the table in `docs/engine-reference.md` come out of it.
//!
//! A key is written with `.` between its parts, as in `run.stateDir`; `NAME` stands for what a user chooses. In the table,
//! in variables and on the command line, `_` takes the place of `.`.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use https::listener::ListenAddress;
use journal_schema::{Sync, limits};
use settings::value::{Parsed, Word};
use settings::{About, Defined, Setting, Shape};

use super::pull_path::PullPath;
use super::value::{EventFilter, RequestKind, RequestPath, WebhookPath};
use crate::fields::MAX_DURATION;
use crate::wire::key::{SigningKey, VerifyKey};
use crate::wire::token;

/// How a key compares with Etcha's.
const SAME: &str = "as Etcha";
const OURS: &str = "ours";
const OTHER_PORT: &str = "differs: Etcha has 4000";

/// Where an engine listens unless told otherwise. Etcha's own port belongs to the metrics here.
pub(crate) const DEFAULT_PORT: u16 = 4001;

/// A time limit. Without an upper bound, a run that hangs would never end. Nobody waits more than a day for a
/// request.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// Keys, a line or two for each: the name here, the type; the key, what its value is, the default for a person where the
/// value does not say it; the bounds and the default; how it compares, and what it means.
macro_rules! settings {
    ($($name:ident: $type:ty = $key:literal, $value:literal, $words:literal; $bounds:expr, $default:expr; $etcha:expr,
        $help:literal)*) => {
        $(pub(super) static $name: Setting<$type> = Setting::new(
            About::flag("", $value, $etcha).key($key).default($words).help($help, ""), $bounds, $default);)*
        const SETTINGS: &[&dyn Defined] = &[$(&$name),*];
    };
}

/// The same for lists, which are empty by themselves: the type is that of an element, and each is read alone.
macro_rules! lists {
    ($($name:ident: $type:ty = $key:literal, $value:literal, $words:literal; $etcha:expr, $help:literal)*) => {
        $(pub(super) static $name: Setting<Option<$type>> = Setting::new(
            About::flag("", $value, $etcha).key($key).default($words).help($help, "").repeated(), (), || None);)*
        const LISTS: &[&dyn Defined] = &[$(&$name),*];
    };
}

/// Keys whose values are read elsewhere: objects, and lists of Commands.
macro_rules! objects {
    ($($name:ident = $key:literal, $value:literal, $words:literal; $etcha:expr, $help:literal)*) => {
        $(pub(super) static $name: About = About::flag("", $value, $etcha).key($key).default($words).help($help, "");)*
        const OBJECTS: &[&dyn Defined] = &[$(&$name),*];
    };
}

objects! {
    EXEC = "exec", "`exec`", "Bash"; SAME, "how all scripts run"
    VARS = "vars", "object", "none"; SAME, "variables for Patterns"
    BUILD = "build", "object", ""; SAME, ""
    HTTP_SERVER = "httpServer", "object", ""; SAME, ""
    HTTP_CLIENT = "httpClient", "object", ""; SAME, ""
    RUN = "run", "object", ""; SAME, ""
    TARGETS = "targets", "object", "none"; SAME, "engines to push to"
    TARGET_SOURCE_PATTERNS = "targets.NAME.sourcePatterns", "object", "none"; SAME, "what is pushed to each of its Sources"
    TARGET_VARS = "targets.NAME.vars", "object", "none"; SAME, "variables for what is pushed to it"
    SOURCES = "sources", "object", "none"; SAME, "what is run"
    SOURCE_COMMANDS = "sources.NAME.commands", "list of Commands", "none"; SAME, "what it runs until a Pattern comes"
    SOURCE_EXEC = "sources.NAME.exec", "`exec`", ""; SAME, "how its scripts run"
    SOURCE_SHELL = "sources.NAME.shell", "`exec` with a `command`", "none"; SAME,
        "what a shell runs; without it there are none"
    SOURCE_VARS = "sources.NAME.vars", "object", "none"; SAME, "variables for its Patterns"
    JOURNAL = "journal", "object", "none"; OURS, "where runs are recorded; nowhere if absent"
}

settings! {
    SIGNING_KEY: Option<SigningKey> = "build.signingKey", "private key", "none"; (), || None; SAME,
        "signs what is built, pushed and asked for"
    SIGNING_KEY_PATH: Option<PathBuf> = "build.signingKeyPath", "path", "none"; None, || None; SAME,
        "a file with that key, its owner's alone; a bare name is looked for here and above, `-` is standard input"
    PUSH_DOMAIN_SUFFIX: String = "build.pushDomainSuffix", "text", "none"; (), String::new; SAME,
        "added to target names that are not addresses"
    // Each is a connection. 0 is what Etcha writes for the default.
    PUSH_MAX_WORKERS: usize = "build.pushMaxWorkers", "number", "processors"; 0..=10_000, || 0; SAME,
        "targets that are pushed to at the same time"

    LISTEN_ADDRESS: Parsed<ListenAddress> = "httpServer.listenAddress", "address and port", "";
        (), || Parsed(ListenAddress::Every(DEFAULT_PORT)); OTHER_PORT, "where it listens; nowhere if empty"
    TLS_CERTIFICATE: Option<PathBuf> = "httpServer.tlsCertificatePath", "path", "made in the state directory";
        None, || None; SAME, "certificate, PEM"
    TLS_KEY: Option<PathBuf> = "httpServer.tlsKeyPath", "path", "made in the state directory"; None, || None; SAME,
        "its key, PEM"

    CA_PATH: Option<PathBuf> = "httpClient.tlsCAPath", "path", "none"; None, || None; OURS, "certificates to trust, PEM"
    NO_SYSTEM_CA: bool = "httpClient.noSystemCA", "true or false", ""; (), || false; SAME,
        "do not trust what the host trusts"
    SKIP_VERIFY: bool = "httpClient.tlsSkipVerify", "true or false", ""; (), || false; SAME, "trust any certificate"

    STATE_DIR: PathBuf = "run.stateDir", "path", ""; None, || PathBuf::from("."); SAME,
        "where tokens, triggers and certificates are kept"
    RANDOMIZED_START_DELAY: u64 = "run.randomizedStartDelaySec", "seconds", ""; 0..=MAX_DURATION.as_secs(), || 0; SAME,
        "longest random delay before the first runs"
    // All of a token has to be held before anything is known of who sent it. The default is a program of about three
    // megabytes; what is shorter than the least lets nothing in.
    MAX_TOKEN_BYTES: usize = "run.maxTokenBytes", "number", "4 MiB"; 4096..=token::MAX_BYTES, || 4 * 1024 * 1024; OURS,
        "longest token"
    TIMEOUT_PUSH: Duration = "run.timeoutPush", "duration", ""; TIMEOUT, || minutes(10); SAME, "time limit of a push"
    // Longer than an upgrade of a whole system.
    TIMEOUT_RUN: Duration = "run.timeoutRun", "duration", ""; TIMEOUT, || minutes(60); OURS, "time limit of any run"
    TIMEOUT_SHELL: Duration = "run.timeoutShell", "duration", ""; TIMEOUT, || minutes(10); SAME, "time limit of a shell"
    // With what it takes to end them it stays below ten seconds.
    TIMEOUT_STOP: Duration = "run.timeoutStop", "duration", ""; TIMEOUT, || Duration::from_secs(6); OURS,
        "time limit of scripts after the engine is asked to stop"
    TIMEOUT_WEBHOOK: Duration = "run.timeoutWebhook", "duration", ""; TIMEOUT, || minutes(10); SAME,
        "time limit of a webhook"

    TARGET_HOSTNAME: String = "targets.NAME.hostname", "name or address", "NAME"; (), String::new; SAME, "where it is"
    TARGET_INSECURE: bool = "targets.NAME.insecure", "true or false", ""; (), || false; SAME, "plain HTTP"
    TARGET_PATH_PUSH: Parsed<RequestPath> = "targets.NAME.pathPush", "path", ""; (), || RequestPath::of("/etcha/v1/push"); SAME, "path of pushes"
    TARGET_PATH_SHELL: Parsed<RequestPath> = "targets.NAME.pathShell", "path", ""; (), || RequestPath::of("/etcha/v1/shell"); SAME, "path of shells"
    TARGET_PORT: u16 = "targets.NAME.port", "number", ""; 1..=u16::MAX, || DEFAULT_PORT; OTHER_PORT,
        "its port"

    ALLOW_PUSH: bool = "sources.NAME.allowPush", "true or false", ""; (), || false; SAME, "Patterns may be pushed to it"
    CHECK_ONLY: bool = "sources.NAME.checkOnly", "true or false", ""; (), || false; SAME,
        "run checks only, change nothing"
    EVENTS_SEND: Option<EventFilter> = "sources.NAME.eventsSend", "regular expression", "none"; (), || None; SAME,
        "events of its Commands that others may receive"
    NO_REMOVE: bool = "sources.NAME.noRemove", "true or false", ""; (), || false; SAME,
        "a new Pattern removes nothing of the old one"
    NO_RESTORE: bool = "sources.NAME.noRestore", "true or false", ""; (), || false; SAME,
        "nothing of it outlives a restart"
    PULL_IGNORE_VERSION: bool = "sources.NAME.pullIgnoreVersion", "true or false", ""; (), || false; SAME,
        "a Pattern that differs only in the version of Etcha is not a new one"
    PUSH_ALLOW_OLDER: bool = "sources.NAME.pushAllowOlder", "true or false", ""; (), || false; OURS,
        "a Pattern older than the one in force may be pushed"
    RUN_FREQUENCY: Duration = "sources.NAME.runFrequency", "duration", "never"; Duration::ZERO..=MAX_DURATION,
        || Duration::ZERO; SAME, "time between runs, at least `100ms`; never if it is `0s`"
    RUN_MULTI: bool = "sources.NAME.runMulti", "true or false", ""; (), || false; SAME, "runs need not wait for each other"
    RUN_TIMEOUT: Option<Duration> = "sources.NAME.runTimeout", "duration", "`run_timeoutRun`"; TIMEOUT, || None; OURS,
        "time limit of its runs"
    TRIGGER_ONLY: bool = "sources.NAME.triggerOnly", "true or false", ""; (), || false; SAME,
        "run only when an event or a webhook asks for it"

    JOURNAL_PATH: Option<PathBuf> = "journal.path", "path", "required"; None, || None; OURS, "the file"
    JOURNAL_MAX_BYTES: u64 = "journal.maxBytes", "number", "64 MiB"; 1..=1 << 50, || limits::DEFAULT_MAX_BYTES; OURS,
        "size at which it is rotated"
    JOURNAL_KEEP: usize = "journal.keep", "number", ""; 1..=1_000_000, || limits::DEFAULT_KEEP; OURS,
        "rotated files that are kept"
    // The contract promises a heartbeat every two minutes, and alerts rely on it.
    JOURNAL_HEARTBEAT: Duration = "journal.heartbeat", "duration", ""; Duration::ZERO..=minutes(2), || minutes(1); OURS,
        "time between two lines that say that the engine is alive, at least `1s`; none are written if it is `0s`"
    JOURNAL_SYNC: Parsed<Sync> = "journal.sync", "`never`, `always`, duration", ""; (), || Parsed(Sync::default()); OURS,
        "when it is synced to the disk"
}

lists! {
    VERIFY_KEYS: VerifyKey = "run.verifyKeys", "list of public keys", "none"; SAME,
        "keys whose Patterns every Source runs"
    SHELL_KEYS: VerifyKey = "run.shellKeys", "list of public keys", "`run_verifyKeys`"; OURS, "keys that open shells"
    AUDIENCES: String = "run.audiences", "list of strings", "none"; OURS,
        "names of this engine in tokens, beside its own"
    ACCEPT_UNBOUND: Word<RequestKind> = "run.acceptUnbound", "list of `push`, `shell`", "`push`"; OURS,
        "requests that are accepted although they are bound to no host, as Etcha's clients send them"
    EVENTS_RECEIVE: String = "sources.NAME.eventsReceive", "list of strings", "none"; SAME, "events that run it"
    PULL_PATHS: PullPath = "sources.NAME.pullPaths", "list of paths and URLs", "none"; SAME,
        "where signed Patterns are fetched"
    SOURCE_SHELL_KEYS: VerifyKey = "sources.NAME.shellKeys", "list of public keys", "none"; OURS,
        "who opens its shells, after `run_shellKeys`"
    SOURCE_VERIFY_KEYS: VerifyKey = "sources.NAME.verifyKeys", "list of public keys", "none"; SAME,
        "whose Patterns it runs, after `run_verifyKeys`"
    WEBHOOK_PATHS: WebhookPath = "sources.NAME.webhookPaths", "list of paths", "none"; SAME, "requests to these run it"
}

/// Keys of Etcha that this engine refuses by name: a setting that is silently not there may be the one that somebody
/// relies on. Some carry in the configuration what belongs into files, or are constants here.
const REFUSED: [&str; 17] = [
    "cli",
    "licenseKey",
    "lint",
    "build.signingCommands",
    "build.signingExec",
    "httpServer.rateLimitRate",
    "httpServer.tlsCertificateBase64",
    "httpServer.tlsKeyBase64",
    "run.jwtRule",
    "run.systemMetricsKey",
    "run.systemMetricsSecret",
    "run.verifyCommands",
    "run.verifyExec",
    "sources.NAME.eventsReceiveExit",
    "sources.NAME.jwtRule",
    "sources.NAME.verifyCommands",
    "sources.NAME.verifyExec",
];

/// Keys of the object whose keys begin with `prefix`, without it.
pub(super) fn known(prefix: &'static str) -> impl Iterator<Item = &'static str> {
    let all = OBJECTS.iter().chain(SETTINGS).chain(LISTS).map(|key| key.about().key);
    all.filter_map(move |key| key.strip_prefix(prefix)).filter(|key| !key.contains('.'))
}

/// Whether a key is one of Etcha's that this engine does not have.
pub(super) fn is_refused(prefix: &str, key: &str) -> bool {
    REFUSED.iter().any(|refused| refused.strip_prefix(prefix) == Some(key))
}

/// Keys of the outermost object: also what variables about the configuration begin with.
pub(super) fn outermost() -> impl Iterator<Item = &'static str> {
    known("").chain(REFUSED).filter(|key| !key.contains('.'))
}

/// The table of the documentation, in Markdown.
pub fn table() -> String {
    let mut keys: Vec<&dyn Defined> = OBJECTS.iter().chain(SETTINGS).chain(LISTS).copied().collect();
    keys.sort_by_key(|key| key.about().key);
    let mut text = "| key | value | default | meaning | Etcha |\n|---|---|---|---|---|\n".to_owned();
    for key in keys {
        let About { key: name, value, default: words, group: etcha, help, .. } = key.about();
        let default = match key.shape() {
            Shape::Switch => "false".to_owned(),
            _ if words.is_empty() && !key.default().is_empty() => format!("`{}`", key.default()),
            _ => (*words).to_owned(),
        };
        let bounds = match key.bounds() {
            bounds if bounds.is_empty() => bounds,
            bounds => format!("; {bounds}"),
        };
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {value} | {default} | {help}{bounds} | {etcha} |",
            name.replace('.', "_")
        );
    }
    for key in REFUSED {
        let _ = writeln!(text, "| `{}` | | | | not here |", key.replace('.', "_"));
    }
    text
}
