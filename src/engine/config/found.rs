//! Files that were found by looking for them, in this directory or above, rather than named with their place. Whoever may
//! write such a file, or put another one in its place, decides what runs: so all of them have to be this user or root.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Others may write a directory, but not take away each other's files in it.
const STICKY: u32 = 0o1000;

/// Bits of a mode by which others than the owner may write.
const OTHERS_WRITE: u32 = 0o022;

/// Why a file that was found is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsafe {
    /// It, or a directory above it, is another user's.
    #[error(
        "was found, but {0} belongs to another user, who could change what runs here; to use it anyway name it with its \
         directory"
    )]
    Owner(PathBuf),
    /// It, or a directory above it, may be written by others.
    #[error(
        "was found, but others may write {0}, and change what runs here; `chmod go-w` it, or name the file with its directory"
    )]
    Mode(PathBuf),
}

/// Looks for a name without a directory here, and in the directories above. A name with one is that file.
pub(crate) fn upwards(name: &Path) -> Option<PathBuf> {
    if !is_bare(name) {
        return name.is_file().then(|| name.to_owned());
    }
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(|directory| directory.join(name)).find(|path| path.is_file())
}

/// Whether it is looked for.
pub(crate) fn is_bare(name: &Path) -> bool {
    name.components().count() == 1 && !name.is_absolute()
}

/// Whether a file that was found may be used by this user.
///
/// # Errors
///
/// Others decide what is in it.
pub(crate) fn check(path: &Path) -> Result<(), Unsafe> {
    let own = rustix::process::geteuid().as_raw();
    for (number, path) in path.ancestors().enumerate() {
        // A link is its owner's, and what it leads to may be another user's.
        for metadata in [fs::symlink_metadata(path), fs::metadata(path)].into_iter().flatten() {
            if metadata.uid() != own && metadata.uid() != 0 {
                return Err(Unsafe::Owner(path.to_owned()));
            }
            let is_sticky = number > 0 && metadata.mode() & STICKY != 0;
            if metadata.mode() & OTHERS_WRITE != 0 && !metadata.is_symlink() && !is_sticky {
                return Err(Unsafe::Mode(path.to_owned()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_may_write_or_replace_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let (above, file) = (directory.path().join("above"), directory.path().join("above/etcha.jsonnet"));
        fs::create_dir(&above).unwrap();
        fs::write(&file, "{}").unwrap();
        for (above_mode, file_mode, expected) in [
            (0o755, 0o644, Ok(())),
            (0o1777, 0o600, Ok(())),
            (0o755, 0o664, Err(Unsafe::Mode(file.clone()))),
            (0o755, 0o646, Err(Unsafe::Mode(file.clone()))),
            (0o777, 0o644, Err(Unsafe::Mode(above.clone()))),
            (0o775, 0o644, Err(Unsafe::Mode(above.clone()))),
        ] {
            set_mode(&above, above_mode);
            set_mode(&file, file_mode);
            assert_eq!(check(&file), expected, "{above_mode:o} {file_mode:o}");
        }
        set_mode(&above, 0o755);
        set_mode(&file, 0o644);
        let link = above.join("link");
        symlink(&file, &link).unwrap();
        assert_eq!(check(&link), Ok(()));
        if !rustix::process::geteuid().is_root() {
            return;
        }
        // Only root can give files away, and so try what those of others do.
        for path in [&file, &above, &link] {
            std::os::unix::fs::lchown(path, Some(65_534), None).unwrap();
            let wrong = if path == &above { check(&file) } else { check(path) };
            assert_eq!(wrong, Err(Unsafe::Owner(path.clone())));
            std::os::unix::fs::lchown(path, Some(0), None).unwrap();
        }
        chown(&file, Some(65_534), None).unwrap();
        assert_eq!(check(&link), Err(Unsafe::Owner(link.clone())));
    }
}
