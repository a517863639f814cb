//! A small text file, read whole within a limit.

use std::io::ErrorKind;
use std::path::Path;

use https::file;

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
    let content = file::regular_or_pipe(path, limit).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => error.to_string(),
        _ => format!("cannot be read: {error}"),
    })?;
    let mut text = String::from_utf8(content.bytes).map_err(|_| "not UTF-8".to_owned())?;
    // Text editors of some systems begin a file with a byte order mark, which nobody can see.
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(Text { text, open_to_all: content.open_to_all })
}
