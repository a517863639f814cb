//! The file that lies under the journal's path: opening it safely, and telling it from another.
//!
//! Writes nothing; who rotates it is `rotation`.

use std::ffi::CStr;
use std::fs::{self, File, FileType};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, StatxFlags, makedev, stat, statx};
use rustix::io::Errno;

use super::WriteError;

/// Mode of a journal whatever the umask: its group, the exporter's, reads it and nobody else does.
const MODE: Mode = Mode::from_bits_retain(0o640);

/// Links followed from the journal's path, as many as the kernel follows.
const MAX_LINKS: usize = 40;

/// How often opening starts over when the file comes and goes meanwhile, before that is an error.
const MAX_TRIES: usize = 16;

/// How often the end of a file is looked at while other processes go on writing: about a second.
const MAX_LOOKS: usize = 1000;

/// After how many further looks at the same torn end nobody is writing there any more.
const STILL_LOOKS: usize = 3;

/// What tells one file from another while a descriptor holds it: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

/// What lies under a path right now.
pub(super) struct Look {
    pub(super) identity: Identity,
    /// In bytes.
    pub(super) size: u64,
}

/// One system call, without a copy of the path: this runs before each line.
///
/// It asks for no times: a kernel that was asked for them must give the next write a time of its own, finer than the
/// clock's tick, and that costs the write more than all of this.
pub(super) fn look(path: &CStr) -> io::Result<Look> {
    match statx(CWD, path, AtFlags::empty(), StatxFlags::INO | StatxFlags::SIZE) {
        Ok(stat) => {
            let device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
            Ok(Look { identity: Identity(device, stat.stx_ino), size: stat.stx_size })
        }
        // An old kernel, or a sandbox that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => {
            let stat = stat(path)?;
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            Ok(Look { identity: Identity(stat.st_dev, stat.st_ino), size })
        }
        Err(error) => Err(error.into()),
    }
}

/// A journal open for appending.
pub(super) struct Active {
    pub(super) file: File,
    pub(super) identity: Identity,
    /// Group of the file, which the one after it gets, too.
    pub(super) group: u32,
    /// Holds lines that were not synced yet.
    pub(super) dirty: AtomicBool,
}

impl Active {
    /// Opens what lies under `path`, or makes it and says so. A new file is given to `group` if the system allows.
    pub(super) fn open(path: &Path, group: Option<u32>) -> Result<(Active, bool), WriteError> {
        let fail = |source| WriteError::Open { path: path.to_owned(), source };
        let real = follow_links(path).map_err(fail)?;
        for _ in 0..MAX_TRIES {
            match open_existing(&real) {
                Ok(Ok(active)) => return Ok((active, false)),
                Ok(Err(kind)) => return Err(WriteError::NotRegular { path: path.to_owned(), kind }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(fail(error)),
            }
            match create(&real, group) {
                Ok(active) => return Ok((active, true)),
                // Another writer was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(fail(error)),
            }
        }
        Err(fail(io::Error::other("the file comes and goes; is something else rotating it without pause?")))
    }

    /// Whether the next line may begin right here. An empty file counts as ended.
    ///
    /// A line that another process is writing at this very moment looks like a torn one, but not for long.
    #[expect(
        clippy::disallowed_methods,
        reason = "some milliseconds, when a journal with a torn end is opened"
    )]
    pub(super) fn ends_with_lf(&self) -> io::Result<bool> {
        let (mut torn_at, mut still) = (0, 0);
        for _ in 0..MAX_LOOKS {
            let size = self.file.metadata()?.len();
            let mut last = [b'\n'];
            if size > 0 && self.file.read_at(&mut last, size - 1)? == 0 {
                // It shrank meanwhile: somebody truncates. Look again.
                continue;
            }
            if last == [b'\n'] {
                return Ok(true);
            }
            still = if size == torn_at { still + 1 } else { 0 };
            if still == STILL_LOOKS {
                return Ok(false);
            }
            torn_at = size;
            // Where a file system lets one write at a time into a file, this one, of nothing, returns when that which
            // goes on has ended, however long the system keeps it. Elsewhere a moment has to do.
            let _ = (&self.file).write(&[])?;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(false)
    }
}

/// Where the last component of `path` leads, be there a file or not.
pub(super) fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut at = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&at) {
            Ok(target) => at = at.parent().unwrap_or(Path::new("/")).join(target),
            // No link, or nothing at all: this is the end of the chain.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => {
                return Ok(at);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("the links lead in a circle"))
}

/// The inner error says what it is if it is no regular file. Looked at before it is opened, because opening a device
/// may do things, and again after it, because it may have changed.
fn open_existing(real: &Path) -> io::Result<Result<Active, &'static str>> {
    if let Some(kind) = irregular(fs::metadata(real)?.file_type()) {
        return Ok(Err(kind));
    }
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(real, flags | OFlags::NOFOLLOW, Mode::empty())?);
    let metadata = file.metadata()?;
    if let Some(kind) = irregular(metadata.file_type()) {
        return Ok(Err(kind));
    }
    let identity = Identity(metadata.dev(), metadata.ino());
    Ok(Ok(Active { file, identity, group: metadata.gid(), dirty: AtomicBool::new(false) }))
}

fn create(real: &Path, group: Option<u32>) -> io::Result<Active> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC | OFlags::CREATE | OFlags::EXCL;
    let file = File::from(rustix::fs::open(real, flags, MODE)?);
    if let Some(group) = group.filter(|&group| file.metadata().is_ok_and(|new| new.gid() != group)) {
        // Allowed to root and to members of the group; for others the directory decides, as it did the first time.
        let _ = rustix::fs::fchown(&file, None, Some(Gid::from_raw(group)));
    }
    rustix::fs::fchmod(&file, MODE)?;
    let metadata = file.metadata()?;
    let identity = Identity(metadata.dev(), metadata.ino());
    Ok(Active { file, identity, group: metadata.gid(), dirty: AtomicBool::new(false) })
}

fn irregular(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a directory"),
        kind if kind.is_fifo() => Some("a FIFO"),
        kind if kind.is_socket() => Some("a socket"),
        kind if kind.is_char_device() || kind.is_block_device() => Some("a device"),
        _ => Some("something else"),
    }
}
