//! What a configuration means, for a person who checks it: a few aligned lines, without a key.

use std::fmt;

use clap::ValueEnum;

use super::value::show;
use super::{ClientAuth, Config, Connections, ListenAddress, TlsVersion};

/// Width of the names, in columns.
const NAMES: usize = 20;

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: &dyn fmt::Display| writeln!(f, "{name:NAMES$}  {value}");
        row("journal", &self.journal.display())?;
        row("state directory", &self.state_dir.display())?;
        for address in &self.listen {
            let every = matches!(address, ListenAddress::Every(_));
            row(
                "listens on",
                &format!("{address}{}", if every { " (every address of this host)" } else { "" }),
            )?;
        }
        if self.listen.is_empty() {
            row("listens on", &"nothing")?;
        }
        match &self.tls {
            Some(tls) => {
                row("certificate", &tls.certificate.display())?;
                row("its key", &tls.key.display())?;
            }
            None if self.listen.is_empty() => {}
            None => row("certificate", &"self-signed, kept in the state directory")?,
        }
        if let Some(ClientAuth { authorities, required }) = &self.client_auth {
            let whom = if *required { "required" } else { "verified if shown" };
            row("client certificates", &format!("{whom}, of {}", authorities.display()))?;
        }
        if self.least_tls == TlsVersion::V1_3 {
            row("oldest TLS", &"1.3")?;
        }
        if !self.key_sources.is_empty() {
            row(
                "metrics keys",
                &format!("{} (from {})", self.access.keys.len(), self.key_sources.join(", ")),
            )?;
        }
        if !self.access.users.is_empty() {
            row("users", &self.access.users.len())?;
        }
        if self.access.refuse_query_keys {
            row("keys in the query", &"refused")?;
        }
        if let Some(textfile) = &self.textfile {
            row("textfile", &textfile.display())?;
        }
        row("poll interval", &show(self.poll_interval))?;
        row("checkpoint interval", &show(self.checkpoint_interval))?;
        row("series per family", &self.limits.max_series)?;
        row("bytes of a label", &self.limits.max_label_bytes)?;
        row("bytes of a line", &self.bounds.line_bytes)?;
        row("writers remembered", &self.bounds.writers)?;
        row("segments remembered", &self.bounds.segments)?;
        let Connections { max, max_per_client } = self.connections;
        row("connections", &format!("{max}, {max_per_client} of one client"))?;
        row("log", &format!("{}, {}", word(&self.log.format), word(&self.log.level)))?;
        for warning in &self.warnings {
            row("warning", warning)?;
        }
        Ok(())
    }
}

/// The word that stands for a choice in flags and files.
fn word(choice: &impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
