//! The formats made of lines: Prometheus' text format 0.0.4 and OpenMetrics 1.0.
//!
//! OpenMetrics differs in three things: a counter's family has no `_total` in its name, a family says its unit, and
//! the end is marked. It has no `_created` samples, which most servers store as series, a third more: protobuf alone
//! says when a series was born.

use std::io::Write as _;

use prometheus::proto::{Metric, MetricFamily, MetricType};

use crate::metrics::catalogue::{Desc, FamilyId, Kind};
use crate::metrics::labels::push_label;
use crate::metrics::{ABSENT, Histogram, Table, Tables, Values, seconds};

/// Units that the name of a family may end in.
const UNITS: [&str; 2] = ["bytes", "seconds"];

/// Which format the lines are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Text,
    OpenMetrics,
}

/// Appends lines. Writing to memory cannot fail, so its results are passed over throughout.
pub(super) struct Lines<'o> {
    dialect: Dialect,
    out: &'o mut Vec<u8>,
    /// Label text in the making; kept for its capacity.
    labels: String,
}

impl<'o> Lines<'o> {
    pub(super) fn new(dialect: Dialect, out: &'o mut Vec<u8>) -> Self {
        Self { dialect, out, labels: String::new() }
    }

    /// Everything, with what ends an exposition.
    pub(super) fn all<'f>(mut self, tables: &Tables, rest: impl IntoIterator<Item = &'f MetricFamily>) {
        self.tables(tables, &FamilyId::GUIDE);
        self.tables(tables, &FamilyId::FURTHER);
        for family in rest {
            self.registered(family);
        }
        if self.dialect == Dialect::OpenMetrics {
            self.out.extend_from_slice(b"# EOF\n");
        }
    }

    /// Families counted from the journal; one without series is left out.
    pub(super) fn tables(&mut self, tables: &Tables, families: &[FamilyId]) {
        for &family in families {
            let (desc, values) = tables.family(family);
            if values.is_hidden() {
                continue;
            }
            self.head(desc.name, desc.kind.as_str(), desc.help);
            match values {
                Values::Whole(table) => self.whole(desc, table),
                Values::Milliseconds(table) => {
                    let sorted = table.sorted();
                    for &series in sorted.iter().filter(|series| *table.value(**series) != ABSENT) {
                        self.sample(desc.name, "", table.text(series));
                        self.value(seconds(*table.value(series)));
                    }
                }
                Values::Histograms(table, bounds) => {
                    for &series in table.sorted().iter() {
                        self.counted_histogram(desc.name, table, series, bounds);
                    }
                }
            }
        }
    }

    fn whole(&mut self, desc: &Desc, table: &Table<u64>) {
        for &series in table.sorted().iter() {
            self.sample(desc.name, "", table.text(series));
            self.whole_number(*table.value(series));
        }
    }

    fn counted_histogram(&mut self, name: &str, table: &Table<Histogram>, series: u32, bounds: &[f64]) {
        let (text, value) = (table.text(series), table.value(series));
        self.histogram(name, text, value.cumulative(bounds), value.sum(), value.count());
    }

    /// A family that the `prometheus` crate keeps: counters, gauges and histograms, no others are made here.
    fn registered(&mut self, family: &MetricFamily) {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => Kind::Counter,
            MetricType::GAUGE => Kind::Gauge,
            MetricType::HISTOGRAM => Kind::Histogram,
            _ => return,
        };
        if family.get_metric().is_empty() {
            return;
        }
        let name = family.name();
        self.head(name, kind.as_str(), family.help());
        for metric in family.get_metric() {
            let mut text = std::mem::take(&mut self.labels);
            label_text(metric, &mut text);
            match kind {
                Kind::Counter => {
                    self.sample(name, "", &text);
                    self.value(metric.get_counter().get_value());
                }
                Kind::Gauge => {
                    self.sample(name, "", &text);
                    self.value(metric.get_gauge().get_value());
                }
                Kind::Histogram => {
                    let value = metric.get_histogram();
                    let buckets = value.get_bucket().iter();
                    let buckets = buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
                    let (sum, count) = (value.get_sample_sum(), value.get_sample_count());
                    self.histogram(name, &text, buckets, sum, count);
                }
            }
            self.labels = text;
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let name = self.family_name(name, kind == Kind::Counter.as_str());
        let _ = write!(self.out, "# HELP {name} ");
        for char in help.chars() {
            let _ = match char {
                '\\' => self.out.write_all(b"\\\\"),
                '\n' => self.out.write_all(b"\\n"),
                '"' if self.dialect == Dialect::OpenMetrics => self.out.write_all(b"\\\""),
                other => write!(self.out, "{other}"),
            };
        }
        let _ = writeln!(self.out, "\n# TYPE {name} {kind}");
        if self.dialect == Dialect::OpenMetrics
            && let Some(unit) = unit(name)
        {
            let _ = writeln!(self.out, "# UNIT {name} {unit}");
        }
    }

    /// What a family is called in the lines about it.
    fn family_name<'n>(&self, name: &'n str, counter: bool) -> &'n str {
        match self.dialect {
            Dialect::OpenMetrics if counter => family_of_counter(name),
            Dialect::OpenMetrics | Dialect::Text => name,
        }
    }

    /// A sample up to the space before its value.
    fn sample(&mut self, name: &str, suffix: &str, labels: &str) {
        // With its value: room is asked for once a line.
        self.out.reserve(name.len() + suffix.len() + labels.len() + 32);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(suffix.as_bytes());
        if !labels.is_empty() {
            self.out.push(b'{');
            self.out.extend_from_slice(labels.as_bytes());
            self.out.push(b'}');
        }
        self.out.push(b' ');
    }

    /// What nearly all samples of a large host are: without the formatting machinery, which takes longer than the copy
    /// of the labels.
    fn whole_number(&mut self, value: u64) {
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.out.push(b'\n');
    }

    fn value(&mut self, value: f64) {
        let _ = if value.is_nan() {
            writeln!(self.out, "NaN")
        } else if value.is_infinite() {
            writeln!(self.out, "{}Inf", if value > 0.0 { '+' } else { '-' })
        } else {
            writeln!(self.out, "{value}")
        };
    }

    fn histogram(
        &mut self,
        name: &str,
        labels: &str,
        buckets: impl Iterator<Item = (f64, u64)>,
        sum: f64,
        count: u64,
    ) {
        let comma = if labels.is_empty() { "" } else { "," };
        for (bound, below) in buckets.filter(|(bound, _)| bound.is_finite()) {
            // `{:?}` writes 1 as 1.0, which is how OpenMetrics and Prometheus itself spell bounds.
            let _ = writeln!(self.out, "{name}_bucket{{{labels}{comma}le=\"{bound:?}\"}} {below}");
        }
        let _ = writeln!(self.out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}");
        self.sample(name, "_sum", labels);
        self.value(sum);
        self.sample(name, "_count", labels);
        self.whole_number(count);
    }
}

/// The name of a counter's family in OpenMetrics.
fn family_of_counter(name: &str) -> &str {
    name.strip_suffix("_total").unwrap_or(name)
}

/// The unit that a name ends in.
pub(super) fn unit(name: &str) -> Option<&'static str> {
    let (_, last) = name.rsplit_once('_')?;
    UNITS.into_iter().find(|unit| *unit == last)
}

fn label_text(metric: &Metric, out: &mut String) {
    out.clear();
    for label in metric.get_label() {
        push_label(out, label.name(), label.value());
    }
}
