//! The state directory: one exporter owns it, and checkpoints are written into it so that a crash leaves the old one
//! or the new one.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use terminal::file;

use super::{HEADER_BYTES, MAX_BYTES, Store, length_of};

const LOCK: &str = "lock";

/// The state directory, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    /// Holds the lock; the kernel gives it up with the process, however that ends.
    _lock: File,
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateDirError {
    /// It does not exist and cannot be made, or cannot be written.
    #[error("{}: {source}; give --state-dir a directory that this user may write", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process owns it.
    #[error(
        "{}: another exporter{owner} keeps its state here; stop it, or give this one its own --state-dir",
        path.display()
    )]
    Taken {
        /// The directory.
        path: PathBuf,
        /// The other's process id, as far as it said.
        owner: String,
    },
}

impl StateDir {
    /// Makes the directory if need be, and takes it.
    ///
    /// # Errors
    ///
    /// If it cannot be written, or another exporter has it.
    pub(crate) fn open(path: &Path) -> Result<StateDir, StateDirError> {
        let io = |source| StateDirError::Io { path: path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(io)?;
        let mut lock = file::open_own(&path.join(LOCK), 0o644).map_err(io)?;
        if let Err(error) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(io(error.into()));
            }
            let mut owner = String::new();
            let _ = (&lock).take(20).read_to_string(&mut owner);
            let owner = owner.trim().parse::<u32>().map_or(String::new(), |pid| format!(" (process {pid})"));
            return Err(StateDirError::Taken { path: path.to_owned(), owner });
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(io)?;
        Ok(StateDir { path: path.to_owned(), _lock: lock })
    }
}

impl Store for StateDir {
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = file::open_own(&self.path.join(name), 0o640)?;
        file.set_len(0)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn sync(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        read_bounded(&self.path.join(name))
    }
}

/// A look at a state directory without owning it, for people.
#[derive(Debug)]
pub(crate) struct StateView(pub PathBuf);

impl StateView {
    /// The content of a file; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If it cannot be read or is too large to be a checkpoint.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        read_bounded(&self.0.join(name))
    }
}

fn read_bounded(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match file::open_itself(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let size = metadata.len();
    if size > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large to be a checkpoint"));
    }
    let mut bytes = Vec::new();
    (&file).take(HEADER_BYTES as u64).read_to_end(&mut bytes)?;
    // A file that is not as long as it says is no checkpoint. To say so takes no more of it: it may be huge.
    if length_of(&bytes) == Some(size) {
        bytes.reserve_exact(usize::try_from(size).unwrap_or(0).saturating_sub(bytes.len()));
        (&file).take(MAX_BYTES - HEADER_BYTES as u64).read_to_end(&mut bytes)?;
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_user_put_in_place_of_a_file_is_not_written() {
        use std::os::unix::fs::symlink;
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        let ways: [fn(&Path, &Path) -> io::Result<()>; 3] = [
            |victim, path| symlink(victim, path),
            |victim, path| fs::hard_link(victim, path),
            |_, path| Ok(rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR)?),
        ];
        for (number, plant) in ways.into_iter().enumerate() {
            let state = directory.path().join(number.to_string());
            fs::create_dir(&state).unwrap();
            fs::write(&victim, "precious").unwrap();
            plant(&victim, &state.join(LOCK)).unwrap();
            let refused = StateDir::open(&state).unwrap_err().to_string();
            assert!(refused.contains("is a link or no regular file; remove it"), "{refused}");
            fs::remove_file(state.join(LOCK)).unwrap();
            let mut owned = StateDir::open(&state).unwrap();
            plant(&victim, &state.join("checkpoint.new")).unwrap();
            assert!(owned.write("checkpoint.new", b"x").is_err());
            assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        }
    }

    #[test]
    fn a_file_that_is_longer_than_it_says_is_not_read_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoint");
        let file = File::create(&path).unwrap();
        file.set_len(MAX_BYTES - 1).unwrap();
        let read = StateView(directory.path().to_owned()).read("checkpoint").unwrap().unwrap();
        assert_eq!(read.len(), HEADER_BYTES);
    }

    #[test]
    fn a_second_owner_is_told_who_the_first_one_is() {
        let directory = tempfile::tempdir().unwrap();
        let first = StateDir::open(directory.path()).unwrap();
        let second = StateDir::open(directory.path()).unwrap_err().to_string();
        assert!(second.contains(&format!("process {}", std::process::id())), "{second}");
        drop(first);
        StateDir::open(directory.path()).unwrap();
    }
}
