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

pub(crate) mod accept;
pub(crate) mod access;
mod admission;
mod answer;
pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod connections;
pub(crate) mod counts;
pub(crate) mod encoding;
mod gzip;
pub(crate) mod keys;
mod landing;
mod passwords;
mod query;
pub(crate) mod routes;
pub(crate) mod site;
pub(crate) mod status;
pub(crate) mod users;
mod weight;

pub(crate) use access::{Access, Gate};
pub(crate) use connections::Connections;
pub(crate) use keys::Keys;
pub(crate) use routes::routes;
pub(crate) use site::{METRICS_PATH, Site};
pub(crate) use users::Users;
