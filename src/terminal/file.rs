//! Configured files (keys, certificates, settings), read whole and within a limit. Reading never blocks: a path that
//! was a file yesterday may today be a pipe that nobody writes to. Decodes nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

/// How long the writer of a pipe may take: a shell writes what `<(command)` yields, which may ask a store of secrets.
const PIPE: Duration = Duration::from_secs(2);

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
    let file = open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(not_regular());
    }
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

/// Never waits, and never makes a terminal the one of this process.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
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
