//! Files in `packaging`, as they are shipped, with what differs between there and a test put in place.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where a shipped file lies.
pub(crate) fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(file)
}

/// The text of a shipped file, [`changed`].
pub(crate) fn with(file: &str, changes: &[(&str, &str)]) -> String {
    changed(fs::read_to_string(path(file)).unwrap(), changes)
}

/// `text`, in which each left side, which has to be there, was replaced by its right side.
pub(crate) fn changed(text: String, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "there is no {from:?} in\n{text}");
        text.replace(from, to)
    })
}
