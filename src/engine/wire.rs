//! What travels between engines and those who ask: signed tokens and the keys behind them, requests and their paths,
//! what comes back. Runs nothing.
//!
//! * [`key`], [`token`]: signed Patterns, and the keys they are verified with.
//! * [`bound`]: what binds a token to one engine and a few seconds.
//! * `push`: the answer to a push; [`shell`]: a request of a shell; [`mod@line`]: what comes back from one.
//! * `paths`: where requests go; `client`: the client's side of HTTPS.

pub mod bound;
pub(crate) mod client;
pub mod key;
pub mod line;
pub(crate) mod paths;
pub(crate) mod push;
pub mod shell;
pub mod token;
