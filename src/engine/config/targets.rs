//! Other engines that patterns are pushed to and shells opened on, and how they are reached.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::fields::{Fields, Wrong};
use crate::wire::client::Trust;

/// Where an engine listens unless told otherwise.
pub(crate) const DEFAULT_PORT: u16 = 4001;

/// Paths unless told otherwise; a `/` and the name of a Source follow.
const PATH_PUSH: &str = "/etcha/v1/push";
const PATH_SHELL: &str = "/etcha/v1/shell";

/// Another engine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    /// Name or address.
    pub hostname: String,
    /// Without TLS.
    pub insecure: bool,
    /// Path of pushes, without the Source.
    pub path_push: String,
    /// Path of shells, without the Source.
    pub path_shell: String,
    /// Port.
    pub port: u16,
    /// Its Sources, and what is pushed to each: a path or a command; empty if that is to be said when pushing.
    pub source_patterns: BTreeMap<String, String>,
    /// Variables for what is pushed to it, over all others.
    pub vars: Map<String, Value>,
}

impl Target {
    /// A target that is not in the configuration.
    pub(crate) fn new(hostname: &str) -> Target {
        Target {
            hostname: hostname.to_owned(),
            insecure: false,
            path_push: PATH_PUSH.to_owned(),
            path_shell: PATH_SHELL.to_owned(),
            port: DEFAULT_PORT,
            source_patterns: BTreeMap::new(),
            vars: Map::new(),
        }
    }

    /// Reads a member of `targets`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub(crate) fn read(name: &str, mut fields: Fields) -> Result<Target, Wrong> {
        let default = Target::new(name);
        let port = fields.number("port")?.map(u16::try_from).transpose();
        let target = Target {
            hostname: fields.string("hostname")?.filter(|host| !host.is_empty()).unwrap_or(default.hostname),
            insecure: fields.flag("insecure")?.unwrap_or(false),
            path_push: path(&mut fields, "pathPush")?.unwrap_or(default.path_push),
            path_shell: path(&mut fields, "pathShell")?.unwrap_or(default.path_shell),
            port: port.map_err(|_| fields.wrong("port", "is larger than any port"))?.unwrap_or(default.port),
            source_patterns: fields.texts("sourcePatterns")?.unwrap_or_default(),
            vars: fields.map("vars")?.unwrap_or_default(),
        };
        fields.end()?;
        Ok(target)
    }

    /// The target as a Pattern sees it with `getConfig`.
    pub(crate) fn to_json(&self) -> Value {
        serde_json::json!({
            "hostname": self.hostname,
            "insecure": self.insecure,
            "pathPush": self.path_push,
            "pathShell": self.path_shell,
            "port": self.port,
            "sourcePatterns": self.source_patterns,
            "vars": self.vars,
        })
    }
}

/// Reads `httpClient`.
///
/// # Errors
///
/// The first thing that is wrong.
pub(crate) fn trust(mut fields: Fields) -> Result<Trust, Wrong> {
    let ca_path = fields.string("tlsCAPath")?.filter(|path| !path.is_empty());
    let trust = Trust {
        ca_path: ca_path.map(PathBuf::from),
        no_system: fields.flag("noSystemCA")?.unwrap_or(false),
        skip_verify: fields.flag("tlsSkipVerify")?.unwrap_or(false),
    };
    fields.end()?;
    Ok(trust)
}

fn path(fields: &mut Fields, key: &'static str) -> Result<Option<String>, Wrong> {
    let Some(path) = fields.string(key)?.filter(|path| !path.is_empty()) else { return Ok(None) };
    if !path.starts_with('/') || path.contains(['?', '#', ' ']) {
        return Err(fields.wrong(key, "has to begin with / and have no ?, # or space"));
    }
    Ok(Some(path.trim_end_matches('/').to_owned()))
}
