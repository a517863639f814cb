//! What the exporter knows of keys that are not its own.

/// Keys that an agent's configuration has, and the exporter's has not.
const AGENTS: [&str; 19] = [
    "build",
    "cli",
    "exec",
    "httpClient",
    "httpServer.rateLimitRate",
    "jsonnet",
    "licenseKey",
    "lint",
    "run.jwtRule",
    "run.randomizedStartDelaySec",
    "run.timeoutPush",
    "run.timeoutShell",
    "run.timeoutWebhook",
    "run.verifyCommands",
    "run.verifyExec",
    "run.verifyKeys",
    "sources",
    "targets",
    "vars",
];

/// Keys of Etcha that carry in the file what belongs into files of its own.
const INLINE_TLS: [&str; 2] = ["httpServer.tlsCertificateBase64", "httpServer.tlsKeyBase64"];

/// What is said of the key `name`, if it is one of those.
pub(super) fn explain(name: &str) -> Option<String> {
    if AGENTS.contains(&name) {
        Some("belongs to the agent; the exporter needs a separate configuration file".to_owned())
    } else if INLINE_TLS.contains(&name) {
        let file = name.replace("Base64", "Path");
        Some(format!("not supported; put it into a file and name that under `{file}`"))
    } else {
        None
    }
}
