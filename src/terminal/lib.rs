//! The edge between a program and the person at its terminal. Knows no program.
//!
//! * [`documents`]: man pages and shell completions, out of a program's flags.

pub mod documents;
