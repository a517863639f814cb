//! What events add up to, in any order of reading; and what goes beyond the limits.

use journal_schema::decode;

use super::super::catalogue::RUN_BOUNDS;
use super::super::labels::LabelLimit;
use super::super::table::OVERFLOW;
use super::super::{Limits, MIN_LABEL_BYTES, Metrics};
use crate::exposition;

/// Applies events, given without envelope, a second apart; the number is the second each happened.
fn count(metrics: &mut Metrics, events: &[(u32, &str)]) {
    for (second, event) in events {
        let line = format!(
            r#"{{"v":1,"writer":"w","seq":1,"time":"2026-01-01T00:{:02}:{:02}.000Z",{event}}}"#,
            second / 60,
            second % 60
        );
        metrics.apply(&decode(line.as_bytes()).unwrap_or_else(|rejected| panic!("{line}: {rejected}")));
    }
}

/// The samples of one family as text, without the lines about it.
fn samples(metrics: &Metrics, family: &str) -> Vec<String> {
    let mut text = Vec::new();
    exposition::guide(metrics.tables(), &mut text);
    exposition::further(metrics.tables(), &mut text);
    let text = String::from_utf8(text).unwrap();
    let own = |line: &&str| line.strip_prefix(family).is_some_and(|rest| !rest.starts_with('_'));
    text.lines().filter(own).map(|line| line[family.len()..].to_owned()).collect()
}

fn counted(events: &[(u32, &str)]) -> Metrics {
    let mut metrics = Metrics::new(Limits::default());
    count(&mut metrics, events);
    metrics
}

const OPEN: &str = r#""event":"shell","name":"s","session":"1","state":"opened","public_key":"k""#;
const CLOSE: &str = r#""event":"shell","name":"s","session":"1","state":"closed","reason":"exit""#;
const START: &str = r#""event":"engine","state":"started""#;
const STOP: &str = r#""event":"engine","state":"stopped""#;
const SHELL: &str = r#"{name="s",public_key="k",remote_addr=""}"#;

fn closed(reason: &str, count: u32) -> String {
    format!(r#"{{name="s",public_key="k",reason="{reason}",remote_addr=""}} {count}"#)
}

#[test]
fn a_command_adds_one_to_the_series_of_all_its_labels() {
    let event = r#""event":"command","id":"a","mode":"change","error":true,"source":"s","remote_addr":"::1""#;
    let metrics = counted(&[(0, event), (1, event)]);
    assert_eq!(
        samples(&metrics, "etcha_commands_total"),
        [r#"{error="1",id="a",mode="changed",parent_id="",public_key="",remote_addr="::1",source="s"} 2"#]
    );
}

#[test]
fn a_source_bears_its_sibling_at_zero_and_sets_the_counts_that_are_there() {
    let metrics = counted(&[
        (0, r#""event":"source","name":"s","trigger":"push","error":false,"changed":3,"removed":1"#),
        (1, r#""event":"source","name":"s","trigger":"push","error":false,"changed":2"#),
    ]);
    let series = r#",public_key="",remote_addr="",trigger="push"}"#;
    let of = |error| format!(r#"{{error="{error}",name="s"{series}"#);
    assert_eq!(samples(&metrics, "etcha_sources_total"), [format!("{} 2", of(0)), format!("{} 0", of(1))]);
    let of = |mode| format!(r#"{{mode="{mode}",name="s"{series}"#);
    assert_eq!(
        samples(&metrics, "etcha_sources_commands"),
        [format!("{} 2", of("changed")), format!("{} 1", of("remove"))]
    );
}

#[test]
fn a_run_whose_end_was_not_seen_is_neither_a_success_nor_a_failure() {
    let unknown = r#""event":"source","name":"s","trigger":"push","error":true,"outcome":"unknown""#;
    let metrics = counted(&[(0, unknown), (1, &unknown.replace("true", "false"))]);
    assert_eq!(
        samples(&metrics, "etcha_sources_total"),
        [r#"{error="unknown",name="s",public_key="",remote_addr="",trigger="push"} 2"#]
    );
    assert_eq!(samples(&metrics, "etcha_source_last_success_timestamp_seconds"), [""; 0]);
    assert_eq!(samples(&metrics, "etcha_source_last_run_timestamp_seconds").len(), 1);
}

#[test]
fn the_times_of_a_source_are_those_of_its_lines() {
    let metrics = counted(&[
        (1, r#""event":"source","name":"s","trigger":"pull","error":false,"changed":1"#),
        (2, r#""event":"source","name":"s","trigger":"pull","error":false,"duration_seconds":0.3"#),
        (3, r#""event":"source","name":"s","trigger":"pull","error":true"#),
    ]);
    for (what, second) in [("change", 1), ("success", 2), ("run", 3)] {
        let family = format!("etcha_source_last_{what}_timestamp_seconds");
        assert_eq!(samples(&metrics, &family), [format!("{{name=\"s\"}} {}", 1_767_225_600 + second)]);
    }
    let buckets = samples(&metrics, "etcha_source_run_duration_seconds_bucket");
    assert_eq!(buckets.len(), RUN_BOUNDS.len() + 1);
    assert_eq!(buckets[2..4], [r#"{name="s",le="0.1"} 0"#, r#"{name="s",le="0.5"} 1"#]);
}

#[test]
fn a_shell_is_one_while_a_session_is_open_and_then_zero() {
    let second = OPEN.replace("\"1\"", "\"2\"");
    let mut metrics = counted(&[(0, OPEN), (1, &second), (5, CLOSE)]);
    assert_eq!(samples(&metrics, "etcha_sources_shells"), [format!("{SHELL} 1")]);
    count(&mut metrics, &[(9, &CLOSE.replace("\"1\"", "\"2\""))]);
    assert_eq!(samples(&metrics, "etcha_sources_shells"), [format!("{SHELL} 0")]);
    assert_eq!(samples(&metrics, "etcha_shells_opened_total"), [format!("{SHELL} 2")]);
    // The closing lines name no key: the session is that of the line that opened it.
    assert_eq!(samples(&metrics, "etcha_shells_closed_total"), [closed("exit", 2)]);
    assert_eq!(samples(&metrics, "etcha_shell_duration_seconds_sum"), [r#"{name="s"} 13"#]);
}

#[test]
fn an_agent_that_starts_again_leaves_no_shell_open_and_a_late_end_changes_nothing() {
    let sessions: Vec<_> = (1..=3).map(|id| OPEN.replace("\"1\"", &format!("\"{id}\""))).collect();
    let mut metrics = counted(&[(0, START), (1, &sessions[0]), (2, &sessions[1]), (3, &sessions[2])]);
    count(&mut metrics, &[(9, START), (10, CLOSE)]);
    assert_eq!(samples(&metrics, "etcha_sources_shells"), [format!("{SHELL} 0")]);
    assert_eq!(samples(&metrics, "etcha_shells_closed_total"), [closed("orphaned", 3)]);
    assert_eq!(metrics.tables().oddities.shells_unopened, 1);
    count(&mut metrics, &[(11, &OPEN.replace("\"1\"", "\"4\"")), (12, STOP)]);
    assert_eq!(samples(&metrics, "etcha_shells_closed_total"), [closed("orphaned", 3), closed("stopped", 1)]);
}

#[test]
fn starts_and_ends_that_are_doubled_swapped_or_alone_are_counted_and_never_negative() {
    let mut metrics = counted(&[(0, CLOSE), (1, OPEN), (2, OPEN), (3, CLOSE)]);
    assert_eq!(samples(&metrics, "etcha_sources_shells"), [format!("{SHELL} 0")]);
    assert_eq!(samples(&metrics, "etcha_shells_opened_total").len(), 1);
    count(&mut metrics, &[(4, &OPEN.replace("\"1\"", "\"2\"")), (5, &OPEN.replace("\"1\"", "\"2\""))]);
    assert_eq!(samples(&metrics, "etcha_sources_shells"), [format!("{SHELL} 1")]);
    assert_eq!(metrics.tables().oddities.shells_reopened, 1);
}

#[test]
fn a_clock_set_back_makes_no_negative_duration() {
    let metrics = counted(&[(600, OPEN), (1, CLOSE)]);
    assert_eq!(samples(&metrics, "etcha_shell_duration_seconds_sum"), [r#"{name="s"} 0"#]);
}

#[test]
fn ids_beyond_the_limit_go_to_one_series_and_the_sum_stays_right() {
    let limits = Limits { series: 100, label: LabelLimit::default() };
    let mut metrics = Metrics::new(limits);
    for id in 0..10_000 {
        let event = format!(r#""event":"command","id":"{id}","mode":"check","error":false,"source":"s""#);
        count(&mut metrics, &[(0, &event)]);
    }
    let samples = samples(&metrics, "etcha_commands_total");
    assert_eq!(samples.len(), 101);
    let sum: u64 = samples.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(sum, 10_000);
    assert!(samples.iter().any(|line| line.contains(r#"id="__overflow__""#) && line.ends_with(" 9900")));
}

#[test]
fn a_record_goes_on_where_it_was_made() {
    let events = [(0, START), (1, OPEN)];
    let more = [(2, OPEN), (3, CLOSE), (4, STOP)];
    let mut straight = counted(&events);
    let bytes = postcard::to_stdvec(&straight.record()).unwrap();
    let record = postcard::from_bytes(&bytes).unwrap();
    let mut resumed = Metrics::restore(record, Limits::default()).unwrap();
    count(&mut straight, &more);
    count(&mut resumed, &more);
    assert_eq!(postcard::to_stdvec(&resumed.record()), postcard::to_stdvec(&straight.record()));
}

/// Events of an agent and of scripts beside it, a second apart, each with what makes it a line.
fn history() -> Vec<String> {
    let source = |error: bool, changed: u64| {
        format!(
            r#""event":"source","name":"web","trigger":"pull","error":{error},"changed":{changed},"removed":0,"duration_seconds":1"#
        )
    };
    let shell = |session: u64, state: &str| {
        format!(r#""event":"shell","name":"web","session":"{session}","state":"{state}","reason":"exit""#)
    };
    let events = [
        ("a", r#""event":"engine","state":"started","version":"1","pid":7"#.to_owned()),
        ("a", shell(1, "opened")),
        ("script", source(false, 3)),
        ("a", shell(1, "closed")),
        ("a", shell(2, "opened")),
        ("a", r#""event":"engine","state":"stopped""#.to_owned()),
        ("script", source(true, 0)),
        ("b", r#""event":"engine","state":"started","version":"2","pid":8"#.to_owned()),
        ("b", source(false, 0)),
        ("b", shell(3, "opened")),
        ("script", source(false, 5)),
        ("b", source(false, 1)),
    ];
    let mut seqs = std::collections::HashMap::new();
    let line = |(second, (writer, event)): (usize, (&'static str, String))| {
        let seq = seqs.entry(writer).or_insert(0);
        *seq += 1;
        let time = format!("2026-01-01T00:00:{second:02}.000Z");
        format!(r#"{{"v":1,"writer":"{writer}","seq":{seq},"time":"{time}",{event}}}"#)
    };
    events.into_iter().enumerate().map(line).collect()
}

fn all_samples(metrics: &Metrics) -> Vec<String> {
    let mut text = Vec::new();
    exposition::guide(metrics.tables(), &mut text);
    exposition::further(metrics.tables(), &mut text);
    let text = String::from_utf8(text).unwrap();
    let mut samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    samples.push(format!("{:?}", metrics.tables().engine));
    samples
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// Lines within a file keep their order; the files are read in any order, some of them after a restart.
    #[test]
    fn in_whatever_order_segments_are_read_the_state_is_that_of_the_whole(
        mut cuts in proptest::collection::btree_set(1usize..12, 0..6),
        order in proptest::collection::vec(proptest::prelude::any::<u32>(), 7),
        restart in 0usize..7,
    ) {
        let lines = history();
        let apply = |metrics: &mut Metrics, lines: &[String]| {
            lines.iter().for_each(|line| metrics.apply(&decode(line.as_bytes()).unwrap()));
        };
        let mut whole = Metrics::new(Limits::default());
        apply(&mut whole, &lines);
        cuts.extend([0, lines.len()]);
        let cuts: Vec<_> = cuts.into_iter().collect();
        let mut segments: Vec<_> = cuts.windows(2).map(|ends| &lines[ends[0]..ends[1]]).zip(order).collect();
        segments.sort_by_key(|(_, place)| *place);
        let mut metrics = Metrics::new(Limits::default());
        for (number, (segment, _)) in segments.into_iter().enumerate() {
            if number == restart {
                metrics = Metrics::restore(metrics.record(), Limits::default()).unwrap();
            }
            apply(&mut metrics, segment);
        }
        metrics.settle();
        // How a shell ended is counted when its agent's end is read; an end of its own that is read later is one too
        // many, and no counter takes anything back.
        let but_ends = |metrics: &Metrics| {
            let mut samples = all_samples(metrics);
            samples.retain(|sample| !sample.starts_with("etcha_shells_closed") && !sample.starts_with("etcha_shell_duration"));
            samples
        };
        proptest::prop_assert_eq!(but_ends(&metrics), but_ends(&whole));
    }
}

#[test]
fn a_segment_that_is_read_late_changes_no_state_and_its_shells_end_as_they_did() {
    let lines = history();
    for cut in [0, 4, 6, 7] {
        let mut metrics = Metrics::new(Limits::default());
        let mut apply = |lines: &[String]| {
            lines.iter().for_each(|line| metrics.apply(&decode(line.as_bytes()).unwrap()));
            metrics.settle();
            all_samples(&metrics)
        };
        apply(&lines[cut..]);
        let late = apply(&lines[..cut]);
        let mut whole = Metrics::new(Limits::default());
        lines.iter().for_each(|line| whole.apply(&decode(line.as_bytes()).unwrap()));
        assert_eq!(late, all_samples(&whole), "{cut} lines were read late");
    }
}

#[test]
fn label_text_beyond_its_budget_goes_to_one_series_and_the_sum_stays_right() {
    let mut metrics = Metrics::new(Limits { series: 1000, ..Limits::default() });
    for id in 0..900 {
        let labels =
            ["id", "source", "parent_id", "public_key"].map(|label| format!(r#""{label}":"{id:01000}""#));
        count(
            &mut metrics,
            &[(0, &format!(r#""event":"command","mode":"check","error":false,{}"#, labels.join(",")))],
        );
    }
    let table = &metrics.tables().commands;
    let texts = (0..).take(table.len()).map(|series| table.text(series));
    let text: usize = texts.filter(|text| !text.contains(OVERFLOW)).map(str::len).sum();
    assert!(
        text <= MIN_LABEL_BYTES && (200..900).contains(&table.len()),
        "{text} bytes, {} series",
        table.len()
    );
    assert_eq!((0..).take(table.len()).map(|series| table.value(series)).sum::<u64>(), 900);
    assert_eq!(table.overflowed(), 900 - (table.len() as u64 - 1));
    let restored = Metrics::restore(metrics.record(), metrics.limits).unwrap();
    assert_eq!(restored.index.bytes(), metrics.index.bytes());
}
