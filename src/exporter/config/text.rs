//! A small text file, read whole within a limit.

use std::io;
use std::path::Path;

use terminal::file;

/// What stands in a file.
pub(super) struct Text {
    /// The text.
    pub(super) text: String,
    /// Whether everybody on this host can read it, too. Pipes and devices have modes that say nothing about that.
    pub(super) open_to_all: bool,
}

/// Why it is not read. Says nothing of what stands in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// It has more bytes than it may have.
    #[error(transparent)]
    TooLong(io::Error),
    /// The system does not give it.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// It is not text.
    #[error("not UTF-8")]
    NotText,
}

/// Reads the file at `path`, which may have up to `limit` bytes.
///
/// # Errors
///
/// It cannot be read, is too long, or is not text.
pub(super) fn read(path: &Path, limit: u64) -> Result<Text, ReadError> {
    let content = file::regular_or_pipe(path, limit).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => ReadError::TooLong(error),
        _ => ReadError::Read(error),
    })?;
    let mut text = String::from_utf8(content.bytes).map_err(|_| ReadError::NotText)?;
    // Text editors of some systems begin a file with a byte order mark, which nobody can see.
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(Text { text, open_to_all: content.open_to_all })
}
