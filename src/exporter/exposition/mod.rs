//! A published state as bytes for a scraper, in each format that Prometheus-compatible scrapers ask for. Knows no
//! HTTP.
//!
//! # Layout
//!
//! * `lines`: text 0.0.4 and OpenMetrics 1.0, which are mostly the same lines.
//! * `protobuf`: delimited protobuf messages.
//! * `own`: the families about the exporter itself.
//! * this file: which families there are, in which order.
//!
//! Label text was made when a series was born (see [`super::metrics`]), so the text formats mostly copy. All formats
//! carry the same series with the same values: bounds of buckets are spelled alike everywhere, so that a scraper
//! that changes its mind about the format does not see other series.

mod lines;
pub(crate) mod own;
mod protobuf;

use prometheus::proto::MetricFamily;

use self::lines::{Dialect, Lines};
use super::metrics::Tables;
use super::metrics::catalogue::FamilyId;
use crate::publish::Snapshot;

/// A format of the exposition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0; what it writes is valid as 0.0.1, too.
    OpenMetrics,
    /// `io.prometheus.client.MetricFamily` messages, each after its length.
    Protobuf,
}

/// Appends all there is in `format`: the families of the guide, the further ones, the exporter's own, its process,
/// and those in `registered`.
pub fn render(snapshot: &Snapshot, registered: &[MetricFamily], format: Format, out: &mut Vec<u8>) {
    let own = own::families(snapshot);
    write(snapshot, own.iter().chain(snapshot.process.iter()).chain(registered), format, out);
}

/// Appends what there is about the agent in `format`, and nothing about the exporter and its process.
pub(crate) fn agents(snapshot: &Snapshot, format: Format, out: &mut Vec<u8>) {
    let own = own::families(snapshot);
    write(snapshot, own.iter().filter(|family| !family.name().starts_with(own::PREFIX)), format, out);
}

fn write<'f>(
    snapshot: &Snapshot,
    rest: impl Iterator<Item = &'f MetricFamily>,
    format: Format,
    out: &mut Vec<u8>,
) {
    match format {
        Format::Text => Lines::new(Dialect::Text, out).all(&snapshot.tables, rest),
        Format::OpenMetrics => Lines::new(Dialect::OpenMetrics, out).all(&snapshot.tables, rest),
        Format::Protobuf => protobuf::all(&snapshot.tables, rest, out),
    }
}

/// Appends, as text 0.0.4, what node_exporter's textfile collector may show beside its own: all but the families
/// about a process, whose names that process has itself.
pub(crate) fn textfile(snapshot: &Snapshot, registered: &[MetricFamily], out: &mut Vec<u8>) {
    let own = own::families(snapshot);
    Lines::new(Dialect::Text, out).all(&snapshot.tables, own.iter().chain(registered));
}

/// Appends the four families of Etcha's monitoring guide, as text.
pub fn guide(tables: &Tables, out: &mut Vec<u8>) {
    Lines::new(Dialect::Text, out).tables(tables, &FamilyId::GUIDE);
}

/// Appends the further families that are counted from the journal, as text.
#[cfg(test)]
pub(crate) fn further(tables: &Tables, out: &mut Vec<u8>) {
    Lines::new(Dialect::Text, out).tables(tables, &FamilyId::FURTHER);
}

#[cfg(test)]
mod tests;
