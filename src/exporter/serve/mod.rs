//! The serving side: from a request to an answer. Reads published state only, touches no file and parses no line.
//!
//! # Layout
//!
//! * [`mod@routes`]: which path and method gets what.
//! * [`auth`]: who may read the metrics; `query` decodes what a request offers.
//! * [`attempts`]: how often a client may be wrong.
//! * [`body`]: rendered bodies, shared between scrapes; [`accept`] chooses their format, [`encoding`] their coding,
//!   both by `weight`.
//! * [`counts`]: what this room says about itself; [`connections`]: what the listener does.
//! * `landing`: the page for people.

pub mod accept;
pub mod attempts;
pub mod auth;
pub mod body;
pub mod connections;
pub mod counts;
pub mod encoding;
mod landing;
mod query;
pub mod routes;
mod weight;

pub use auth::Keys;
pub use connections::Connections;
pub use routes::{METRICS_PATH, Site, routes};
