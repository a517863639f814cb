//! The native functions, and how JSON gets into a program.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;

use regex::Regex;
use rsjsonnet_lang::program::{Program, Value as JsonnetValue};
use serde_json::Value;

use crate::exec::Exec;

/// Longest file that `getFile` reads, in bytes.
const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;

/// Names and parameters.
const FUNCTIONS: [(&str, &[&str]); 6] = [
    ("getArch", &[]),
    ("getConfig", &[]),
    ("getEnv", &["key", "fallback"]),
    ("getFile", &["path", "fallback"]),
    ("getOS", &[]),
    ("regexMatch", &["regex", "string"]),
];

/// What native functions know.
#[derive(Clone, Debug)]
pub struct Natives {
    /// What `getConfig` returns.
    pub config: Value,
    /// Variables of the execution settings, which come before those of the process.
    env: BTreeMap<String, String>,
    /// Whether variables of the process are to be seen.
    env_inherit: bool,
}

impl Natives {
    /// `config` for `getConfig`; `getEnv` sees what scripts with `exec` would see.
    pub fn new(config: Value, exec: &Exec) -> Natives {
        Natives { config, env: exec.env.clone(), env_inherit: exec.env_inherit }
    }

    /// For a file that is rendered before there is a configuration.
    pub fn without_config() -> Natives {
        Natives::new(serde_json::json!({ "exec": {}, "vars": {} }), &Exec::default())
    }

    pub(super) fn call<'p>(
        &self,
        program: &mut Program<'p>,
        name: &str,
        args: &[JsonnetValue<'p>],
    ) -> Result<JsonnetValue<'p>, String> {
        match name {
            "getArch" => Ok(JsonnetValue::string(architecture())),
            "getOS" => Ok(JsonnetValue::string(std::env::consts::OS)),
            "getConfig" => Ok(value(program, &self.config)),
            "getEnv" => {
                let key = text(args, 0, "key")?;
                match self.variable(&key) {
                    Some(found) => Ok(JsonnetValue::string(&found)),
                    None => fallback(args, || format!("there is no variable `{key}`")),
                }
            }
            "getFile" => {
                let path = text(args, 0, "path")?;
                match read(&path) {
                    Ok(found) => Ok(JsonnetValue::string(&found)),
                    Err(why) => fallback(args, || why),
                }
            }
            "regexMatch" => {
                let (regex, string) = (text(args, 0, "regex")?, text(args, 1, "string")?);
                let regex = Regex::new(&regex).map_err(|_| format!("`{regex}` is no regular expression"))?;
                Ok(JsonnetValue::bool(regex.is_match(&string)))
            }
            // Only registered ones are called.
            _ => Err("is no native function".to_owned()),
        }
    }

    fn variable(&self, key: &str) -> Option<String> {
        let inherited = || self.env_inherit.then(|| std::env::var(key).ok()).flatten();
        self.env.get(key).cloned().or_else(inherited)
    }
}

/// The processor's architecture, by the names that Go has for them: Patterns choose downloads by these.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

pub(super) fn register(program: &mut Program<'_>) {
    for (name, parameters) in FUNCTIONS {
        let name = program.intern_str(name);
        let parameters: Vec<_> = parameters.iter().map(|parameter| program.intern_str(parameter)).collect();
        program.register_native_func(name, &parameters);
    }
}

fn text(args: &[JsonnetValue<'_>], at: usize, name: &str) -> Result<String, String> {
    args.get(at).and_then(JsonnetValue::to_string).ok_or_else(|| format!("`{name}` has to be a string"))
}

fn fallback<'p>(args: &[JsonnetValue<'p>], why: impl FnOnce() -> String) -> Result<JsonnetValue<'p>, String> {
    match args.get(1) {
        Some(given) if !given.is_null() => Ok(given.clone()),
        _ => Err(format!("{}; give a fallback", why())),
    }
}

fn read(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text));
    match read {
        Err(error) => Err(format!("{path}: {error}")),
        Ok(bytes) if bytes as u64 > MAX_FILE_BYTES => Err(format!("{path}: is longer than 8 MiB")),
        Ok(_) => Ok(text),
    }
}

fn value<'p>(program: &mut Program<'p>, json: &Value) -> JsonnetValue<'p> {
    match json {
        Value::Null => JsonnetValue::null(),
        Value::Bool(flag) => JsonnetValue::bool(*flag),
        Value::Number(number) => JsonnetValue::number(number.as_f64().unwrap_or_default()),
        Value::String(text) => JsonnetValue::string(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| value(program, item)).collect();
            program.make_array(&items)
        }
        Value::Object(members) => {
            let members: Vec<_> = members
                .iter()
                .map(|(name, member)| (program.intern_str(name), value(program, member)))
                .collect();
            program.make_object(&members)
        }
    }
}
