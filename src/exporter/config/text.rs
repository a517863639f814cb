//! A small text file, read whole within a limit.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// What stands in a file.
pub(super) struct Text {
    /// The text.
    pub(super) text: String,
    /// Whether everybody on this host can read it, too. Pipes and devices have modes that say nothing about that.
    pub(super) open_to_all: bool,
}

/// Reads the file at `path`, which may have up to `limit` bytes.
///
/// # Errors
///
/// What is wrong with it, for a person; nothing of what stands in it.
pub(super) fn read(path: &Path, limit: u64) -> Result<Text, String> {
    let unreadable = |error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mut bytes = Vec::new();
    let length = file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if length as u64 > limit {
        return Err(format!("longer than {limit} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    Ok(Text { text, open_to_all: metadata.is_file() && metadata.permissions().mode() & 0o004 != 0 })
}
