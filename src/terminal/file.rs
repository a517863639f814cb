//! Files that others may change, opened without ever waiting: a path that was a file yesterday may today be a pipe without
//! a writer, a device, or a link to another user's file. Those that are configured (keys, certificates, settings) are read
//! whole and within a limit. Decodes nothing. To replace a file is the business of [`super::replace`].

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

/// How long the writer of a pipe may take: a shell writes what `<(command)` yields, which may ask a store of secrets.
const PIPE: Duration = Duration::from_secs(2);

/// How each file is opened.
const WITHOUT_WAITING: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY);

/// What a file holds.
#[derive(Debug)]
pub struct Content {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Whether everybody on this host can read it, too. The mode of a pipe says nothing about that.
    pub open_to_all: bool,
    /// The group whose members can read it, too.
    pub readers: Option<u32>,
}

/// Reads a regular file of at most `max_bytes`.
///
/// # Errors
///
/// It cannot be opened or read, is longer, or is no regular file.
pub fn regular(path: &Path, max_bytes: u64) -> io::Result<Content> {
    let file = open_regular(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    within(&bytes, max_bytes)?;
    let mode = metadata.permissions().mode();
    let readers = (mode & 0o040 != 0).then(|| metadata.gid());
    Ok(Content { bytes, open_to_all: mode & 0o004 != 0, readers })
}

/// The same, or what comes out of a pipe within two seconds.
///
/// # Errors
///
/// As for [`regular`], and when the writer of a pipe takes longer.
pub fn regular_or_pipe(path: &Path, max_bytes: u64) -> io::Result<Content> {
    let file = open(path)?;
    if !file.metadata()?.file_type().is_fifo() {
        drop(file);
        return regular(path, max_bytes);
    }
    Ok(Content { bytes: drain(file, max_bytes, Instant::now() + PIPE)?, open_to_all: false, readers: None })
}

/// Opens a file to be read, of whatever type. Never waits, and never makes a terminal the one of this process.
///
/// # Errors
///
/// It cannot be opened.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(WITHOUT_WAITING.bits().cast_signed()).open(path)
}

/// Opens a regular file to be read.
///
/// # Errors
///
/// It cannot be opened, or is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// Opens a file to be read and written, made with this mode if need be, in a directory that may belong to another user.
/// What that user may have put in its place, a link to somewhere else above all, is neither followed nor written.
///
/// # Errors
///
/// It cannot be opened; or it is a link, has a second name, or is not a regular file: the error names it.
pub fn open_own(path: &Path, mode: u32) -> io::Result<File> {
    let foreign = || io::Error::other(format!("{} is a link or no regular file; remove it", path.display()));
    let flags = (WITHOUT_WAITING | OFlags::NOFOLLOW).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(mode).custom_flags(flags);
    let file = options.open(path).map_err(|error| if is_link(&error) { foreign() } else { error })?;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.nlink() == 1 { Ok(file) } else { Err(foreign()) }
}

/// Opens a file to be read, whatever its type, unless it is a link.
///
/// # Errors
///
/// It cannot be opened; [`is_link`] says whether because it is a link.
pub fn open_itself(path: &Path) -> io::Result<File> {
    let flags = WITHOUT_WAITING | OFlags::NOFOLLOW;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Whether a file was not opened because it is a link.
pub fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

/// All that comes out of a pipe, to its end.
fn drain(mut pipe: File, max_bytes: u64, until: Instant) -> io::Result<Vec<u8>> {
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match pipe.read(&mut part) {
            Ok(0) => return Ok(bytes),
            Ok(length) => {
                bytes.extend_from_slice(&part[..length]);
                within(&bytes, max_bytes)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let rest = until.saturating_duration_since(Instant::now());
                let timeout = Timespec::try_from(rest).map_err(io::Error::other)?;
                if rest.is_zero() || poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&timeout))? == 0 {
                    let what = "a pipe whose writer takes longer than two seconds";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, what));
                }
            }
            Err(error) => return Err(error),
        }
    }
}

fn within(bytes: &[u8], max_bytes: u64) -> io::Result<()> {
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {max_bytes} bytes")));
    }
    Ok(())
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::io::Write as _;
    use std::path::PathBuf;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn fifo(directory: &Path) -> PathBuf {
        let path = directory.join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        path
    }

    #[test]
    fn only_regular_files_are_read_and_none_beyond_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "12345").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let content = regular(&path, 5).unwrap();
        assert!(content.bytes == b"12345" && content.open_to_all);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(!regular_or_pipe(&path, 5).unwrap().open_to_all);
        assert_eq!(regular(&path, 4).unwrap_err().to_string(), "longer than 4 bytes");
        for path in [Path::new("/dev/zero"), directory.path(), &fifo(directory.path())] {
            assert_eq!(regular(path, 9).unwrap_err().to_string(), "not a regular file", "{}", path.display());
        }
        for path in [Path::new("/dev/zero"), directory.path()] {
            assert_eq!(regular_or_pipe(path, 9).unwrap_err().to_string(), "not a regular file");
        }
    }

    #[test]
    fn a_file_of_ones_own_is_made_and_nothing_that_leads_elsewhere_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        open_own(&path("own"), 0o600).unwrap().write_all(b"kept").unwrap();
        assert_eq!(open_own(&path("own"), 0o644).unwrap().metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read(path("own")).unwrap(), b"kept");
        fs::hard_link(path("own"), path("second name")).unwrap();
        std::os::unix::fs::symlink(path("nothing"), path("link")).unwrap();
        for foreign in [path("own"), path("second name"), path("link"), fifo(directory.path())] {
            let error = open_own(&foreign, 0o600).unwrap_err().to_string();
            assert_eq!(error, format!("{} is a link or no regular file; remove it", foreign.display()));
        }
        assert!(!path("nothing").exists());
        assert!(open_itself(&path("second name")).is_ok());
        assert!(is_link(&open_itself(&path("link")).unwrap_err()));
        assert!(!is_link(&open_itself(&path("nothing")).unwrap_err()));
    }

    #[test]
    fn a_pipe_is_read_to_its_end_and_not_waited_for_without_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = fifo(directory.path());
        assert_eq!(regular_or_pipe(&path, 9).unwrap().bytes, b"", "nobody writes");
        let open = || OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut silent = open();
        silent.write_all(b"12345").unwrap();
        let late = Instant::now() - Duration::from_secs(1);
        let error = drain(super::open(&path).unwrap(), 9, late).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        silent.write_all(b"0123456789").unwrap();
        assert_eq!(regular_or_pipe(&path, 9).unwrap_err().to_string(), "longer than 9 bytes");
        drop(silent);
        let mut writer = open();
        writer.write_all(b"secret").unwrap();
        let pipe = super::open(&path).unwrap();
        drop(writer);
        assert_eq!(drain(pipe, 9, Instant::now() + PIPE).unwrap(), b"secret");
    }
}
