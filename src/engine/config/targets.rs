//! Other engines that patterns are pushed to and shells opened on, and how they are reached.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::keys;
use super::section::Section;
use crate::fields::Fields;
use crate::wire::client::Trust;

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
            path_push: (keys::TARGET_PATH_PUSH.default)().0.0,
            path_shell: (keys::TARGET_PATH_SHELL.default)().0.0,
            port: keys::DEFAULT_PORT,
            source_patterns: BTreeMap::new(),
            vars: Map::new(),
        }
    }

    /// Reads a member of `targets`.
    pub(super) fn read(name: &str, mut section: Section<'_>) -> Target {
        let hostname = section.get(&keys::TARGET_HOSTNAME);
        let patterns = section.map(&keys::TARGET_SOURCE_PATTERNS);
        let patterns = Map::from_iter([("sourcePatterns".to_owned(), Value::Object(patterns))]);
        let patterns = Fields::new(section.place(), Value::Object(patterns));
        let patterns = patterns.and_then(|mut fields| fields.texts("sourcePatterns"));
        Target {
            hostname: if hostname.is_empty() { name.to_owned() } else { hostname },
            insecure: section.get(&keys::TARGET_INSECURE),
            path_push: section.get(&keys::TARGET_PATH_PUSH).0.0,
            path_shell: section.get(&keys::TARGET_PATH_SHELL).0.0,
            port: section.get(&keys::TARGET_PORT),
            source_patterns: section.noted(patterns).flatten().unwrap_or_default(),
            vars: section.map(&keys::TARGET_VARS),
        }
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
pub(super) fn trust(mut section: Section<'_>) -> Trust {
    Trust {
        ca_path: section.get(&keys::CA_PATH),
        no_system: section.get(&keys::NO_SYSTEM_CA),
        skip_verify: section.get(&keys::SKIP_VERIFY),
    }
}
