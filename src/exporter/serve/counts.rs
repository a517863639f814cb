//! What this room says about itself: scrapes, refusals, and the time that rendering takes.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};
use warp::http::StatusCode;

use super::auth::Refusal;

/// Status codes that the metrics endpoint gives; each has its series from the start, so that the first one of a
/// kind shows as a change.
const CODES: [StatusCode; 6] = [
    StatusCode::OK,
    StatusCode::FORBIDDEN,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
];

/// Buckets of the render time in seconds: from a small host's body to one at the series limit of every family.
const RENDER_SECONDS: [f64; 9] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];

/// The metrics of the serving side. Clones count into the same series.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    scrapes: IntCounterVec,
    refusals: IntCounterVec,
    limited: IntCounter,
    render: Histogram,
}

impl Counts {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    ///
    /// When `registry` has metrics of these names already.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let scrapes = IntCounterVec::new(
            Opts::new(
                "etcha_exporter_scrapes_total",
                "Total number of responses of the metrics endpoint, by status code.",
            ),
            &["code"],
        )?;
        let refusals = IntCounterVec::new(
            Opts::new(
                "etcha_exporter_scrape_refusals_total",
                "Total number of requests without a valid key, by reason.",
            ),
            &["reason"],
        )?;
        let limited = IntCounter::new(
            "etcha_exporter_scrapes_limited_total",
            "Total number of requests refused because their address had sent too many wrong keys.",
        )?;
        let render = Histogram::with_opts(
            HistogramOpts::new(
                "etcha_exporter_render_duration_seconds",
                "Time taken to render a scrape, without compression.",
            )
            .buckets(RENDER_SECONDS.to_vec()),
        )?;
        registry.register(Box::new(scrapes.clone()))?;
        registry.register(Box::new(refusals.clone()))?;
        registry.register(Box::new(limited.clone()))?;
        registry.register(Box::new(render.clone()))?;
        for code in CODES {
            scrapes.with_label_values(&[code.as_str()]);
        }
        for refusal in Refusal::ALL {
            refusals.with_label_values(&[refusal.name()]);
        }
        Ok(Self { scrapes, refusals, limited, render })
    }

    /// Counts an answer of the metrics endpoint.
    pub(super) fn scrape(&self, code: StatusCode) {
        self.scrapes.with_label_values(&[code.as_str()]).inc();
    }

    /// Counts a refusal.
    pub(super) fn refusal(&self, refusal: Refusal) {
        self.refusals.with_label_values(&[refusal.name()]).inc();
    }

    /// Counts a refusal that met the limit of attempts.
    pub(super) fn limited(&self) {
        self.limited.inc();
    }

    /// Counts a body that took `elapsed` to render.
    pub(super) fn rendered(&self, elapsed: Duration) {
        self.render.observe(elapsed.as_secs_f64());
    }

    /// How many bodies were rendered.
    #[cfg(test)]
    pub(super) fn renders(&self) -> u64 {
        self.render.get_sample_count()
    }
}
