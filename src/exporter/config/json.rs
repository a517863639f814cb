//! JSON objects read member by member, so that each error can name the key, its file and its line. Knows how to read,
//! not which keys there are.

use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::problem::Problem;

/// A file while it is read. Collects what is wrong with it.
pub(super) struct Document<'a> {
    path: &'a Path,
    text: &'a str,
    /// What is wrong, each with its offset in the text.
    problems: Vec<(usize, Problem)>,
}

/// The members of one object that nobody has taken yet.
pub(super) struct Object<'a> {
    /// Its full name; empty for the outermost.
    name: String,
    members: Vec<(String, &'a RawValue)>,
}

/// A member that was taken: its full name and its value.
pub(super) struct Member<'a> {
    name: String,
    raw: &'a RawValue,
}

impl<'a> Document<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text, problems: Vec::new() }
    }

    /// The outermost object.
    pub(super) fn root(&mut self) -> Option<Object<'a>> {
        let text = self.text;
        match serde_json::from_str::<&RawValue>(text) {
            Ok(raw) => self.object(&Member { name: String::new(), raw }),
            Err(error) => {
                // The message ends with the place, which stands at the front already.
                let message = error.to_string();
                let what = message.split(" at line ").next().unwrap_or(&message);
                let what = format!("not JSON: {what} (a Jsonnet file has to be rendered first)");
                let place = format!("{}:{}", self.path.display(), error.line().max(1));
                self.problems.push((0, Problem::new(place, what)));
                None
            }
        }
    }

    /// The members of an object.
    pub(super) fn object(&mut self, member: &Member<'a>) -> Option<Object<'a>> {
        match serde_json::from_str::<Members<'a>>(member.raw.get()) {
            Ok(Members(members)) => Some(Object { name: member.name.clone(), members }),
            Err(_) => {
                self.mistyped(member, "an object");
                None
            }
        }
    }

    /// Takes a member out of an object. A key that stands there twice is a problem: JSON does not say which one is
    /// meant.
    pub(super) fn take(&mut self, object: &mut Object<'a>, key: &str) -> Option<Member<'a>> {
        let mut found = object.members.extract_if(.., |(name, _)| name == key).map(|(_, raw)| raw);
        let member = Member { name: joined(&object.name, key), raw: found.next()? };
        if let Some(raw) = found.next() {
            drop(found);
            self.wrong(&Member { name: member.name.clone(), raw }, "stands here a second time");
        }
        Some(member)
    }

    /// Takes an object out of an object.
    pub(super) fn section(&mut self, object: &mut Object<'a>, key: &str) -> Option<Object<'a>> {
        let member = self.take(object, key)?;
        self.object(&member)
    }

    /// The value of a string, read by `read`.
    pub(super) fn string<T>(
        &mut self,
        member: &Member<'a>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Ok(text) = serde_json::from_str::<String>(member.raw.get()) else {
            self.mistyped(member, "a string");
            return None;
        };
        self.read(member, &text, read)
    }

    /// The values of a string or a list of strings, each read by `read`. An empty list is a problem.
    pub(super) fn strings<T>(
        &mut self,
        member: &Member<'a>,
        mut read: impl FnMut(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        if kind(member.raw.get()) == "a string" {
            return self.string(member, read).map(|value| vec![value]);
        }
        let Ok(raws) = serde_json::from_str::<Vec<&'a RawValue>>(member.raw.get()) else {
            self.mistyped(member, "a string or a list of strings");
            return None;
        };
        if raws.is_empty() {
            self.wrong(member, "an empty list; leave the key out instead");
            return None;
        }
        let name = |n| format!("{}[{n}]", member.name);
        let elements = raws.into_iter().enumerate().map(|(n, raw)| Member { name: name(n), raw });
        // All of them are read before any is missed, so that every wrong one is told.
        let values: Vec<_> = elements.map(|element| self.string(&element, &mut read)).collect();
        values.into_iter().collect()
    }

    /// The value of a number, read by `read`.
    pub(super) fn number<T>(
        &mut self,
        member: &Member<'a>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = member.raw.get();
        if kind(text) != "a number" {
            self.mistyped(member, "a number");
            return None;
        }
        self.read(member, text, read)
    }

    /// The value of a switch.
    pub(super) fn boolean(&mut self, member: &Member<'a>) -> Option<bool> {
        match member.raw.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.mistyped(member, "true or false");
                None
            }
        }
    }

    /// Notes what is wrong with a member.
    pub(super) fn wrong(&mut self, member: &Member<'a>, what: impl Into<String>) {
        let at = member.raw.get().as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        let line = self.text.as_bytes().iter().take(at).filter(|&&b| b == b'\n').count() + 1;
        let mut place = format!("{}:{line}", self.path.display());
        if !member.name.is_empty() {
            place = format!("{place}: {}", member.name);
        }
        self.problems.push((at, Problem::new(place, what)));
    }

    /// Notes what is wrong with the absence of a member.
    pub(super) fn missing(&mut self, name: &str, what: &str) {
        self.problems.push((0, Problem::new(format!("{}: {name}", self.path.display()), what)));
    }

    /// What is wrong with the file, in the order of its lines.
    pub(super) fn problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|(at, _)| *at);
        self.problems.into_iter().map(|(_, problem)| problem).collect()
    }

    fn read<T>(
        &mut self,
        member: &Member<'a>,
        text: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        read(text).map_err(|what| self.wrong(member, what)).ok()
    }

    fn mistyped(&mut self, member: &Member<'a>, expected: &str) {
        self.wrong(member, format!("expected {expected}, found {}", kind(member.raw.get())));
    }
}

impl<'a> Object<'a> {
    /// What nobody took.
    pub(super) fn rest(self) -> impl Iterator<Item = Member<'a>> {
        let name = self.name;
        self.members.into_iter().map(move |(key, raw)| Member { name: joined(&name, &key), raw })
    }
}

impl Member<'_> {
    /// The full name, as in `run.stateDir`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// The full name of `key` in the object `name`. Keys come from outside: what could spoil a terminal is escaped.
fn joined(name: &str, key: &str) -> String {
    let key = key.escape_debug();
    if name.is_empty() { key.to_string() } else { format!("{name}.{key}") }
}

/// What a JSON value is, told by its first character.
fn kind(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The members of an object in their order, values as they are written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(InOrder).map(Self)
    }
}
