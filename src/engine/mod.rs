//! The engine: runs the Commands of Patterns.
//!
//! # Layout
//!
//! * [`pattern`], [`command`]: what is to be done, decoded from JSON by [`fields`] and checked.
//! * [`jsonnet`]: Patterns and configurations rendered.
//! * [`exec`]: how a script becomes a process, and how that ends.
//! * [`run`]: lists of Commands, one step after the other; [`diff`]: what a new Pattern takes away.
//! * [`record`]: what was done, as events in the journal. The only file that names them.
//! * [`stop`]: the wish that all work ends.

pub mod command;
pub mod diff;
pub mod exec;
pub mod fields;
pub mod jsonnet;
pub mod pattern;
pub mod record;
pub mod run;
pub mod stop;
