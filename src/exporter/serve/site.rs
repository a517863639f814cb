//! The site: what all routes answer from, and the two paths that others link to. Answers nothing itself.

use std::sync::Arc;
use std::time::Instant;

use prometheus::Registry;

use super::access::{Gate, Passwords};
use super::body::Bodies;
use super::counts::Counts;
use super::pages::history::History;
use crate::publish::Published;
use https::attempts::Attempts;

/// Path of the metrics, as in Etcha's monitoring guide.
pub(crate) const METRICS_PATH: &str = "/etcha/v1/system/metrics";

/// Path of the status page.
pub(crate) const STATUS_PATH: &str = "/etcha/v1/system/status";

/// What the routes answer from.
#[derive(Debug)]
pub(crate) struct Site {
    pub(super) gate: Gate,
    pub(super) attempts: Attempts,
    pub(super) passwords: Passwords,
    pub(super) bodies: Bodies,
    pub(super) published: Published,
    pub(super) history: Arc<History>,
    pub(super) counts: Counts,
}

impl Site {
    /// A site that shows `published` and the families in `registry`, where it registers its own, to whom
    /// `gate` lets in.
    ///
    /// # Errors
    ///
    /// When the families of this module are registered already.
    pub(crate) fn new(
        gate: Gate,
        published: Published,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let counts = Counts::register(registry)?;
        let bodies = Bodies::new(published.clone(), registry.clone(), counts.clone());
        Ok(Self {
            gate,
            attempts: Attempts::new(Instant::now()),
            passwords: Passwords::default(),
            bodies,
            published,
            history: Arc::default(),
            counts,
        })
    }

    /// The history that the status page shows, for who fills it.
    pub(crate) fn history(&self) -> Arc<History> {
        Arc::clone(&self.history)
    }
}
