//! A configuration file in JSON whose keys are known by their full names, such as `run.stateDir`: members of objects
//! that lie in the outermost object. Knows where each value stands; the layers say what it means.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::nearest::unknown;
use super::problem::Problem;
use super::setting::{Defined, Many};
use super::value::Shape;

/// A file as it was read, and what is wrong with it. Holds what may be secret: not for printing.
pub struct File {
    path: PathBuf,
    text: String,
    entries: Vec<Entry>,
    /// Each with its place in the text, in bytes.
    problems: Vec<(usize, Problem)>,
}

/// A value in a file.
struct Entry {
    name: String,
    at: usize,
    json: String,
}

/// A text out of a value: of the value itself, or of one of its elements.
pub(super) struct Text {
    name: String,
    at: usize,
    pub(super) text: String,
}

impl File {
    /// Reads `text`, which stands in the file at `path`. A key that is none of `settings` is a problem; `explain` may
    /// know more about it than that it is unknown.
    pub fn new(
        path: &Path,
        text: &str,
        settings: &[&dyn Defined],
        explain: fn(&str) -> Option<String>,
    ) -> Self {
        // Some editors begin a file with a byte order mark.
        let text = text.trim_start_matches('\u{feff}').to_owned();
        let mut file = Self { path: path.to_owned(), text, entries: Vec::new(), problems: Vec::new() };
        let known = || settings.iter().map(|setting| setting.about().key).filter(|key| !key.is_empty());
        let sections: Vec<_> = known().filter_map(|key| Some(key.split_once('.')?.0)).collect();
        for entry in file.root() {
            let is_section = sections.contains(&entry.name.as_str());
            if file.repeats(&entry) {
                continue;
            }
            let members = if is_section { file.members(&entry) } else { Vec::new() };
            file.entries.push(entry);
            for member in members {
                if !file.repeats(&member) {
                    file.entries.push(member);
                }
            }
        }
        let is_known = |name: &str| known().chain(sections.iter().copied()).any(|known| known == name);
        for entry in file.entries.extract_if(.., |entry| !is_known(&entry.name)).collect::<Vec<_>>() {
            let what = explain(&entry.name)
                .unwrap_or_else(|| unknown(known().chain(sections.iter().copied()), &entry.name));
            file.wrong(entry.at, &entry.name, what);
        }
        file
    }

    /// The directory where relative paths in the file start.
    pub(crate) fn home(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Whether the file has the key.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == key)
    }

    /// Notes that a key is wanted which the file does not have.
    pub fn missing(&mut self, key: &str, what: &str) {
        let place = format!("{}: {key}", self.path.display());
        self.problems.push((0, Problem::new(place, what)));
    }

    /// What is wrong with the file, in the order of its lines.
    pub(crate) fn problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|(at, _)| *at);
        self.problems.into_iter().map(|(_, problem)| problem).collect()
    }

    /// The texts of a setting, none if the file does not have it. What is no text of that shape is noted.
    pub(super) fn texts(&mut self, key: &str, shape: Shape, many: Many) -> Vec<Text> {
        let Some(entry) = self.entries.iter().find(|entry| entry.name == key) else { return Vec::new() };
        let (name, at, json) = (entry.name.clone(), entry.at, entry.json.clone());
        if many == Many::No || kind(&json) == kind("\"") {
            return self.text(name, at, &json, shape, many).into_iter().collect();
        }
        let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(&json) else {
            self.mistyped(at, &name, "a string or a list of strings", &json);
            return Vec::new();
        };
        if elements.is_empty() {
            self.wrong(at, &name, "an empty list; leave the key out instead");
        }
        let elements = elements.into_iter().enumerate().filter_map(|(n, element)| {
            let at = at + within(&json, element);
            self.text(format!("{name}[{n}]"), at, element.get(), shape, Many::No)
        });
        elements.collect()
    }

    /// Notes that a text cannot be used.
    pub(super) fn unusable(&mut self, text: &Text, what: impl Into<String>) {
        self.wrong(text.at, &text.name, what);
    }

    fn text(&mut self, name: String, at: usize, json: &str, shape: Shape, many: Many) -> Option<Text> {
        let (expected, found) = match shape {
            Shape::Number => ("a number", (kind(json) == kind("0")).then(|| json.to_owned())),
            Shape::Switch => ("true or false", (kind(json) == kind("true")).then(|| json.to_owned())),
            Shape::Json => ("anything", Some(json.to_owned())),
            Shape::Text if many == Many::No => ("a string", serde_json::from_str(json).ok()),
            Shape::Text => ("a string or a list of strings", serde_json::from_str(json).ok()),
        };
        if found.is_none() {
            self.mistyped(at, &name, expected, json);
        }
        found.map(|text| Text { name, at, text })
    }

    fn root(&mut self) -> Vec<Entry> {
        let text = self.text.clone();
        match serde_json::from_str::<&RawValue>(&text) {
            Ok(root) => {
                let root =
                    Entry { name: String::new(), at: within(&text, root), json: root.get().to_owned() };
                self.members(&root)
            }
            Err(error) => {
                // The message ends with the place, which stands at the front already.
                let message = error.to_string();
                let what = message.split(" at line ").next().unwrap_or(&message);
                let what = format!("not JSON: {what} (a Jsonnet file has to be rendered first)");
                let place = format!("{}:{}", self.path.display(), error.line().max(1));
                self.problems.push((0, Problem::new(place, what)));
                Vec::new()
            }
        }
    }

    fn members(&mut self, object: &Entry) -> Vec<Entry> {
        let Ok(Members(members)) = serde_json::from_str(&object.json) else {
            self.mistyped(object.at, &object.name, "an object", &object.json);
            return Vec::new();
        };
        let entry = |(key, value): (String, &RawValue)| Entry {
            name: joined(&object.name, &key),
            at: object.at + within(&object.json, value),
            json: value.get().to_owned(),
        };
        members.into_iter().map(entry).collect()
    }

    /// Whether a key was there before, which is a problem: JSON does not say which one is meant.
    fn repeats(&mut self, entry: &Entry) -> bool {
        let repeats = self.has(&entry.name);
        if repeats {
            self.wrong(entry.at, &entry.name, "duplicate key");
        }
        repeats
    }

    fn mistyped(&mut self, at: usize, name: &str, expected: &str, json: &str) {
        self.wrong(at, name, format!("expected {expected}, found {}", kind(json)));
    }

    fn wrong(&mut self, at: usize, name: &str, what: impl Into<String>) {
        let line = self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        let mut place = format!("{}:{line}", self.path.display());
        if !name.is_empty() {
            place = format!("{place}: {name}");
        }
        self.problems.push((at, Problem::new(place, what)));
    }
}

/// Where `part` begins in `text`, of which it is a piece.
fn within(text: &str, part: &RawValue) -> usize {
    part.get().as_ptr().addr().saturating_sub(text.as_ptr().addr())
}

/// The full name of `key` in the object `name`. Keys come from outside: what could spoil a terminal is escaped.
fn joined(name: &str, key: &str) -> String {
    let key = key.escape_debug();
    if name.is_empty() { key.to_string() } else { format!("{name}.{key}") }
}

/// What a JSON value is, by its first character.
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
