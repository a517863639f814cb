//! The native functions, and how JSON gets into a program.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;

use regex::Regex;
use rsjsonnet_lang::program::{Program, Value as JsonnetValue};
use serde_json::Value;
use terminal::file;

use super::JsonnetError;
use crate::exec::{Exec, environment};

/// Longest file that `getFile` reads, in bytes.
const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;

/// Longest string that `randStr` makes, in characters.
const MAX_RANDOM: f64 = 65_536.0;

/// Names and parameters. Optional ones are null here.
pub const FUNCTIONS: [(&str, &[&str]); 9] = [
    ("getArch", &[]),
    ("getConfig", &[]),
    ("getEnv", &["key", "fallback"]),
    ("getFile", &["path", "fallback"]),
    ("getOS", &[]),
    ("getPath", &[]),
    ("randStr", &["length"]),
    ("regexMatch", &["regex", "string"]),
    ("render", &["string"]),
];

/// What native functions know, and as whom they ask the system.
#[derive(Clone, Debug)]
pub struct Natives {
    /// What `getConfig` returns.
    pub config: Value,
    /// What `getEnv` sees.
    pub(super) env: BTreeMap<String, String>,
    /// User and group that render; those of this process where there are none.
    pub(super) account: (Option<String>, Option<String>),
}

/// Why a native function gives no value.
#[derive(Debug, thiserror::Error)]
pub(super) enum NativeFailure {
    /// An argument is not what it has to be.
    #[error("`{0}` has to be a string")]
    NoString(&'static str),
    /// As [`NativeFailure::NoString`], of a length.
    #[error("`length` has to be a number from 0 to {MAX_RANDOM}")]
    Length,
    /// An argument does not compile.
    #[error("`{0}` is no regular expression")]
    Regex(String),
    /// A file cannot be read, and no fallback is given.
    #[error("{0}; give a fallback")]
    File(#[from] FileError),
    /// The system gives no randomness.
    #[error(transparent)]
    Randomness(#[from] getrandom::Error),
    /// The text of a program does not render.
    #[error(transparent)]
    Rendered(JsonnetError),
    /// Only registered functions are called: this never happens.
    #[error("is no native function")]
    Unknown,
}

/// Why `getFile` reads nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// It is an address.
    #[error("{0}: rendering fetches nothing from other hosts; let a command do it")]
    Address(String),
    /// The system does not give it, it is not UTF-8, or it is a pipe, a device or a directory.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// It is longer than [`MAX_FILE_BYTES`].
    #[error("{0}: is longer than {limit} MiB", limit = MAX_FILE_BYTES / 1024 / 1024)]
    TooLong(String),
}

impl Natives {
    /// `config` for `getConfig`; `getEnv` sees what scripts with `exec` would see. Files are read with the rights of this
    /// process.
    pub(crate) fn new(config: Value, exec: &Exec) -> Natives {
        let exec = Exec { user: None, group: None, ..exec.clone() };
        Natives { config, env: environment_of(&exec), account: (None, None) }
    }

    /// As [`Natives::new`], but everything is done with the rights of the user that scripts with `exec` have.
    pub(crate) fn as_user(config: Value, exec: &Exec) -> Natives {
        Natives { config, env: environment_of(exec), account: (exec.user.clone(), exec.group.clone()) }
    }

    /// For a file that is rendered before there is a configuration: it sees all variables of this process.
    pub fn without_config() -> Natives {
        let all = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        });
        let config = serde_json::json!({ "exec": {}, "targets": {}, "vars": {} });
        Natives { config, env: all.collect(), account: (None, None) }
    }

    pub(super) fn call<'p>(
        &self,
        program: &mut Program<'p>,
        name: &str,
        args: &[JsonnetValue<'p>],
    ) -> Result<JsonnetValue<'p>, NativeFailure> {
        match name {
            "getArch" => Ok(JsonnetValue::string(architecture())),
            "getOS" => Ok(JsonnetValue::string(std::env::consts::OS)),
            "getConfig" => Ok(value(program, &self.config)),
            "getEnv" => {
                let found = self.env.get(&text(args, 0, "key")?).filter(|found| !found.is_empty());
                Ok(match (found, args.get(1)) {
                    (Some(found), _) => JsonnetValue::string(found),
                    (None, Some(fallback)) if !fallback.is_null() => fallback.clone(),
                    (None, _) => JsonnetValue::string(""),
                })
            }
            "getFile" => {
                let path = text(args, 0, "path")?;
                match (self.read(&path), args.get(1)) {
                    (Ok(found), _) => Ok(JsonnetValue::string(&found)),
                    (Err(_), Some(fallback)) if !fallback.is_null() => Ok(fallback.clone()),
                    (Err(why), _) => Err(why.into()),
                }
            }
            "randStr" => {
                let length = args.first().and_then(JsonnetValue::as_number);
                let length = length.filter(|length| (0.0..=MAX_RANDOM).contains(length));
                let length = length.ok_or(NativeFailure::Length)?;
                Ok(JsonnetValue::string(&random(length)?))
            }
            "regexMatch" => {
                let (regex, string) = (text(args, 0, "regex")?, text(args, 1, "string")?);
                let regex = Regex::new(&regex).map_err(|_| NativeFailure::Regex(regex))?;
                Ok(JsonnetValue::bool(regex.is_match(&string)))
            }
            _ => Err(NativeFailure::Unknown),
        }
    }

    /// The text of a file, without the line end at its end. A `~/` before it is the home directory.
    fn read(&self, path: &str) -> Result<String, FileError> {
        if path.starts_with("http://") || path.starts_with("https://") {
            return Err(FileError::Address(path.to_owned()));
        }
        let home = || self.env.get("HOME").map(String::as_str).unwrap_or_default();
        let expanded = path.strip_prefix("~/").map(|rest| format!("{}/{rest}", home()));
        let mut text = read_regular(expanded.as_deref().unwrap_or(path))?;
        if text.ends_with('\n') {
            text.pop();
        }
        Ok(text)
    }
}

fn environment_of(exec: &Exec) -> BTreeMap<String, String> {
    let all = environment::of_script(exec, &BTreeMap::new()).into_iter();
    all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .collect()
}

/// Letters and digits, each as likely as any other.
fn random(length: f64) -> Result<String, getrandom::Error> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::new();
    let mut bytes = [0; 256];
    while (text.len() as f64) < length.floor() {
        getrandom::fill(&mut bytes)?;
        // 248 is four times 62: what is beyond would make some letters more likely.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        for byte in fair {
            if (text.len() as f64) < length.floor() {
                text.push(char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
            }
        }
    }
    Ok(text)
}

/// The processor's architecture, by the names that Go has for them: Patterns choose downloads by these.
pub(super) fn architecture() -> &'static str {
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

pub(super) fn text(
    args: &[JsonnetValue<'_>],
    at: usize,
    name: &'static str,
) -> Result<String, NativeFailure> {
    args.get(at).and_then(JsonnetValue::to_string).ok_or(NativeFailure::NoString(name))
}

/// The text of a file. Pipes and devices are refused before they can wait, or have no end.
fn read_regular(path: &str) -> Result<String, FileError> {
    let unread = |source| FileError::Read { path: path.to_owned(), source };
    let file = file::open_regular(Path::new(path)).map_err(unread)?;
    let mut text = String::new();
    match file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text) {
        Err(error) => Err(unread(error)),
        Ok(bytes) if bytes as u64 > MAX_FILE_BYTES => Err(FileError::TooLong(path.to_owned())),
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
