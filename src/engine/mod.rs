//! The engine: runs the Commands of Patterns.
//!
//! # Layout
//!
//! * [`config`]: file, environment and flags, as one configuration.
//! * [`token`], [`key`]: signed Patterns, and the keys they are verified with.
//! * [`jsonnet`]: Patterns and configurations rendered.
//! * [`pattern`], [`command`]: what is to be done, decoded from JSON by [`fields`] and checked.
//! * [`run`]: lists of Commands, one step after the other; [`diff`]: what a new Pattern takes away.
//! * [`exec`]: how a script becomes a process, and how that ends.
//! * [`record`]: what was done, as events in the journal. The only file that names them.
//! * [`stop`]: the wish that all work ends.

pub mod command;
pub mod config;
pub mod diff;
pub mod exec;
pub mod fields;
pub mod jsonnet;
pub mod key;
pub mod pattern;
pub mod record;
pub mod run;
pub mod stop;
pub mod token;
