//! The environment of a script: what it inherits from the engine, and what it must never see. Decides by names alone.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use super::Exec;
use super::account::PERSONAL;

/// What names begin with that configure the engine: keys may be among their values. Case does not matter.
const OWN_PREFIX: &[u8] = b"etcha_";

/// What names begin with that the service manager sets for the engine alone.
const SERVICE_PREFIXES: [&[u8]; 3] = [b"LISTEN_", b"WATCHDOG_", b"MEMORY_PRESSURE_"];

/// Other names that the service manager sets for the engine alone: sockets on which it speaks for the engine, its
/// directories, its credentials.
const SERVICE_NAMES: [&str; 13] = [
    "CACHE_DIRECTORY",
    "CONFIGURATION_DIRECTORY",
    "CREDENTIALS_DIRECTORY",
    "FDSTORE",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LOGS_DIRECTORY",
    "MAINPID",
    "MANAGERPID",
    "NOTIFY_SOCKET",
    "RUNTIME_DIRECTORY",
    "STATE_DIRECTORY",
    "SYSTEMD_EXEC_PID",
];

/// Names that change what a program loads, runs or reads as its input. A Command's `envPrefix` must not make one: its
/// output would decide over the Commands after it.
const POWERFUL_PREFIXES: [&str; 4] = ["LD_", "BASH_", "DYLD_", "GIT_"];

/// As [`POWERFUL_PREFIXES`], whole names.
const POWERFUL: [&str; 26] = [
    "BASHOPTS",
    "CDPATH",
    "DEBUGINFOD_URLS",
    "EDITOR",
    "ENV",
    "GCONV_PATH",
    "GLOBIGNORE",
    "HOME",
    "HOSTALIASES",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "LOCPATH",
    "LOGNAME",
    "MALLOC_CHECK_",
    "NLSPATH",
    "NODE_OPTIONS",
    "PAGER",
    "PATH",
    "PERL5LIB",
    "PERL5OPT",
    "PS4",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYOPT",
    "SHELL",
    "SHELLOPTS",
];

/// Whether scripts must not inherit the variable.
pub(crate) fn is_private(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    let is_own = bytes.get(..OWN_PREFIX.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(OWN_PREFIX));
    is_own
        || SERVICE_PREFIXES.iter().any(|prefix| bytes.starts_with(prefix))
        || SERVICE_NAMES.iter().any(|known| known.as_bytes() == bytes)
}

/// Whether a variable of this name decides what programs do, so that the output of a script must not become its value.
pub(crate) fn is_powerful(name: &str) -> bool {
    POWERFUL.contains(&name)
        || POWERFUL_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || is_private(OsStr::new(name))
}

/// All variables of a script: inherited ones first, then those of the settings, then those of the run; a later one
/// wins. What describes a user is left out where the script runs as another one; the account has its own.
pub(crate) fn of_script(exec: &Exec, variables: &BTreeMap<String, String>) -> BTreeMap<OsString, OsString> {
    let mut all = BTreeMap::new();
    let is_of_another = |name: &OsStr| exec.user.is_some() && PERSONAL.iter().any(|known| name == *known);
    if exec.env_inherit {
        let inherited = std::env::vars_os();
        all.extend(inherited.filter(|(name, _)| !is_private(name)).filter(|(name, _)| !is_of_another(name)));
    }
    for (name, value) in exec.env.iter().chain(variables) {
        all.insert(name.into(), value.into());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_configures_the_engine_or_belongs_to_its_service_is_private() {
        let private = [
            "ETCHA_build_signingKey",
            "etcha_config",
            "ETCHA_BUILD_SIGNINGKEY",
            "NOTIFY_SOCKET",
            "CREDENTIALS_DIRECTORY",
            "LISTEN_FDS",
            "LISTEN_PID",
            "LISTEN_FDNAMES",
            "WATCHDOG_USEC",
            "JOURNAL_STREAM",
            "MEMORY_PRESSURE_WATCH",
        ];
        for name in private {
            assert!(is_private(OsStr::new(name)), "{name}");
        }
        for name in ["PATH", "LANG", "ETCHA", "LISTENER", "HTTP_PROXY", "SSL_CERT_FILE"] {
            assert!(!is_private(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn names_that_decide_what_programs_do_are_powerful() {
        for name in ["PATH", "IFS", "ENV", "BASH_ENV", "LD_PRELOAD", "LD_LIBRARY_PATH", "PS4", "ETCHA_x"] {
            assert!(is_powerful(name), "{name}");
        }
        for name in ["PATHS", "P", "NGINX", "_CHECK", "OLD_IFS"] {
            assert!(!is_powerful(name), "{name}");
        }
    }
}
