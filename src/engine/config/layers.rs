//! File, environment and `-x`, laid over each other: the later wins.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::found::{check, is_bare, upwards};
use super::{Config, ConfigError, Problem as Wrong, keys};
use crate::jsonnet::{self, Imports, Natives};

/// The file that is looked for when none is named.
pub(crate) const DEFAULT_FILE: &str = "etcha.jsonnet";

/// What names of variables begin with.
const PREFIXES: [&str; 2] = ["etcha_", "ETCHA_"];

/// Where the key that signs stands, if it stands in the configuration.
const SIGNING_KEY: &str = "/build/signingKey";

/// The variable that holds a whole configuration.
const WHOLE: &str = "config";

/// Where a configuration comes from.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// The file that was named. One that was not, is looked for and may be missing.
    pub file: Option<PathBuf>,
    /// Variables of the process.
    pub environment: Vec<(String, String)>,
    /// `key=value`, in order.
    pub settings: Vec<String>,
}

impl Layers {
    /// Reads them all.
    ///
    /// # Errors
    ///
    /// A file that was named and is not there, or cannot be rendered; anything that is wrong in it or laid over it.
    pub(crate) fn read(&self) -> Result<Config, ConfigError> {
        let (mut value, imports) = self.file()?;
        let mut problems = Vec::new();
        for (name, text) in &self.environment {
            problems.extend(lay_variable(&mut value, name, text).err());
        }
        for setting in &self.settings {
            let laid = match setting.split_once('=') {
                None => Err(Wrong::new(format!("-x {setting}"), "is no key=value")),
                // Without the value, which may be a secret.
                Some((key, text)) => lay(&mut value, key, text, &format!("-x {key}")),
            };
            problems.extend(laid.err());
        }
        let signing_key = value.pointer(SIGNING_KEY).and_then(Value::as_str).filter(|key| !key.is_empty());
        let holders = signing_key.map(|key| imports.with_text(key)).unwrap_or_default();
        let read = Config::read(value).map_err(|wrong| problems.extend(wrong));
        let read = read.map(|mut config| {
            config.build.signing.look_at(&holders);
            config
        });
        read.ok().filter(|_| problems.is_empty()).ok_or(ConfigError::Wrong(problems))
    }

    /// What the file says, and its text with all that it imports.
    fn file(&self) -> Result<(Value, Imports), ConfigError> {
        let name = self.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        let path = match (upwards(name), &self.file) {
            (Some(found), file) => {
                // One that was named and is here is meant; all others were only found.
                let is_meant = file.is_some() && (!is_bare(name) || name.is_file());
                if !is_meant {
                    check(&found).map_err(|why| ConfigError::Unsafe { path: found.clone(), why })?;
                }
                found
            }
            (None, None) => return Ok((Value::Object(Map::new()), Imports::default())),
            // Reading it says what is wrong with it.
            (None, Some(_)) => name.to_owned(),
        };
        let imports = Imports::of_path(&path).map_err(ConfigError::Jsonnet)?;
        let value = jsonnet::render(&imports, &Natives::without_config()).map_err(ConfigError::Jsonnet)?;
        Ok((value, imports))
    }
}

fn lay_variable(value: &mut Value, name: &str, text: &str) -> Result<(), Wrong> {
    let Some(key) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) else { return Ok(()) };
    if key == WHOLE {
        return match serde_json::from_str(text) {
            Ok(whole @ Value::Object(_)) => {
                merge(value, whole);
                Ok(())
            }
            _ => Err(Wrong::new(name, "holds no JSON object")),
        };
    }
    let first = key.split('_').next().unwrap_or_default();
    // Variables that begin with none of them are not about the configuration.
    if keys::outermost().any(|section| section == first) {
        return lay(value, key, text, name);
    }
    match keys::outermost().find(|section| section.eq_ignore_ascii_case(first)) {
        // `ETCHA_JOURNAL` alone belongs to other programs.
        Some(section) if key.contains('_') => Err(Wrong::new(
            name,
            format!("keys are written as in the file, so it has to begin with {}{section}_", PREFIXES[1]),
        )),
        _ => Ok(()),
    }
}

/// Sets what `key`, parts of which are joined by `_`, names.
fn lay(value: &mut Value, key: &str, text: &str, place: &str) -> Result<(), Wrong> {
    let mut at = value;
    for part in key.split('_') {
        if part.is_empty() {
            return Err(Wrong::new(place, "has an empty part in its key; `_` joins parts"));
        }
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        let Value::Object(members) = at else {
            return Err(Wrong::new(place, format!("`{part}` lies within something that is no object")));
        };
        at = members.entry(part).or_insert(Value::Null);
    }
    *at = converted(text).map_err(|error| Wrong::new(place, format!("the value is no JSON: {error}")))?;
    Ok(())
}

/// Objects are merged, everything else is replaced.
fn merge(value: &mut Value, over: Value) {
    match (value, over) {
        (Value::Object(members), Value::Object(over)) => {
            for (name, over) in over {
                merge(members.entry(name).or_insert(Value::Null), over);
            }
        }
        (value, over) => *value = over,
    }
}

/// An integer, `true`, `false`, `null`, a list or an object if it looks like one, else a string.
fn converted(text: &str) -> Result<Value, serde_json::Error> {
    let is_integer = text.parse::<i64>().is_ok();
    if is_integer || ["true", "false", "null"].contains(&text) || text.starts_with(['[', '{']) {
        serde_json::from_str(text)
    } else {
        Ok(Value::String(text.to_owned()))
    }
}
