//! Where the keys to the metrics come from. The strongest layer that names any decides: the flag, then the
//! environment (variables and the credential that systemd hands over), then the configuration file. Within one layer
//! all keys count, so that two are valid while one replaces the other. An empty key anywhere in that layer is an
//! error: it must never mean that no key is needed.

use std::path::{Path, PathBuf};

use settings::Problem;

use super::{Surroundings, text, weak};
use crate::serve::Keys;

/// Variable that holds a key.
pub(super) const KEY_VARIABLE: &str = "ETCHA_EXPORTER_METRICS_KEY";

/// Name of the credential in systemd's directory of credentials.
const CREDENTIAL: &str = "metrics-key";

/// Longest file of keys in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Longest key in bytes: in a URL, fully encoded, it still fits what every HTTP client and proxy lets through.
const MAX_KEY_BYTES: usize = 1024;

/// What to do when there is no key.
pub(super) const HOW_TO_SET_ONE: &str =
    "no metrics key, and without one no client may read the metrics; set one by
  --metrics-key-file FILE              a file that holds it
  ETCHA_EXPORTER_METRICS_KEY=KEY       the environment
  LoadCredential=metrics-key:FILE      a credential of the systemd unit
  {\"run\": {\"systemMetricsKey\": KEY}}   the configuration file (--config)";

/// Keys as they are gathered, each with the name of its source.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) keys: Keys,
    /// Names of the sources, for people; no key.
    pub(super) sources: Vec<String>,
    /// Files among them.
    pub(super) files: Vec<PathBuf>,
    pub(super) warnings: Vec<String>,
    pub(super) problems: Vec<Problem>,
}

impl Gathered {
    /// Adds the keys in the text of a setting: one a line, without the spaces around it, which clients do not send either
    /// (Prometheus trims what `credentials_file` holds). A line that begins with `#` is a comment.
    pub(super) fn text(&mut self, source: &str, text: &str) {
        self.source(source);
        // Text editors of some systems begin a file with a byte order mark, which nobody can see.
        let text = text.trim_start_matches('\u{feff}');
        let is_key = |line: &&str| !line.is_empty() && !line.trim_start().starts_with('#');
        let mut keys = text.lines().filter(is_key).map(str::trim).peekable();
        if keys.peek().is_none() {
            self.problems.push(Problem::new(source, UnusableKey::Empty.to_string()));
        }
        for key in keys {
            if let Some(why) = weak::why(key) {
                self.warn(format!("{source}: {why}"));
            }
            if let Err(why) = check(key) {
                self.problems.push(Problem::new(source, why.to_string()));
            } else if !self.keys.add(key.as_bytes()) {
                self.problems.push(Problem::new(source, UnusableKey::Empty.to_string()));
            }
        }
    }

    /// Adds the keys in a file; `setting` is what names the file.
    pub(super) fn file(&mut self, setting: &str, path: &Path) {
        let source = format!("{setting} {}", path.display());
        self.files.push(path.to_owned());
        match text::read(path, MAX_FILE_BYTES) {
            Ok(read) => {
                self.text(&source, &read.text);
                if read.open_to_all {
                    self.warnings.push(format!("{source}: {OPEN_TO_ALL}"));
                }
            }
            Err(why) => self.unusable(&source, why.to_string()),
        }
    }

    /// Adds the key in the variable, and the one in systemd's directory of credentials, if they are there.
    pub(super) fn environment(&mut self, around: &Surroundings) {
        match around.metrics_key.as_deref().map(|key| key.to_str()) {
            Some(Some(key)) => self.text(KEY_VARIABLE, key),
            Some(None) => self.unusable(KEY_VARIABLE, "not UTF-8"),
            None => {}
        }
        if let Some(directory) = &around.credentials_directory {
            let path = directory.join(CREDENTIAL);
            if path.exists() {
                self.file("systemd credential", &path);
            }
        }
    }

    /// Notes what is wrong with a key that is taken; of many keys in one source only once.
    fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Notes a source whose text cannot be had at all.
    fn unusable(&mut self, source: &str, what: impl Into<String>) {
        self.source(source);
        self.problems.push(Problem::new(source, what));
    }

    fn source(&mut self, source: &str) {
        if !self.sources.iter().any(|known| known == source) {
            self.sources.push(source.to_owned());
        }
    }
}

/// What is said of a file with a key that everybody on this host can read.
pub(super) const OPEN_TO_ALL: &str =
    "holds a key, and everybody on this host can read it; set its mode to 0640";

/// Why a text cannot be a key. Does not show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnusableKey {
    /// There is nothing in it.
    #[error("the key is empty; an empty key would open the metrics to everyone")]
    Empty,
    /// It does not fit into a request.
    #[error("a key is longer than {MAX_KEY_BYTES} bytes")]
    TooLong,
    /// It cannot be part of a request.
    #[error("a key holds control characters, which no request can carry")]
    Control,
}

/// Whether `key` can be a key.
pub(super) fn check(key: &str) -> Result<(), UnusableKey> {
    if key.trim().is_empty() {
        Err(UnusableKey::Empty)
    } else if key.len() > MAX_KEY_BYTES {
        Err(UnusableKey::TooLong)
    } else if key.chars().any(char::is_control) {
        Err(UnusableKey::Control)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// What a file with these bytes gives: the number of keys, or the first problem.
    fn from_file(bytes: &[u8], mode: u32) -> (Result<usize, String>, Vec<String>, Keys) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let mut gathered = Gathered::default();
        gathered.file("--metrics-key-file", &path);
        let result = match gathered.problems.first() {
            None => Ok(gathered.keys.len()),
            Some(problem) => Err(problem.to_string().replace(&*path.to_string_lossy(), "FILE")),
        };
        (result, gathered.warnings, gathered.keys)
    }

    #[test]
    fn ends_of_lines_spaces_around_a_key_and_comments_are_no_part_of_it() {
        for bytes in ["secret", "secret\n", "secret\r\n", "secret\n\n", "\u{feff}secret\n"] {
            let (count, _, keys) = from_file(bytes.as_bytes(), 0o600);
            assert_eq!(count, Ok(1), "{bytes:?}");
            assert!(keys.admit(b"secret"), "{bytes:?}");
        }
        let (count, _, keys) = from_file(b" old key \nnew\r\n", 0o600);
        assert_eq!(count, Ok(2));
        assert!(keys.admit(b"old key") && keys.admit(b"new"));
        for bytes in ["# of 2026\n \tsecret\t \n  # the next one\n", "#\nsecret \r\n#secret\n"] {
            let (count, _, keys) = from_file(bytes.as_bytes(), 0o600);
            assert_eq!(count, Ok(1), "{bytes:?}");
            assert!(keys.admit(b"secret") && !keys.admit(b"#secret"), "{bytes:?}");
        }
    }

    #[test]
    fn a_file_without_a_usable_key_is_refused() {
        let empty = "the key is empty; an empty key would open the metrics to everyone";
        let long = [b'k'; MAX_KEY_BYTES + 1];
        let huge = vec![b'\n'; 64 * 1024 + 1];
        for (bytes, what) in [
            (b"".as_slice(), empty),
            (b"\n", empty),
            (b"\r\n", empty),
            (b"  \n", empty),
            (b"secret\n \n", empty),
            (b"# secret\n", empty),
            (&long, "a key is longer than 1024 bytes"),
            (b"sec\0ret", "a key holds control characters, which no request can carry"),
            (b"a\rb", "a key holds control characters, which no request can carry"),
            (b"\xff\xfe", "not UTF-8"),
            (&huge, "longer than 65536 bytes"),
        ] {
            assert_eq!(from_file(bytes, 0o600).0, Err(format!("--metrics-key-file FILE: {what}")));
        }
    }

    #[test]
    fn a_file_that_everybody_can_read_is_taken_with_a_warning() {
        let strong = b"9f86d081884c7d659a2feaa0c55ad015";
        let (count, warnings, _) = from_file(strong, 0o644);
        assert_eq!((count, warnings.len()), (Ok(1), 1));
        assert!(from_file(strong, 0o640).1.is_empty());
    }

    #[test]
    fn a_weak_key_is_taken_with_a_warning_that_does_not_show_it() {
        let (count, warnings, _) = from_file(b"hunter2\nhunter3\nsecret\n", 0o600);
        assert_eq!((count, warnings.len()), (Ok(3), 2));
        let said = warnings.concat();
        assert!(said.contains("fewer than 16 characters") && said.contains("that examples show"), "{said}");
        assert!(!said.contains("hunter") && !said.contains("secret"), "{said}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_problem() {
        let mut gathered = Gathered::default();
        gathered.file("--metrics-key-file", Path::new("/nonexistent/key"));
        assert_eq!(gathered.keys.len(), 0);
        assert_eq!(gathered.sources.len(), 1);
        let problem = gathered.problems[0].to_string();
        assert!(problem.starts_with("--metrics-key-file /nonexistent/key: cannot be read: "), "{problem}");
    }
}
