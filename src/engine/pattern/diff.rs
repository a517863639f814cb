//! What a new Pattern takes away: the Commands of the old one whose remove script is to run. Pure; knows no process.

use std::collections::{HashMap, VecDeque};

use crate::pattern::command::{Body, Command, Scripts};

/// Commands to remove. They are out of their groups, in the order in which they stood.
#[derive(Debug, Default)]
pub struct Removals {
    /// Before the new Commands run.
    pub before: Vec<Command>,
    /// After they ran.
    pub after: Vec<Command>,
}

/// Compares an old list with the new one, by ids: the first Command of an id with the first one there, the second with the
/// second. A Command that is gone is removed, and one whose `change` has a new text, unless the new one says
/// `changeIgnore`. Other differences are none: the new check decides about them.
pub fn removals(old: &[Command], new: &[Command]) -> Removals {
    let mut removals = Removals::default();
    compare(old, new, &mut removals);
    removals
}

fn compare(old: &[Command], new: &[Command], removals: &mut Removals) {
    let mut of_id: HashMap<&str, VecDeque<&Command>> = HashMap::new();
    for after in new {
        of_id.entry(&after.id).or_default().push_back(after);
    }
    for before in old {
        let after = of_id.get_mut(before.id.as_str()).and_then(VecDeque::pop_front);
        compare(before.children(), after.map(Command::children).unwrap_or_default(), removals);
        let Some(scripts) = before.scripts() else { continue };
        if scripts.remove.is_empty() || after.is_some_and(|after| is_unchanged(scripts, after)) {
            continue;
        }
        let list = if scripts.remove_after { &mut removals.after } else { &mut removals.before };
        list.push(before.clone());
    }
}

fn is_unchanged(before: &Scripts, after: &Command) -> bool {
    match &after.body {
        Body::Scripts(after) => after.change_ignore || after.change == before.change,
        // It has become a group: as a unit of work it is gone.
        Body::Group(_) => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;
    use crate::pattern::command;

    fn removed(old: Value, new: Value) -> (Vec<String>, Vec<String>) {
        let list = |value| command::list("run", "", value, &mut 0).unwrap();
        let removals = removals(&list(old), &list(new));
        let ids = |commands: Vec<Command>| commands.into_iter().map(|command| command.id).collect();
        (ids(removals.before), ids(removals.after))
    }

    fn none() -> (Vec<String>, Vec<String>) {
        (Vec::new(), Vec::new())
    }

    fn before(ids: &[&str]) -> (Vec<String>, Vec<String>) {
        (ids.iter().map(|id| (*id).to_owned()).collect(), Vec::new())
    }

    #[test]
    fn what_is_gone_is_removed_if_it_can_be() {
        let old =
            json!([{"id": "a", "remove": "r"}, {"id": "b"}, {"id": "c", "remove": "r", "removeAfter": true}]);
        assert_eq!(removed(old.clone(), json!([])), (vec!["a".into()], vec!["c".into()]));
        assert_eq!(removed(old.clone(), old), none());
    }

    #[test]
    fn a_new_text_of_change_is_a_difference_unless_the_new_one_ignores_it() {
        let old = json!([{"id": "a", "change": "1", "remove": "r"}]);
        assert_eq!(removed(old.clone(), json!([{"id": "a", "change": "2"}])), before(&["a"]));
        assert_eq!(removed(old, json!([{"id": "a", "change": "2", "changeIgnore": true}])), none());
    }

    #[test]
    fn other_differences_are_none() {
        let old = json!([{"id": "a", "check": "1", "change": "c", "remove": "r", "stdin": "1"}]);
        let new = json!([{"id": "a", "check": "2", "change": "c", "remove": "s", "exec": {"sudo": true}}]);
        assert_eq!(removed(old, new), none());
    }

    #[test]
    fn whether_it_is_removed_after_is_what_the_old_one_says() {
        let old = json!([{"id": "a", "change": "1", "remove": "r", "removeAfter": true}]);
        let new = json!([{"id": "a", "change": "2", "remove": "r"}]);
        assert_eq!(removed(old, new), (Vec::new(), vec!["a".into()]));
    }

    #[test]
    fn groups_are_compared_inside_and_go_as_a_whole() {
        let old = json!([{"id": "g", "commands": [
            {"id": "a", "remove": "r"},
            {"id": "h", "commands": [{"id": "b", "remove": "r"}]}
        ]}]);
        assert_eq!(removed(old.clone(), old.clone()), none());
        assert_eq!(removed(old.clone(), json!([{"id": "other"}])), before(&["a", "b"]));
        let kept = json!([{"id": "g", "commands": [{"id": "a"}]}]);
        assert_eq!(removed(old.clone(), kept), before(&["b"]));
        // A Command in the place of the group, and the other way round.
        assert_eq!(removed(old, json!([{"id": "g", "change": "x"}])), before(&["a", "b"]));
        let plain = json!([{"id": "g", "remove": "r"}]);
        assert_eq!(removed(plain, json!([{"id": "g", "commands": [{"id": "a"}]}])), before(&["g"]));
    }

    #[test]
    fn commands_of_one_id_are_compared_by_their_position_among_each_other() {
        let undo = |change: &str, remove: &str| json!({"id": "a", "change": change, "remove": remove});
        let old = json!([undo("1", "r1"), undo("2", "r2"), undo("3", "r3")]);
        assert_eq!(removed(old.clone(), old.clone()), none());
        // The third one is gone.
        assert_eq!(removed(old.clone(), json!([undo("1", "r1"), undo("2", "r2")])), before(&["a"]));
        // One before the others moves all of them.
        let moved = json!([undo("0", "r0"), undo("1", "r1"), undo("2", "r2"), undo("3", "r3")]);
        assert_eq!(removed(old, moved), before(&["a", "a", "a"]));
    }

    /// Lists with few ids, so that many are equal, and groups in groups.
    fn lists() -> impl proptest::strategy::Strategy<Value = Vec<Value>> {
        use proptest::prelude::*;
        let command = ("[ab]", "[xyz]")
            .prop_map(|(id, change)| json!({"id": id, "change": change, "remove": "r"}))
            .prop_recursive(3, 32, 5, |inner| {
                ("[ab]", proptest::collection::vec(inner, 1..5))
                    .prop_map(|(id, commands)| json!({"id": id, "commands": commands}))
            });
        proptest::collection::vec(command, 0..6)
    }

    proptest::proptest! {
        #[test]
        fn a_pattern_takes_nothing_away_from_itself_nor_from_a_shorter_one(list in lists(), more in lists()) {
            let whole: Vec<_> = list.iter().chain(&more).cloned().collect();
            proptest::prop_assert_eq!(removed(json!(list), json!(list)), none());
            proptest::prop_assert_eq!(removed(json!(list), json!(whole)), none());
        }
    }
}
