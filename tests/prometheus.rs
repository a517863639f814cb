//! The real Prometheus, as Debian ships it, against the exporter: with the scrape config of the guide, the
//! certificate verified, and with promtool's opinion on our output.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use crate::harness::{
    comparison::{FAMILIES, assert_same, difference},
    exporter::{Exporter, Home, SCRAPE, render},
    exposition::{Exposition, Series},
    http, program,
    prometheus::{Prometheus, Target},
    recording::Recording,
    wait::{SOON, wait_until},
};

/// What promtool may say: only what the guide's own names force. None of them does so far: the counters end in
/// `_total`, the gauges do not, and the label names are in snake case. One line per complaint, as promtool prints it.
const FORCED_BY_THE_GUIDE: &[&str] = &[];

#[test]
fn prometheus_scrapes_with_the_config_of_the_guide_and_verifies_the_certificate() {
    let Some(program) = program::find("prometheus") else { return };
    let recording = Recording::load("tour");
    let home = Home::new();
    home.append(&recording.journal);
    let exporter = home.start(&[]);
    exporter.wait_until_ready();
    let prometheus =
        Prometheus::start(&program, &[Target::exporter("etcha", &exporter, &home.certificate())], &[]);

    let mut health = String::new();
    let up = Series::new("up", &[]);
    wait_until(SOON, "Prometheus to say `up == 1`", || {
        let found = prometheus.query("up{job=\"etcha\"}").samples.get(&up) == Some(&1.0);
        if !found {
            let targets = http::get_plain(prometheus.address, "/api/v1/targets");
            health = String::from_utf8_lossy(&targets.body).into_owned();
            // A certificate that is not accepted stays so: no need to wait for the deadline.
            assert!(!health.contains("x509"), "{health}");
        }
        found
    });

    let stored = "{__name__=~\"etcha_(commands_total|sources_.*)\"}";
    let mut ours = Exposition::default();
    let said = recording.said();
    wait_until(SOON, "Prometheus to hold what was scraped", || {
        ours = prometheus.query(stored);
        difference(&recording.journal, &ours, &said).is_none() || prometheus_has_all(&ours, &exporter)
    });
    assert_same("what Prometheus stores", &recording.journal, &ours, &said);
    prometheus.process.logged("Server is ready");
}

/// Whether Prometheus holds as many series as the exporter shows: from then on waiting changes nothing.
fn prometheus_has_all(stored: &Exposition, exporter: &Exporter) -> bool {
    let of_the_guide = |series: &&Series| FAMILIES.iter().any(|(family, ..)| *family == series.name);
    let shown = exporter.scrape();
    stored.samples.keys().filter(of_the_guide).count() == shown.samples.keys().filter(of_the_guide).count()
}

/// What promtool says about `text`, line by line; panics when it cannot parse it.
fn complaints(promtool: &Path, text: &str) -> Vec<String> {
    let mut command = Command::new(promtool);
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It reads all before it writes anything, so one after the other cannot block.
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let said: Vec<String> = said.lines().map(str::to_owned).collect();
    // 3: it parses, but is not as it should be.
    assert!(matches!(output.status.code(), Some(0 | 3)), "promtool: {said:?}");
    said
}

#[test]
fn promtool_finds_nothing_to_say_about_a_scrape_beside_the_names_of_the_guide() {
    let Some(promtool) = program::find("promtool") else { return };
    let home = Home::new();
    home.append(&Recording::load("shells").journal);
    let exporter = home.start(&[]);
    exporter.wait_until_ready();
    let response = exporter.get(SCRAPE, &[]);
    for (family, ..) in FAMILIES {
        assert!(response.text().contains(&format!("\n{family}{{")), "no {family} in\n{}", response.text());
    }
    assert_eq!(complaints(&promtool, response.text()), FORCED_BY_THE_GUIDE);
}

#[test]
fn promtool_reads_what_odd_names_become() {
    let Some(promtool) = program::find("promtool") else { return };
    let text = render([Recording::load("edges").journal_file()]);
    assert_eq!(complaints(&promtool, &text), FORCED_BY_THE_GUIDE);
}
