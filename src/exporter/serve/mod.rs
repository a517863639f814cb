//! The serving side: from a request to an answer. Reads published state only, touches no file and parses no line.
//!
//! # Layout
//!
//! * [`mod@routes`]: which path and method gets what.
//! * [`auth`]: whether a request may read the metrics; `query` decodes what it offers. [`access`]: who may, as of now;
//!   [`users`]: those with passwords, which `passwords` checks.
//! * `admission`: lets a request in, or says how it is answered instead.
//! * [`body`]: rendered bodies, shared between scrapes; [`accept`] chooses their format, [`encoding`] their coding,
//!   both by `weight`.
//! * [`counts`]: what this room says about itself; [`connections`]: what the listener does.
//! * [`status`]: the status page, for people who have a key; `landing`: the page for those who have none.

pub mod accept;
pub mod access;
mod admission;
pub mod auth;
pub mod body;
pub mod connections;
pub mod counts;
pub mod encoding;
mod landing;
mod passwords;
mod query;
pub mod routes;
pub mod status;
pub mod users;
mod weight;

pub use access::{Access, Gate};
pub use auth::Keys;
pub use connections::Connections;
pub use routes::{METRICS_PATH, Site, routes};
pub use status::STATUS_PATH;
pub use users::Users;
