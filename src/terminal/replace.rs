//! Files that are replaced whole: after a crash at any instruction there is the old content or the new, never a mixture.
//!
//! A file is written under a fresh name in the same directory, given its mode, synced and renamed over the old one, and
//! the directory is synced. It is safe in a directory that another user may write: the temporary file must not exist
//! yet (`O_EXCL`), links are not followed (`O_NOFOLLOW`), the mode is set on the open file, and every step names the
//! directory by its descriptor, so that exchanging the directory or a link under way changes no other file. A link
//! under the final name is replaced, what it points to stays as it is.
//!
//! The directory's own path is followed as usual: system directories are often links.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fchmod, openat, renameat, unlinkat};
use rustix::io::Errno;

/// Ends the name of a file that is being written. No program looks for files of this name.
const SUFFIX: &str = ".new";

/// Hexadecimal digits before that, which make the name fresh.
const NUMBER_DIGITS: usize = 16;

/// How many fresh names are tried. Each is random, so the first one is free unless somebody creates files on
/// purpose.
const MAX_NAMES: usize = 16;

/// Replaces the file at `path`, whose mode becomes `mode` whatever the umask is.
///
/// # Errors
///
/// The first step that fails; the file is then as it was before.
pub fn file(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or_else(not_a_name)?;
    Directory::of(path)?.replace(name, mode, content)
}

/// A directory, held open: its files are named relative to it, whatever happens to its path.
#[derive(Debug)]
pub struct Directory {
    descriptor: OwnedFd,
}

impl Directory {
    /// Opens a directory.
    ///
    /// # Errors
    ///
    /// It does not exist, is something else, or may not be read.
    pub fn open(path: &Path) -> io::Result<Directory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Directory { descriptor: openat(CWD, path, flags, Mode::empty())? })
    }

    /// Opens the directory that holds `file`.
    ///
    /// # Errors
    ///
    /// As [`Directory::open`].
    pub(crate) fn of(file: &Path) -> io::Result<Directory> {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        Directory::open(parent.unwrap_or(Path::new(".")))
    }

    /// Replaces the file of this name, durably. Its mode becomes `mode` whatever the umask is.
    ///
    /// # Errors
    ///
    /// The first step that fails; the file is then as it was before, unless only the last step failed, which makes the
    /// new name durable.
    pub fn replace(&self, name: impl AsRef<OsStr>, mode: u32, content: &[u8]) -> io::Result<()> {
        self.replace_by(name.as_ref(), mode, content, random)
    }

    /// Renames a file over whatever has the new name. Links are renamed, not followed.
    ///
    /// # Errors
    ///
    /// There is no such file, or the file system refuses.
    pub fn rename(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> io::Result<()> {
        let (from, to) = (plain(from.as_ref())?, plain(to.as_ref())?);
        Ok(renameat(&self.descriptor, from, &self.descriptor, to)?)
    }

    /// Removes a file; one that is gone already is no error.
    ///
    /// # Errors
    ///
    /// It is a directory, or the file system refuses.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        match unlinkat(&self.descriptor, plain(name.as_ref())?, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the names in this directory durable.
    ///
    /// # Errors
    ///
    /// The disk refuses. Some file systems cannot, and then there is nothing to do.
    pub fn sync(&self) -> io::Result<()> {
        match rustix::fs::fsync(&self.descriptor) {
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The content of a file of at most `max_bytes`; `None` if there is none. A link is an error, and so is a pipe or
    /// a device, without waiting for it: this module writes only regular files.
    ///
    /// # Errors
    ///
    /// It is a link, not a regular file, larger, or cannot be read.
    pub fn read(&self, name: impl AsRef<OsStr>, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.descriptor, plain(name.as_ref())?, flags, Mode::empty()) {
            Ok(descriptor) => File::from(descriptor),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(io::Error::other("a symbolic link, which is not followed here")),
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let too_large =
            || io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {max_bytes} bytes"));
        if metadata.len() > max_bytes {
            return Err(too_large());
        }
        let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        // One byte more than allowed: it may grow meanwhile.
        file.take(max_bytes.saturating_add(1)).read_to_end(&mut content)?;
        if content.len() as u64 > max_bytes { Err(too_large()) } else { Ok(Some(content)) }
    }

    fn replace_by(
        &self,
        name: &OsStr,
        mode: u32,
        content: &[u8],
        fresh: impl Fn() -> io::Result<u64>,
    ) -> io::Result<()> {
        let name = plain(name)?;
        let (mut file, temporary) = self.create(name, fresh)?;
        // Until here nobody else may read it, and its content is there before its mode.
        let written = file
            .write_all(content)
            .and_then(|()| fchmod(&file, Mode::from_raw_mode(mode)).map_err(io::Error::from))
            .and_then(|()| file.sync_all())
            .and_then(|()| self.rename(&temporary, name));
        if let Err(error) = written {
            // The first error is the one to report.
            let _ = self.remove(&temporary);
            return Err(error);
        }
        self.sync()
    }

    /// A file that did not exist, for this user alone, and its name.
    fn create(&self, name: &OsStr, fresh: impl Fn() -> io::Result<u64>) -> io::Result<(File, OsString)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..MAX_NAMES {
            let temporary = temporary(name, fresh()?);
            match openat(&self.descriptor, &temporary, flags, Mode::RUSR | Mode::WUSR) {
                Ok(descriptor) => return Ok((File::from(descriptor), temporary)),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "every name for the temporary file is taken"))
    }
}

/// The name of the file that a temporary file of this name was to replace; `None` if it is the name of another file. A
/// program that was killed leaves such a file: nobody takes it up again.
pub fn destination(temporary: &str) -> Option<&str> {
    let (name, number) = temporary.strip_prefix('.')?.strip_suffix(SUFFIX)?.rsplit_once('.')?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (number.len() == NUMBER_DIGITS && number.bytes().all(is_digit) && !name.is_empty()).then_some(name)
}

/// `.NAME.0123456789abcdef.new`
fn temporary(name: &OsStr, number: u64) -> OsString {
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{number:0NUMBER_DIGITS$x}{SUFFIX}"));
    temporary
}

fn random() -> io::Result<u64> {
    getrandom::u64().map_err(io::Error::other)
}

/// A name in the directory, not a path that leaves it.
fn plain(name: &OsStr) -> io::Result<&OsStr> {
    if Path::new(name).file_name() == Some(name) { Ok(name) } else { Err(not_a_name()) }
}

fn not_a_name() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::cell::Cell;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn names(directory: &Path) -> Vec<OsString> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_new_content_has_the_mode_that_was_asked_for_and_nothing_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        for (mode_wanted, content) in [(0o600, "one"), (0o666, "two"), (0o644, "")] {
            file(&path, mode_wanted, content.as_bytes()).unwrap();
            assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), (content, mode_wanted));
        }
        assert_eq!(names(directory.path()), ["f"]);
    }

    #[test]
    fn a_temporary_file_is_known_by_its_name_and_no_other_file_is() {
        for name in ["f", "web.jwt", "a.0123456789abcdef.new", "."] {
            let made = temporary(OsStr::new(name), 0xfed);
            assert_eq!(destination(made.to_str().unwrap()), Some(name));
        }
        for name in [
            "f",
            ".f.new",
            ".f.123.new",
            "f.0123456789abcdef.new",
            ".f.0123456789ABCDEF.new",
            "..0123456789abcdef.new",
            ".f.0123456789abcdef.old",
        ] {
            assert_eq!(destination(name), None, "{name}");
        }
    }

    #[test]
    fn a_link_under_the_name_is_replaced_and_its_target_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (path, target) = (directory.path().join("f"), directory.path().join("key"));
        fs::write(&target, "secret").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&target, &path).unwrap();
        file(&path, 0o644, b"new").unwrap();
        assert_eq!((fs::read_to_string(&target).unwrap().as_str(), mode(&target)), ("secret", 0o600));
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn a_file_or_link_planted_under_the_temporary_name_is_neither_written_nor_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let victim = path.join("victim");
        fs::write(&victim, "untouched").unwrap();
        symlink(&victim, path.join(temporary(OsStr::new("f"), 1))).unwrap();
        // A link to nothing: following it would create the file.
        symlink(path.join("made"), path.join(temporary(OsStr::new("f"), 2))).unwrap();
        fs::write(path.join(temporary(OsStr::new("f"), 3)), "planted").unwrap();
        let numbers = Cell::new(0);
        let count = || {
            numbers.set(numbers.get() + 1);
            Ok(numbers.get())
        };
        let opened = Directory::open(path).unwrap();
        opened.replace_by(OsStr::new("f"), 0o640, b"new", count).unwrap();
        assert_eq!(numbers.get(), 4);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        assert!(!path.join("made").exists());
        assert_eq!(fs::read_to_string(path.join("f")).unwrap(), "new");
        let taken = opened.replace_by(OsStr::new("f"), 0o640, b"newer", || Ok(3)).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(path.join("f")).unwrap(), "new");
        let planted = [1, 2, 3].map(|number| temporary(OsStr::new("f"), number));
        assert_eq!(names(path), [&planted[..], &["f".into(), "victim".into()]].concat());
    }

    #[test]
    fn a_directory_that_is_exchanged_meanwhile_changes_nothing_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        let (ours, theirs) = (root.path().join("ours"), root.path().join("theirs"));
        fs::create_dir(&ours).unwrap();
        fs::create_dir(&theirs).unwrap();
        let opened = Directory::open(&ours).unwrap();
        fs::rename(&ours, root.path().join("moved")).unwrap();
        symlink(&theirs, &ours).unwrap();
        opened.replace("f", 0o600, b"x").unwrap();
        assert!(names(&theirs).is_empty());
        assert_eq!(names(&root.path().join("moved")), ["f"]);
    }

    #[test]
    fn what_fails_leaves_the_old_content_and_no_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("d")).unwrap();
        let before = fs::metadata(directory.path().join("d")).unwrap().ino();
        assert!(file(&directory.path().join("d"), 0o600, b"x").is_err());
        assert_eq!(fs::metadata(directory.path().join("d")).unwrap().ino(), before);
        assert_eq!(names(directory.path()), ["d"]);
        for outside in ["../f", "a/b", "..", ""] {
            let opened = Directory::open(directory.path()).unwrap();
            assert_eq!(opened.replace(outside, 0o600, b"x").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn reading_follows_no_link_waits_for_no_pipe_and_has_a_limit() {
        let directory = tempfile::tempdir().unwrap();
        let opened = Directory::open(directory.path()).unwrap();
        assert_eq!(opened.read("f", 10).unwrap(), None);
        opened.replace("f", 0o600, b"0123456789").unwrap();
        assert_eq!(opened.read("f", 10).unwrap().as_deref(), Some(&b"0123456789"[..]));
        assert_eq!(opened.read("f", 9).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        symlink("f", directory.path().join("link")).unwrap();
        assert!(opened.read("link", 10).unwrap_err().to_string().contains("symbolic link"));
        rustix::fs::mkfifoat(CWD, directory.path().join("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
        assert!(opened.read("pipe", 10).unwrap_err().to_string().contains("regular file"));
    }
}
