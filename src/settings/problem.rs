//! What is wrong with a configuration: one problem with its place.

use std::error::Error;
use std::fmt;

/// One thing that is wrong: where, what, and what to do. Neither text may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: a flag, a variable, a key with its file and line, an object. May be empty.
    pub place: String,
    /// What, and what would be right.
    pub what: String,
}

impl Problem {
    /// `what` is wrong at `place`.
    pub fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            f.write_str(&self.what)
        } else {
            write!(f, "{}: {}", self.place, self.what)
        }
    }
}

impl Error for Problem {}
