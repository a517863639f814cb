//! The configuration: one file, the environment and `-x`, as one [`Config`] whose every value is right. How the three
//! are laid over each other is [`layers`]'s matter.
//!
//! The shape is Etcha's newest documented one, with an object `journal` added. A key of Etcha that this engine does not
//! have is an error, because a setting that is silently not there may be the one that somebody relies on.

pub(crate) mod found;
mod keys;
pub(crate) mod layers;
pub(crate) mod pull_path;
mod section;
mod server;
pub(crate) mod signing;
mod source;
pub(crate) mod targets;
pub(crate) mod trusted;
mod value;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use journal_schema::Options;
use serde_json::{Map, Value};
use settings::Problem;

use crate::exec::Exec;
use crate::jsonnet::JsonnetError;
use crate::wire::client::Trust;
use crate::wire::key::VerifyKey;
pub use keys::table;
use section::Section;
pub(crate) use server::ServerConfig;
use signing::Signing;
pub(crate) use source::Source;
pub(crate) use targets::Target;
use trusted::Unbound;

/// Shortest time between two heartbeats.
const MIN_HEARTBEAT: Duration = Duration::from_secs(1);

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
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be rendered.
    #[error("configuration {0}")]
    Jsonnet(JsonnetError),
    /// What is wrong in it, or in what was laid over it.
    #[error("{}", listed(.0))]
    Wrong(Vec<Problem>),
    /// The file was found, and others decide what is in it.
    #[error("configuration {} {why}", .path.display())]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// Why it is not used.
        why: found::Unsafe,
    },
}

/// A line for each problem.
fn listed(problems: &[Problem]) -> String {
    let line = |problem: &Problem| match problem.place.as_str() {
        "" => format!("configuration: {}", problem.what),
        _ => format!("configuration, {problem}"),
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl Config {
    /// Reads the members of the outermost object.
    ///
    /// # Errors
    ///
    /// Everything that is wrong.
    pub(crate) fn read(value: Value) -> Result<Config, Vec<Problem>> {
        let problems = RefCell::new(Vec::new());
        let config = Config::of(Section::outermost(value, &problems));
        // What does not fit together is judged only once each value is right.
        if problems.borrow().is_empty() {
            config.check(&problems);
        }
        let problems = problems.into_inner();
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    fn of(mut section: Section<'_>) -> Config {
        let mut run = section.section(&keys::RUN, "run.");
        let timeout_run = run.get(&keys::TIMEOUT_RUN);
        let targets = section.named(&keys::TARGETS, "targets.NAME.").into_iter();
        let sources = section.named(&keys::SOURCES, "sources.NAME.").into_iter();
        let has_journal = section.has(&keys::JOURNAL);
        let journal = section.section(&keys::JOURNAL, "journal.");
        Config {
            exec: Exec::default().with(&source::overrides(&mut section, &keys::EXEC)),
            vars: section.map(&keys::VARS),
            state_dir: run.get(&keys::STATE_DIR),
            randomized_start_delay: Duration::from_secs(run.get(&keys::RANDOMIZED_START_DELAY)),
            max_token_bytes: run.get(&keys::MAX_TOKEN_BYTES),
            timeout_push: run.get(&keys::TIMEOUT_PUSH),
            timeout_shell: run.get(&keys::TIMEOUT_SHELL),
            timeout_stop: run.get(&keys::TIMEOUT_STOP),
            timeout_webhook: run.get(&keys::TIMEOUT_WEBHOOK),
            verify_keys: run.list(&keys::VERIFY_KEYS),
            shell_keys: run.list(&keys::SHELL_KEYS),
            audiences: run.list(&keys::AUDIENCES),
            accept_unbound: Unbound::read(&mut run),
            build: Build::read(section.section(&keys::BUILD, "build.")),
            server: ServerConfig::read(section.section(&keys::HTTP_SERVER, "httpServer.")),
            trust: targets::trust(section.section(&keys::HTTP_CLIENT, "httpClient.")),
            targets: targets.map(|(name, section)| (name.clone(), Target::read(&name, section))).collect(),
            sources: sources
                .map(|(name, section)| (name.clone(), Source::read(&name, section, timeout_run)))
                .collect(),
            journal: if has_journal { JournalConfig::read(journal) } else { None },
        }
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

    /// What is fetched, pushed or typed has to be verified, and a shell is run as its Source says.
    fn check(&self, problems: &RefCell<Vec<Problem>>) {
        for (name, source) in &self.sources {
            let wrong =
                |what: String| problems.borrow_mut().push(Problem::new(format!("sources, `{name}`"), what));
            let (has_key, has_shell_key) =
                (!self.keys_of(source).is_empty(), !self.shell_keys_of(source).is_empty());
            let wanting = [
                ("pullPaths", !source.pull_paths.is_empty() && !has_key),
                ("allowPush", source.allow_push && !has_key),
                ("shell", source.shell.is_some() && !has_shell_key),
            ];
            for (key, _) in wanting.iter().filter(|(_, is_wanting)| *is_wanting) {
                wrong(format!("`{key}` needs a key to verify with; give `verifyKeys` here or in `run`"));
            }
            if source.shell.as_ref().is_some_and(|shell| self.exec.with(&source.exec).refuses(shell)) {
                wrong("`shell` has no effect, because `allowOverride` is off in `exec`".to_owned());
            }
        }
    }
}

impl Build {
    fn read(mut section: Section<'_>) -> Build {
        let workers = section.get(&keys::PUSH_MAX_WORKERS);
        Build {
            signing: Signing::read(&mut section),
            push_domain_suffix: section.get(&keys::PUSH_DOMAIN_SUFFIX),
            push_max_workers: Some(workers).filter(|workers| *workers > 0),
        }
    }
}

impl JournalConfig {
    fn read(mut section: Section<'_>) -> Option<JournalConfig> {
        let path = section.get(&keys::JOURNAL_PATH);
        let options = Options {
            max_bytes: section.get(&keys::JOURNAL_MAX_BYTES),
            keep: section.get(&keys::JOURNAL_KEEP),
            sync: section.get(&keys::JOURNAL_SYNC).0,
            ..Options::default()
        };
        let heartbeat = section.get(&keys::JOURNAL_HEARTBEAT);
        if !heartbeat.is_zero() && heartbeat < MIN_HEARTBEAT {
            section.wrong("heartbeat", "has to be 0s, or from 1s to 2m");
        }
        if path.is_none() {
            section.wrong("path", "is missing; name the file that the exporter follows");
        }
        let heartbeat = Some(heartbeat).filter(|every| !every.is_zero());
        path.map(|path| JournalConfig { path, heartbeat, options })
    }
}

#[cfg(test)]
mod tests;
