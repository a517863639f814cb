//! Locks that only those who may write the journal can take.
//!
//! `flock(2)` asks for no more than an open file, so a lock on the journal itself could be held by anybody who may read
//! it. The locks are on files of their own beside it, whose mode lets nobody in but who may write the journal. Their
//! names begin with a dot: no pattern such as `journal.jsonl*` matches them, and they are no segments.

use std::ffi::OsString;
use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Gid, Mode, OFlags, Uid, flock};
use rustix::io::Errno;

/// How often opening starts over when the file comes and goes meanwhile.
const MAX_TRIES: usize = 16;

/// `.journal.jsonl.ENDING` beside the journal at `real`.
pub(super) fn beside(real: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(real.file_name().unwrap_or_default());
    name.push(".");
    name.push(ending);
    real.with_file_name(name)
}

/// Opens the file at `path`, or makes it so that those who may write `journal` may open it, and nobody else.
pub(super) fn open(path: &Path, journal: &Metadata) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    for _ in 0..MAX_TRIES {
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(file) => return secured(File::from(file), journal),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        match rustix::fs::open(path, flags | OFlags::CREATE | OFlags::EXCL, Mode::RUSR | Mode::WUSR) {
            Ok(file) => {
                let file = File::from(file);
                // Allowed to root. Others make it for themselves, and then they are the only ones who write.
                let owner = (Some(Uid::from_raw(journal.uid())), Some(Gid::from_raw(journal.gid())));
                let _ = rustix::fs::fchown(&file, owner.0, owner.1);
                return secured(file, journal);
            }
            // Another writer was faster.
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other("the file comes and goes; is something else removing it?"))
}

/// Takes the lock on `file` if nobody holds it.
pub(super) fn try_take(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A regular file with the right mode, whatever it had before.
fn secured(file: File, journal: &Metadata) -> io::Result<File> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("is no regular file"));
    }
    let mode = writers(journal.mode());
    if metadata.mode() & 0o777 != mode {
        // Its owner and root may; for others it is as it is.
        let _ = file.set_permissions(Permissions::from_mode(mode));
    }
    Ok(file)
}

/// Reading and writing for those whom `mode` lets write.
fn writers(mode: u32) -> u32 {
    (mode & 0o222) | (mode & 0o222) << 1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::fs;

    #[test]
    fn who_may_only_read_the_journal_cannot_open_a_lock() {
        for (journal, lock) in [(0o640, 0o600), (0o644, 0o600), (0o660, 0o660), (0o622, 0o666)] {
            assert_eq!(writers(journal), lock, "{journal:o}");
        }
    }

    #[test]
    fn a_lock_that_others_could_open_is_closed_to_them_and_a_planted_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("j");
        fs::write(&journal, "").unwrap();
        fs::set_permissions(&journal, Permissions::from_mode(0o640)).unwrap();
        let metadata = fs::metadata(&journal).unwrap();
        let path = beside(&journal, "lock");
        assert_eq!(path, directory.path().join(".j.lock"));
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        let held = open(&path, &metadata).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert!(try_take(&held).unwrap() && !try_take(&open(&path, &metadata).unwrap()).unwrap());
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(directory.path().join("made"), &path).unwrap();
        open(&path, &metadata).unwrap_err();
        assert!(!directory.path().join("made").exists());
    }
}
