//! Commands that were set off and have not run with success since. They are named by where they are, so that they keep
//! their turn over failures, restarts, and a new Pattern that still has them. Pure; knows no file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pattern::command::{Body, Command};
use crate::run::{Pending, Phase};

/// The ids of the groups around a Command and its own, each with its position among those of the same id in its list.
type Address = Vec<(String, usize)>;

/// What was set off, and by which Commands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(Address, Vec<String>)>", into = "Vec<(Address, Vec<String>)>")]
pub(crate) struct Triggers(BTreeMap<Address, Vec<String>>);

impl From<Vec<(Address, Vec<String>)>> for Triggers {
    fn from(list: Vec<(Address, Vec<String>)>) -> Triggers {
        Triggers(list.into_iter().collect())
    }
}

impl From<Triggers> for Vec<(Address, Vec<String>)> {
    fn from(triggers: Triggers) -> Vec<(Address, Vec<String>)> {
        triggers.0.into_iter().collect()
    }
}

impl Triggers {
    /// What is still to be done of `commands`.
    pub(super) fn of(pending: &Pending, commands: &[Command]) -> Triggers {
        let mut found = BTreeMap::new();
        for_each(commands, &mut Vec::new(), &mut |address, command| {
            let by = pending.set_off_by(command.number);
            if !by.is_empty() {
                found.insert(address.clone(), by.to_vec());
            }
        });
        Triggers(found)
    }

    /// What of this `commands` have, and what they do not.
    pub(super) fn split(mut self, commands: &[Command]) -> (Pending, Triggers) {
        let mut pending = Pending::default();
        for_each(commands, &mut Vec::new(), &mut |address, command| {
            for by in self.0.remove(address).unwrap_or_default() {
                pending.set_off(Phase::Change, command.number, &by);
            }
        });
        (pending, self)
    }

    /// Adds others.
    pub(super) fn merge(&mut self, others: Triggers) {
        for (address, by) in others.0 {
            let known = self.0.entry(address).or_default();
            for by in by {
                if !known.contains(&by) {
                    known.push(by);
                }
            }
        }
    }
}

/// Calls `found` with each Command that has scripts, and where it is.
fn for_each(commands: &[Command], at: &mut Address, found: &mut dyn FnMut(&Address, &Command)) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for command in commands {
        let position = seen.entry(&command.id).or_default();
        at.push((command.id.clone(), *position));
        *position += 1;
        match &command.body {
            Body::Group(children) => for_each(children, at, found),
            Body::Scripts(_) => found(at, command),
        }
        at.pop();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;
    use crate::pattern::command;

    fn list(value: Value) -> Vec<Command> {
        command::list("run", "", value, &mut 0).unwrap()
    }

    #[test]
    fn they_follow_their_commands_into_another_pattern_and_through_their_text() {
        let old =
            list(json!([{"id": "a"}, {"id": "g", "commands": [{"id": "b"}, {"id": "b"}]}, {"id": "c"}]));
        let new =
            list(json!([{"id": "c"}, {"id": "x"}, {"id": "g", "commands": [{"id": "b"}, {"id": "b"}]}]));
        let mut pending = Pending::default();
        // `a`, the second `b`, and `c`; the group has a number of its own.
        for number in [0, 3, 4] {
            pending.set_off(Phase::Change, number, "by");
        }
        let triggers = Triggers::of(&pending, &old);
        let text = serde_json::to_string(&triggers).unwrap();
        let triggers: Triggers = serde_json::from_str(&text).unwrap();
        let (found, rest) = triggers.split(&new);
        let numbers: Vec<_> = (0..5).filter(|number| !found.set_off_by(*number).is_empty()).collect();
        assert_eq!(numbers, [0, 4]);
        assert_eq!(serde_json::to_value(&rest).unwrap(), json!([[[["a", 0]], ["by"]]]));
        let mut both = Triggers::of(&found, &new);
        both.merge(rest);
        assert_eq!(both, Triggers::of(&pending, &old));
    }
}
