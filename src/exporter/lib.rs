//! The exporter: follow the journal, count its events, serve the counts.
//!
//! # Layout
//!
//! Data goes one way, from the follower through one published state to the scrapers.
//!
//! * [`follow`]: which bytes of which files are read, each once. `count`: what their lines do to writers and metrics.
//! * [`metrics`]: what events add up to.
//! * [`checkpoint`]: positions and values in one file, the directory it is in, the thread that writes it.
//! * [`publish`]: the published state, the one place where the counting side meets the serving side.
//! * [`exposition`]: a published state as bytes for a scraper, with the exporter's metrics about itself.
//! * `serve`: routes, keys, shared bodies; `textfile`: the same as a file, for hosts that open no port.
//! * [`config`]: flags, environment and file, as one configuration.
//! * `run`: the exporter as a process: starts the parts, renews keys and certificates, ends the parts in order.
//! * [`commands`]: what the program was asked to do.
//!
//! Below them: `watch`, the hint that a file has changed; `log` and `progress`, what a person reads meanwhile.

pub mod checkpoint;
pub mod commands;
pub mod config;
mod count;
pub mod exposition;
pub mod follow;
mod log;
pub mod metrics;
mod progress;
pub mod publish;
mod run;
mod serve;
mod textfile;
mod watch;
