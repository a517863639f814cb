//! The one seam between counting and serving: what the follower shows becomes a state that everybody reads.
//!
//! # Layout
//!
//! * `state`: the published state and the place where the latest one is found.
//! * `publisher`: takes what the follower shows, offers it to the checkpoint writer, publishes it.
//! * `agent`: whether the agent of the journal runs.
//! * `systemd`: readiness, status and watchdog, for a service manager.

mod agent;
pub(crate) mod publisher;
mod state;
pub(crate) mod systemd;

pub(crate) use state::Published;
pub use state::Snapshot;

#[cfg(test)]
mod tests;
