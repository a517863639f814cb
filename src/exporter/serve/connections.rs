//! What the listener counts, and when its certificate expires, as metrics.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::exposition::own::{counters, gauge, whole};
use https::{Counters, Tls};

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
