//! The exporter: follow the journal, count its events, serve the counts.
//!
//! # Layout
//!
//! Data goes one way, from the follower through one published state to whoever asks.
//!
//! * [`follow`]: the journal's bytes to lines to events, each counted once.
//! * [`metrics`]: what events add up to.
//! * [`checkpoint`]: positions and values in one file; [`checkpointer`] writes it, [`state_dir`] holds it.
//! * [`publisher`]: what the follower shows becomes a [`published`] state, the one place where the counting side
//!   meets the serving side. [`agent`]: whether the agent runs.
//! * [`supervisor`]: what the service manager is told of it.
//! * [`exposition`]: a published state as text for a scraper; [`own`]: the exporter's metrics about itself.
//! * [`serve`]: routes, keys, shared bodies; [`textfile`]: the same for who may not open a port.
//! * [`renewal`]: keys and certificates that change while the process runs.
//! * `watch`: the hint that a file has changed, for [`follow`] and [`renewal`], which look all the same.
//!
//! Around it:
//!
//! * [`config`]: flags, environment and file, as one configuration.
//! * [`task`]: what the program is asked to do: [`run`], the exporter as a process; [`render`], [`demo`],
//!   [`checkpoint_view`].
//! * [`log`], [`progress`]: what it says meanwhile.

pub mod agent;
pub mod checkpoint;
pub mod checkpoint_view;
pub mod checkpointer;
pub mod config;
pub mod demo;
pub mod exposition;
pub mod follow;
pub mod log;
pub mod metrics;
pub mod own;
pub mod progress;
pub mod published;
pub mod publisher;
pub mod render;
pub mod renewal;
pub mod run;
pub mod serve;
pub mod state_dir;
pub mod supervisor;
pub mod task;
pub mod textfile;
mod watch;
