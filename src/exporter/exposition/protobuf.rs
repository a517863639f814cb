//! The delimited protobuf format: for each family its length and an `io.prometheus.client.MetricFamily` message.
//!
//! Written by hand, field by field. The few messages have not changed in a decade but for fields that were added; a
//! library would want all of them as owned values first, a hundred thousand small strings for each scrape.

use prometheus::proto::{MetricFamily, MetricType};

use super::lines::unit;
use crate::exposition::own::whole;
use crate::metrics::catalogue::{FamilyId, Kind};
use crate::metrics::labels::labels;
use crate::metrics::{ABSENT, Histogram, Tables, Values, seconds};

/// Field numbers of the messages, by message.
mod field {
    pub(super) const FAMILY_NAME: u32 = 1;
    pub(super) const FAMILY_HELP: u32 = 2;
    pub(super) const FAMILY_TYPE: u32 = 3;
    pub(super) const FAMILY_METRIC: u32 = 4;
    pub(super) const FAMILY_UNIT: u32 = 5;
    pub(super) const METRIC_LABEL: u32 = 1;
    pub(super) const METRIC_GAUGE: u32 = 2;
    pub(super) const METRIC_COUNTER: u32 = 3;
    pub(super) const METRIC_HISTOGRAM: u32 = 7;
    pub(super) const LABEL_NAME: u32 = 1;
    pub(super) const LABEL_VALUE: u32 = 2;
    pub(super) const GAUGE_VALUE: u32 = 1;
    pub(super) const COUNTER_VALUE: u32 = 1;
    pub(super) const COUNTER_CREATED: u32 = 3;
    pub(super) const HISTOGRAM_COUNT: u32 = 1;
    pub(super) const HISTOGRAM_SUM: u32 = 2;
    pub(super) const HISTOGRAM_BUCKET: u32 = 3;
    pub(super) const HISTOGRAM_CREATED: u32 = 15;
    pub(super) const BUCKET_COUNT: u32 = 1;
    pub(super) const BUCKET_BOUND: u32 = 2;
    pub(super) const TIMESTAMP_SECONDS: u32 = 1;
    pub(super) const TIMESTAMP_NANOS: u32 = 2;
}

/// A message in the making: its fields one after the other.
#[derive(Debug, Default)]
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A field that is a number.
    fn number(&mut self, field: u32, value: u64) {
        varint(u64::from(field) << 3, &mut self.bytes);
        varint(value, &mut self.bytes);
    }

    /// A field that is a floating point number.
    fn double(&mut self, field: u32, value: f64) {
        varint(u64::from(field) << 3 | 1, &mut self.bytes);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A field that is a text or a message.
    fn bytes(&mut self, field: u32, value: &[u8]) {
        varint(u64::from(field) << 3 | 2, &mut self.bytes);
        varint(value.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(value);
    }

    /// A field that is a message, which `fill` fills.
    fn message(&mut self, field: u32, fill: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        fill(&mut inner);
        self.bytes(field, &inner.bytes);
    }

    fn label(&mut self, name: &str, value: &str) {
        // Its length is known beforehand: labels are most of a body, and a buffer for each would cost the most.
        varint(u64::from(field::METRIC_LABEL) << 3 | 2, &mut self.bytes);
        varint(length(name.len()) + length(value.len()), &mut self.bytes);
        self.bytes(field::LABEL_NAME, name.as_bytes());
        self.bytes(field::LABEL_VALUE, value.as_bytes());
    }

    /// When a series was born, in milliseconds since 1970. A clock before 1970 was not set, and says nothing.
    fn created(&mut self, field: u32, born: i64) {
        let Ok(born) = u64::try_from(born) else { return };
        if born > 0 {
            self.message(field, |timestamp| {
                timestamp.number(field::TIMESTAMP_SECONDS, born / 1000);
                timestamp.number(field::TIMESTAMP_NANOS, born % 1000 * 1_000_000);
            });
        }
    }

    fn counter(&mut self, value: f64, born: Option<i64>) {
        self.message(field::METRIC_COUNTER, |counter| {
            counter.double(field::COUNTER_VALUE, value);
            if let Some(born) = born {
                counter.created(field::COUNTER_CREATED, born);
            }
        });
    }

    fn gauge(&mut self, value: f64) {
        self.message(field::METRIC_GAUGE, |gauge| gauge.double(field::GAUGE_VALUE, value));
    }

    fn histogram(
        &mut self,
        buckets: impl Iterator<Item = (f64, u64)>,
        sum: f64,
        count: u64,
        born: Option<i64>,
    ) {
        self.message(field::METRIC_HISTOGRAM, |histogram| {
            histogram.number(field::HISTOGRAM_COUNT, count);
            histogram.double(field::HISTOGRAM_SUM, sum);
            for (bound, below) in buckets {
                histogram.message(field::HISTOGRAM_BUCKET, |bucket| {
                    bucket.number(field::BUCKET_COUNT, below);
                    bucket.double(field::BUCKET_BOUND, bound);
                });
            }
            if let Some(born) = born {
                histogram.created(field::HISTOGRAM_CREATED, born);
            }
        });
    }
}

/// Everything.
pub(super) fn all<'f>(tables: &Tables, rest: impl IntoIterator<Item = &'f MetricFamily>, out: &mut Vec<u8>) {
    for family in FamilyId::all() {
        counted(tables, family, out);
    }
    for family in rest {
        registered(family, out);
    }
}

/// A family counted from the journal; one without series is left out.
fn counted(tables: &Tables, family: FamilyId, out: &mut Vec<u8>) {
    let (desc, values) = tables.family(family);
    if values.is_hidden() {
        return;
    }
    let mut message = head(desc.name, desc.kind, desc.help);
    let mut metric = Message::default();
    let mut each = |text: &str, fill: &mut dyn FnMut(&mut Message)| {
        metric.bytes.clear();
        for (name, value) in labels(text) {
            metric.label(name, &value);
        }
        fill(&mut metric);
        message.bytes(field::FAMILY_METRIC, &metric.bytes);
    };
    match values {
        Values::Whole(table) => {
            for &series in table.sorted().iter() {
                let value = whole(*table.value(series));
                each(table.text(series), &mut |metric| match desc.kind {
                    Kind::Counter => metric.counter(value, Some(table.born(series))),
                    _ => metric.gauge(value),
                });
            }
        }
        Values::Milliseconds(table) => {
            let sorted = table.sorted();
            for &series in sorted.iter().filter(|series| *table.value(**series) != ABSENT) {
                let value = seconds(*table.value(series));
                each(table.text(series), &mut |metric| metric.gauge(value));
            }
        }
        Values::Histograms(table, bounds) => {
            for &series in table.sorted().iter() {
                let value: &Histogram = table.value(series);
                each(table.text(series), &mut |metric| {
                    let born = Some(table.born(series));
                    metric.histogram(value.cumulative(bounds), value.sum(), value.count(), born);
                });
            }
        }
    }
    deliver(&message, out);
}

/// A family that the `prometheus` crate keeps: counters, gauges and histograms, no others are made here.
fn registered(family: &MetricFamily, out: &mut Vec<u8>) {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => Kind::Counter,
        MetricType::GAUGE => Kind::Gauge,
        MetricType::HISTOGRAM => Kind::Histogram,
        _ => return,
    };
    if family.get_metric().is_empty() {
        return;
    }
    let mut message = head(family.name(), kind, family.help());
    for metric in family.get_metric() {
        message.message(field::FAMILY_METRIC, |out| {
            for label in metric.get_label() {
                out.label(label.name(), label.value());
            }
            match kind {
                Kind::Counter => out.counter(metric.get_counter().get_value(), None),
                Kind::Gauge => out.gauge(metric.get_gauge().get_value()),
                Kind::Histogram => {
                    let value = metric.get_histogram();
                    let buckets = value.get_bucket().iter();
                    let buckets = buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
                    let (sum, count) = (value.get_sample_sum(), value.get_sample_count());
                    out.histogram(buckets.filter(|(bound, _)| bound.is_finite()), sum, count, None);
                }
            }
        });
    }
    deliver(&message, out);
}

fn head(name: &str, kind: Kind, help: &str) -> Message {
    let mut message = Message::default();
    message.bytes(field::FAMILY_NAME, name.as_bytes());
    message.bytes(field::FAMILY_HELP, help.as_bytes());
    let kind_number = match kind {
        Kind::Counter => 0,
        Kind::Gauge => 1,
        Kind::Histogram => 4,
    };
    message.number(field::FAMILY_TYPE, kind_number);
    if let Some(unit) = unit(name.strip_suffix("_total").unwrap_or(name)) {
        message.bytes(field::FAMILY_UNIT, unit.as_bytes());
    }
    message
}

/// Appends a message after its length.
fn deliver(message: &Message, out: &mut Vec<u8>) {
    varint(message.bytes.len() as u64, out);
    out.extend_from_slice(&message.bytes);
}

/// How long a field of so many bytes is, with its key of one byte and its length.
fn length(bytes: usize) -> u64 {
    let bytes = bytes as u64;
    1 + u64::from((64 - (bytes | 1).leading_zeros()).div_ceil(7)) + bytes
}

/// Appends a number in groups of seven bits, the lowest first.
#[expect(clippy::cast_possible_truncation, reason = "the lowest seven bits are what is wanted")]
fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
