//! What Commands tell those after them: variables in the environment, shared by a whole run.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Phase;
use crate::pattern::command::Scripts;

/// Longest value in bytes. The system takes 128 KiB for name and value together, and then starts nothing any more.
const MAX_VALUE_BYTES: usize = 96 * 1024;

/// The variables of a run. A later value replaces an earlier one of the same name.
#[derive(Debug)]
pub(super) struct Variables {
    all: BTreeMap<String, String>,
}

impl Variables {
    pub(super) fn new(given: &BTreeMap<String, String>) -> Variables {
        Variables { all: given.iter().map(|(name, value)| (name.clone(), fitting(value))).collect() }
    }

    pub(super) fn all(&self) -> &BTreeMap<String, String> {
        &self.all
    }

    /// Sets the variable whose name is the Command's prefix and `suffix`.
    pub(super) fn set(&mut self, scripts: &Scripts, suffix: &str, value: &str) {
        let prefix = scripts.env_prefix.as_str();
        let name =
            if prefix.is_empty() { Cow::Borrowed(suffix) } else { Cow::Owned([prefix, suffix].concat()) };
        // Most Commands have no prefix and say the same again and again: no memory is needed for that.
        if self.all.get(&*name).is_none_or(|present| present != value) {
            self.all.insert(name.into_owned(), fitting(value));
        }
    }

    /// What a check said: under the prefix alone, if there is one, and as `_CHECK_OUT`.
    pub(super) fn set_checked(&mut self, scripts: &Scripts, text: &str) {
        self.set(scripts, "_CHECK_OUT", text);
        if !scripts.env_prefix.is_empty() {
            self.set(scripts, "", text);
        }
    }

    /// How an action ended: 0 or 1, and what it said.
    pub(super) fn set_acted(&mut self, scripts: &Scripts, phase: Phase, failed: bool, text: &str) {
        let (status, output) = match phase {
            Phase::Change => ("_CHANGE", "_CHANGE_OUT"),
            Phase::Remove => ("_REMOVE", "_REMOVE_OUT"),
        };
        self.set(scripts, status, if failed { "1" } else { "0" });
        self.set(scripts, output, text);
    }
}

/// The value without NUL, which no variable can hold, and not longer than it may be.
fn fitting(value: &str) -> String {
    let end = value.floor_char_boundary(MAX_VALUE_BYTES);
    if end < value.len() {
        tracing::warn!(kept = end, "output is too long for a variable; the rest of it is cut");
    }
    value[..end].replace('\0', "")
}
