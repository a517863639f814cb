//! The formats from literals. What other programs read out of them is tried with the built exporter.

#![allow(clippy::unwrap_used)]

use journal_schema::decode;
use prometheus::{HistogramOpts, Registry};

use super::*;
use crate::metrics::{Limits, Metrics};

/// A state with one series of each kind.
fn snapshot() -> Snapshot {
    let mut metrics = Metrics::new(Limits::default());
    for (second, event) in [
        (1, r#""event":"command","id":"a\"\\\nb\u0000","mode":"check","error":false,"source":"s""#),
        (2, r#""event":"shell","name":"s","session":"1","state":"opened""#),
        (3, r#""event":"shell","name":"s","session":"1","state":"closed""#),
    ] {
        let line = format!(
            r#"{{"v":1,"writer":"w","seq":{second},"time":"2026-01-01T00:00:0{second}.500Z",{event}}}"#
        );
        metrics.apply(&decode(line.as_bytes()).unwrap());
    }
    Snapshot { caught_up: true, tables: metrics.tables().clone(), ..Snapshot::default() }
}

fn registered() -> Vec<MetricFamily> {
    let registry = Registry::new();
    let options = HistogramOpts::new("own_seconds", "What \"it\" says.").buckets(vec![0.5, 1.0]);
    let histogram = prometheus::Histogram::with_opts(options).unwrap();
    histogram.observe(0.7);
    registry.register(Box::new(histogram)).unwrap();
    registry.gather()
}

fn rendered(format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    render(&snapshot(), &registered(), format, &mut out);
    out
}

#[test]
fn text_has_the_families_and_bounds_as_prometheus_spells_them() {
    let text = String::from_utf8(rendered(Format::Text)).unwrap();
    for part in [
        "# TYPE etcha_commands_total counter\netcha_commands_total{error=\"0\",id=\"a\\\"\\\\\\nb\0\",",
        "# TYPE etcha_shell_duration_seconds histogram\n\
         etcha_shell_duration_seconds_bucket{name=\"s\",le=\"1.0\"} 1\n",
        "etcha_shell_duration_seconds_bucket{name=\"s\",le=\"86400.0\"} 1\n\
         etcha_shell_duration_seconds_bucket{name=\"s\",le=\"+Inf\"} 1\n\
         etcha_shell_duration_seconds_sum{name=\"s\"} 1\netcha_shell_duration_seconds_count{name=\"s\"} 1\n",
        "# HELP own_seconds What \"it\" says.\n# TYPE own_seconds histogram\nown_seconds_bucket{le=\"0.5\"} 0\n\
         own_seconds_bucket{le=\"1.0\"} 1\nown_seconds_bucket{le=\"+Inf\"} 1\nown_seconds_sum 0.7\n\
         own_seconds_count 1\n",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    assert!(!text.contains("_created") && !text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
}

#[test]
fn openmetrics_names_families_without_total_and_has_no_created_samples() {
    let text = String::from_utf8(rendered(Format::OpenMetrics)).unwrap();
    for part in [
        "# TYPE etcha_commands counter\netcha_commands_total{error=\"0\",",
        "# TYPE etcha_shell_duration_seconds histogram\n# UNIT etcha_shell_duration_seconds seconds\n",
        "etcha_shell_duration_seconds_count{name=\"s\"} 1\n",
        "# TYPE etcha_exporter_read_bytes counter\n# UNIT etcha_exporter_read_bytes bytes\n\
         etcha_exporter_read_bytes_total 0\n",
        "# HELP own_seconds What \\\"it\\\" says.\n",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    assert!(!text.contains("_created"), "{text}");
    assert!(text.ends_with("own_seconds_count 1\n# EOF\n"), "{text}");
}

#[test]
fn no_two_families_meet_in_openmetrics() {
    let text = String::from_utf8(rendered(Format::OpenMetrics)).unwrap();
    let mut names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup_by_key(|line| line.split(' ').next());
    assert_eq!(names.len(), count);
}

/// The fields of a message: number, and value as a number or as bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(number(&mut bytes)),
            1 => Field::Double(f64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let length = number(&mut bytes);
                Field::Bytes(take(&mut bytes, usize::try_from(length).unwrap()))
            }
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Field<'b> {
    Number(u64),
    Double(f64),
    Bytes(&'b [u8]),
}

impl<'b> Field<'b> {
    fn bytes(self) -> &'b [u8] {
        if let Field::Bytes(bytes) = self { bytes } else { panic!("{self:?}") }
    }
}

fn number(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

/// The fields of the family called `name`.
fn family<'b>(mut bytes: &'b [u8], name: &str) -> Vec<(u64, Field<'b>)> {
    while !bytes.is_empty() {
        let length = number(&mut bytes);
        let message = fields(take(&mut bytes, usize::try_from(length).unwrap()));
        if message[0] == (1, Field::Bytes(name.as_bytes())) {
            return message;
        }
    }
    panic!("no {name}")
}

#[test]
fn protobuf_carries_names_values_and_births() {
    let bytes = rendered(Format::Protobuf);
    let commands = family(&bytes, "etcha_commands_total");
    assert_eq!(commands[2], (3, Field::Number(0)));
    let metric = fields(commands[3].1.bytes());
    let labels: Vec<_> = metric[..7].iter().map(|(_, label)| fields(label.bytes())).collect();
    assert_eq!(labels[1][0].1, Field::Bytes(b"id"));
    assert_eq!(labels[1][1].1, Field::Bytes(b"a\"\\\nb\0"));
    assert_eq!(labels[3][1].1, Field::Bytes(b""));
    let counter = fields(metric[7].1.bytes());
    assert_eq!((metric[7].0, counter[0]), (3, (1, Field::Double(1.0))));
    let born = fields(counter[1].1.bytes());
    assert_eq!(born, [(1, Field::Number(1_767_225_601)), (2, Field::Number(500_000_000))]);
    let durations = family(&bytes, "etcha_shell_duration_seconds");
    assert_eq!(durations[2..4], [(3, Field::Number(4)), (5, Field::Bytes(b"seconds"))]);
    let metric = fields(durations[4].1.bytes());
    let histogram = fields(metric[1].1.bytes());
    assert_eq!(histogram[..2], [(1, Field::Number(1)), (2, Field::Double(1.0))]);
    assert_eq!(fields(histogram[2].1.bytes()), [(1, Field::Number(1)), (2, Field::Double(1.0))]);
    assert_eq!(histogram.last().unwrap().0, 15);
    assert_eq!(family(&bytes, "own_seconds")[2], (3, Field::Number(4)));
}

#[test]
fn the_textfile_has_no_families_of_a_process() {
    let mut snapshot = snapshot();
    let mut process = MetricFamily::default();
    process.set_name("process_open_fds".to_owned());
    process.set_metric(vec![prometheus::proto::Metric::default()]);
    process.set_field_type(prometheus::proto::MetricType::GAUGE);
    snapshot.process = std::sync::Arc::new(vec![process]);
    let (mut all, mut textfile_bytes) = (Vec::new(), Vec::new());
    render(&snapshot, &[], Format::Text, &mut all);
    textfile(&snapshot, &[], &mut textfile_bytes);
    let without = String::from_utf8(all)
        .unwrap()
        .replace("# HELP process_open_fds \n# TYPE process_open_fds gauge\nprocess_open_fds 0\n", "");
    assert_eq!(without, String::from_utf8(textfile_bytes).unwrap());
}
