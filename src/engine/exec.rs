//! How scripts run: the settings, what may override them, and the command line that comes of both. The process itself
//! is `process`'s matter, what it wrote `output`'s; users and groups are `account`'s, variables `environment`'s.
//! Between the engine and the script there is [`child`].

pub(crate) mod account;
pub mod child;
pub(crate) mod environment;
pub(crate) mod output;
pub(crate) mod process;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::fields::{Fields, Wrong};

/// What runs a script, unless told otherwise: Bash that stops at the first failure, in a pipe too.
pub(crate) const DEFAULT_COMMAND: &str = "/usr/bin/bash -e -o pipefail -c";

/// Keys of Etcha for containers.
const CONTAINER_KEYS: [&str; 8] = [
    "containerEntrypoint",
    "containerImage",
    "containerNetwork",
    "containerPrivileged",
    "containerPull",
    "containerUser",
    "containerVolumes",
    "containerWorkDir",
];

/// How a script runs, everything decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exec {
    /// Whether what comes nearer to the script may say otherwise.
    pub allow_override: bool,
    /// The program before the script, with its arguments; empty if the script is itself a command line.
    pub command: String,
    /// Variables for the script.
    pub env: BTreeMap<String, String>,
    /// Whether it also gets this process's variables.
    pub env_inherit: bool,
    /// Name or number of its group.
    pub group: Option<String>,
    /// Run through `sudo`, unless this process is root.
    pub sudo: bool,
    /// Name or number of its user.
    pub user: Option<String>,
    /// Where it runs.
    pub work_dir: Option<PathBuf>,
}

impl Default for Exec {
    fn default() -> Exec {
        Exec {
            allow_override: true,
            command: DEFAULT_COMMAND.to_owned(),
            env: BTreeMap::new(),
            env_inherit: true,
            group: None,
            sudo: false,
            user: None,
            work_dir: None,
        }
    }
}

/// What one level (Source, Pattern, Command) says about execution; what it leaves open stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    allow_override: Option<bool>,
    command: Option<String>,
    env: BTreeMap<String, String>,
    env_inherit: Option<bool>,
    group: Option<String>,
    sudo: Option<bool>,
    user: Option<String>,
    work_dir: Option<PathBuf>,
}

impl Overrides {
    /// Reads the members of an `exec` object.
    ///
    /// # Errors
    ///
    /// A key that is unknown or of the wrong type, a container, or a command whose quotes do not close.
    pub(crate) fn read(mut fields: Fields) -> Result<Overrides, Wrong> {
        fields.not_covered(&CONTAINER_KEYS)?;
        let overrides = Overrides {
            allow_override: fields.flag("allowOverride")?,
            command: fields.string("command")?,
            env: fields.texts("env")?.unwrap_or_default(),
            env_inherit: fields.flag("envInherit")?,
            group: fields.name_or_number("group")?,
            sudo: fields.flag("sudo")?,
            user: fields.name_or_number("user")?,
            work_dir: fields.string("workDir")?.filter(|path| !path.is_empty()).map(PathBuf::from),
        };
        if overrides.command.as_ref().is_some_and(|command| split(command).is_none()) {
            return Err(fields.wrong("command", "opens a quote that it does not close"));
        }
        if let Some(name) = overrides.env.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return Err(
                fields.wrong("env", format_args!("holds `{name}`, which can be no name of a variable"))
            );
        }
        fields.end()?;
        Ok(overrides)
    }

    /// Whether it names a program.
    pub(crate) fn has_command(&self) -> bool {
        self.command.as_ref().is_some_and(|command| !command.trim().is_empty())
    }

    fn is_empty(&self) -> bool {
        *self == Overrides::default()
    }
}

impl Exec {
    /// These settings with `nearer` laid over them: only what it says changes, and variables add up. Where overriding
    /// is not allowed they stay as they are, and `None` of `nearer` counts.
    #[must_use]
    pub(crate) fn with(&self, nearer: &Overrides) -> Exec {
        let mut exec = self.clone();
        if nearer.is_empty() || !self.allow_override {
            return exec;
        }
        exec.env.extend(nearer.env.iter().map(|(name, value)| (name.clone(), value.clone())));
        exec.allow_override = nearer.allow_override.unwrap_or(exec.allow_override);
        exec.command = nearer.command.clone().unwrap_or(exec.command);
        exec.env_inherit = nearer.env_inherit.unwrap_or(exec.env_inherit);
        exec.group = nearer.group.clone().or(exec.group);
        exec.sudo = nearer.sudo.unwrap_or(exec.sudo);
        exec.user = nearer.user.clone().or(exec.user);
        exec.work_dir = nearer.work_dir.clone().or(exec.work_dir);
        exec
    }

    /// Whether `nearer` asks for something that [`Exec::with`] does not give it.
    pub(crate) fn refuses(&self, nearer: &Overrides) -> bool {
        !self.allow_override && !nearer.is_empty()
    }

    /// The words of the command line for `script`. Without a `command` the script itself is split at spaces.
    pub(crate) fn words(&self, script: &str, is_root: bool) -> Vec<String> {
        let mut words = Vec::new();
        if self.sudo && !is_root {
            words.extend(["sudo", "-E"].map(str::to_owned));
        }
        if self.command.trim().is_empty() {
            words.extend(script.split(' ').filter(|word| !word.is_empty()).map(str::to_owned));
        } else {
            // It was read, so its quotes close.
            words.extend(split(&self.command).unwrap_or_default());
            if !script.is_empty() {
                words.push(script.to_owned());
            }
        }
        words
    }

    /// The settings as a Pattern sees them with `getConfig`.
    pub(crate) fn to_json(&self) -> Value {
        let mut members = Map::new();
        members.insert("allowOverride".to_owned(), self.allow_override.into());
        members.insert("command".to_owned(), self.command.clone().into());
        members.insert("env".to_owned(), serde_json::json!(self.env));
        members.insert("envInherit".to_owned(), self.env_inherit.into());
        members.insert("group".to_owned(), self.group.clone().unwrap_or_default().into());
        members.insert("sudo".to_owned(), self.sudo.into());
        members.insert("user".to_owned(), self.user.clone().unwrap_or_default().into());
        let work_dir = self.work_dir.as_ref().map(|path| path.to_string_lossy().into_owned());
        members.insert("workDir".to_owned(), work_dir.unwrap_or_default().into());
        Value::Object(members)
    }
}

/// Splits at spaces; a word that begins with a quote goes on to the word that ends with the same one, and loses both.
/// `None` if there is no such word.
fn split(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut pieces = command.split(' ');
    while let Some(piece) = pieces.next() {
        let Some(quote) = piece.chars().next().filter(|first| ['"', '\''].contains(first)) else {
            if !piece.is_empty() {
                words.push(piece.to_owned());
            }
            continue;
        };
        let mut word = piece[1..].to_owned();
        while !word.ends_with(quote) {
            word.push(' ');
            word.push_str(pieces.next()?);
        }
        word.pop();
        words.push(word);
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn overrides(value: Value) -> Overrides {
        Overrides::read(Fields::new("exec", value).unwrap()).unwrap()
    }

    #[test]
    fn the_default_is_bash_that_stops_at_failures() {
        let words = Exec::default().words("echo 'a b'", true);
        assert_eq!(words, ["/usr/bin/bash", "-e", "-o", "pipefail", "-c", "echo 'a b'"]);
    }

    #[test]
    fn quotes_join_words_of_the_command_and_never_of_the_script() {
        let exec = Exec::default().with(&overrides(json!({"command": "env 'A=b c'  \"x\" sh -c"})));
        assert_eq!(exec.words("'a b'", true), ["env", "A=b c", "x", "sh", "-c", "'a b'"]);
        let bare = Exec::default().with(&overrides(json!({"command": ""})));
        assert_eq!(bare.words("echo 'a b'", true), ["echo", "'a", "b'"]);
        let error = Overrides::read(Fields::new("exec", json!({"command": "a 'b"})).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "exec: `command` opens a quote that it does not close");
    }

    #[test]
    fn sudo_comes_first_unless_root() {
        let exec = Exec::default().with(&overrides(json!({"sudo": true, "command": "sh -c"})));
        assert_eq!(exec.words("x", false), ["sudo", "-E", "sh", "-c", "x"]);
        assert_eq!(exec.words("x", true), ["sh", "-c", "x"]);
    }

    #[test]
    fn an_override_changes_what_it_says_and_nothing_else() {
        let exec = Exec::default()
            .with(&overrides(json!({"env": {"A": "1", "B": "1"}, "user": 7})))
            .with(&overrides(json!({"env": {"B": "2"}, "workDir": "/"})));
        assert_eq!(exec.env, BTreeMap::from([("A".into(), "1".into()), ("B".into(), "2".into())]));
        assert_eq!((exec.user.as_deref(), exec.command.as_str()), (Some("7"), DEFAULT_COMMAND));
        assert!(exec.env_inherit && exec.allow_override);
    }

    #[test]
    fn a_closed_chain_stays_closed() {
        let closed = Exec::default().with(&overrides(json!({"allowOverride": false, "command": "sh -c"})));
        let nearer = overrides(json!({"allowOverride": true, "command": "evil"}));
        assert!(closed.refuses(&nearer) && !closed.refuses(&Overrides::default()));
        assert_eq!(closed.with(&nearer), closed);
    }

    #[test]
    fn containers_are_refused_by_name() {
        let error =
            Overrides::read(Fields::new("exec", json!({"containerImage": "x"})).unwrap()).unwrap_err();
        assert!(error.to_string().starts_with("exec: `containerImage` is a key of Etcha"), "{error}");
    }
}
