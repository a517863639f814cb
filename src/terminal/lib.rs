//! The edge between a program and the person at its terminal. Knows no program.
//!
//! * [`colour`]: whether colours are wanted.
//! * [`ending`]: exit statuses, and the line that says what went wrong.
//! * [`documents`]: man pages and shell completions, out of a program's flags.
//! * [`file`](mod@file): files that others may change, opened and read without ever waiting for one.
//! * [`printable`]: foreign text made safe to show.
//! * [`printed`]: standard output whose reader may leave.
//! * [`progress`]: a bar or a line now and then for long work.
//! * [`replace`]: files replaced whole, also in directories that others may write.

pub mod colour;
pub mod documents;
pub mod ending;
pub mod file;
pub mod printable;
pub mod printed;
pub mod progress;
pub mod replace;
