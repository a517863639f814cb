//! The exporter: follow the journal, count its events, serve the counts.
//!
//! # Layout
//!
//! * [`config`]: flags, environment and file, as one configuration.
//! * [`log`]: logs on standard error.
//! * [`published`]: the one place where the counting side meets the serving side.
//! * [`exposition`]: a published state as text for a scraper.
//! * [`serve`]: routes, keys, shared bodies.

pub mod config;
pub mod exposition;
pub mod log;
pub mod published;
pub mod serve;
