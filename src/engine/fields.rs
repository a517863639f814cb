//! The members of a JSON object, taken one by one, so that each error can name where it stands and what is unknown is
//! told instead of passed over. Knows how to read, not which keys there are.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};
use settings::{Value as _, nearest};

/// Longest duration that can be configured: sums with a time of day or of a clock are then far from their limits.
pub(crate) const MAX_DURATION: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Something that cannot be used: where it stands, and what is wrong.
pub(crate) use settings::Problem as Wrong;

/// An object while it is read. A member that is `null` counts as absent.
#[derive(Debug)]
pub(crate) struct Fields {
    place: String,
    members: Map<String, Value>,
    /// Keys that were asked for: those that are known.
    asked: Vec<&'static str>,
}

impl Fields {
    /// The members of `value`, which stands at `place`.
    ///
    /// # Errors
    ///
    /// `value` is no object.
    pub(crate) fn new(place: impl Into<String>, value: Value) -> Result<Fields, Wrong> {
        let place = place.into();
        match value {
            Value::Object(members) => Ok(Fields { place, members, asked: Vec::new() }),
            other => Err(Wrong::new(place, format!("is {}, but has to be an object", kind(&other)))),
        }
    }

    /// Says from now on that errors stand at `place`.
    pub(crate) fn set_place(&mut self, place: impl Into<String>) {
        self.place = place.into();
    }

    /// Something is wrong with `key`.
    pub(crate) fn wrong(&self, key: &str, what: impl fmt::Display) -> Wrong {
        Wrong::new(&self.place, format!("`{key}` {what}"))
    }

    /// Takes a member, whatever it is.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<Value> {
        self.asked.push(key);
        #[cfg(test)]
        record(&self.place, key, false);
        self.members.remove(key).filter(|value| !value.is_null())
    }

    /// Takes a string.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub(crate) fn string(&mut self, key: &'static str) -> Result<Option<String>, Wrong> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.mistyped(key, &other, "a string")),
        }
    }

    /// Takes a string, or a number as its digits: ids of users may be either.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub(crate) fn name_or_number(&mut self, key: &'static str) -> Result<Option<String>, Wrong> {
        match self.value(key) {
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            None => Ok(None),
            Some(other) => Err(self.mistyped(key, &other, "a name or a number")),
        }
    }

    /// Takes `true` or `false`.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub(crate) fn flag(&mut self, key: &'static str) -> Result<Option<bool>, Wrong> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.mistyped(key, &other, "true or false")),
        }
    }

    /// Takes a whole number that is not negative.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub(crate) fn number(&mut self, key: &'static str) -> Result<Option<u64>, Wrong> {
        match self.value(key) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.mistyped(key, &value, "a whole number, not negative")),
            },
        }
    }

    /// Takes a list of strings. A string alone is a list of one; an empty string is an empty list.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub(crate) fn strings(&mut self, key: &'static str) -> Result<Vec<String>, Wrong> {
        let items = match self.value(key) {
            None => return Ok(Vec::new()),
            Some(Value::String(text)) if text.is_empty() => return Ok(Vec::new()),
            Some(Value::String(text)) => return Ok(vec![text]),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(self.mistyped(key, &other, "a string or a list of strings")),
        };
        items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Ok(text),
                other => Err(self.wrong(key, format_args!("holds {}, but only strings fit", kind(&other)))),
            })
            .collect()
    }

    /// Takes an object whose values are strings; numbers and flags become text.
    ///
    /// # Errors
    ///
    /// It is something else, or a value is a list or an object.
    pub(crate) fn texts(&mut self, key: &'static str) -> Result<Option<BTreeMap<String, String>>, Wrong> {
        let Some(members) = self.map(key)? else { return Ok(None) };
        let mut texts = BTreeMap::new();
        for (name, value) in members {
            let text = match value {
                Value::Null => String::new(),
                Value::String(text) => text,
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Array(_) | Value::Object(_) => {
                    return Err(self.wrong(key, format_args!("holds `{name}`, which is {}", kind(&value))));
                }
            };
            texts.insert(name, text);
        }
        Ok(Some(texts))
    }

    /// Takes an object as it is.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub(crate) fn map(&mut self, key: &'static str) -> Result<Option<Map<String, Value>>, Wrong> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(other) => Err(self.mistyped(key, &other, "an object")),
        }
    }

    /// Takes an object to read its members; an absent one has none.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub(crate) fn section(&mut self, key: &'static str) -> Result<Fields, Wrong> {
        let members = self.map(key)?.unwrap_or_default();
        let place = if self.place.is_empty() { key.to_owned() } else { format!("{}, {key}", self.place) };
        Ok(Fields { place, members, asked: Vec::new() })
    }

    /// Takes a duration of whole seconds.
    ///
    /// # Errors
    ///
    /// It is no such number, or longer than [`MAX_DURATION`].
    pub(crate) fn seconds(&mut self, key: &'static str) -> Result<Option<Duration>, Wrong> {
        match self.number(key)?.map(Duration::from_secs) {
            Some(duration) if duration > MAX_DURATION => {
                Err(self.wrong(key, "has to be at most 3153600000 (100 years)"))
            }
            duration => Ok(duration),
        }
    }

    /// Takes a duration such as `90s`, `10m` or `1h30m`. A number alone is refused: it has no unit.
    ///
    /// # Errors
    ///
    /// It is something else, or negative, or longer than [`MAX_DURATION`].
    pub(crate) fn duration(&mut self, key: &'static str) -> Result<Option<Duration>, Wrong> {
        let Some(text) = self.string(key)? else { return Ok(None) };
        if text.is_empty() {
            return Ok(None);
        }
        match Duration::read(OsStr::new(&text), &(Duration::ZERO..=Duration::MAX), Path::new("")).ok() {
            Some(duration) if duration > MAX_DURATION => {
                Err(self.wrong(key, format_args!("is `{text}`, but has to be at most 876000h (100 years)")))
            }
            Some(duration) => Ok(Some(duration)),
            None => {
                Err(self
                    .wrong(key, format_args!("is `{text}`, but has to be a duration such as 90s or 1h30m")))
            }
        }
    }

    /// Refuses the first of `keys` that is there: what it asks for is known, but not done by this engine.
    ///
    /// # Errors
    ///
    /// One of them is there.
    pub(crate) fn not_covered(&mut self, keys: &[&'static str]) -> Result<(), Wrong> {
        for key in keys {
            #[cfg(test)]
            record(&self.place, key, true);
            if self.value(key).is_some() {
                return Err(self.wrong(key, "is a key of Etcha that this engine does not have; remove it"));
            }
        }
        Ok(())
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// There are members that nobody asked for.
    pub(crate) fn end(self) -> Result<(), Wrong> {
        let unknown = self.members.iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| {
            let key = key.escape_debug().to_string();
            match nearest(&key, self.asked.iter().copied()) {
                Some(known) => format!("unknown key `{key}`; did you mean `{known}`?"),
                None => format!("unknown key `{key}`"),
            }
        });
        let unknown: Vec<_> = unknown.collect();
        if unknown.is_empty() { Ok(()) } else { Err(Wrong::new(&self.place, unknown.join("; "))) }
    }

    fn mistyped(&self, key: &str, value: &Value, expected: &str) -> Wrong {
        self.wrong(key, format_args!("is {}, but has to be {expected}", kind(value)))
    }
}

/// A key that was asked for while [`recorded`] listened.
#[cfg(test)]
pub(crate) struct AskedKey {
    /// Where the object stands.
    pub(crate) place: String,
    pub(crate) key: &'static str,
    /// Whether it may not be there.
    pub(crate) refused: bool,
}

#[cfg(test)]
thread_local! {
    static ASKED: std::cell::RefCell<Vec<AskedKey>> = const { std::cell::RefCell::new(Vec::new()) };
}

#[cfg(test)]
fn record(place: &str, key: &'static str, refused: bool) {
    ASKED.with_borrow_mut(|asked| {
        // A key that is refused is looked for, too.
        if !asked.iter().any(|known| known.place == place && known.key == key) {
            asked.push(AskedKey { place: place.to_owned(), key, refused });
        }
    });
}

/// The keys that `read` asks for, which are those that there are.
#[cfg(test)]
pub(crate) fn recorded(read: impl FnOnce()) -> Vec<AskedKey> {
    ASKED.take();
    read();
    ASKED.take()
}

/// What a value is, with its article.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::new("here", value).unwrap()
    }

    #[test]
    fn a_string_alone_is_a_list_of_one_and_an_empty_one_is_none() {
        let mut read = fields(json!({"a": "x", "b": "", "c": ["x", "y"], "d": null}));
        assert_eq!(read.strings("a").unwrap(), ["x"]);
        assert!(read.strings("b").unwrap().is_empty());
        assert_eq!(read.strings("c").unwrap(), ["x", "y"]);
        assert!(read.strings("d").unwrap().is_empty());
        read.end().unwrap();
    }

    #[test]
    fn an_unknown_key_is_told_with_the_nearest_known_one() {
        let mut read = fields(json!({"onchange": "x"}));
        read.strings("onChange").unwrap();
        assert_eq!(
            read.end().unwrap_err().to_string(),
            "here: unknown key `onchange`; did you mean `onChange`?"
        );
    }

    #[test]
    fn a_wrong_type_is_told_with_the_right_one() {
        let mut read = fields(json!({"always": "yes", "runFrequency": 5, "wait": "soon"}));
        assert_eq!(
            read.flag("always").unwrap_err().to_string(),
            "here: `always` is a string, but has to be true or false"
        );
        assert!(read.duration("runFrequency").unwrap_err().to_string().contains("has to be a string"));
        assert!(read.duration("wait").unwrap_err().to_string().contains("such as 90s"));
    }

    #[test]
    fn durations_have_units() {
        let mut read = fields(json!({"a": "10m", "b": "1h30m", "c": "250ms"}));
        assert_eq!(read.duration("a").unwrap(), Some(Duration::from_secs(600)));
        assert_eq!(read.duration("b").unwrap(), Some(Duration::from_secs(5400)));
        assert_eq!(read.duration("c").unwrap(), Some(Duration::from_millis(250)));
    }

    #[test]
    fn a_duration_that_no_clock_can_count_is_refused() {
        let mut read =
            fields(json!({"a": "876000h", "b": "876001h", "c": "99999999999999999999h", "d": u64::MAX}));
        assert_eq!(read.duration("a").unwrap(), Some(MAX_DURATION));
        let error = read.duration("b").unwrap_err().to_string();
        assert_eq!(error, "here: `b` is `876001h`, but has to be at most 876000h (100 years)");
        assert!(read.duration("c").unwrap_err().to_string().contains("has to be a duration"));
        let error = read.seconds("d").unwrap_err().to_string();
        assert_eq!(error, "here: `d` has to be at most 3153600000 (100 years)");
    }
}
