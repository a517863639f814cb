//! A Source as it is configured.

use std::time::Duration;

use regex::Regex;
use serde_json::{Map, Value};
use settings::About;

use super::keys;
use super::pull_path::PullPath;
use super::section::Section;
use crate::exec::Overrides;
use crate::fields::{Fields, Wrong};
use crate::pattern::Pattern;
use crate::wire::key::VerifyKey;

/// Shortest time between two runs of a Source on its schedule: shorter is a mistake in the unit.
const MIN_FREQUENCY: Duration = Duration::from_millis(100);

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
    pub pull_paths: Vec<PullPath>,
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

impl Source {
    /// Reads a member of `sources`.
    pub(super) fn read(name: &str, mut section: Section<'_>, timeout_run: Duration) -> Source {
        if !is_source_name(name) {
            section.complain("names of sources have no `/` and are not empty, `.` or `..`");
        }
        let webhook_paths = section.list(&keys::WEBHOOK_PATHS);
        Source {
            allow_push: section.get(&keys::ALLOW_PUSH),
            check_only: section.get(&keys::CHECK_ONLY),
            commands: commands(&mut section),
            events_receive: section.list(&keys::EVENTS_RECEIVE),
            events_send: section.get(&keys::EVENTS_SEND).map(|filter| filter.0),
            exec: overrides(&mut section, &keys::SOURCE_EXEC),
            no_remove: section.get(&keys::NO_REMOVE),
            no_restore: section.get(&keys::NO_RESTORE),
            pull_ignore_version: section.get(&keys::PULL_IGNORE_VERSION),
            pull_paths: section.list(&keys::PULL_PATHS),
            run_frequency: run_frequency(&mut section),
            run_multi: section.get(&keys::RUN_MULTI),
            run_timeout: section.get(&keys::RUN_TIMEOUT).unwrap_or(timeout_run),
            shell: shell(&mut section),
            trigger_only: section.get(&keys::TRIGGER_ONLY),
            vars: section.map(&keys::SOURCE_VARS),
            verify_keys: section.list(&keys::SOURCE_VERIFY_KEYS),
            shell_keys: section.list(&keys::SOURCE_SHELL_KEYS),
            push_allow_older: section.get(&keys::PUSH_ALLOW_OLDER),
            webhook_paths: webhook_paths.into_iter().map(|path| path.0).collect(),
        }
    }
}

fn run_frequency(section: &mut Section<'_>) -> Option<Duration> {
    let frequency = section.get(&keys::RUN_FREQUENCY);
    if !frequency.is_zero() && frequency < MIN_FREQUENCY {
        section.wrong("runFrequency", "is shorter than 100ms");
    }
    Some(frequency).filter(|frequency| !frequency.is_zero())
}

/// Names become names of files in the state directory.
fn is_source_name(name: &str) -> bool {
    !(name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']))
}

/// Reads an `exec` object. If it is wrong, that is noted, and the object overrides nothing.
pub(super) fn overrides(section: &mut Section<'_>, about: &About) -> Overrides {
    let members = section.map(about);
    let place = section.place_of(about);
    let read = Fields::new(place, Value::Object(members)).and_then(Overrides::read);
    section.noted(read).unwrap_or_default()
}

fn commands(section: &mut Section<'_>) -> Option<Pattern> {
    let commands = section.take(&keys::SOURCE_COMMANDS)?;
    let place = |wrong: Wrong| Wrong::new(format!("{}, {}", section.place(), wrong.place), wrong.what);
    section.noted(Pattern::of_commands(commands).map_err(place))
}

fn shell(section: &mut Section<'_>) -> Option<Overrides> {
    if !section.has(&keys::SOURCE_SHELL) {
        return None;
    }
    let shell = overrides(section, &keys::SOURCE_SHELL);
    if !shell.has_command() {
        let what = "`command` is missing; name the program that a shell runs, such as /bin/bash -l";
        section.note(Wrong::new(section.place_of(&keys::SOURCE_SHELL), what));
    }
    Some(shell)
}
