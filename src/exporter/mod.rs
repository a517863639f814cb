//! The exporter: follow the journal, count its events, serve the counts.
//!
//! # Layout
//!
//! * [`published`]: the one place where the counting side meets the serving side.
//! * [`exposition`]: a published state as text for a scraper.

pub mod checkpoint;
pub mod checkpointer;
pub mod exposition;
pub mod follow;
pub mod metrics;
pub mod own;
pub mod progress;
pub mod published;
pub mod publisher;
pub mod render;
pub mod state_dir;
