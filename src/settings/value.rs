//! Values as they are written in flags, variables and files, with their bounds: read the same way in all of them.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use jiff::SignedDuration;

/// Which kind of JSON holds the text of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A string.
    Text,
    /// A number.
    Number,
    /// `true` or `false`.
    Switch,
    /// Any JSON; what owns the setting reads it.
    Json,
}

/// Something that can be read from text.
pub trait Value: Sized {
    /// What limits it.
    type Bounds: Sync + 'static;

    /// Which kind of JSON it is in a file.
    const SHAPE: Shape;

    /// Reads it. Relative paths start at `home`.
    ///
    /// # Errors
    ///
    /// It cannot be used.
    fn read(text: &OsStr, bounds: &Self::Bounds, home: &Path) -> Result<Self, Invalid>;

    /// Writes it as it may be read again; empty if it is nothing.
    fn show(&self) -> String;

    /// The bounds for a person, as in `10ms to 1h`; empty if there are none to speak of.
    fn show_bounds(_bounds: &Self::Bounds) -> String {
        String::new()
    }
}

/// Why a text is no value. Never holds the text itself, unless a module's own error in `Other` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Bytes that are no text.
    NotUtf8,
    /// An empty text where something has to be.
    Empty(&'static str),
    /// Not a duration with its unit.
    NotADuration,
    /// A duration beyond these bounds.
    OutOfBounds(String),
    /// Not a whole number within these bounds.
    NotACount(String),
    /// None of these words.
    NotAWord(String),
    /// What the module that reads it says.
    Other(String),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("not UTF-8"),
            Self::Empty(what) => write!(f, "an empty {what}"),
            Self::NotADuration => {
                f.write_str("not a duration; write a number with its unit, as in `250ms`, `1s`, `2m`")
            }
            Self::OutOfBounds(bounds) => write!(f, "out of bounds: {bounds}"),
            Self::NotACount(bounds) => write!(f, "not a whole number between {bounds}"),
            Self::NotAWord(words) => write!(f, "expected one of {words}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl Error for Invalid {}

fn utf8(text: &OsStr) -> Result<&str, Invalid> {
    text.to_str().ok_or(Invalid::NotUtf8)
}

impl Value for Duration {
    type Bounds = RangeInclusive<Duration>;

    const SHAPE: Shape = Shape::Text;

    fn read(text: &OsStr, bounds: &Self::Bounds, _: &Path) -> Result<Self, Invalid> {
        let value = utf8(text)?.parse::<SignedDuration>().ok().and_then(|signed| Self::try_from(signed).ok());
        let value = value.ok_or(Invalid::NotADuration)?;
        if bounds.contains(&value) { Ok(value) } else { Err(Invalid::OutOfBounds(Self::show_bounds(bounds))) }
    }

    fn show(&self) -> String {
        SignedDuration::try_from(*self).map_or_else(|_| format!("{self:?}"), |signed| format!("{signed:#}"))
    }

    fn show_bounds(bounds: &Self::Bounds) -> String {
        format!("{} to {}", bounds.start().show(), bounds.end().show())
    }
}

/// Whole numbers.
macro_rules! count {
    ($type:ty) => {
        impl Value for $type {
            type Bounds = RangeInclusive<$type>;

            const SHAPE: Shape = Shape::Number;

            fn read(text: &OsStr, bounds: &Self::Bounds, _: &Path) -> Result<Self, Invalid> {
                let value = utf8(text)?.parse().ok().filter(|value| bounds.contains(value));
                value.ok_or_else(|| Invalid::NotACount(format!("{} and {}", bounds.start(), bounds.end())))
            }

            fn show(&self) -> String {
                self.to_string()
            }

            fn show_bounds(bounds: &Self::Bounds) -> String {
                format!("{} to {}", bounds.start(), bounds.end())
            }
        }
    };
}

count!(u16);
count!(u64);
count!(usize);

impl Value for String {
    type Bounds = ();

    const SHAPE: Shape = Shape::Text;

    fn read(text: &OsStr, (): &(), _: &Path) -> Result<Self, Invalid> {
        utf8(text).map(str::to_owned)
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for bool {
    type Bounds = ();

    const SHAPE: Shape = Shape::Switch;

    fn read(text: &OsStr, (): &(), _: &Path) -> Result<Self, Invalid> {
        utf8(text)?.parse().map_err(|_| Invalid::NotAWord("`true`, `false`".to_owned()))
    }

    fn show(&self) -> String {
        if *self { "yes" } else { "no" }.to_owned()
    }
}

/// How the name of a file has to end, and why.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// The extension, without its dot.
    pub extension: &'static str,
    /// The error message for any other extension.
    pub wrong: &'static str,
}

impl Value for PathBuf {
    type Bounds = Option<Ending>;

    const SHAPE: Shape = Shape::Text;

    fn read(text: &OsStr, bounds: &Self::Bounds, home: &Path) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::Empty("path"));
        }
        let path = home.join(text);
        match bounds {
            Some(ending) if path.extension().is_none_or(|extension| extension != ending.extension) => {
                Err(Invalid::Other(ending.wrong.to_owned()))
            }
            _ => Ok(path),
        }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

/// A value that may be left out.
impl<T: Value> Value for Option<T> {
    type Bounds = T::Bounds;

    const SHAPE: Shape = T::SHAPE;

    fn read(text: &OsStr, bounds: &Self::Bounds, home: &Path) -> Result<Self, Invalid> {
        T::read(text, bounds, home).map(Some)
    }

    fn show(&self) -> String {
        self.as_ref().map(Value::show).unwrap_or_default()
    }

    fn show_bounds(bounds: &Self::Bounds) -> String {
        T::show_bounds(bounds)
    }
}

/// A value whose own module reads and writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<T>(pub T);

impl<T: FromStr<Err: fmt::Display> + fmt::Display> Value for Parsed<T> {
    type Bounds = ();

    const SHAPE: Shape = Shape::Text;

    fn read(text: &OsStr, (): &(), _: &Path) -> Result<Self, Invalid> {
        utf8(text)?.parse().map(Self).map_err(|error: T::Err| Invalid::Other(error.to_string()))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// A word out of a fixed set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word<T>(pub T);

impl<T: ValueEnum> Value for Word<T> {
    type Bounds = ();

    const SHAPE: Shape = Shape::Text;

    fn read(text: &OsStr, (): &(), _: &Path) -> Result<Self, Invalid> {
        T::from_str(utf8(text)?, false).map(Self).map_err(|_| {
            let words = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
            let words: Vec<_> = words.map(|word| format!("`{}`", word.get_name())).collect();
            Invalid::NotAWord(words.join(", "))
        })
    }

    fn show(&self) -> String {
        self.0.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read<T: Value>(text: &str, bounds: &T::Bounds) -> Result<T, String> {
        T::read(OsStr::new(text), bounds, Path::new("/home")).map_err(|invalid| invalid.to_string())
    }

    fn interval(text: &str) -> Result<Duration, String> {
        read(text, &(Duration::from_millis(10)..=Duration::from_secs(3600)))
    }

    #[test]
    fn durations_need_a_unit_and_keep_their_bounds() {
        for (text, millis) in
            [("1s", 1000), ("250ms", 250), ("2m", 120_000), ("1.5s", 1500), ("1m30s", 90_000)]
        {
            assert_eq!(interval(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for bad in ["", "1", "s", "-1s", "1x", "0s", "1ms", "2h", "1e3s", "99999999999999999999s"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
        assert_eq!(interval("1ms").unwrap_err(), "out of bounds: 10ms to 1h");
    }

    #[test]
    fn a_duration_that_is_shown_can_be_read_again() {
        for millis in [1000, 15_000, 90_250] {
            let duration = Duration::from_millis(millis);
            assert_eq!(interval(&duration.show()).unwrap(), duration);
        }
    }

    #[test]
    fn counts_keep_their_bounds() {
        assert_eq!(read::<usize>("100000", &(1..=4_000_000_000)).unwrap(), 100_000);
        for bad in ["", "0", "-1", "1.5", "1e3", "4000000001", "99999999999999999999"] {
            assert!(read::<usize>(bad, &(1..=4_000_000_000)).is_err(), "{bad}");
        }
        assert_eq!(
            read::<usize>("63", &(64..=1_000_000_000)).unwrap_err(),
            "not a whole number between 64 and 1000000000"
        );
    }

    #[test]
    fn relative_paths_start_at_the_files_directory() {
        assert_eq!(read::<PathBuf>("a/b", &None).unwrap(), Path::new("/home/a/b"));
        assert_eq!(read::<Option<PathBuf>>("/a", &None).unwrap().as_deref(), Some(Path::new("/a")));
        let ending = Ending { extension: "prom", wrong: "wrong ending" };
        assert_eq!(read::<PathBuf>("a.txt", &Some(ending)).unwrap_err(), "wrong ending");
    }
}
