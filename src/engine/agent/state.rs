//! What outlives a restart, in one directory: the last token of each Source, and what is still to do of it. A file is whole
//! or it is not there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use terminal::file;
use terminal::replace::{self, Directory};

use super::source::triggers::Triggers;
use crate::wire::token::{MAX_BYTES, read_from};

/// Mode of written files: tokens carry variables, and those may be secrets.
const MODE: u32 = 0o600;

/// Longest file about what is still to do, in bytes: the tokens in it, and much room for names.
const MAX_PENDING_BYTES: u64 = 10 * MAX_BYTES as u64;

/// What is still to do of a Source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Commands that were set off.
    pub(super) triggers: Triggers,
    /// Tokens of which runs with a filter left something to remove, the oldest first.
    pub(super) bases: Vec<String>,
}

/// How that is written. A later version says another number.
#[derive(Serialize, Deserialize)]
struct Pending {
    version: u32,
    triggers: Triggers,
    bases: Vec<String>,
}

/// What the name of a token ends with, behind that of its Source.
const TOKEN: &str = ".jwt";

/// The same for what is still to do.
const PENDING: &str = ".pending.json";

/// Between the name of a token and the number of one that is staged.
const STAGED: &str = ".staged-";

/// The version that is written and read.
const VERSION: u32 = 1;

/// The directory with the files.
#[derive(Clone, Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    /// Tokens that were staged so far.
    staged: Arc<AtomicU64>,
}

/// A token that was written and is not kept yet.
#[derive(Debug)]
pub(crate) struct Staged {
    name: String,
    kept: String,
}

impl StateDir {
    /// The directory at `path`, made if it does not exist, absolute from now on.
    ///
    /// # Errors
    ///
    /// It cannot be made, or is something else.
    pub(crate) fn open(path: &Path) -> io::Result<StateDir> {
        let path = std::path::absolute(path)?;
        fs::create_dir_all(&path)?;
        Ok(StateDir { path, staged: Arc::default() })
    }

    /// The file for the token of a Source, whose name the configuration has checked.
    pub(crate) fn token_path(&self, source: &str) -> PathBuf {
        self.path.join(token_name(source))
    }

    /// Writes the token of a Source so that only [`StateDir::take_staged`] is needed to keep it, which takes no space.
    ///
    /// # Errors
    ///
    /// It cannot be written. What is kept is what was before.
    pub(crate) fn stage_token(&self, source: &str, token: &str) -> io::Result<Staged> {
        // Runs of one Source may be under way beside each other.
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let staged =
            Staged { name: format!("{}{STAGED}{number}", token_name(source)), kept: token_name(source) };
        Directory::open(&self.path)?.replace(&staged.name, MODE, token.as_bytes())?;
        Ok(staged)
    }

    /// Keeps a token that was staged.
    ///
    /// # Errors
    ///
    /// The file system refuses.
    pub(crate) fn take_staged(&self, staged: &Staged) -> io::Result<()> {
        let directory = Directory::open(&self.path)?;
        directory.rename(&staged.name, &staged.kept)?;
        directory.sync()
    }

    /// Removes a token that was staged and is not to be kept.
    ///
    /// # Errors
    ///
    /// The file system refuses.
    pub(crate) fn drop_staged(&self, staged: &Staged) -> io::Result<()> {
        Directory::open(&self.path)?.remove(&staged.name)
    }

    /// Removes what an engine that was killed left behind, and no file of others. Only for the one that holds the lock of
    /// the directory.
    pub(crate) fn remove_leftovers(&self) {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        for entry in entries {
            let is_leftover = entry.file_name().to_str().is_some_and(is_leftover)
                && entry.file_type().is_ok_and(|kind| kind.is_file());
            if is_leftover && let Err(error) = fs::remove_file(entry.path()) {
                tracing::warn!("{}: {error}", entry.path().display());
            }
        }
    }

    /// The token that was kept of a Source, if one was.
    ///
    /// # Errors
    ///
    /// There is one, but it cannot be read.
    pub(crate) fn token(&self, source: &str) -> io::Result<Option<String>> {
        match file::open_regular(&self.token_path(source)).and_then(read_from) {
            Ok(token) => Ok(Some(token)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps what is still to do of a Source.
    ///
    /// # Errors
    ///
    /// It cannot be written. What was there before is there still.
    pub(crate) fn keep_pending(&self, source: &str, kept: &Kept) -> io::Result<()> {
        let directory = Directory::open(&self.path)?;
        if *kept == Kept::default() {
            directory.remove(pending_name(source))?;
            return directory.sync();
        }
        let Kept { triggers, bases } = kept.clone();
        let text = serde_json::to_vec(&Pending { version: VERSION, triggers, bases })?;
        directory.replace(pending_name(source), MODE, &text)
    }

    /// What was still to do of a Source.
    ///
    /// # Errors
    ///
    /// It cannot be read, or not understood.
    pub(crate) fn pending(&self, source: &str) -> io::Result<Kept> {
        let Some(bytes) = Directory::open(&self.path)?.read(pending_name(source), MAX_PENDING_BYTES)? else {
            return Ok(Kept::default());
        };
        let Pending { version, triggers, bases } = serde_json::from_slice(&bytes)?;
        if version != VERSION {
            return Err(io::Error::other(format!(
                "was written by another version of the engine ({version})"
            )));
        }
        Ok(Kept { triggers, bases })
    }
}

/// Whether this is the name of a file that the engine makes for a moment.
fn is_leftover(name: &str) -> bool {
    match replace::destination(name) {
        Some(name) => {
            is_staged(name)
                || name.ends_with(TOKEN)
                || name.ends_with(PENDING)
                || https::self_signed::FILES.contains(&name)
        }
        None => is_staged(name),
    }
}

/// Whether this is the name of a token that was staged.
fn is_staged(name: &str) -> bool {
    let parts = name.rsplit_once(STAGED);
    parts.is_some_and(|(token, number)| token.ends_with(TOKEN) && number.parse::<u64>().is_ok())
}

fn token_name(source: &str) -> String {
    format!("{source}{TOKEN}")
}

fn pending_name(source: &str) -> String {
    format!("{source}{PENDING}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_kept_token_comes_back_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(&directory.path().join("made/here")).unwrap();
        assert_eq!(state.token("web").unwrap(), None);
        for token in ["first", "second"] {
            let staged = state.stage_token("web", token).unwrap();
            state.take_staged(&staged).unwrap();
        }
        let third = state.stage_token("web", "third").unwrap();
        state.stage_token("web", "of an engine that is killed").unwrap();
        assert_eq!(state.token("web").unwrap().as_deref(), Some("second"));
        state.drop_staged(&third).unwrap();
        state.remove_leftovers();
        let names: Vec<_> = fs::read_dir(directory.path().join("made/here"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["web.jwt"]);
        assert_eq!(fs::metadata(state.token_path("web")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_an_engine_that_was_killed_left_is_removed_and_no_file_of_others() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        let number = "0123456789abcdef.new";
        for name in ["web.jwt.staged-7", "web.pending.json", "web.jwt", "tls-key.pem", "tls-certificate.pem"]
        {
            fs::write(directory.path().join(format!(".{name}.{number}")), "half").unwrap();
        }
        fs::write(directory.path().join("web.jwt.staged-7"), "token").unwrap();
        let others = [
            &format!(".journal.jsonl.append.{number}"),
            &format!(".web.jwt.{number}.orig"),
            &format!("web.jwt.{number}"),
            ".web.jwt.123.new",
            "data.staged-7",
            "web.jwt",
            "web.jwt.staged-x",
            "web.pending.json",
        ];
        for name in others {
            fs::write(directory.path().join(name), "theirs").unwrap();
        }
        let made = directory.path().join(format!(".dir.jwt.{number}"));
        fs::create_dir(&made).unwrap();
        state.remove_leftovers();
        fs::remove_dir(made).unwrap();
        let mut left: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected = others.to_vec();
        expected.sort_unstable();
        assert_eq!(left, expected);
    }

    #[test]
    fn what_is_still_to_do_comes_back_and_leaves_no_file_when_it_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        let triggers = serde_json::from_str(r#"[[[["g",0],["reload",1]],["config"]]]"#).unwrap();
        let kept = Kept { triggers, bases: vec!["token".to_owned()] };
        state.keep_pending("web", &kept).unwrap();
        let text = fs::read_to_string(directory.path().join("web.pending.json")).unwrap();
        // Frozen: it is read by the next version.
        let expected = r#"{"version":1,"triggers":[[[["g",0],["reload",1]],["config"]]],"bases":["token"]}"#;
        assert_eq!(text, expected);
        assert_eq!(state.pending("web").unwrap(), kept);
        fs::write(directory.path().join("web.pending.json"), text.replace(":1,", ":2,")).unwrap();
        assert!(state.pending("web").unwrap_err().to_string().contains("another version"));
        state.keep_pending("web", &Kept::default()).unwrap();
        assert_eq!(state.pending("web").unwrap(), Kept::default());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
