//! The layers of a configuration, put together: flags, variables, the file, defaults. clap has put flags before
//! variables already.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::file::File;
use super::flags::variable;
use super::problem::Problem;
use super::setting::{About, Defined as _, Reread, Setting};
use super::value::{Invalid, Value};

/// Values on their way from what was typed and written to what is meant.
pub struct Layers<'a> {
    matches: &'a ArgMatches,
    /// What the names of variables begin with.
    prefix: &'static str,
    file: Option<File>,
    problems: Vec<Problem>,
    rows: Vec<Row>,
}

/// A value with the layer that named it.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// The value.
    pub value: T,
    /// The flag, variable or key that named it, for a person.
    pub name: String,
    /// What kind of name that is.
    pub layer: Layer,
}

/// What names a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A flag.
    Flag,
    /// A variable.
    Variable,
    /// The file.
    File,
}

/// A setting and its value, as `--check-config` shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The setting's name.
    pub label: &'static str,
    /// Its value; empty if it has none.
    pub value: String,
    /// When a change of it takes effect.
    pub reread: Reread,
}

impl<'a> Layers<'a> {
    /// Of these flags, which have variables that begin with `prefix`, and of this file.
    pub fn new(matches: &'a ArgMatches, prefix: &'static str, file: Option<File>) -> Self {
        Self { matches, prefix, file, problems: Vec::new(), rows: Vec::new() }
    }

    /// The value of a setting: of the first layer that names it, else its default.
    pub fn get<T: Value>(&mut self, setting: &Setting<T>) -> T {
        let value = self.found(setting).map_or_else(setting.default, |found| found.value);
        let About { label, reread, .. } = setting.about;
        if !label.is_empty() {
            self.show(label, value.show(), reread);
        }
        value
    }

    /// The value of a setting in the first layer that names it.
    pub fn found<T: Value>(&mut self, setting: &Setting<T>) -> Option<Found<T>> {
        self.all(setting).pop()
    }

    /// The values of a setting in the first layer that names it; none if no layer does. Values that cannot be used are
    /// noted and left out.
    pub fn all<T: Value>(&mut self, setting: &Setting<T>) -> Vec<Found<T>> {
        let written = self.written(setting);
        self.typed(setting).unwrap_or(written)
    }

    /// Notes what is shown, for a setting that is not shown as it was read.
    pub fn show(&mut self, label: &'static str, value: String, reread: Reread) {
        self.rows.push(Row { label, value, reread });
    }

    /// The file, to say what is missing in it.
    pub fn file(&mut self) -> Option<&mut File> {
        self.file.as_mut()
    }

    /// Everything that was read, for people; or everything that is wrong.
    ///
    /// # Errors
    ///
    /// What was typed wrongly, then what is wrong with the file.
    pub fn end(self) -> Result<Vec<Row>, Vec<Problem>> {
        let mut problems = self.problems;
        problems.extend(self.file.map(File::problems).unwrap_or_default());
        if problems.is_empty() { Ok(self.rows) } else { Err(problems) }
    }

    /// The values of flag or variable, `None` if there is neither.
    fn typed<T: Value>(&mut self, setting: &Setting<T>) -> Option<Vec<Found<T>>> {
        let flag = setting.about.flag;
        // A subcommand has some of the flags, and asking clap for another one is an error.
        let texts = self.matches.try_get_many::<OsString>(flag).ok()??;
        let (layer, name) = match self.matches.value_source(flag) {
            Some(ValueSource::EnvVariable) => (Layer::Variable, variable(self.prefix, flag)),
            _ => (Layer::Flag, format!("--{flag}")),
        };
        let mut values = Vec::new();
        for text in texts {
            match T::read(text, &setting.bounds, Path::new("")) {
                Ok(value) => values.push(Found { value, name: name.clone(), layer }),
                Err(invalid) => self.problems.push(Problem::new(name.clone(), invalid.to_string())),
            }
        }
        Some(values)
    }

    /// The values in the file.
    fn written<T: Value>(&mut self, setting: &Setting<T>) -> Vec<Found<T>> {
        let (About { key, many, .. }, Some(file)) = (setting.about, &mut self.file) else {
            return Vec::new();
        };
        let (home, mut values) = (file.home().to_owned(), Vec::new());
        for text in file.texts(key, setting.shape(), many) {
            match T::read(OsStr::new(&text.text), &setting.bounds, &home) {
                Ok(value) => values.push(Found { value, name: key.to_owned(), layer: Layer::File }),
                Err(invalid @ Invalid::Empty(_)) => {
                    file.unusable(&text, format!("{invalid}; leave the key out instead"));
                }
                Err(invalid) => file.unusable(&text, invalid.to_string()),
            }
        }
        values
    }
}

/// What differs between two configurations and takes effect with the next start, by the names of the settings.
pub fn needs_restart<'r>(one: &'r [Row], other: &'r [Row]) -> Vec<&'static str> {
    let value =
        |rows: &'r [Row], label| rows.iter().filter(move |row| row.label == label).map(|row| &row.value);
    let mut labels: Vec<_> = Vec::new();
    for row in one.iter().chain(other).filter(|row| row.reread == Reread::Restart) {
        if !labels.contains(&row.label) && !value(one, row.label).eq(value(other, row.label)) {
            labels.push(row.label);
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::PathBuf;

    use clap::Command;

    use super::super::flags;
    use super::super::setting::Defined;
    use super::*;

    static COUNT: Setting<usize> =
        Setting::new(About::flag("count", "N", "").key("a.count").label("count"), 1..=9, || 5);
    static NAMES: Setting<Option<PathBuf>> =
        Setting::new(About::flag("names", "P", "").key("a.names").commas(), None, || None);
    static ALL: [&dyn Defined; 2] = [&COUNT, &NAMES];

    /// What the words and the file give: the count, the names; or all problems.
    fn read(words: &[&str], text: Option<&str>) -> Result<(usize, usize, Vec<Row>), Vec<String>> {
        let command = Command::new("x").args(ALL.iter().map(|setting| flags::arg(*setting, "")));
        let matches = command.try_get_matches_from(["x"].iter().chain(words)).unwrap();
        let file = text.map(|text| File::new(Path::new("f.json"), text, &ALL, |_| None));
        let mut layers = Layers::new(&matches, "X_", file);
        let (count, names) = (layers.get(&COUNT), layers.all(&NAMES).len());
        let rows = layers.end();
        rows.map(|rows| (count, names, rows)).map_err(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_first_layer_that_names_a_setting_decides() {
        assert_eq!(read(&[], None).unwrap().0, 5);
        assert_eq!(read(&[], Some(r#"{"a": {"count": 6, "names": ["x", "y"]}}"#)).unwrap().0, 6);
        let (count, names, rows) = read(
            &["--count", "7", "--names", "p,q", "--names", "r"],
            Some(r#"{"a": {"count": 6, "names": "x"}}"#),
        )
        .unwrap();
        assert_eq!((count, names), (7, 3));
        assert_eq!(rows, [Row { label: "count", value: "7".to_owned(), reread: Reread::Restart }]);
    }

    #[test]
    fn everything_that_is_wrong_is_said_even_where_another_layer_decides() {
        let text = "\u{feff}{\"a\": {\n\"cuont\": 1,\n\"count\": 0, \"names\": [\"\", 3]},\n\"b\": {}}";
        assert_eq!(
            read(&["--count", "x"], Some(text)).unwrap_err(),
            [
                "--count: not a whole number between 1 and 9",
                "f.json:2: a.cuont: unknown key; did you mean `a.count`?",
                "f.json:3: a.count: not a whole number between 1 and 9",
                "f.json:3: a.names[0]: an empty path; leave the key out instead",
                "f.json:3: a.names[1]: expected a string, found a number",
                "f.json:4: b: unknown key",
            ]
        );
    }

    #[test]
    fn what_differs_and_takes_a_restart_is_named_once() {
        let rows = |text| read(&[], Some(text)).unwrap().2;
        let (one, other) = (rows(r#"{"a": {"count": 1}}"#), rows(r#"{"a": {"count": 2}}"#));
        assert_eq!(needs_restart(&one, &other), ["count"]);
        assert!(needs_restart(&one, &one).is_empty());
    }
}
