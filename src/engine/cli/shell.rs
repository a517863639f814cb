//! `etcha-engine shell`: which engine is meant, and what its answer means for the exit status.

use std::cell::Cell;
use std::process::ExitCode;

use clap::Args;

use super::error::CliError;
use crate::config::{Config, Target};
use crate::operator::push::host;
use crate::operator::shell::{Destination, shell};
use crate::wire::client::{Client, Server};
use crate::wire::paths::segment;

/// The exit status for everything that is not the shell's own end.
pub(super) const OWN_FAILURE: u8 = 255;

/// Arguments of `shell`.
#[derive(Debug, Args)]
pub(super) struct Shell {
    /// The source on the other engine
    source: String,
    /// The name of a target of the configuration [default: the only one there]
    target: Option<String>,
    /// A host, which need not be among the targets
    #[arg(long, conflicts_with = "target")]
    host: Option<String>,
    /// Port, instead of the configured one [default: 4001]
    #[arg(short, long)]
    port: Option<u16>,
    /// Path without the source, instead of the configured one [default: /etcha/v1/shell]
    #[arg(short = 'u', long)]
    path: Option<String>,
}

impl Shell {
    /// Opens the shell and stays in it to its end.
    ///
    /// # Errors
    ///
    /// It does not open, or ends by something else than its own end.
    pub(super) async fn open(&self, config: &Config) -> Result<ExitCode, CliError> {
        let target = self.target(config)?;
        let key = config.build.signing.key()?;
        let host = match &self.host {
            // Who names a host means that one.
            Some(_) => target.hostname.clone(),
            None => host(&target.hostname, &config.build.push_domain_suffix),
        };
        let server = Server {
            host: &host,
            port: self.port.unwrap_or(target.port),
            tls: !target.insecure,
            skip_verify: false,
        };
        let path = self.path.as_deref().unwrap_or(&target.path_shell);
        let path = format!("{}/{}", path.trim_end_matches('/'), segment(&self.source));
        let client = Client::new(config.trust.clone());
        let status = shell(&Destination {
            server,
            path: &path,
            key,
            client: &client,
            source: &self.source,
            asked: Cell::new(0),
        })
        .await;
        let of_host = |source| CliError::Shell { host: host.clone(), port: server.port, source };
        let status = status.map_err(of_host)?;
        // One that is no number of a byte was no success either.
        Ok(ExitCode::from(u8::try_from(status).unwrap_or(OWN_FAILURE)))
    }

    fn target(&self, config: &Config) -> Result<Target, CliError> {
        if let Some(host) = &self.host {
            return Ok(config.targets.get(host).cloned().unwrap_or_else(|| Target::new(host)));
        }
        match (&self.target, config.targets.first_key_value()) {
            (Some(name), _) => {
                config.targets.get(name).cloned().ok_or_else(|| CliError::UnknownTarget(name.clone()))
            }
            (None, Some((_, only))) if config.targets.len() == 1 => Ok(only.clone()),
            (None, _) => Err(CliError::WhichTarget),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn target(
        targets: &serde_json::Value,
        name: Option<&str>,
        host: Option<&str>,
    ) -> Result<Target, CliError> {
        let config = Config::read(json!({ "targets": targets })).unwrap();
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let shell = Shell {
            source: "web".to_owned(),
            target: owned(name),
            host: owned(host),
            port: None,
            path: None,
        };
        shell.target(&config)
    }

    #[test]
    fn a_target_is_named_or_the_only_one_and_a_host_need_be_none() {
        let two = json!({"a": {"port": 7}, "b": {"hostname": "b.example"}});
        assert_eq!(target(&two, Some("a"), None).unwrap().port, 7);
        assert_eq!(target(&two, None, Some("b")).unwrap().hostname, "b.example");
        assert_eq!(target(&two, None, Some("c")).unwrap().hostname, "c");
        assert_eq!(target(&json!({"a": {"port": 7}}), None, None).unwrap().port, 7);
        assert!(matches!(target(&two, Some("c"), None), Err(CliError::UnknownTarget(name)) if name == "c"));
        assert!(matches!(target(&two, None, None), Err(CliError::WhichTarget)));
        assert!(matches!(target(&json!({}), None, None), Err(CliError::WhichTarget)));
    }
}
