//! What a configuration means, for a person who checks it: a few aligned lines, without a key.

use std::fmt;

use clap::ValueEnum;

use super::value::show;
use super::{Config, ListenAddress};

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
        match &self.tls {
            Some(tls) => {
                row("certificate", &tls.certificate.display())?;
                row("its key", &tls.key.display())?;
            }
            None => row("certificate", &"self-signed, kept in the state directory")?,
        }
        row("metrics keys", &format!("{} (from {})", self.keys.len(), self.key_sources.join(", ")))?;
        row("poll interval", &show(self.poll_interval))?;
        row("checkpoint interval", &show(self.checkpoint_interval))?;
        row("series per family", &self.limits.max_series)?;
        row("bytes of a label", &self.limits.max_label_bytes)?;
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
