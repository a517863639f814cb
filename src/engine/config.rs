//! The configuration: one file, the environment and `-x`, as one [`Config`] whose every value is right. How the three
//! are laid over each other is [`layers`]'s matter.
//!
//! The shape is Etcha's newest documented one, with an object `journal` added. A key of Etcha that this engine does not
//! have is an error, because a setting that is silently not there may be the one that somebody relies on.

pub(crate) mod found;
pub(crate) mod layers;
pub(crate) mod place;
pub(crate) mod server;
pub(crate) mod signing;
pub(crate) mod targets;
pub(crate) mod trusted;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use journal_schema::{Options, Sync};
use regex::Regex;
use serde_json::{Map, Value};

use crate::exec::{Exec, Overrides};
use crate::fields::{Fields, Wrong};
use crate::jsonnet::JsonnetError;
use crate::pattern::Pattern;
use crate::wire::client::Trust;
use crate::wire::key::VerifyKey;
use crate::wire::token;
use place::Place;
pub(crate) use server::ServerConfig;
use signing::Signing;
pub(crate) use targets::Target;
use trusted::Unbound;

/// Shortest time between two runs of a Source on its schedule: shorter is a mistake in the unit.
const MIN_FREQUENCY: Duration = Duration::from_millis(100);

/// Keys of sections that Etcha has beside these.
const OTHER_SECTIONS: [&str; 3] = ["cli", "licenseKey", "lint"];
const OTHER_RUN: [&str; 5] =
    ["jwtRule", "systemMetricsKey", "systemMetricsSecret", "verifyCommands", "verifyExec"];
const OTHER_BUILD: [&str; 2] = ["signingCommands", "signingExec"];
const OTHER_SOURCE: [&str; 4] = ["jwtRule", "verifyCommands", "verifyExec", "eventsReceiveExit"];

/// How long what was asked for over the network may run, unless told otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// How long any run may take, unless told otherwise: longer than an upgrade of a whole system.
const DEFAULT_RUN_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// How long scripts may go on after the end was asked for, unless told otherwise. With what it takes to end them it stays
/// below ten seconds.
const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(6);

/// The longest such time: a day of waiting is no request any more.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest token that is pushed or pulled, in bytes, unless told otherwise: a program of about three megabytes. All of it has
/// to be held before anything is known of who sent it.
const DEFAULT_MAX_TOKEN_BYTES: usize = 4 * 1024 * 1024;

/// The shortest such limit: what is shorter lets nothing in.
const LEAST_MAX_TOKEN_BYTES: usize = 4096;

/// Time between two heartbeats, unless told otherwise.
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(60);

/// What that time may be. The contract promises one every two minutes, and alerts rely on it.
const HEARTBEATS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(120);

/// Paths that are the engine's own.
const OWN_PATHS: &str = "/etcha";

/// What the engine is set up to do.
#[derive(Debug)]
pub(crate) struct Config {
    /// How scripts run, where nothing nearer says otherwise.
    pub exec: Exec,
    /// Variables for Patterns.
    pub vars: Map<String, Value>,
    /// The directory for what has to outlive a restart.
    pub state_dir: PathBuf,
    /// Upper bound of the random delay before the schedules begin.
    pub randomized_start_delay: Duration,
    /// Longest token that is pushed or pulled, in bytes.
    pub max_token_bytes: usize,
    /// How long a pushed Pattern may run.
    pub timeout_push: Duration,
    /// How long scripts may go on after the end of the engine was asked for.
    pub timeout_stop: Duration,
    /// How long a shell may be open.
    pub timeout_shell: Duration,
    /// How long a webhook may run.
    pub timeout_webhook: Duration,
    /// Keys whose Patterns every Source takes.
    pub verify_keys: Vec<VerifyKey>,
    /// Keys that open shells of every Source that has one.
    pub shell_keys: Vec<VerifyKey>,
    /// What this engine is called in tokens, beside its names and its key.
    pub audiences: Vec<String>,
    /// What is taken that is bound to no engine.
    pub accept_unbound: Unbound,
    /// What is built, and pushed.
    pub build: Build,
    /// Where the engine listens.
    pub server: ServerConfig,
    /// Whom requests of this engine trust.
    pub trust: Trust,
    /// Other engines, by name.
    pub targets: BTreeMap<String, Target>,
    /// By name.
    pub sources: BTreeMap<String, Source>,
    /// Where runs are recorded; nowhere if absent.
    pub journal: Option<JournalConfig>,
}

/// One Source.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// Patterns may be pushed to it.
    pub allow_push: bool,
    /// Ask, but do not act.
    pub check_only: bool,
    /// What it runs until a Pattern comes, or always.
    pub commands: Option<Pattern>,
    /// Names of events that run it.
    pub events_receive: Vec<String>,
    /// Events of its Commands that others may receive; none if absent.
    pub events_send: Option<Regex>,
    /// How its scripts run.
    pub exec: Overrides,
    /// A new Pattern removes nothing of the old one.
    pub no_remove: bool,
    /// Nothing of it outlives a restart.
    pub no_restore: bool,
    /// A new version alone makes no new Pattern.
    pub pull_ignore_version: bool,
    /// Where signed Patterns are fetched, in order of preference.
    pub pull_paths: Vec<Place>,
    /// Time between two runs on its schedule; without it there are none.
    pub run_frequency: Option<Duration>,
    /// Runs need not wait for each other.
    pub run_multi: bool,
    /// How long one of its runs may take, whatever sets it off.
    pub run_timeout: Duration,
    /// How its shells are run, with a command; none may be opened if absent.
    pub shell: Option<Overrides>,
    /// It runs only when an event asks for it.
    pub trigger_only: bool,
    /// Variables for its Patterns, over those of the configuration.
    pub vars: Map<String, Value>,
    /// Keys for this Source, after those for all.
    pub verify_keys: Vec<VerifyKey>,
    /// Keys for its shells, after those for all shells.
    pub shell_keys: Vec<VerifyKey>,
    /// A Pattern that was issued before the one in force may be pushed.
    pub push_allow_older: bool,
    /// Requests to these paths run it.
    pub webhook_paths: Vec<String>,
}

/// Building and pushing.
#[derive(Debug, Default)]
pub(crate) struct Build {
    /// The key that signs what is built.
    pub signing: Signing,
    /// The domain of targets whose names have none.
    pub push_domain_suffix: String,
    /// How many targets are pushed to at once; as many as there are processors if absent.
    pub push_max_workers: Option<usize>,
}

/// The journal and how it is written.
#[derive(Debug)]
pub(crate) struct JournalConfig {
    /// The active file.
    pub path: PathBuf,
    /// Time between two heartbeats; none are written if absent.
    pub heartbeat: Option<Duration>,
    /// Rotation and durability.
    pub options: Options,
}

/// Why there is no configuration.
#[derive(Debug)]
pub(crate) enum ConfigError {
    /// The file cannot be rendered.
    Jsonnet(JsonnetError),
    /// Something in it, or in what was laid over it, is wrong.
    Wrong(Wrong),
    /// The file was found, and others decide what is in it.
    Unsafe(PathBuf, found::Unsafe),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Jsonnet(error) => write!(out, "configuration {error}"),
            ConfigError::Unsafe(path, why) => write!(out, "configuration {} {why}", path.display()),
            ConfigError::Wrong(wrong) if wrong.place.is_empty() => {
                write!(out, "configuration: {}", wrong.what)
            }
            ConfigError::Wrong(wrong) => write!(out, "configuration, {wrong}"),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the members of the outermost object.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub(crate) fn read(value: Value) -> Result<Config, Wrong> {
        let mut fields = Fields::new("", value)?;
        fields.not_covered(&OTHER_SECTIONS)?;
        let exec = Exec::default().with(&Overrides::read(fields.section("exec")?)?);
        let vars = fields.map("vars")?.unwrap_or_default();
        let build = build(fields.section("build")?)?;
        let server = ServerConfig::read(fields.section("httpServer")?)?;
        let run = run(fields.section("run")?)?;
        let trust = targets::trust(fields.section("httpClient")?)?;
        let mut targets = BTreeMap::new();
        for (name, value) in fields.map("targets")?.unwrap_or_default() {
            let target = Target::read(&name, Fields::new(format!("targets, `{name}`"), value)?)?;
            targets.insert(name, target);
        }
        let mut sources = BTreeMap::new();
        for (name, value) in fields.map("sources")?.unwrap_or_default() {
            let place = format!("sources, `{name}`");
            if !is_source_name(&name) {
                return Err(Wrong::new(place, "names of sources have no `/` and are not empty, `.` or `..`"));
            }
            sources.insert(name, Source::read(Fields::new(place, value)?, run.timeout_run)?);
        }
        let journal = match fields.map("journal")? {
            None => None,
            Some(members) => Some(journal(Fields::new("journal", Value::Object(members))?)?),
        };
        fields.end()?;
        let config = Config {
            exec,
            vars,
            state_dir: run.state_dir,
            randomized_start_delay: run.randomized_start_delay,
            max_token_bytes: run.max_token_bytes,
            timeout_push: run.timeout_push,
            timeout_shell: run.timeout_shell,
            timeout_stop: run.timeout_stop,
            timeout_webhook: run.timeout_webhook,
            verify_keys: run.verify_keys,
            shell_keys: run.shell_keys,
            audiences: run.audiences,
            accept_unbound: run.accept_unbound,
            build,
            server,
            trust,
            targets,
            sources,
            journal,
        };
        config.check_keys()?;
        config.check_shells()?;
        Ok(config)
    }

    /// Keys of settings in which `other` differs and that only a start of the engine takes up.
    pub(crate) fn needs_restart(&self, other: &Config) -> Vec<&'static str> {
        let path = |config: &Config| config.journal.as_ref().map(|journal| journal.path.clone());
        let differs = [
            ("run_stateDir", self.state_dir != other.state_dir),
            ("httpServer", self.server != other.server),
            ("journal_path", path(self) != path(other)),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }

    /// Keys by which Patterns of a Source are verified, in the order in which they are tried.
    pub(crate) fn keys_of(&self, source: &Source) -> Vec<VerifyKey> {
        self.verify_keys.iter().chain(&source.verify_keys).cloned().collect()
    }

    /// Keys that open shells of a Source: those that are meant for shells, or else those of its Patterns.
    pub(crate) fn shell_keys_of(&self, source: &Source) -> Vec<VerifyKey> {
        let keys: Vec<_> = self.shell_keys.iter().chain(&source.shell_keys).cloned().collect();
        if keys.is_empty() { self.keys_of(source) } else { keys }
    }

    /// Every key that is trusted with anything.
    pub(crate) fn all_keys(&self) -> impl Iterator<Item = &VerifyKey> {
        let of_sources =
            self.sources.values().flat_map(|source| source.verify_keys.iter().chain(&source.shell_keys));
        self.verify_keys.iter().chain(&self.shell_keys).chain(of_sources)
    }

    /// A shell is run as its Source says.
    fn check_shells(&self) -> Result<(), Wrong> {
        for (name, source) in &self.sources {
            if source.shell.as_ref().is_some_and(|shell| self.exec.with(&source.exec).refuses(shell)) {
                return Err(Wrong::new(
                    format!("sources, `{name}`"),
                    "`shell` has no effect, because `allowOverride` is off in `exec`",
                ));
            }
        }
        Ok(())
    }

    /// What is fetched, pushed or typed has to be verified.
    fn check_keys(&self) -> Result<(), Wrong> {
        for (name, source) in &self.sources {
            let (has_key, has_shell_key) =
                (!self.keys_of(source).is_empty(), !self.shell_keys_of(source).is_empty());
            let wanting = [
                ("pullPaths", !source.pull_paths.is_empty() && !has_key),
                ("allowPush", source.allow_push && !has_key),
                ("shell", source.shell.is_some() && !has_shell_key),
            ];
            if let Some((key, _)) = wanting.iter().find(|(_, is_wanting)| *is_wanting) {
                return Err(Wrong::new(
                    format!("sources, `{name}`"),
                    format!("`{key}` needs a key to verify with; give `verifyKeys` here or in `run`"),
                ));
            }
        }
        Ok(())
    }
}

impl Source {
    fn read(mut fields: Fields, timeout_run: Duration) -> Result<Source, Wrong> {
        fields.not_covered(&OTHER_SOURCE)?;
        let place = fields.place().to_owned();
        let commands = fields.value("commands").map(Pattern::of_commands).transpose();
        let source = Source {
            allow_push: fields.flag("allowPush")?.unwrap_or(false),
            check_only: fields.flag("checkOnly")?.unwrap_or(false),
            commands: commands
                .map_err(|wrong| Wrong::new(format!("{place}, {}", wrong.place), wrong.what))?,
            events_receive: fields.strings("eventsReceive")?,
            events_send: regex(&mut fields, "eventsSend")?,
            exec: Overrides::read(fields.section("exec")?)?,
            no_remove: fields.flag("noRemove")?.unwrap_or(false),
            no_restore: fields.flag("noRestore")?.unwrap_or(false),
            pull_ignore_version: fields.flag("pullIgnoreVersion")?.unwrap_or(false),
            pull_paths: pull_paths(&mut fields)?,
            run_frequency: fields.duration("runFrequency")?.filter(|frequency| !frequency.is_zero()),
            run_multi: fields.flag("runMulti")?.unwrap_or(false),
            run_timeout: timeout(&mut fields, "runTimeout")?.unwrap_or(timeout_run),
            shell: shell(&mut fields)?,
            trigger_only: fields.flag("triggerOnly")?.unwrap_or(false),
            vars: fields.map("vars")?.unwrap_or_default(),
            verify_keys: trusted::keys(&mut fields, "verifyKeys")?,
            shell_keys: trusted::keys(&mut fields, "shellKeys")?,
            push_allow_older: fields.flag("pushAllowOlder")?.unwrap_or(false),
            webhook_paths: webhook_paths(&mut fields)?,
        };
        if source.run_frequency.is_some_and(|frequency| frequency < MIN_FREQUENCY) {
            return Err(fields.wrong("runFrequency", "is shorter than 100ms"));
        }
        fields.end()?;
        Ok(source)
    }
}

/// Names become names of files in the state directory.
fn is_source_name(name: &str) -> bool {
    !(name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']))
}

fn pull_paths(fields: &mut Fields) -> Result<Vec<Place>, Wrong> {
    let paths = fields.strings("pullPaths")?;
    paths.iter().map(|path| Place::read(path).map_err(|why| fields.wrong("pullPaths", why))).collect()
}

fn shell(fields: &mut Fields) -> Result<Option<Overrides>, Wrong> {
    let Some(members) = fields.map("shell")? else { return Ok(None) };
    let place = format!("{}, shell", fields.place());
    let shell = Overrides::read(Fields::new(place.clone(), Value::Object(members))?)?;
    if !shell.has_command() {
        let what = "`command` is missing; name the program that a shell runs, such as /bin/bash -l";
        return Err(Wrong::new(place, what));
    }
    Ok(Some(shell))
}

fn webhook_paths(fields: &mut Fields) -> Result<Vec<String>, Wrong> {
    let paths = fields.strings("webhookPaths")?;
    for path in &paths {
        if path.starts_with(OWN_PATHS) {
            return Err(fields
                .wrong("webhookPaths", format_args!("holds `{path}`; {OWN_PATHS}… is the engine's own")));
        }
        if !path.starts_with('/') || path.contains(['?', '#']) {
            return Err(fields.wrong(
                "webhookPaths",
                format_args!("holds `{path}`, but a path begins with / and has no ?"),
            ));
        }
    }
    Ok(paths)
}

fn build(mut fields: Fields) -> Result<Build, Wrong> {
    fields.not_covered(&OTHER_BUILD)?;
    let workers = fields.number("pushMaxWorkers")?.unwrap_or(0);
    let build = Build {
        signing: Signing::read(&mut fields)?,
        push_domain_suffix: fields.string("pushDomainSuffix")?.unwrap_or_default(),
        push_max_workers: usize::try_from(workers).ok().filter(|workers| *workers > 0),
    };
    fields.end()?;
    Ok(build)
}

/// The members of `run`.
struct Run {
    state_dir: PathBuf,
    randomized_start_delay: Duration,
    max_token_bytes: usize,
    timeout_push: Duration,
    timeout_run: Duration,
    timeout_shell: Duration,
    timeout_stop: Duration,
    timeout_webhook: Duration,
    verify_keys: Vec<VerifyKey>,
    shell_keys: Vec<VerifyKey>,
    audiences: Vec<String>,
    accept_unbound: Unbound,
}

fn run(mut fields: Fields) -> Result<Run, Wrong> {
    fields.not_covered(&OTHER_RUN)?;
    let state_dir = fields.string("stateDir")?.filter(|path| !path.is_empty()).unwrap_or(".".to_owned());
    let run = Run {
        state_dir: PathBuf::from(state_dir),
        randomized_start_delay: fields.seconds("randomizedStartDelaySec")?.unwrap_or_default(),
        max_token_bytes: max_token_bytes(&mut fields)?,
        timeout_push: timeout(&mut fields, "timeoutPush")?.unwrap_or(DEFAULT_TIMEOUT),
        timeout_run: timeout(&mut fields, "timeoutRun")?.unwrap_or(DEFAULT_RUN_TIMEOUT),
        timeout_shell: timeout(&mut fields, "timeoutShell")?.unwrap_or(DEFAULT_TIMEOUT),
        timeout_stop: timeout(&mut fields, "timeoutStop")?.unwrap_or(DEFAULT_STOP_TIMEOUT),
        timeout_webhook: timeout(&mut fields, "timeoutWebhook")?.unwrap_or(DEFAULT_TIMEOUT),
        verify_keys: trusted::keys(&mut fields, "verifyKeys")?,
        shell_keys: trusted::keys(&mut fields, "shellKeys")?,
        audiences: fields.strings("audiences")?,
        accept_unbound: Unbound::read(&mut fields)?,
    };
    fields.end()?;
    Ok(run)
}

fn max_token_bytes(fields: &mut Fields) -> Result<usize, Wrong> {
    let Some(given) = fields.number("maxTokenBytes")? else { return Ok(DEFAULT_MAX_TOKEN_BYTES) };
    match usize::try_from(given) {
        Ok(bytes) if (LEAST_MAX_TOKEN_BYTES..=token::MAX_BYTES).contains(&bytes) => Ok(bytes),
        _ => {
            let most = token::MAX_BYTES;
            Err(fields.wrong(
                "maxTokenBytes",
                format_args!("has to be a number of bytes from {LEAST_MAX_TOKEN_BYTES} to {most}"),
            ))
        }
    }
}

/// A time limit; without end there would be no end of what hangs.
fn timeout(fields: &mut Fields, key: &'static str) -> Result<Option<Duration>, Wrong> {
    let timeout = fields.duration(key)?;
    if timeout.is_some_and(|timeout| timeout.is_zero() || timeout > MAX_TIMEOUT) {
        return Err(fields.wrong(key, "has to be longer than nothing and at most 24h"));
    }
    Ok(timeout)
}

fn regex(fields: &mut Fields, key: &'static str) -> Result<Option<Regex>, Wrong> {
    match fields.string(key)?.filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => match Regex::new(&text) {
            Ok(regex) => Ok(Some(regex)),
            Err(_) => Err(fields.wrong(key, format_args!("is `{text}`, which is no regular expression"))),
        },
    }
}

fn journal(mut fields: Fields) -> Result<JournalConfig, Wrong> {
    let mut options = Options::default();
    let Some(path) = fields.string("path")?.filter(|path| !path.is_empty()) else {
        return Err(fields.wrong("path", "is missing; name the file that the exporter follows"));
    };
    options.max_bytes = fields.number("maxBytes")?.unwrap_or(options.max_bytes);
    if let Some(keep) = fields.number("keep")? {
        options.keep = match usize::try_from(keep) {
            Ok(keep) if keep > 0 => keep,
            _ => return Err(fields.wrong("keep", "has to be at least 1")),
        };
    }
    options.sync = match fields.value("sync") {
        None => options.sync,
        Some(Value::String(text)) if text == "never" => Sync::Never,
        Some(Value::String(text)) if text == "always" => Sync::Always,
        Some(value) => {
            let interval = Fields::new("", serde_json::json!({ "sync": value }))?.duration("sync");
            match interval {
                Ok(Some(interval)) if !interval.is_zero() => Sync::Interval(interval),
                _ => return Err(fields.wrong("sync", "has to be never, always or a duration such as 1s")),
            }
        }
    };
    let heartbeat = match fields.duration("heartbeat")? {
        None => Some(DEFAULT_HEARTBEAT),
        Some(Duration::ZERO) => None,
        Some(every) if HEARTBEATS.contains(&every) => Some(every),
        Some(_) => return Err(fields.wrong("heartbeat", "has to be 0s, or from 1s to 2m")),
    };
    fields.end()?;
    Ok(JournalConfig { path: PathBuf::from(path), heartbeat, options })
}

#[cfg(test)]
mod tests;
