//! From a Jsonnet program to a Pattern: what the program sees, and what a Source adds to it.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::exec::Exec;
use crate::fields::Wrong;
use crate::jsonnet::{self, Imports, JsonnetError, Natives, sysinfo};
use crate::pattern::Pattern;
use crate::wire::token::Claims;

/// Why there is no Pattern.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// The program does not render.
    #[error(transparent)]
    Jsonnet(JsonnetError),
    /// What it renders to is no Pattern.
    #[error(transparent)]
    Wrong(Wrong),
    /// The token holds no program.
    #[error("the token holds no pattern")]
    Empty,
}

/// What a program sees of the engine.
#[derive(Clone, Debug)]
pub(crate) struct View {
    exec: Exec,
    vars: Map<String, Value>,
    targets: Map<String, Value>,
    /// Whether the program is somebody else's, who has no more rights than the scripts of the Source.
    is_foreign: bool,
}

impl View {
    /// For a Pattern of the Source `name`, which need not be in the configuration. Variables: `run_vars` come first,
    /// then those of the configuration, then those of the Source; a later one wins. `source`, `sysinfo` and `test` are
    /// always set.
    pub(crate) fn new(config: &Config, name: &str, run_vars: &Map<String, Value>) -> View {
        let source = config.sources.get(name);
        let mut vars = run_vars.clone();
        let later = [Some(&config.vars), source.map(|source| &source.vars)];
        for (key, value) in later.into_iter().flatten().flatten() {
            vars.insert(key.clone(), value.clone());
        }
        vars.insert("source".to_owned(), name.into());
        vars.insert("sysinfo".to_owned(), sysinfo::facts());
        vars.insert("test".to_owned(), false.into());
        let exec = source.map_or_else(|| config.exec.clone(), |source| config.exec.with(&source.exec));
        let targets = config.targets.iter().map(|(name, target)| (name.clone(), target.to_json())).collect();
        View { exec, vars, targets, is_foreign: false }
    }

    /// The same with one more variable.
    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> View {
        self.vars.insert(key.to_owned(), value.into());
        self
    }

    /// The same with more variables, over those that are there.
    #[must_use]
    pub(crate) fn with_all(mut self, vars: &Map<String, Value>) -> View {
        self.vars.extend(vars.clone());
        self
    }

    /// The same for a program that came from elsewhere: it is rendered with the rights of the Source's user, and does
    /// not see the variables of targets, which are meant for what this host pushes.
    #[must_use]
    pub(crate) fn foreign(mut self) -> View {
        for target in self.targets.values_mut().filter_map(Value::as_object_mut) {
            target.remove("vars");
        }
        self.is_foreign = true;
        self
    }

    /// How scripts of the Source run.
    pub(crate) fn exec(&self) -> &Exec {
        &self.exec
    }

    /// Renders and decodes.
    ///
    /// # Errors
    ///
    /// The program does not render, or not to a Pattern.
    pub(crate) fn render(&self, imports: &Imports) -> Result<Pattern, ProgramError> {
        let config = json!({ "exec": self.exec.to_json(), "targets": self.targets, "vars": self.vars });
        let natives = match self.is_foreign {
            true => Natives::as_user(config, &self.exec),
            false => Natives::new(config, &self.exec),
        };
        let value = jsonnet::render(imports, &natives).map_err(ProgramError::Jsonnet)?;
        Pattern::read(value).map_err(ProgramError::Wrong)
    }
}

/// The Pattern in a verified token, for the Source `name`. `text` is the token itself.
///
/// # Errors
///
/// There is no program in it, or it does not render to a Pattern.
pub(crate) fn of_claims(
    config: &Config,
    name: &str,
    claims: &Claims,
    text: &str,
) -> Result<Pattern, ProgramError> {
    let imports = claims.pattern.as_ref().ok_or(ProgramError::Empty)?;
    let none = Map::new();
    let run_vars = claims.run_vars.as_ref().unwrap_or(&none);
    View::new(config, name, run_vars).with("jwt", text).foreign().render(imports)
}

/// The program that somebody named: a file if there is one, else the text itself as Commands to run.
///
/// # Errors
///
/// It is a file, but it or what it imports cannot be read.
pub(crate) fn of_argument(argument: &str) -> Result<Imports, JsonnetError> {
    let path = Path::new(argument);
    let has_ending =
        path.extension().is_some_and(|ending| ["jsonnet", "json"].contains(&&*ending.to_string_lossy()));
    if path.is_file() || (has_ending && !argument.contains(['{', '['])) {
        Imports::of_path(path)
    } else {
        Ok(Imports::of_text(&format!("{{ run: [{argument}] }}")))
    }
}

/// Seconds since 1970, for the times of tokens.
pub fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
