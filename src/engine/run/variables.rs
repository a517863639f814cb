//! What Commands tell those after them: variables in the environment, shared by a whole run.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rustix::process::{Resource, getrlimit};

use super::Phase;
use crate::pattern::command::Scripts;

/// Longest value in bytes. The system takes 128 KiB for name and value together, and then starts nothing any more.
pub(crate) const MAX_VALUE_BYTES: usize = 96 * 1024;

/// Bytes that all variables of a run may have together. The system takes 2 MiB for the command line and the environment
/// of a process, inherited variables and the pointers to them included.
const MAX_BYTES: usize = 1024 * 1024;

/// The least that a run has, where the system takes less.
const MIN_BYTES: usize = 32 * 1024;

/// What the system needs for a variable beside its name and value, in bytes: `=`, a zero, a pointer.
const EXTRA_BYTES: usize = 10;

/// The variables of a run. A later value replaces an earlier one of the same name. What does not fit is cut off the value
/// that comes too late, so that no other Command fails for it.
#[derive(Debug)]
pub(super) struct Variables {
    all: BTreeMap<String, String>,
    /// Bytes of `all`.
    bytes: usize,
    /// Most bytes of `all`.
    limit: usize,
}

impl Variables {
    pub(super) fn new(given: &BTreeMap<String, String>) -> Variables {
        Variables::within(given, limit())
    }

    fn within(given: &BTreeMap<String, String>, limit: usize) -> Variables {
        let mut variables = Variables { all: BTreeMap::new(), bytes: 0, limit };
        for (name, value) in given {
            variables.insert(name.clone(), value);
        }
        variables
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
            self.insert(name.into_owned(), value);
        }
    }

    fn insert(&mut self, name: String, value: &str) {
        let present = self.all.get(&name).map_or(0, |present| name.len() + EXTRA_BYTES + present.len());
        let others = self.bytes - present + name.len() + EXTRA_BYTES;
        let value = fitting(&name, value, self.limit.saturating_sub(others));
        self.bytes = others + value.len();
        self.all.insert(name, value);
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

/// Half of what the system takes: a quarter of the stack. Scripts and inherited variables need the rest.
fn limit() -> usize {
    let stack = getrlimit(Resource::Stack).current.and_then(|bytes| usize::try_from(bytes).ok());
    stack.map_or(MAX_BYTES, |bytes| (bytes / 8).clamp(MIN_BYTES, MAX_BYTES))
}

/// The value without NUL, which no variable can hold, and not longer than it may be.
fn fitting(name: &str, value: &str, room: usize) -> String {
    let end = value.floor_char_boundary(room.min(MAX_VALUE_BYTES));
    if end < value.len() {
        tracing::warn!(
            variable = name,
            kept = end,
            "a value is too long for a variable; the rest of it is cut"
        );
    }
    value[..end].replace('\0', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripts(prefix: &str) -> Scripts {
        Scripts { env_prefix: prefix.to_owned(), ..Scripts::default() }
    }

    #[test]
    fn the_variable_that_does_not_fit_is_cut_and_no_other() {
        let mut variables = Variables::within(&BTreeMap::new(), 1000);
        variables.set(&scripts("A"), "_CHECK_OUT", &"a".repeat(600));
        variables.set(&scripts("B"), "_CHECK_OUT", &"b".repeat(600));
        let length = |variables: &Variables, name: &str| variables.all()[name].len();
        assert_eq!(length(&variables, "A_CHECK_OUT"), 600);
        assert_eq!(length(&variables, "B_CHECK_OUT"), 1000 - 600 - 2 * (11 + EXTRA_BYTES));
        // What is replaced makes room.
        variables.set(&scripts("A"), "_CHECK_OUT", "");
        variables.set(&scripts("B"), "_CHECK_OUT", &"c".repeat(600));
        assert_eq!(length(&variables, "B_CHECK_OUT"), 600);
    }

    #[test]
    fn a_value_has_no_zero_and_a_limit_of_its_own() {
        let given =
            BTreeMap::from([("A".to_owned(), "a\0b".to_owned()), ("B".to_owned(), "b".repeat(200_000))]);
        let variables = Variables::new(&given);
        assert_eq!(variables.all()["A"], "ab");
        assert_eq!(variables.all()["B"].len(), MAX_VALUE_BYTES);
    }

    #[test]
    fn a_limit_below_what_names_need_is_no_reason_to_panic() {
        let mut variables = Variables::within(&BTreeMap::new(), 5);
        variables.set(&scripts("LONG"), "_CHECK_OUT", "x");
        variables.set(&scripts("LONG"), "_CHECK_OUT", "xy");
        assert_eq!(variables.all()["LONG_CHECK_OUT"], "");
    }
}
