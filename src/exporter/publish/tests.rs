//! What is published between a restart and the end of the backlog: nothing that would fall, and nothing of the agent.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::publisher::Publisher;
use super::systemd::Supervisor;
use super::{Published, Snapshot};
use crate::checkpoint::Origin;
use crate::checkpoint::store::StateDir;
use crate::checkpoint::writer::Checkpointer;
use crate::exposition::{self, Format};
use crate::follow::tail::Moment;
use crate::follow::{Bounds, Follower, Go};
use crate::metrics::catalogue::FamilyId;
use crate::metrics::{Limits, Metrics};

/// The page of all metrics. Its first table has what is counted from the journal.
const METRICS: &str = include_str!("../../../docs/metrics.md");

/// Commands of a backlog that takes several batches to read.
const BACKLOG: u64 = 5_000;

/// Families of the table under this heading.
fn families_under(heading: &str) -> Vec<&'static str> {
    let (_, section) = METRICS.split_once(heading).unwrap();
    let section = section.split("\n## ").next().unwrap();
    section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

fn line(seq: u64, event: &str) -> String {
    format!(r#"{{"v":1,"writer":"w","seq":{seq},"time":"2026-01-01T00:00:01.000Z","event":{event}}}"#) + "\n"
}

/// Lines that give a sample to each family that is counted from the journal.
fn first_lines() -> String {
    let events = [
        r#""engine","state":"started","version":"1""#,
        r#""engine","state":"started","version":"1""#,
        r#""command","id":"c","mode":"check","error":false,"source":"s""#,
        r#""shell","name":"s","session":"1","state":"opened""#,
        r#""shell","name":"s","session":"1","state":"closed""#,
        r#""source","name":"s","trigger":"pull","error":false,"duration_seconds":1,"changed":1,"removed":0"#,
        r#""comet""#,
        r#""run","name":"s","trigger":"pull","run":"1","state":"started""#,
        r#""refused","action":"push","reason":"signature""#,
        r#""heartbeat""#,
    ];
    (1..).zip(events).map(|(seq, event)| line(seq, event)).collect()
}

/// A follower on this journal, and its publisher.
fn rig(journal: &Path, before: Option<&Follower>) -> (Follower, Publisher, Published) {
    let published = Published::default();
    let state =
        StateDir::open(&journal.with_file_name(if before.is_some() { "again" } else { "first" })).unwrap();
    let checkpointer = Arc::new(Checkpointer::start(state, Duration::from_secs(3600)).unwrap());
    let origin = before.map(|_| Origin::Current);
    let publisher = Publisher::new(published.clone(), checkpointer, origin, Supervisor::of_process());
    let follower = match before {
        Some(before) => restored(journal, before),
        None => Follower::new(journal, Metrics::new(Limits::default()), Bounds::default()),
    };
    (follower, publisher, published)
}

/// A follower that goes on from what another one would write to a checkpoint now.
fn restored(journal: &Path, before: &Follower) -> Follower {
    let metrics = Metrics::restore(before.metrics().record(), Limits::default()).unwrap();
    Follower::restore(journal, metrics, before.record(), Bounds::default())
}

fn text(snapshot: &Snapshot) -> String {
    let mut out = Vec::new();
    exposition::render(snapshot, &[], Format::Text, &mut out);
    String::from_utf8(out).unwrap()
}

/// Counters of this exposition that go on over restarts, each series with its value.
fn counters(text: &str) -> BTreeMap<&str, f64> {
    let is_counter = |series: &str| {
        let name = series.split(['{', ' ']).next().unwrap();
        text.contains(&format!("# TYPE {name} counter\n")) && name.starts_with("etcha_")
    };
    let samples =
        text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap());
    samples
        .filter(|(series, _)| is_counter(series))
        .map(|(name, value)| (name, value.parse().unwrap()))
        .collect()
}

fn has(text: &str, family: &str) -> bool {
    text.contains(&format!("# TYPE {family} "))
}

#[test]
fn nothing_that_would_fall_is_shown_between_a_restart_and_the_end_of_the_backlog() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal.jsonl");
    let mut content = first_lines();
    std::fs::write(&journal, &content).unwrap();
    let (mut follower, mut publisher, published) = rig(&journal, None);
    follower.round(&mut |_| Go::On);
    let record = restored(&journal, &follower);
    let caught_up = Moment { caught_up: true, ..Moment::FIRST };
    // What a process that was killed had shown last: more than its checkpoint has.
    for seq in 11..BACKLOG {
        content += &line(seq, r#""command","id":"c","mode":"check","error":false,"source":"s""#);
    }
    writeln!(content, "no line").unwrap();
    content += &line(BACKLOG, r#""engine","state":"started","version":"2""#);
    content += &line(BACKLOG + 1, r#""heartbeat""#);
    content += &line(BACKLOG + 2, r#""run","name":"s","trigger":"pull","run":"2","state":"started""#);
    std::fs::write(&journal, &content).unwrap();
    follower.round(&mut |_| Go::On);
    publisher.show(&follower, caught_up);
    let shown = text(&published.latest());
    let counted = families_under("\n## From the journal\n");
    for family in FamilyId::all() {
        assert!(counted.iter().any(|counted| *counted == family.desc().name), "{counted:?}");
    }
    counted.iter().for_each(|family| assert!(has(&shown, family), "{family} in {shown}"));

    let (mut again, mut publisher, published) = rig(&journal, Some(&record));
    publisher.show(&again, Moment::FIRST);
    let mut moments = vec![text(&published.latest())];
    again.round(&mut |follower| {
        publisher.show(follower, Moment { within_round: true, ..Moment::FIRST });
        moments.push(text(&published.latest()));
        Go::On
    });
    assert!(moments.len() > 4, "{} moments", moments.len());
    let before = counters(&shown);
    for moment in &moments {
        assert!(moment.contains("\netcha_exporter_caught_up 0\n"), "{moment}");
        counted.iter().for_each(|family| assert!(!has(moment, family), "{family} in {moment}"));
        for (series, value) in counters(moment) {
            assert!(before.get(series).is_none_or(|before| *before <= value), "{series} falls to {value}");
        }
    }
    publisher.show(&again, caught_up);
    let after = text(&published.latest());
    let after = counters(&after);
    assert!(before.len() > 30, "{before:?}");
    assert!((after["etcha_engine_starts_total"] - 3.0).abs() < 0.5, "{after:?}");
    for (series, value) in &before {
        assert!(
            after.get(series).is_some_and(|after| after >= value),
            "{series} is lost or fell from {value}"
        );
    }
}
