//! An object of the configuration while it is read, by the definitions of its keys. Reading never stops at something wrong:
//! it is noted with its place, the default is taken, and a person can mend everything in one go.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};
use settings::{About, Invalid, Many, Problem, Setting, Shape, nearest};

use super::keys;
use crate::fields::kind;

/// An object. A member that is `null` counts as absent.
pub(super) struct Section<'p> {
    /// What the names of its keys begin with, as in `sources.NAME.`
    prefix: &'static str,
    /// Where it stands, for a person; empty for the outermost.
    place: String,
    members: Map<String, Value>,
    problems: &'p RefCell<Vec<Problem>>,
}

impl<'p> Section<'p> {
    /// The outermost object.
    pub(super) fn outermost(value: Value, problems: &'p RefCell<Vec<Problem>>) -> Section<'p> {
        Section::new("", String::new(), value, problems)
    }

    /// Notes at once which keys are unknown, so that nobody has to ask for them.
    fn new(
        prefix: &'static str,
        place: String,
        value: Value,
        problems: &'p RefCell<Vec<Problem>>,
    ) -> Section<'p> {
        let mut section = Section { prefix, place, members: Map::new(), problems };
        match value {
            Value::Object(members) => section.members = members,
            other => section.complain(format!("is {}, but has to be an object", kind(&other))),
        }
        section.members.retain(|_, value| !value.is_null());
        for key in section.members.keys() {
            if keys::is_refused(prefix, key) {
                section.wrong(key, "is a key of Etcha that this engine does not have; remove it");
            } else if !keys::known(prefix).any(|known| known == key) {
                // It comes from outside: what could spoil a terminal is escaped.
                let key = key.escape_debug().to_string();
                let meant = nearest(&key, keys::known(prefix));
                let meant = meant.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
                section.complain(format!("unknown key `{key}`{meant}"));
            }
        }
        section
    }

    /// Where an object in it stands.
    pub(super) fn place_of(&self, about: &About) -> String {
        let key = self.short(about.key);
        if self.place.is_empty() { key.to_owned() } else { format!("{}, {key}", self.place) }
    }

    /// Where it stands.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Notes that something is wrong with it as a whole.
    pub(super) fn complain(&self, what: impl Into<String>) {
        self.note(Problem::new(&self.place, what));
    }

    /// Notes that something is wrong with the value of a key.
    pub(super) fn wrong(&self, key: &str, what: impl fmt::Display) {
        self.complain(format!("`{}` {what}", self.short(key)));
    }

    /// Notes what another module found wrong.
    pub(super) fn note(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// What another module read, if it could; why it could not is noted.
    pub(super) fn noted<T>(&self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.note(problem)).ok()
    }

    /// The value of a setting, or its default.
    pub(super) fn get<T: settings::Value>(&mut self, setting: &Setting<T>) -> T {
        self.all(setting).pop().unwrap_or_else(setting.default)
    }

    /// The values of a list. A string alone is a list of one.
    pub(super) fn list<T: settings::Value>(&mut self, setting: &Setting<Option<T>>) -> Vec<T> {
        self.all(setting).into_iter().flatten().collect()
    }

    fn all<T: settings::Value>(&mut self, setting: &Setting<T>) -> Vec<T> {
        let values = match (self.take(&setting.about), setting.about.many) {
            (None, _) => Vec::new(),
            // As good as absent, whatever the type.
            (Some(Value::String(text)), _) if text.is_empty() => Vec::new(),
            (Some(Value::Array(values)), Many::Repeated) => values,
            (Some(value), _) => vec![value],
        };
        values.iter().filter_map(|value| self.read(setting, value)).collect()
    }

    /// Whether a key is there, and not `null`.
    pub(super) fn has(&self, about: &About) -> bool {
        self.members.contains_key(self.short(about.key))
    }

    /// Whether a text is there and empty.
    pub(super) fn is_emptied(&self, about: &About) -> bool {
        self.members.get(self.short(about.key)).is_some_and(|value| value == "")
    }

    /// Takes a value as it is.
    pub(super) fn take(&mut self, about: &About) -> Option<Value> {
        let key = self.short(about.key).to_owned();
        self.members.remove(&key)
    }

    /// Takes an object as it is; without one, an empty one.
    pub(super) fn map(&mut self, about: &About) -> Map<String, Value> {
        match self.take(about) {
            None => Map::new(),
            Some(Value::Object(members)) => members,
            Some(other) => {
                self.mistyped(about.key, &other, "an object");
                Map::new()
            }
        }
    }

    /// Takes an object whose keys begin with `prefix`; without one, an empty one.
    pub(super) fn section(&mut self, about: &About, prefix: &'static str) -> Section<'p> {
        let members = self.map(about);
        Section::new(prefix, about.key.to_owned(), Value::Object(members), self.problems)
    }

    /// Takes an object whose members have names that a user chose.
    pub(super) fn named(&mut self, about: &About, prefix: &'static str) -> Vec<(String, Section<'p>)> {
        let member = |(name, value): (String, Value)| {
            let place = format!("{}, `{name}`", about.key);
            (name, Section::new(prefix, place, value, self.problems))
        };
        self.map(about).into_iter().map(member).collect()
    }

    fn read<T: settings::Value>(&self, setting: &Setting<T>, value: &Value) -> Option<T> {
        let key = setting.about.key;
        let (expected, text) = match (T::SHAPE, value) {
            (Shape::Text, Value::String(text)) => ("", Some(text.clone())),
            (Shape::Number, Value::Number(number)) => ("", Some(number.to_string())),
            (Shape::Switch, Value::Bool(switch)) => ("", Some(switch.to_string())),
            (Shape::Text, _) if setting.about.many == Many::No => ("a string", None),
            (Shape::Text, other) => {
                self.wrong(key, format_args!("holds {}, but only strings fit", kind(other)));
                return None;
            }
            (Shape::Number, _) => ("a number", None),
            (Shape::Switch, _) => ("true or false", None),
            (Shape::Json, value) => ("", Some(value.to_string())),
        };
        let Some(text) = text else {
            self.mistyped(key, value, expected);
            return None;
        };
        match T::read(OsStr::new(&text), &setting.bounds, Path::new("")) {
            Ok(value) => Some(value),
            Err(Invalid::Other(what)) => {
                self.wrong(key, what);
                None
            }
            Err(Invalid::NotAWord(words)) => {
                self.wrong(key, format_args!("holds {value}; it may hold one of {words}"));
                None
            }
            Err(invalid) => {
                self.wrong(key, format_args!("is {invalid}"));
                None
            }
        }
    }

    fn mistyped(&self, key: &str, value: &Value, expected: &str) {
        self.wrong(key, format_args!("is {}, but has to be {expected}", kind(value)));
    }

    /// A key without what all keys of this object begin with.
    fn short<'k>(&self, key: &'k str) -> &'k str {
        key.strip_prefix(self.prefix).unwrap_or(key)
    }
}
