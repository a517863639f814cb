//! The engine: runs the Commands of Patterns.
//!
//! # Layout
//!
//! * [`pattern`], [`command`]: what is to be done, decoded from JSON by [`fields`] and checked.
//! * [`exec`]: how a script becomes a process, and how that ends.
//! * [`stop`]: the wish that all work ends.

pub mod command;
pub mod exec;
pub mod fields;
pub mod pattern;
pub mod stop;
