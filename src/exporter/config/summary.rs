//! What a configuration means, for a person who checks it: a few aligned lines, without a key.

use std::fmt;

use settings::Row;
use settings::value::{Value as _, Word};

use https::policy::Version;

use super::{Clients, Config};

/// Width of the names, in columns.
const NAMES: usize = 20;

/// Settings that are shown before the certificate and who may read.
const FIRST: [&str; 3] = ["journal", "state directory", "listens on"];

/// Settings that share the last line.
const LAST: [&str; 2] = ["log format", "log level"];

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: &dyn fmt::Display| writeln!(f, "{name:NAMES$}  {value}");
        let (first, others): (Vec<_>, Vec<_>) = self.rows.iter().partition(|row| FIRST.contains(&row.label));
        for Row { label, value, .. } in first {
            // The rows hold text, so that they can be compared; what it stands for is said here.
            let every = *label == "listens on" && value.starts_with(':');
            row(label, &format!("{value}{}", if every { " (every address of this host)" } else { "" }))?;
        }
        match &self.tls {
            Some(tls) => {
                row("certificate", &tls.certificate.place().display())?;
                row("its key", &tls.key.place().display())?;
            }
            None if self.listen.is_empty() => {}
            None => row("certificate", &"self-signed, kept in the state directory")?,
        }
        if let Some(Clients { authorities, required, names }) = &self.clients {
            let whom = match (required, authorities) {
                (true, _) => "required",
                (false, Some(_)) => "verified if shown",
                (false, None) => "asked for",
            };
            let of = authorities.as_ref().map_or("anybody".into(), |pem| pem.place().display().to_string());
            let names = if names.is_empty() {
                String::new()
            } else {
                format!(", with a name of {}", names.join(", "))
            };
            row("client certificates", &format!("{whom}, of {of}{names}"))?;
        }
        if self.policy.least == Version::V1_3 {
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
        if self.access.certificate_suffices {
            row("metrics keys", &"none; a client certificate suffices")?;
        }
        if self.access.refuse_query_keys {
            row("keys in the query", &"refused")?;
        }
        for Row { label, value, .. } in others {
            if !(value.is_empty() || LAST.contains(label)) {
                row(label, value)?;
            }
        }
        row("log", &format!("{}, {}", Word(self.log.format).show(), Word(self.log.level).show()))?;
        for warning in &self.warnings {
            row("warning", warning)?;
        }
        Ok(())
    }
}
