//! A published state as text for a scraper: Prometheus' text format 0.0.4. Knows no HTTP.
//!
//! Label text was made when a series was born (see [`super::metrics`]), so this is mostly copying.

use std::io::Write as _;

use prometheus::{Encoder as _, TextEncoder, proto::MetricFamily};

use super::metrics::catalogue::{Desc, FamilyId};
use super::metrics::{Histogram, Table, Tables, Values, seconds};
use super::own;
use super::published::Snapshot;

/// Content type of [`text`].
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Appends all that `snapshot` holds: the families of the guide, the further ones, the exporter's own, its process.
pub fn text(snapshot: &Snapshot, out: &mut Vec<u8>) {
    guide(&snapshot.tables, out);
    further(&snapshot.tables, out);
    families(&own::families(snapshot), out);
    families(&snapshot.process, out);
}

/// Appends the four families of Etcha's monitoring guide.
pub fn guide(tables: &Tables, out: &mut Vec<u8>) {
    for family in FamilyId::GUIDE {
        append(tables, family, out);
    }
}

/// Appends the further families that are counted from the journal.
pub fn further(tables: &Tables, out: &mut Vec<u8>) {
    for family in FamilyId::FURTHER {
        append(tables, family, out);
    }
}

/// Appends families that the `prometheus` crate keeps.
pub fn families(families: &[MetricFamily], out: &mut Vec<u8>) {
    if let Err(error) = TextEncoder::new().encode(families, out) {
        // Only a family without metrics can do that, and there is none.
        tracing::error!(%error, "own metrics left out of a scrape");
    }
}

fn append(tables: &Tables, family: FamilyId, out: &mut Vec<u8>) {
    let (desc, values) = tables.family(family);
    if values.len() == 0 {
        return;
    }
    let Desc { name, kind, help, .. } = desc;
    // Writing to memory cannot fail, here and below.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {}", kind.as_str());
    match values {
        Values::Whole(table) => {
            samples(desc, table, out, |value, out| {
                let _ = write!(out, "{value}");
            });
        }
        Values::Milliseconds(table) => {
            samples(desc, table, out, |value, out| {
                let _ = write!(out, "{}", seconds(*value));
            });
        }
        Values::Histograms(table, bounds) => {
            for &series in table.sorted().iter() {
                histogram(desc, table.text(series), table.value(series), bounds, out);
            }
        }
    }
}

fn samples<V: Clone + Default>(
    desc: &Desc,
    table: &Table<V>,
    out: &mut Vec<u8>,
    write_value: impl Fn(&V, &mut Vec<u8>),
) {
    for &series in table.sorted().iter() {
        out.extend_from_slice(desc.name.as_bytes());
        let text = table.text(series);
        if !text.is_empty() {
            out.push(b'{');
            out.extend_from_slice(text.as_bytes());
            out.push(b'}');
        }
        out.push(b' ');
        write_value(table.value(series), out);
        out.push(b'\n');
    }
}

fn histogram(desc: &Desc, text: &str, value: &Histogram, bounds: &[f64], out: &mut Vec<u8>) {
    let (name, count) = (desc.name, value.count());
    for (bound, below) in value.cumulative(bounds) {
        let _ = writeln!(out, "{name}_bucket{{{text},le=\"{bound}\"}} {below}");
    }
    let _ = writeln!(out, "{name}_bucket{{{text},le=\"+Inf\"}} {count}");
    let _ = writeln!(out, "{name}_sum{{{text}}} {}\n{name}_count{{{text}}} {count}", value.sum());
}
