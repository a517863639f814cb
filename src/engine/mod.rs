//! The engine: runs the Commands of Patterns.
//!
//! # Layout
//!
//! * [`cli`]: what is asked for. It is done by [`agent`], the engine as a process; [`local`], a run for a person;
//!   [`build`], a signed token.
//! * [`config`]: file, environment and flags, as one configuration.
//! * [`source`]: what each Source has to run, and what it sets off in others; [`state`]: what outlives a restart.
//! * [`token`], [`key`]: signed Patterns, and the keys they are verified with.
//! * [`program`], [`jsonnet`]: how a program is rendered and what it sees.
//! * [`pattern`], [`command`]: what is to be done, decoded from JSON by [`fields`] and checked.
//! * [`run`]: lists of Commands, one step after the other; [`diff`]: what a new Pattern takes away.
//! * [`exec`]: how a script becomes a process, and how that ends.
//! * [`record`]: what was done, as events in the journal, the only file that names them; [`report`]: the same for people.
//! * [`stop`]: the wish that all work ends.

pub mod agent;
pub mod build;
pub mod cli;
pub mod command;
pub mod config;
pub mod diff;
pub mod exec;
pub mod fields;
pub mod jsonnet;
pub mod key;
pub mod local;
pub mod pattern;
pub mod program;
pub mod record;
pub mod report;
pub mod run;
pub mod source;
pub mod state;
pub mod stop;
pub mod token;
