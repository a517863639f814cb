//! What the serving side says about itself: scrapes, refusals, the time that rendering takes, what the listener counts,
//! and when its certificate expires.

use std::sync::Arc;
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};
use warp::http::StatusCode;

use super::access::Refusal;
use crate::exposition::own::{counters, gauge, whole};
use https::{Counters, Tls};

/// Status codes that the metrics endpoint gives; each has its series from the start, so that the first one of a
/// kind shows as a change.
const CODES: [StatusCode; 7] = [
    StatusCode::OK,
    StatusCode::UNAUTHORIZED,
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

/// Collects the listener's numbers when somebody scrapes.
#[derive(Debug)]
pub(crate) struct Connections {
    counters: Arc<Counters>,
    tls: Tls,
}

impl Connections {
    /// The numbers of this listener.
    pub(crate) fn new(counters: Arc<Counters>, tls: Tls) -> Self {
        Self { counters, tls }
    }
}

impl Collector for Connections {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let c = &self.counters;
        let closed = [
            ("answer_timeout", &c.answer_timeouts),
            ("evicted", &c.evicted_overall),
            ("evicted_for_descriptors", &c.evicted_for_descriptors),
            ("evicted_per_client", &c.evicted_per_client),
            ("evicted_reader", &c.evicted_readers),
            ("handshake_failed", &c.handshake_failures),
            ("handshake_timeout", &c.handshake_timeouts),
            ("header_timeout", &c.header_timeouts),
            ("idle", &c.idle_timeouts),
            ("plain_http", &c.plain_http),
            ("protocol_error", &c.protocol_errors),
            ("refused", &c.refused_overall),
            ("refused_per_client", &c.refused_per_client),
        ];
        #[expect(clippy::cast_precision_loss, reason = "times of this era are exact")]
        let expiry = self.tls.not_after() as f64;
        vec![
            gauge("etcha_exporter_connections_open", "Number of open connections.", whole(c.open.get())),
            counters(
                "etcha_exporter_connections_total",
                "Total number of connections accepted, and of failures to accept one.",
                "result",
                [("accepted", c.accepted.get()), ("error", c.accept_errors.get())],
            ),
            counters(
                "etcha_exporter_connections_closed_total",
                "Total number of connections closed by the exporter, by reason.",
                "reason",
                closed.map(|(reason, count)| (reason, count.get())),
            ),
            gauge(
                "etcha_exporter_certificate_expiry_timestamp_seconds",
                "Expiry time of the served certificate.",
                expiry,
            ),
        ]
    }
}
