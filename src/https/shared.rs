//! What all connections of a listener share.

use std::sync::Arc;

use super::counters::Counters;
use super::limits::ConnectionLimits;
use super::refusals::Refusals;
use super::tls::Tls;

/// What all connections of a listener share.
pub(super) struct Shared {
    pub(super) tls: Tls,
    pub(super) limits: ConnectionLimits,
    pub(super) counters: Arc<Counters>,
    pub(super) refusals: Refusals,
}
