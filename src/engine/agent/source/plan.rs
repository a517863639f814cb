//! What a run is to do: which Commands of what was there go, which of the new Pattern have their turn anyway. Pure;
//! knows no process and no file.

use std::sync::Arc;

use regex::Regex;

use super::triggers::Triggers;
use crate::pattern::Pattern;
use crate::pattern::command::{Command, Scripts};
use crate::pattern::diff::{self, Removals};
use crate::run::{Pending, Phase};

/// What is to run, in this order: removals, the Pattern, removals.
pub(super) struct Plan {
    pub(super) removals: Removals,
    pub(super) new: Arc<Pattern>,
    /// What of `new` is set off already.
    pub(super) pending: Pending,
    /// What was set off and is not in `new`. If the run fails it is not forgotten.
    pub(super) others: Triggers,
    /// The filter lets no removal through: what was there has to be remembered.
    pub(super) leaves_removals: bool,
}

impl Plan {
    /// From what was there, the oldest first, to `new`.
    pub(super) fn new(
        before: &[Arc<Pattern>],
        new: Arc<Pattern>,
        triggers: Triggers,
        filter: Option<&Regex>,
        source: &str,
    ) -> Plan {
        let mut removals = Removals::default();
        for old in before {
            let more = diff::removals(&old.run, &new.run);
            add(&mut removals.before, more.before);
            add(&mut removals.after, more.after);
        }
        // What is removed is out of its groups, so this is what the filter sees of each.
        let is_held_back = filter.is_some_and(|filter| !filter.is_match(source));
        let any = !removals.before.is_empty() || !removals.after.is_empty();
        let leaves_removals = is_held_back && any;
        let (pending, others) = triggers.split(&new.run);
        Plan { removals, new, pending, others, leaves_removals }
    }

    /// The stages, for [`crate::run::run`].
    pub(super) fn stages(&self) -> [(Phase, &[Command]); 3] {
        [
            (Phase::Remove, &self.removals.before),
            (Phase::Change, &self.new.run),
            (Phase::Remove, &self.removals.after),
        ]
    }
}

/// Adds what an older Pattern has not contributed already.
fn add(known: &mut Vec<Command>, more: Vec<Command>) {
    let older = known.len();
    for command in more {
        if !known[..older].iter().any(|known| is_same(known, &command)) {
            known.push(command);
        }
    }
}

fn is_same(one: &Command, other: &Command) -> bool {
    let texts = |scripts: &Scripts| (scripts.check.clone(), scripts.remove.clone());
    one.id == other.id && one.scripts().map(texts) == other.scripts().map(texts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    fn pattern(commands: Value) -> Arc<Pattern> {
        Arc::new(Pattern::of_commands(commands).unwrap())
    }

    fn removed(plan: &Plan) -> Vec<&str> {
        plan.removals.before.iter().map(|command| command.id.as_str()).collect()
    }

    #[test]
    fn what_a_filter_left_is_removed_once_by_the_next_whole_run() {
        let undo = |id: &str| json!({"id": id, "check": "c", "remove": format!("rm {id}")});
        let first = pattern(json!([undo("a"), undo("a"), undo("b")]));
        let second = pattern(json!([undo("b"), undo("c")]));
        let third = pattern(json!([{"id": "d"}]));
        let filter = Regex::new("web > app").unwrap();
        let plan = |before: &[Arc<Pattern>], filter: Option<&Regex>| {
            Plan::new(before, Arc::clone(&third), Triggers::default(), filter, "web")
        };
        let filtered = plan(&[Arc::clone(&first)], Some(&filter));
        assert!(filtered.leaves_removals);
        let whole = plan(&[first, second], None);
        assert_eq!((removed(&whole), whole.leaves_removals), (vec!["a", "a", "b", "c"], false));
        let of_source = plan(&[Arc::clone(&whole.new)], Some(&Regex::new("^web").unwrap()));
        assert!(!of_source.leaves_removals);
    }
}
