//! The serving side: from a request to an answer. Reads published state only, touches no file and parses no line.
//!
//! # Layout
//!
//! * [`mod@routes`]: which path and method gets what, out of one [`site`].
//! * [`access`]: who may: keys, and users with passwords.
//! * [`negotiation`]: which format and coding a client gets.
//! * [`body`]: rendered bodies, shared between scrapes; `gzip` compresses what changed.
//! * `rate`: how many requests are answered.
//! * [`pages`]: what people see.
//! * [`counts`]: what the serving side says about itself.

pub(crate) mod access;
pub(crate) mod body;
pub(crate) mod counts;
mod gzip;
mod negotiation;
mod pages;
mod rate;
pub(crate) mod routes;
pub(crate) mod site;

pub(crate) use access::Gate;
pub(crate) use access::{Access, Keys, UserError, Users};
pub(crate) use counts::Connections;
pub(crate) use rate::RateLimit;
pub(crate) use routes::routes;
pub(crate) use site::{METRICS_PATH, Site, Surface, TelemetryPath};
