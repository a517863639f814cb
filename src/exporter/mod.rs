//! The exporter: follow the journal, count its events, serve the counts.
//!
//! # Layout
//!
//! * [`published`]: the one place where the counting side meets the serving side.
//! * [`exposition`]: a published state as text for a scraper.
//! * [`serve`]: routes, keys, shared bodies.

pub mod exposition;
pub mod published;
pub mod serve;
