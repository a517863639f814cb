//! The exporter: follow the journal, count its events, serve the counts.
//!
//! # Layout
//!
//! * [`published`]: the one place where the counting side meets the serving side.
//! * [`exposition`]: a published state as text for a scraper.

pub mod exposition;
pub mod follow;
pub mod metrics;
pub mod own;
pub mod published;
