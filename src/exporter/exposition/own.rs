//! The exporter's own metrics: what it read, what it could not use, what it holds. Built from a published state, so
//! that they tell of the same moment as the counts beside them.
//!
//! What only the serving side knows (scrapes, refusals) is registered by [`crate::serve`].

use journal_schema::Reason;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::checkpoint::Origin;
use crate::checkpoint::writer::Written;
use crate::count::EVENT_KINDS;
use crate::follow::Skip;
use crate::metrics::catalogue::FamilyId;
use crate::metrics::seconds;
use crate::publish::Snapshot;

/// What the names of families about the exporter begin with.
pub(super) const PREFIX: &str = "etcha_exporter_";

/// Labels of the lines that were counted, in the order of [`crate::follow::Tally::events`].
const EVENTS: [&str; EVENT_KINDS] = ["command", "source", "shell", "engine", "run", "heartbeat", "refused"];

/// All own families of this moment, in the order of their names.
pub(crate) fn families(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let mut families = [journal(snapshot), memory(snapshot), checkpoint(snapshot), agent(snapshot)].concat();
    if snapshot.caught_up {
        // Before that they may be lower than they were shown before a crash, which would pass for a reset.
        families.extend([lines(snapshot), journal_totals(snapshot), series(snapshot)].concat());
    }
    families.retain(|family| !family.get_metric().is_empty());
    families.sort_by(|a, b| a.name().cmp(b.name()));
    families
}

fn lines(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let tally = &snapshot.tally;
    let rejected = Reason::ALL.iter().map(|reason| (reason.as_str(), tally.rejected[*reason as usize]));
    vec![
        counters(
            "etcha_exporter_events_total",
            "Total number of events counted.",
            "event",
            EVENTS.into_iter().zip(tally.events),
        ),
        counters(
            "etcha_exporter_lines_rejected_total",
            "Total number of lines that could not be used, by reason.",
            "reason",
            rejected,
        ),
        counter(
            "etcha_exporter_lines_duplicate_total",
            "Total number of lines ignored because they were counted before.",
            tally.duplicates,
        ),
        gauge(
            "etcha_exporter_lines_missing",
            "Number of lines that writers numbered and that were never seen.",
            approximate(snapshot.journal.missing),
        ),
        counter(
            "etcha_exporter_read_bytes_total",
            "Total number of bytes read from the journal.",
            tally.bytes,
        ),
        gauge(
            "etcha_exporter_last_event_timestamp_seconds",
            "Time of the last event counted, heartbeats left out, by the clock of its writer.",
            seconds(tally.last_event),
        ),
    ]
}

fn journal(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let journal = &snapshot.journal;
    let oldest = journal.oldest_event.map(|oldest| {
        gauge(
            "etcha_exporter_journal_oldest_event_timestamp_seconds",
            "Time of the oldest event that is still in the journal, by the first line of each file.",
            seconds(oldest),
        )
    });
    let mut families = vec![
        gauge(
            "etcha_exporter_journal_readable",
            "Whether the journal could be read at the last attempt, or does not exist yet.",
            flag(journal.trouble.is_none()),
        ),
        gauge(
            "etcha_exporter_journal_behind_bytes",
            "Number of bytes in the journal that have not been read yet.",
            whole(journal.behind),
        ),
        gauge(
            "etcha_exporter_journal_segments",
            "Number of files that belong to the journal.",
            whole(journal.files as u64),
        ),
        gauge(
            "etcha_exporter_journal_segments_unreadable",
            "Number of segments that could not be read to their end at the last attempt.",
            whole(journal.unreadable as u64),
        ),
        labelled(
            "etcha_exporter_journal_files_skipped",
            "Number of files beside the journal that are not read to their end, by reason.",
            MetricType::GAUGE,
            "reason",
            Skip::ALL.into_iter().map(|skip| (skip.as_str(), journal.skipped[skip as usize] as u64)),
        ),
        gauge(
            "etcha_exporter_journal_watched",
            "Whether file system notifications are in use. With 0, changes are found by polling alone.",
            flag(snapshot.watching),
        ),
        gauge(
            "etcha_exporter_last_look_timestamp_seconds",
            "Time of the last look at the journal.",
            seconds(snapshot.looked),
        ),
        gauge(
            "etcha_exporter_caught_up",
            "Whether the journal has been read to the end that it had at start.",
            flag(snapshot.caught_up),
        ),
    ];
    families.extend(oldest);
    families
}

fn journal_totals(snapshot: &Snapshot) -> Vec<MetricFamily> {
    vec![
        counter(
            "etcha_exporter_journal_rotations_total",
            "Total number of rotations of the active file.",
            snapshot.tally.rotations,
        ),
        counter(
            "etcha_exporter_journal_rewinds_total",
            "Total number of segments read again because their content was replaced.",
            snapshot.journal.rewinds,
        ),
        counter(
            "etcha_exporter_journal_segments_lost_total",
            "Total number of active segments that disappeared: gone from the path and not found beside it.",
            snapshot.tally.lost,
        ),
        counter(
            "etcha_exporter_writers_forgotten_total",
            "Total number of writers forgotten because of the limit.",
            snapshot.journal.writers_forgotten,
        ),
    ]
}

fn series(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let all = || FamilyId::GUIDE.into_iter().chain(FamilyId::FURTHER).map(|id| snapshot.tables.family(id));
    vec![
        labelled(
            "etcha_exporter_series",
            "Number of series held, by family.",
            MetricType::GAUGE,
            "family",
            all().map(|(desc, values)| (desc.name, values.len() as u64)),
        ),
        counters(
            "etcha_exporter_series_overflow_total",
            "Total number of events counted in the overflow series of a full family.",
            "family",
            all().map(|(desc, values)| (desc.name, values.overflowed())),
        ),
        counter(
            "etcha_exporter_labels_shortened_total",
            "Total number of label values longer than the limit.",
            snapshot.tables.oddities.labels_shortened,
        ),
        counters(
            "etcha_exporter_shell_oddities_total",
            "Total number of shells opened twice, or closed without being open.",
            "kind",
            [
                ("opened_twice", snapshot.tables.oddities.shells_reopened),
                ("closed_unopened", snapshot.tables.oddities.shells_unopened),
            ],
        ),
    ]
}

/// What is remembered of the journal, beside its limit.
fn memory(snapshot: &Snapshot) -> Vec<MetricFamily> {
    vec![
        gauge(
            "etcha_exporter_writers",
            "Number of writers remembered.",
            whole(snapshot.journal.writers as u64),
        ),
        gauge(
            "etcha_exporter_writers_limit",
            "Number of writers that can be remembered.",
            whole(snapshot.journal.max_writers as u64),
        ),
        gauge(
            "etcha_exporter_segments_remembered",
            "Number of segments remembered, including deleted ones.",
            whole(snapshot.journal.segments as u64),
        ),
        gauge(
            "etcha_exporter_segments_limit",
            "Number of segments that can be remembered.",
            whole(snapshot.journal.max_segments as u64),
        ),
    ]
}

fn checkpoint(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let Written { at, bytes, seconds, failures } = &snapshot.checkpoint;
    let origins = [("current", Some(Origin::Current)), ("previous", Some(Origin::Previous)), ("none", None)];
    vec![
        gauge(
            "etcha_exporter_checkpoint_timestamp_seconds",
            "Time of the last checkpoint written by this process, 0 before the first.",
            *at,
        ),
        gauge("etcha_exporter_checkpoint_bytes", "Size of the last checkpoint.", whole(*bytes)),
        gauge(
            "etcha_exporter_checkpoint_write_seconds",
            "Time taken to encode and write the last checkpoint.",
            *seconds,
        ),
        counter(
            "etcha_exporter_checkpoint_failures_total",
            "Total number of checkpoints that could not be written.",
            *failures,
        ),
        labelled(
            "etcha_exporter_checkpoint_restored",
            "Which checkpoint this process started from: \"current\", \"previous\" or \"none\". The value is 1 for that one.",
            MetricType::GAUGE,
            "origin",
            origins.map(|(name, origin)| (name, u64::from(snapshot.restored == origin))),
        ),
    ]
}

fn build_info() -> MetricFamily {
    let labels = [
        ("compiler", env!("ETCHA_COMPILER")),
        ("revision", env!("ETCHA_REVISION")),
        ("target", env!("ETCHA_TARGET")),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    let labels = labels.map(|(name, value)| {
        let mut label = LabelPair::default();
        label.set_name(name.to_owned());
        label.set_value(value.to_owned());
        label
    });
    let mut metric = Metric::default();
    metric.set_label(labels.to_vec());
    metric.set_gauge(one());
    let mut info = MetricFamily::default();
    info.set_name("etcha_exporter_build_info".to_owned());
    info.set_help(
        "Version of the exporter, with its revision, target and compiler. The value is always 1.".to_owned(),
    );
    info.set_field_type(MetricType::GAUGE);
    info.set_metric(vec![metric]);
    info
}

fn one() -> Gauge {
    let mut gauge = Gauge::default();
    gauge.set_value(1.0);
    gauge
}

fn agent(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let mut families = vec![build_info()];
    let (engine, Some(up)) = (&snapshot.tables.engine, snapshot.agent_up) else { return families };
    families.extend([
        gauge(
            "etcha_engine_up",
            "Whether the agent is running, by its own lines and, on this host, by its process.",
            flag(up),
        ),
        gauge(
            "etcha_engine_start_time_seconds",
            "Time of the last start of the agent, by its own clock.",
            seconds(engine.start),
        ),
        counter("etcha_engine_starts_total", "Total number of starts of the agent.", engine.starts),
        labelled(
            "etcha_engine_info",
            "Version of the agent. The value is always 1.",
            MetricType::GAUGE,
            "version",
            [(engine.version.as_str(), 1)],
        ),
    ]);
    families.extend(engine.heartbeat.map(|heartbeat| {
        gauge(
            "etcha_engine_heartbeat_timestamp_seconds",
            "Time of the agent's last heartbeat, by its own clock. Absent if it writes none.",
            seconds(heartbeat),
        )
    }));
    families
}

/// Makes what the `prometheus` crate collects about this process what client_golang collects: it leaves one family out, and
/// knows processor time in whole seconds only.
pub(crate) fn complete_process(families: &mut Vec<MetricFamily>) {
    families.extend(memory_limit());
    let cpu = families.iter_mut().find(|family| family.name() == "process_cpu_seconds_total");
    let counter = cpu.and_then(|family| family.mut_metric().first_mut());
    if let (Some(counter), Some(seconds)) = (counter, cpu_seconds()) {
        let mut value = Counter::default();
        value.set_value(seconds);
        counter.set_counter(value);
    }
}

/// Processor time that this process has used, in seconds, as exactly as the kernel tells: in ticks.
fn cpu_seconds() -> Option<f64> {
    let stat = procfs::process::Process::myself().ok()?.stat().ok()?;
    Some(whole(stat.utime + stat.stime) / whole(procfs::ticks_per_second()))
}

fn memory_limit() -> Option<MetricFamily> {
    let limit = procfs::process::Process::myself().ok()?.limits().ok()?.max_address_space.soft_limit;
    // client_golang's value for no limit is the largest number of the kernel.
    let bytes = match limit {
        procfs::process::LimitValue::Unlimited => u64::MAX,
        procfs::process::LimitValue::Value(bytes) => bytes,
    };
    let help = "Largest size of virtual memory that the process may have, in bytes.";
    Some(gauge("process_virtual_memory_max_bytes", help, whole(bytes)))
}

fn flag(set: bool) -> f64 {
    f64::from(u8::from(set))
}

/// Counts of this size are exact up to 2^53; beyond it a sample could not hold them anyway.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(crate) fn whole(count: u64) -> f64 {
    count as f64
}

/// The same of what may be larger than 64 bits count, and is then not exact.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn approximate(count: u128) -> f64 {
    count as f64
}

pub(crate) fn gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    let mut metric = Metric::default();
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    metric.set_gauge(gauge);
    family(name, help, MetricType::GAUGE, vec![metric])
}

fn counter(name: &str, help: &str, value: u64) -> MetricFamily {
    family(name, help, MetricType::COUNTER, vec![sample(MetricType::COUNTER, None, value)])
}

pub(crate) fn counters<'v>(
    name: &str,
    help: &str,
    label: &str,
    values: impl IntoIterator<Item = (&'v str, u64)>,
) -> MetricFamily {
    labelled(name, help, MetricType::COUNTER, label, values)
}

fn labelled<'v>(
    name: &str,
    help: &str,
    kind: MetricType,
    label: &str,
    values: impl IntoIterator<Item = (&'v str, u64)>,
) -> MetricFamily {
    let metrics =
        values.into_iter().map(|(value, count)| sample(kind, Some((label, value)), count)).collect();
    family(name, help, kind, metrics)
}

fn sample(kind: MetricType, label: Option<(&str, &str)>, value: u64) -> Metric {
    let mut metric = Metric::default();
    if let Some((name, value)) = label {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        metric.set_label(vec![pair]);
    }
    if kind == MetricType::GAUGE {
        let mut gauge = Gauge::default();
        gauge.set_value(whole(value));
        metric.set_gauge(gauge);
    } else {
        let mut counter = Counter::default();
        counter.set_value(whole(value));
        metric.set_counter(counter);
    }
    metric
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::{Duration, Instant};

    use prometheus::core::Collector as _;
    use prometheus::process_collector::ProcessCollector;

    use super::*;

    #[test]
    fn processor_time_has_fractions_of_a_second_and_stays_a_counter() {
        let collector = ProcessCollector::for_self();
        let started = Instant::now();
        let mut last = 0.0;
        // The time of this very process grows while it waits for a fraction.
        loop {
            let mut families = collector.collect();
            complete_process(&mut families);
            let cpu = families.iter().find(|it| it.name() == "process_cpu_seconds_total").unwrap();
            assert_eq!(cpu.get_field_type(), MetricType::COUNTER);
            let value = cpu.get_metric()[0].get_counter().get_value();
            assert!(value >= last, "{value} after {last}");
            last = value;
            if value.fract() > 0.0 {
                break;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "no fraction in {value}");
        }
    }
}
