//! The serving side: from a request to an answer. Reads published state only, touches no file and parses no line.
//!
//! # Layout
//!
//! * [`mod@routes`]: which path and method gets what, out of one [`site`]; `answer`: the short ones.
//! * [`auth`]: whether a request may read the metrics; `query` decodes what it offers. [`access`]: who may, as of now:
//!   [`keys`], and [`users`] with passwords, which `passwords` checks.
//! * `admission`: lets a request in, or says how it is answered instead.
//! * [`body`]: rendered bodies, shared between scrapes; [`accept`] chooses their format, [`encoding`] their coding,
//!   both by `weight`; `gzip` compresses what changed.
//! * [`counts`]: what this room says about itself; [`connections`]: what the listener does.
//! * [`status`]: the status page, for people who have a key; `landing`: the page for those who have none.

pub mod accept;
pub mod access;
mod admission;
mod answer;
pub mod auth;
pub mod body;
pub mod connections;
pub mod counts;
pub mod encoding;
mod gzip;
pub mod keys;
mod landing;
mod passwords;
mod query;
pub mod routes;
pub mod site;
pub mod status;
pub mod users;
mod weight;

pub use access::{Access, Gate};
pub use connections::Connections;
pub use keys::Keys;
pub use routes::routes;
pub use site::{METRICS_PATH, STATUS_PATH, Site};
pub use users::Users;
