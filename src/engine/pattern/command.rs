//! One unit of work, and lists of them: the decoded form of a Command, checked once and for all.
//!
//! Decoding flattens nested lists, reads string-or-list values and refuses what could not work, naming the Command. It
//! runs nothing.

use std::fmt;

use regex::Regex;
use serde_json::Value;

use crate::exec::Overrides;
use crate::exec::environment::is_powerful;
use crate::fields::{Fields, Wrong, kind};

/// What a target begins with when it names an event and not other Commands.
const EVENT_PREFIX: &str = "etcha:";

/// Longest `envPrefix`, in bytes: names of variables count towards what the system takes.
const MAX_PREFIX_BYTES: usize = 128;

/// What stands between the ids of groups.
pub(crate) const SEPARATOR: &str = " > ";

/// A Command, or a group of Commands.
#[derive(Clone, Debug)]
pub struct Command {
    /// Its name. Not unique, not even within a list.
    pub id: String,
    /// Its number in the Pattern, groups included: unlike the id, it names the Command.
    pub number: usize,
    /// What it does.
    pub body: Body,
    /// What is set off after a change. For a group: after a change of any of its Commands.
    pub on_change: Vec<Target>,
    /// What is set off after a remove. For a group: after a remove of any of its Commands.
    pub on_remove: Vec<Target>,
}

/// What a Command does.
#[derive(Clone, Debug)]
pub enum Body {
    /// Runs scripts.
    Scripts(Box<Scripts>),
    /// Stands for the Commands inside.
    Group(Vec<Command>),
}

/// The scripts of a Command and how they run. An empty script is none.
#[derive(Clone, Debug, Default)]
pub struct Scripts {
    /// Succeeds when there is nothing to do.
    pub check: String,
    /// Makes it so.
    pub change: String,
    /// Undoes it.
    pub remove: String,
    /// Act without asking the check.
    pub always: bool,
    /// A new text of `change` is no reason to remove the old one.
    pub change_ignore: bool,
    /// What the names of the variables begin with that tell later Commands about this one. May be empty.
    pub env_prefix: String,
    /// How its scripts run, where it differs from the Pattern.
    pub exec: Overrides,
    /// What is set off after a failure.
    pub on_fail: Vec<Target>,
    /// When it has gone from the Pattern: removed after the new list has run, not before.
    pub remove_after: bool,
    /// What its scripts read on standard input.
    pub stdin: Option<String>,
}

/// What a Command sets off.
#[derive(Clone)]
pub enum Target {
    /// An event of this name.
    Event(String),
    /// The Commands of the same list whose id this matches anywhere.
    Commands(Regex),
}

impl fmt::Debug for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Event(name) => write!(out, "{EVENT_PREFIX}{name}"),
            Target::Commands(regex) => out.write_str(regex.as_str()),
        }
    }
}

impl Command {
    /// The Commands inside, if it is a group.
    pub fn children(&self) -> &[Command] {
        match &self.body {
            Body::Group(children) => children,
            Body::Scripts(_) => &[],
        }
    }

    /// Its scripts, if it is no group.
    pub(crate) fn scripts(&self) -> Option<&Scripts> {
        match &self.body {
            Body::Scripts(scripts) => Some(scripts),
            Body::Group(_) => None,
        }
    }
}

/// Decodes the list under one key of a Pattern. `parent` names the groups around it in errors; `next_number` goes on
/// counting from list to list.
///
/// # Errors
///
/// Anything that a Command must not be; the error names the first one that is.
pub(crate) fn list(
    place: &str,
    parent: &str,
    value: Value,
    next_number: &mut usize,
) -> Result<Vec<Command>, Wrong> {
    let mut items = Vec::new();
    match value {
        Value::Array(nested) => flatten(nested, &mut items),
        other => {
            return Err(Wrong::new(place, format!("is {}, but has to be a list of commands", kind(&other))));
        }
    }
    let mut drafts = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        drafts.push(Draft::read(place, parent, index, item, next_number)?);
    }
    let ids: Vec<String> = drafts.iter().map(|draft| draft.command.id.clone()).collect();
    drafts.into_iter().enumerate().map(|(index, draft)| draft.resolve(index, &ids)).collect()
}

/// Lists within lists become one list, in order. Groups stay groups.
fn flatten(nested: Vec<Value>, into: &mut Vec<Value>) {
    for item in nested {
        match item {
            Value::Array(inner) => flatten(inner, into),
            other => into.push(other),
        }
    }
}

/// A Command whose targets were not yet compared with the ids beside it.
struct Draft {
    command: Command,
    /// How errors name it.
    place: String,
    on_change: Vec<String>,
    on_fail: Vec<String>,
    on_remove: Vec<String>,
}

impl Draft {
    fn read(
        place: &str,
        parent: &str,
        index: usize,
        item: Value,
        next_number: &mut usize,
    ) -> Result<Draft, Wrong> {
        let inside = if parent.is_empty() { String::new() } else { format!(" of `{parent}`") };
        let mut fields = Fields::new(format!("{place}, command {}{inside}", index + 1), item)?;
        let id = fields.string("id")?.unwrap_or_default();
        if id.is_empty() {
            return Err(fields.wrong("id", "is missing; every command needs one"));
        }
        let display = if parent.is_empty() { id.clone() } else { format!("{parent}{SEPARATOR}{id}") };
        let place_of_command = format!("{place}, command `{display}`");
        fields.set_place(place_of_command.clone());
        let number = *next_number;
        *next_number += 1;
        let (on_change, on_fail, on_remove) =
            (fields.strings("onChange")?, fields.strings("onFail")?, fields.strings("onRemove")?);
        let scripts = scripts(&mut fields)?;
        let body = match fields.value("commands") {
            // Whatever else a group says is of no use; the triggers are.
            Some(children) => Body::Group(list(place, &display, children, next_number)?),
            None => Body::Scripts(Box::new(scripts)),
        };
        fields.end()?;
        let command = Command { id, number, body, on_change: Vec::new(), on_remove: Vec::new() };
        Ok(Draft { command, place: place_of_command, on_change, on_fail, on_remove })
    }

    /// Reads the targets, now that it is known which ids there are.
    fn resolve(mut self, index: usize, ids: &[String]) -> Result<Command, Wrong> {
        let read = |key: &str, texts: Vec<String>, order: Order| {
            texts
                .into_iter()
                .map(|text| target(&self.place, key, &text, index, ids, order))
                .collect::<Result<Vec<_>, _>>()
        };
        self.command.on_change = read("onChange", self.on_change, Order::Later)?;
        let on_fail = read("onFail", self.on_fail, Order::Later)?;
        self.command.on_remove = read("onRemove", self.on_remove, Order::Earlier)?;
        if let Body::Scripts(scripts) = &mut self.command.body {
            scripts.on_fail = on_fail;
        }
        Ok(self.command)
    }
}

fn scripts(fields: &mut Fields) -> Result<Scripts, Wrong> {
    let env_prefix = fields.string("envPrefix")?.unwrap_or_default();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if env_prefix.starts_with(|first: char| first.is_ascii_digit()) || !env_prefix.chars().all(is_word) {
        return Err(fields.wrong(
            "envPrefix",
            format_args!("is `{env_prefix}`, but takes letters, digits and _ only, no digit first"),
        ));
    }
    if env_prefix.len() > MAX_PREFIX_BYTES {
        return Err(fields.wrong("envPrefix", format_args!("is longer than {MAX_PREFIX_BYTES} bytes")));
    }
    if !env_prefix.is_empty() && is_powerful(&env_prefix) {
        let what = format!(
            "is `{env_prefix}`, but the output of a check must not decide what later commands run or load; use another name"
        );
        return Err(fields.wrong("envPrefix", what));
    }
    Ok(Scripts {
        check: fields.string("check")?.unwrap_or_default(),
        change: fields.string("change")?.unwrap_or_default(),
        remove: fields.string("remove")?.unwrap_or_default(),
        always: fields.flag("always")?.unwrap_or(false),
        change_ignore: fields.flag("changeIgnore")?.unwrap_or(false),
        env_prefix,
        exec: Overrides::read(fields.section("exec")?)?,
        on_fail: Vec::new(),
        remove_after: fields.flag("removeAfter")?.unwrap_or(false),
        stdin: fields.string("stdin")?.filter(|text| !text.is_empty()),
    })
}

/// Where the first Command that a target matches may stand, so that it can still be reached.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// Not before: lists are changed forwards.
    Later,
    /// Not after: lists are removed backwards.
    Earlier,
}

fn target(
    place: &str,
    key: &str,
    text: &str,
    index: usize,
    ids: &[String],
    order: Order,
) -> Result<Target, Wrong> {
    if let Some(name) = text.strip_prefix(EVENT_PREFIX) {
        return Ok(Target::Event(name.to_owned()));
    }
    let wrong = |what: &str| Wrong::new(place, format!("`{key}` has the target `{text}`, {what}"));
    if text == ids[index] {
        return Err(wrong("which is the command itself"));
    }
    let Ok(regex) = Regex::new(text) else { return Err(wrong("which is no regular expression")) };
    match ids.iter().position(|id| regex.is_match(id)) {
        None => Err(wrong("which matches no id in the same list")),
        Some(first) if order == Order::Later && first < index => {
            Err(wrong(&format!("which comes before it (`{}`); move that one behind it", ids[first])))
        }
        Some(first) if order == Order::Earlier && first > index => {
            Err(wrong(&format!("which is removed before it (`{}`); move that one before it", ids[first])))
        }
        Some(_) => Ok(Target::Commands(regex)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Vec<Command>, Wrong> {
        list("run", "", value, &mut 0)
    }

    #[test]
    fn lists_within_lists_are_one_list_and_groups_stay() {
        let commands = read(json!([
            {"id": "a"}, [{"id": "b"}, [[{"id": "c"}]], []],
            {"id": "g", "commands": [[{"id": "d"}]]}
        ]))
        .unwrap();
        let ids: Vec<_> = commands.iter().map(|command| command.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c", "g"]);
        assert_eq!(commands[3].children()[0].id, "d");
        let numbers: Vec<_> = commands.iter().map(|command| command.number).collect();
        assert_eq!((numbers, commands[3].children()[0].number), (vec![0, 1, 2, 3], 4));
    }

    #[test]
    fn what_a_command_must_not_be_is_refused_by_name() {
        let cases = [
            (json!({}), "run: is an object, but has to be a list of commands"),
            (json!([{"check": "true"}]), "run, command 1: `id` is missing; every command needs one"),
            (
                json!([{"id": "g", "commands": [{"id": ""}]}]),
                "run, command 1 of `g`: `id` is missing; every command needs one",
            ),
            (
                json!([{"id": "a", "envPrefix": "1A"}]),
                "run, command `a`: `envPrefix` is `1A`, but takes letters, digits and _ only, no digit first",
            ),
            (
                json!([{"id": "a", "onChange": "a"}]),
                "run, command `a`: `onChange` has the target `a`, which is the command itself",
            ),
            (
                json!([{"id": "a", "onFail": "("}]),
                "run, command `a`: `onFail` has the target `(`, which is no regular expression",
            ),
            (
                json!([{"id": "g", "commands": [{"id": "a", "onChange": "b"}]}, {"id": "b"}]),
                "run, command `g > a`: `onChange` has the target `b`, which matches no id in the same list",
            ),
            (
                json!([{"id": "a"}, {"id": "b", "onChange": "a"}]),
                "run, command `b`: `onChange` has the target `a`, which comes before it (`a`); move that one behind it",
            ),
            (
                json!([{"id": "a", "onRemove": "b"}, {"id": "b"}]),
                "run, command `a`: `onRemove` has the target `b`, which is removed before it (`b`); move that one before it",
            ),
            (
                json!([{"id": "a", "chnage": "x"}]),
                "run, command `a`: unknown key `chnage`; did you mean `change`?",
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(read(value).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_prefix_cannot_name_a_variable_that_decides_what_programs_do() {
        for prefix in ["PATH", "IFS", "BASH_ENV", "LD_PRELOAD", "LD_X", "ENV", "ETCHA_build", "NOTIFY_SOCKET"]
        {
            let error = read(json!([{"id": "a", "envPrefix": prefix}])).unwrap_err().to_string();
            let begin = format!("run, command `a`: `envPrefix` is `{prefix}`, but the output of a check");
            assert!(error.starts_with(&begin), "{error}");
        }
        let long = "A".repeat(MAX_PREFIX_BYTES + 1);
        let error = read(json!([{"id": "a", "envPrefix": long}])).unwrap_err().to_string();
        assert_eq!(error, "run, command `a`: `envPrefix` is longer than 128 bytes");
        read(json!([{"id": "a", "envPrefix": "NGINX"}, {"id": "b", "envPrefix": ""}])).unwrap();
    }

    #[test]
    fn events_are_targets_whatever_ids_there_are() {
        let commands = read(json!([{"id": "a", "onChange": ["etcha:done", "b.*"]}, {"id": "b1"}])).unwrap();
        assert!(matches!(&commands[0].on_change[0], Target::Event(name) if name == "done"));
        assert!(matches!(&commands[0].on_change[1], Target::Commands(_)));
    }

    #[test]
    fn a_target_may_match_its_own_command_among_others() {
        read(json!([{"id": "a1", "onChange": "a."}, {"id": "a2"}])).unwrap();
    }
}
