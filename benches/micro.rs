//! Micro-benchmarks of the hot paths, one by one: `cargo bench --bench micro`. For finding out where a change shows;
//! what is promised is measured from outside, by `make bench`.
//!
//! `cargo test --bench micro` runs each of them once, unoptimised and small, to see that it still works.

#![allow(clippy::unwrap_used)]

#[path = "workload/labels.rs"]
mod labels;

use std::path::Path;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use exporter::checkpoint::Checkpoint;
use exporter::exposition::{self, Format};
use exporter::follow::{Bounds, Follower};
use exporter::metrics::{Limits, Metrics};
use exporter::publish::Snapshot;
use jiff::Timestamp;
use journal_schema::glance::Glancer;
use journal_schema::{Envelope, Options, Sync, Writer, decode, encode};

use self::labels::{Labels, Random};

fn main() {
    divan::main();
}

/// Series of a small and of a large host; unoptimised programs are not measured, so they get less.
const SERIES: [u64; 2] = if cfg!(debug_assertions) { [10, 100] } else { [1_000, 100_000] };

/// Lines of a small journal: a few megabytes.
const LINES: u64 = if cfg!(debug_assertions) { 200 } else { 10_000 };

/// So many lines, any series next.
fn journal(lines: u64, series: u64) -> Vec<u8> {
    let (mut bytes, mut labels, mut random) = (Vec::new(), Labels::default(), Random(series));
    for seq in 1..=lines {
        let any = random.next();
        let time = Timestamp::from_millisecond(1_767_225_600_000).unwrap();
        let envelope = Envelope { writer: "6b7c1f2e9d30a485".into(), seq, time };
        encode(&envelope, &labels.event(any % series, any), &mut bytes).unwrap();
    }
    bytes
}

/// A follower that has counted each series at least once.
fn follower(series: u64) -> Follower {
    let limits = Limits { series: usize::MAX, ..Limits::default() };
    let mut follower = Follower::new(Path::new("journal.jsonl"), Metrics::new(limits), Bounds::default());
    follower.replay_stream(Path::new("-"), &mut &*journal(series * 8, series)).unwrap();
    follower
}

#[divan::bench]
fn decode_by_glance(bencher: Bencher<'_, '_>) {
    let bytes = journal(LINES, SERIES[0]);
    let mut glancer = Glancer::default();
    bencher.counter(ItemsCount::new(LINES)).bench_local(move || {
        for line in bytes.split(|byte| *byte == b'\n') {
            black_box(glancer.glance(line));
        }
    });
}

#[divan::bench]
fn decode_the_long_way(bencher: Bencher<'_, '_>) {
    let bytes = journal(LINES, SERIES[0]);
    bencher.counter(ItemsCount::new(LINES)).bench_local(|| {
        for line in bytes.split(|byte| *byte == b'\n') {
            let _ = black_box(decode(line));
        }
    });
}

#[divan::bench(args = SERIES)]
fn apply_the_long_way(bencher: Bencher<'_, '_>, series: u64) {
    let bytes = journal(LINES, series);
    let lines: Vec<_> = bytes.split(|byte| *byte == b'\n').filter_map(|line| decode(line).ok()).collect();
    let mut metrics = Metrics::new(Limits::default());
    bencher.counter(ItemsCount::new(LINES)).bench_local(|| lines.iter().for_each(|line| metrics.apply(line)));
}

/// All of it: lines, decoding, gaps and duplicates, counting.
#[divan::bench(args = SERIES)]
fn follow(bencher: Bencher<'_, '_>, series: u64) {
    let bytes = journal(LINES, series);
    bencher
        .counter(ItemsCount::new(LINES))
        .with_inputs(|| Follower::new(Path::new("j"), Metrics::new(Limits::default()), Bounds::default()))
        .bench_local_refs(|follower| follower.replay_stream(Path::new("-"), &mut &*bytes).unwrap());
}

#[divan::bench(args = SERIES)]
fn render_text(bencher: Bencher<'_, '_>, series: u64) {
    render(bencher, series, Format::Text);
}

#[divan::bench(args = SERIES)]
fn render_protobuf(bencher: Bencher<'_, '_>, series: u64) {
    render(bencher, series, Format::Protobuf);
}

fn render(bencher: Bencher<'_, '_>, series: u64, format: Format) {
    let tables = follower(series).metrics().tables().clone();
    let snapshot = Snapshot { caught_up: true, tables, ..Snapshot::default() };
    let mut out = Vec::new();
    exposition::render(&snapshot, &[], format, &mut out);
    bencher.counter(BytesCount::new(out.len())).bench_local(move || {
        out.clear();
        exposition::render(&snapshot, &[], format, &mut out);
        black_box(out.len())
    });
}

/// What the follower does to show its tables to whoever scrapes.
#[divan::bench(args = SERIES)]
fn publish(bencher: Bencher<'_, '_>, series: u64) {
    let follower = follower(series);
    bencher.bench_local(|| follower.metrics().tables().clone());
}

#[divan::bench(args = SERIES)]
fn checkpoint_encode(bencher: Bencher<'_, '_>, series: u64) {
    let follower = follower(series);
    let (metrics, follow) = (follower.metrics().record(), follower.record());
    let checkpoint = Checkpoint { journal: "journal.jsonl".into(), taken: 0, metrics, follow };
    bencher.bench_local(|| checkpoint.encode());
}

/// With its `write(2)`.
#[divan::bench]
fn append(bencher: Bencher<'_, '_>) {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: 0, sync: Sync::Never, ..Options::default() };
    let mut writer = Writer::open(directory.path().join("journal.jsonl"), options).unwrap();
    let mut labels = Labels::default();
    bencher.bench_local(move || writer.append(&labels.event(7, 7)).unwrap());
}

#[divan::bench]
fn append_encode(bencher: Bencher<'_, '_>) {
    let (mut labels, mut line) = (Labels::default(), Vec::new());
    let envelope = Envelope { writer: "6b7c1f2e9d30a485".into(), seq: 1, time: Timestamp::UNIX_EPOCH };
    bencher.bench_local(move || {
        line.clear();
        encode(&envelope, &labels.event(7, 7), &mut line).unwrap();
        black_box(line.len())
    });
}
