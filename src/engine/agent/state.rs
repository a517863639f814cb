//! What outlives a restart: the last token of each Source, one file each. A file is whole or it is not there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::files::write_whole;
use crate::wire::token::read_token;

/// The directory with the files.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// The directory at `path`, made if it does not exist, absolute from now on.
    ///
    /// # Errors
    ///
    /// It cannot be made, or is something else.
    pub fn open(path: &Path) -> io::Result<StateDir> {
        let path = std::path::absolute(path)?;
        fs::create_dir_all(&path)?;
        Ok(StateDir { path })
    }

    /// The file for the token of a Source, whose name the configuration has checked.
    pub fn token_path(&self, source: &str) -> PathBuf {
        self.path.join(format!("{source}.jwt"))
    }

    /// Keeps the token of a Source.
    ///
    /// # Errors
    ///
    /// It cannot be written. What was there before is there still.
    pub fn keep_token(&self, source: &str, token: &str) -> io::Result<()> {
        write_whole(&self.token_path(source), token.as_bytes())
    }

    /// The token that was kept of a Source, if one was.
    ///
    /// # Errors
    ///
    /// There is one, but it cannot be read.
    pub fn token(&self, source: &str) -> io::Result<Option<String>> {
        match read_token(&self.token_path(source)) {
            Ok(token) => Ok(Some(token)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
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
        state.keep_token("web", "first").unwrap();
        state.keep_token("web", "second").unwrap();
        assert_eq!(state.token("web").unwrap().as_deref(), Some("second"));
        let names: Vec<_> = fs::read_dir(directory.path().join("made/here"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["web.jwt"]);
        assert_eq!(fs::metadata(state.token_path("web")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_token_that_cannot_be_written_leaves_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        state.keep_token("web", "first").unwrap();
        fs::create_dir(directory.path().join("web.jwt.tmp")).unwrap();
        assert!(state.keep_token("web", "second").is_err());
        assert_eq!(state.token("web").unwrap().as_deref(), Some("first"));
    }
}
