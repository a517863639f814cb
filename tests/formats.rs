//! The formats of the exposition, read back by others: Prometheus itself for all three, the OpenMetrics parser of
//! Prometheus' Python client for that one. Whatever the format, the same series have the same values.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::harness::{
    exporter::{Exporter, Home, SCRAPE},
    exposition::{Exposition, Samples, Series},
    http::Response,
    program,
    prometheus::{Prometheus, Target},
    recording::Recording,
    stub::Stub,
    wait::{SOON, wait_until},
};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// A recording with every odd name there is, NUL bytes among them, and one with shells and their durations.
const RECORDINGS: [&str; 2] = ["edges", "shells"];

/// The bodies of one exporter in the three formats, with their types.
fn bodies(exporter: &Exporter) -> [(&'static str, Vec<u8>); 3] {
    [TEXT, OPENMETRICS, PROTOBUF].map(|kind| {
        let response = exporter.get(SCRAPE, &[("Accept", kind)]);
        assert_eq!((response.status, response.header("content-type")), (200, Some(kind)));
        (kind, response.body)
    })
}

/// The samples of families that come from the journal alone, and so are the same in every scrape.
fn counted(samples: &Samples) -> Samples {
    let counted = |series: &&Series| {
        let name = series.name.as_str();
        name.starts_with("etcha_") && !name.starts_with("etcha_exporter_")
    };
    samples
        .iter()
        .filter(|(series, _)| counted(series))
        .map(|(series, value)| (series.clone(), *value))
        .collect()
}

/// As Prometheus stores series: an empty label is an absent one.
fn without_empty_labels(samples: &Samples) -> Samples {
    let strip = |series: &Series| {
        let mut series = series.clone();
        series.labels.retain(|_, value| !value.is_empty());
        series
    };
    samples.iter().map(|(series, value)| (strip(series), *value)).collect()
}

#[test]
fn prometheus_reads_the_same_series_and_values_out_of_every_format() {
    let Some(program) = program::find("prometheus") else { return };
    for name in RECORDINGS {
        let home = Home::new();
        home.append(Recording::load(name).journal);
        let exporter = home.start(&["--max-label-bytes", "65536"]);
        exporter.wait_until_ready();
        let bodies = bodies(&exporter);
        let text: Exposition = str::from_utf8(&bodies[0].1).unwrap().parse().unwrap();
        let expected = without_empty_labels(&counted(&text.samples));
        assert!(expected.len() > 30, "{name} has series");
        // The same bytes again and again: what differs is the format alone.
        let stubs = bodies.map(|(kind, body)| Stub::start(kind, body));
        let targets: Vec<_> = ["text", "openmetrics", "protobuf"]
            .iter()
            .zip(&stubs)
            .map(|(job, stub)| Target::plain(job, stub.address))
            .collect();
        let prometheus = Prometheus::start(&program, &targets, &["--enable-feature=native-histograms"]);
        for job in ["text", "openmetrics", "protobuf"] {
            let stored = format!("{{job=\"{job}\",__name__=~\"etcha_.*\"}}");
            let mut found = Samples::new();
            wait_until(SOON, &format!("Prometheus to hold {name} as {job}"), || {
                found = without_empty_labels(&counted(&prometheus.query(&stored).samples));
                found.len() >= expected.len()
            });
            assert!(found == expected, "{name} as {job}:\n{found:#?}\n{expected:#?}");
        }
    }
}

#[test]
fn prometheus_stores_no_creation_times_as_series_whatever_it_asks_for() {
    let Some(program) = program::find("prometheus") else { return };
    let home = Home::new();
    home.append(Recording::load("tour").journal);
    let exporter = home.start(&[]);
    exporter.wait_until_ready();
    let expected = counted(&exporter.scrape().samples).len();
    // OpenMetrics by itself; protobuf once it looks for native histograms.
    for arguments in [&[] as &[&str], &["--enable-feature=native-histograms"]] {
        let target = Target::exporter("etcha", &exporter, &home.certificate());
        let prometheus = Prometheus::start(&program, &[target], arguments);
        wait_until(SOON, "Prometheus to hold what was scraped", || {
            counted(&prometheus.query("{__name__=~\"etcha_.*\"}").samples).len() == expected
        });
        let created = prometheus.query("{__name__=~\"etcha_.*_created\"}").samples.len();
        assert_eq!(created, 0, "{arguments:?}");
    }
}

/// Where Python's `str.splitlines` and other readers that follow Unicode break a line, beside the line feed.
const LINE_BREAKS: [char; 9] =
    ['\u{b}', '\u{c}', '\r', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];

#[test]
fn a_label_that_breaks_lines_costs_no_scraper_a_line() {
    let home = Home::new();
    home.append(Recording::load("edges").journal);
    let exporter = home.start(&[]);
    exporter.wait_until_ready();
    let [(_, text), (_, openmetrics), (_, protobuf)] = bodies(&exporter);
    for body in [&text, &openmetrics, &protobuf] {
        let body = String::from_utf8_lossy(body);
        assert!(body.contains(r"fs\\u{1c}gs") || body.contains(r"fs\u{1c}gs"), "{body}");
    }
    for body in [&text, &openmetrics] {
        let body = str::from_utf8(body).unwrap();
        assert!(!body.contains(LINE_BREAKS), "{body:?}");
    }
    let text: Exposition = str::from_utf8(&text).unwrap().parse().unwrap();
    let ids: Vec<_> = text.samples.keys().filter_map(|series| series.labels.get("id")).collect();
    for id in [r"\u{d}", "cr\\u{d}lf\\u{d}\n", r"ls\u{2028}ps\u{2029}", r"nel\u{85}x", "tab\there"] {
        assert!(ids.iter().any(|found| *found == id), "{id} in {ids:?}");
    }
}

/// Prints each sample that Prometheus' own OpenMetrics parser finds as `[name, labels, value]`.
const PARSE: &str = "
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
text = sys.stdin.buffer.read().decode('utf-8')
for family in text_string_to_metric_families(text):
    for sample in family.samples:
        print(json.dumps([sample.name, sample.labels, sample.value]))
";

#[test]
fn an_openmetrics_parser_reads_the_values_of_the_text_format() {
    let Some(python) = program::find_python("prometheus_client") else { return };
    for name in RECORDINGS {
        let home = Home::new();
        home.append(Recording::load(name).journal);
        let exporter = home.start(&["--max-label-bytes", "65536"]);
        exporter.wait_until_ready();
        let [(_, text), (_, openmetrics), _] = bodies(&exporter);
        let mut command = Command::new(&python);
        command.args(["-c", PARSE]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(&openmetrics).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&openmetrics));
        let mut found = Samples::new();
        for line in str::from_utf8(&output.stdout).unwrap().lines() {
            let sample: Value = serde_json::from_str(line).unwrap();
            let labels: Vec<_> = sample[1].as_object().unwrap().iter().collect();
            let labels: Vec<_> =
                labels.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
            let series = Series::new(sample[0].as_str().unwrap(), &labels);
            found.insert(series, sample[2].as_f64().unwrap_or(f64::NAN));
        }
        let text: Exposition = str::from_utf8(&text).unwrap().parse().unwrap();
        assert_eq!(counted(&found), counted(&text.samples), "{name}");
    }
}

/// A body, decoded from whatever coding its headers name.
fn decoded(response: &Response) -> (&str, Vec<u8>) {
    use std::io::Read as _;
    let mut body = Vec::new();
    let coding = response.header("content-encoding").unwrap_or("identity");
    match coding {
        "gzip" => {
            flate2::read::GzDecoder::new(&response.body[..]).read_to_end(&mut body).unwrap();
        }
        "zstd" => body = zstd::decode_all(&response.body[..]).unwrap(),
        _ => body.clone_from(&response.body),
    }
    (coding, body)
}

#[test]
fn whatever_a_scraper_accepts_it_gets_a_right_type_and_coding() {
    let home = Home::new();
    home.append(Recording::load("shells").journal);
    let exporter = home.start(&[]);
    exporter.wait_until_ready();
    // Accept, Accept-Encoding; type and coding of the answer.
    let rows: [(Option<&str>, Option<&str>, &str, &str); 16] = [
        (None, None, TEXT, "identity"),
        (Some("*/*"), Some("identity"), TEXT, "identity"),
        (Some("text/*"), Some("gzip"), TEXT, "gzip"),
        (Some(""), Some(""), TEXT, "identity"),
        (Some("image/png"), Some("br"), TEXT, "identity"),
        (Some("application/json, */*;q=0.1"), Some("deflate, gzip;q=0.5"), TEXT, "gzip"),
        (Some("application/openmetrics-text; version=1.0.0"), Some("zstd"), OPENMETRICS, "zstd"),
        (
            Some("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"),
            None,
            OPENMETRICS,
            "identity",
        ),
        (Some("application/openmetrics-text;q=0"), Some("gzip"), TEXT, "gzip"),
        (Some("application/openmetrics-text;q=0.1, text/plain;q=0.9"), None, TEXT, "identity"),
        (Some(PROTOBUF), Some("gzip, zstd;q=0"), PROTOBUF, "gzip"),
        (Some("application/vnd.google.protobuf;proto=x;encoding=delimited"), None, TEXT, "identity"),
        (Some("text/plain;q=0"), Some("gzip;q=0"), TEXT, "identity"),
        (Some("q=0;;,"), Some(";;q=x"), TEXT, "identity"),
        (None, Some("gzip;q=0"), TEXT, "identity"),
        (None, Some("*;q=0, gzip"), TEXT, "gzip"),
    ];
    for (accept, encoding, kind, coding) in rows {
        let mut headers = Vec::new();
        headers.extend(accept.map(|accept| ("Accept", accept)));
        headers.extend(encoding.map(|encoding| ("Accept-Encoding", encoding)));
        let response = exporter.get(SCRAPE, &headers);
        let what = format!("{accept:?} {encoding:?}");
        assert_eq!(response.status, 200, "{what}");
        let (got, body) = decoded(&response);
        assert_eq!((response.header("content-type"), got), (Some(kind), coding), "{what}");
        let holds = |text: &str| body.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds("etcha_sources_shells"), "{what}");
        assert_eq!(body.ends_with(b"# EOF\n"), kind == OPENMETRICS, "{what}");
    }
}
