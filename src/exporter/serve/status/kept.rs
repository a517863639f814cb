//! What the status page keeps between requests.

use std::sync::Arc;

use super::history::History;
use super::session::Sessions;

/// The history that the page shows, and who may see it without showing a key again.
#[derive(Debug, Default)]
pub(in crate::serve) struct Kept {
    pub(in crate::serve) history: Arc<History>,
    pub(super) sessions: Sessions,
}
