//! One engine for each state directory and journal: a lock on a file that says who holds it. The system gives it back when
//! the process ends in whatever way.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use terminal::file;

/// The lock of a state directory.
const STATE_LOCK: &str = "engine.lock";

/// What the name of a journal's lock ends with. It begins with a dot: it is no segment.
const JOURNAL_LOCK: &str = ".engine";

/// Longest note of who holds a lock, in bytes: the number of a process.
const MAX_NOTE_BYTES: u64 = 32;

/// Held as long as this lives.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "it is held, not read")] File);

/// Why a lock is not had.
#[derive(Debug)]
pub(super) enum LockError {
    /// Another engine has it: the one with this process id, if it says so.
    Held(Option<u32>),
    /// It cannot be tried.
    System(io::Error),
}

/// Locks a state directory.
///
/// # Errors
///
/// Another engine works with it, or it is not to be written.
pub(super) fn state(directory: &Path) -> Result<Lock, LockError> {
    take(&directory.join(STATE_LOCK))
}

/// Locks the journal at `path`, which need not exist yet. A link is followed: two of them may lead to one journal.
///
/// # Errors
///
/// Another engine writes it, or its directory is not to be written.
pub(super) fn journal(path: &Path) -> Result<Lock, LockError> {
    let real = real(path).map_err(LockError::System)?;
    let mut name = OsString::from(".");
    name.push(real.file_name().unwrap_or_default());
    name.push(JOURNAL_LOCK);
    take(&real.with_file_name(name))
}

fn real(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(real), ..) => Ok(real),
        (Err(_), Some(directory), Some(name)) => Ok(directory.canonicalize()?.join(name)),
        (Err(error), ..) => Err(error),
    }
}

fn take(path: &Path) -> Result<Lock, LockError> {
    let mut file = file::open_own(path, 0o600).map_err(LockError::System)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(LockError::Held(holder(&file))),
        Err(error) => return Err(LockError::System(error.into())),
    }
    // The note is for people: without it the lock is as good.
    let noted =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = noted {
        tracing::debug!("{}: {error}", path.display());
    }
    Ok(Lock(file))
}

/// Who has written that it holds the lock.
fn holder(file: &File) -> Option<u32> {
    let mut note = String::new();
    file.take(MAX_NOTE_BYTES).read_to_string(&mut note).ok()?;
    note.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn held_by<T: std::fmt::Debug>(result: Result<T, LockError>) -> Option<u32> {
        match result.unwrap_err() {
            LockError::Held(by) => by,
            LockError::System(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_file_that_has_another_name_elsewhere_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::fs::hard_link(&victim, directory.path().join(STATE_LOCK)).unwrap();
        assert!(matches!(state(directory.path()), Err(LockError::System(_))));
        assert_eq!(std::fs::read_to_string(victim).unwrap(), "precious");
    }

    #[test]
    fn a_lock_is_had_by_one_which_the_others_learn_and_ends_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let first = state(directory.path()).unwrap();
        assert_eq!(held_by(state(directory.path())), Some(std::process::id()));
        drop(first);
        state(directory.path()).unwrap();
    }

    #[test]
    fn a_link_leads_to_the_same_journal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let _first = journal(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        let link = directory.path().join("link.jsonl");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(held_by(journal(&link)), Some(std::process::id()));
        let _other = journal(&directory.path().join("other.jsonl")).unwrap();
    }
}
