//! The short way leads where the long one does: the same journal twice, once as it is and once with a space behind the first
//! brace of each line, which no glance takes and every parser ignores.

use std::path::Path;

use journal_schema::Splitter;
use proptest::prelude::*;

use super::*;
use crate::metrics::Limits;
use crate::metrics::labels::LabelLimit;

/// All that is known after a journal was counted in two batches, parted anywhere.
fn counted(journal: &[u8], cut: usize, limits: Limits) -> (Vec<u8>, CounterRecord) {
    let mut counter = Counter::restore(Metrics::new(limits), CounterRecord::default(), 65_536, 100);
    let (mut splitter, source) = (Splitter::default(), Source { path: Path::new("j"), told: 0 });
    let cut = cut.min(journal.len());
    let used = counter.count(&journal[..cut], 0, &mut splitter, source).used;
    counter.count(&journal[used..], used as u64, &mut splitter, source);
    let mut record = counter.record();
    record.tally.bytes = 0;
    (postcard::to_stdvec(&counter.metrics().record()).unwrap(), record)
}

fn the_long_way(journal: &[u8]) -> Vec<u8> {
    let mut spaced = Vec::new();
    for line in journal.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_prefix(b"{") {
            Some(rest) => spaced.extend([b"{ ", rest].concat()),
            None => spaced.extend(line),
        }
    }
    spaced
}

/// Any of these, or nothing.
fn perhaps(texts: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(""), prop::sample::select(texts)]
}

const LONG: &str = "a name that is so long that a limit of sixty-four bytes makes it shorter, for sure";

fn command() -> impl Strategy<Value = String> {
    let id =
        prop_oneof![prop::sample::select(&["a", "b", r#"\"c\""#, r"\u0061", LONG][..]), Just("\u{2028}")];
    (
        id,
        prop::sample::select(&["check", "change", "changed", "remove", "none"][..]),
        any::<bool>(),
        perhaps(&[r#","parent_id":"s > g""#, r#","parent_id":"""#]),
        perhaps(&[r#","public_key":"k","remote_addr":"::1""#, r#","remote_addr":"127.0.0.1:80""#, r#","x":1"#]),
        perhaps(&[r#","duration_seconds":0.25"#, r#","duration_seconds":-1"#, r#","changed":1"#]),
    )
        .prop_map(|(id, mode, error, parent, key, end)| {
            format!(r#""event":"command","id":"{id}","mode":"{mode}","error":{error}{parent},"source":"s"{key}{end}"#)
        })
}

fn run() -> impl Strategy<Value = String> {
    (
        prop::sample::select(&["s", "t", r"\u0073", LONG][..]),
        prop::sample::select(&["pull", "push", "init", "cron"][..]),
        prop::sample::select(&["true", "false", r#"true,"outcome":"unknown""#][..]),
        perhaps(&[r#","public_key":"k","remote_addr":"::1""#, r#","changed":2"#]),
        perhaps(&[r#","token_id":"1","digest":"00""#, r#","subject":"\"""#]),
        perhaps(&[r#","changed":0"#, r#","changed":3"#, r#","changed":1.5"#, r#","changed":1e1"#]),
        perhaps(&[r#","removed":0"#, r#","removed":1"#]),
        perhaps(&[r#","duration_seconds":0.3"#, r#","duration_seconds":12"#, r#","duration_seconds":1e999"#]),
    )
        .prop_map(|(name, trigger, error, key, token, changed, removed, duration)| {
            format!(
                r#""event":"source","name":"{name}","trigger":"{trigger}","error":{error}{key}{token}{changed}{removed}{duration}"#
            )
        })
}

fn other() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        r#""event":"engine","state":"started""#.to_owned(),
        r#""event":"shell","name":"s","session":"1","state":"opened""#.to_owned(),
        r#""event":"shell","name":"s","session":"1","state":"closed""#.to_owned(),
        r#""event":"heartbeat""#.to_owned(),
        r#""event":"later""#.to_owned(),
    ])
}

/// Lines of a few writers, in any order of their numbers and times, and some with a byte in the wrong place.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let event = prop_oneof![4 => command(), 4 => run(), 1 => other()];
    let damage = prop::option::weighted(0.1, (any::<prop::sample::Index>(), any::<u8>()));
    (prop::sample::select(&["a", "b", "c"][..]), 1u64..60, 0u32..40, perhaps(&["1", "123456"]), event, damage)
        .prop_map(|(writer, seq, second, finer, event, damage)| {
            let time = format!("2026-01-01T00:00:{second:02}.000{finer}Z");
            let line = format!(r#"{{"v":1,"writer":"{writer}","seq":{seq},"time":"{time}",{event}}}"#);
            let mut line = line.into_bytes();
            if let Some((at, byte)) = damage {
                let at = at.index(line.len());
                line[at] = byte;
            }
            line.push(b'\n');
            line
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 500, ..Default::default() })]

    #[test]
    fn a_journal_counts_the_same_whichever_way_its_lines_go(
        lines in prop::collection::vec(line(), 0..120),
        cut in any::<prop::sample::Index>(),
        series in prop::sample::select(&[3, 1000][..]),
        label in prop::sample::select(&[64, 1024][..]),
    ) {
        let (journal, limits) = (lines.concat(), Limits { series, label: LabelLimit::new(label) });
        let straight = counted(&journal, cut.index(journal.len() + 1), limits);
        let long = counted(&the_long_way(&journal), 0, limits);
        prop_assert_eq!(&straight.1, &long.1);
        prop_assert!(straight.0 == long.0, "{}", String::from_utf8_lossy(&journal));
    }
}
