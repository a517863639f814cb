//! Settings of a program, each defined once. Knows no program and none of its settings.
//!
//! A [`Setting`] says everything about one setting in one place: its flag and other accepted spellings, its key in the
//! configuration file, its type and bounds, its default, its help, and whether a change takes effect without a restart.
//! A program keeps a table of them. Everything that a person meets comes out of that table:
//!
//! * the flag, its environment variable and its lines in `--help`, and so the man page and the completions ([`flags`]);
//! * the known keys of the file, and "unknown key `y`; did you mean `x`?" (`file`);
//! * the row in the table of the documentation ([`table`]);
//! * the row in what `--check-config` shows, and what is logged as needing a restart ([`Row`]).
//!
//! [`Layers`] puts the values together. The first layer that names a setting decides: flag, variable, file, default.
//! A value in the file is also read, and complained about, where a flag overrides it. What is wrong is collected, each
//! [`Problem`] with its place, so that a person can mend everything in one go; reading goes on with the default.
//!
//! A [`Value`] is read from text, the same way wherever it stands. The file says only which kind of JSON the text comes
//! from: a string, a number, or true and false.
//!
//! # Layout
//!
//! * `setting`: a setting, and what is said about it without its type.
//! * [`value`]: durations and counts with bounds, paths, switches, words.
//! * [`flags`], `file`, [`layers`]: from what was typed and written to values.
//! * [`nearest`](mod@nearest), `problem`, [`table`].

mod file;
pub mod flags;
pub mod layers;
pub mod nearest;
mod problem;
mod setting;
pub mod table;
pub mod value;

pub use file::File;
pub use layers::{Found, Layers, Row};
pub use nearest::nearest;
pub use problem::Problem;
pub use setting::{About, Defined, Many, Reread, Setting};
pub use value::{Invalid, Shape, Value};
