//! The engine: runs the Commands of Patterns.
//!
//! # Layout
//!
//! * [`pattern`], [`command`]: what is to be done, decoded from JSON by [`fields`] and checked.
//! * [`exec`]: how a script becomes a process, and how that ends.
//! * [`run`]: lists of Commands, one step after the other; [`diff`]: what a new Pattern takes away.
//! * [`stop`]: the wish that all work ends.

pub mod command;
pub mod diff;
pub mod exec;
pub mod fields;
pub mod pattern;
pub mod run;
pub mod stop;
