//! What is kept of a journal, and that it stays within its bounds.

#![allow(clippy::unwrap_used)]

use journal_schema::decode;
use journal_schema::glance::Glancer;

use super::super::{Known, Limits, Metrics};
use super::*;

/// Applies events, given without envelope, at these seconds since 1970.
fn counted(events: &[(u32, &str)]) -> Metrics {
    let mut metrics = Metrics::new(Limits::default());
    for (seq, (second, event)) in events.iter().enumerate() {
        let time = jiff::Timestamp::from_second(i64::from(*second)).unwrap();
        let line = format!(r#"{{"v":1,"writer":"w","seq":{},"time":"{time:.3}",{event}}}"#, seq + 1);
        metrics.apply(&decode(line.as_bytes()).unwrap_or_else(|rejected| panic!("{line}: {rejected}")));
    }
    metrics
}

fn recent(events: &[(u32, &str)]) -> Recent {
    Recent::clone(&counted(events).recent())
}

/// Source, key and address.
fn names(who: &Who, metrics: &Metrics) -> [String; 3] {
    let Names { source, key, address } = who.names(metrics.tables());
    [source, key, address]
}

const FAILED: &str = r#""event":"source","name":"web","trigger":"pull","error":true"#;
const SUCCEEDED: &str = r#""event":"source","name":"web","trigger":"pull","error":false"#;
const CHANGE: &str = r#""event":"command","id":"site","mode":"change","error":true,"source":"web""#;
const CHECK: &str = r#""event":"command","id":"disk","mode":"check","error":true,"source":"web""#;
const OPENED: &str = r#""event":"shell","name":"db","session":"1","state":"opened","public_key":"on-call","remote_addr":"::1""#;
const CLOSED: &str = r#""event":"shell","name":"db","session":"1","state":"closed","reason":"exit""#;

fn whats(recent: &Recent) -> Vec<(&What, u64)> {
    recent.notes().into_iter().map(|(note, times)| (&note.what, times.count)).collect()
}

/// What is known of the one Source there is, while it fails, and the ids of the Commands that failed in its last run.
fn failing(metrics: &Metrics) -> Option<(Failing, Vec<String>)> {
    let (_, failing) = metrics.recent().failing().next()?;
    let success = &metrics.tables().source_last_success;
    let success = if success.len() > 0 { *success.value(0) } else { 0 };
    let covered = metrics.recent();
    let covered = covered.failed_commands().filter(|command| failing.covers(command.at, success));
    Some((
        failing,
        covered.map(|command| metrics.tables().commands.label(command.series, "id").into()).collect(),
    ))
}

#[test]
fn a_source_fails_since_its_first_failed_run_with_the_commands_of_its_last() {
    let other = CHANGE.replace("site", "config");
    let kept = counted(&[(1, SUCCEEDED), (2, CHECK), (3, CHANGE), (4, FAILED), (8, &other), (9, FAILED)]);
    let (now, commands) = failing(&kept).unwrap();
    assert_eq!((now.since, now.is_known, commands), (4000, true, vec!["config".to_owned()]));
    assert_eq!(
        whats(&kept.recent()),
        [(&What::CommandFailed, 1), (&What::BeganToFail, 1), (&What::CommandFailed, 1)]
    );
    assert_eq!(failing(&counted(&[(1, FAILED), (2, SUCCEEDED)])), None);
    // What failed before the last success is of the past.
    let again = counted(&[(1, CHANGE), (2, FAILED), (3, SUCCEEDED), (4, &other), (5, FAILED)]);
    assert_eq!(failing(&again).unwrap().1, ["config"]);
    // A late line says nothing of now.
    let late = counted(&[(1, SUCCEEDED), (9, FAILED), (5, SUCCEEDED), (4, FAILED)]);
    assert_eq!(failing(&late).map(|(failing, _)| failing.since), Some(9000));
}

/// As [`recent`], over the shortcuts by which the exporter counts labels that it knows.
fn recent_by_shortcut(events: &[(u32, &str)]) -> Recent {
    let (mut metrics, mut glancer, mut shortcuts) = (Metrics::new(Limits::default()), Glancer::default(), 0);
    for (seq, (second, event)) in events.iter().enumerate() {
        let time = jiff::Timestamp::from_second(i64::from(*second)).unwrap();
        let line = format!(r#"{{"v":1,"writer":"w","seq":{},"time":"{time:.3}",{event}}}"#, seq + 1);
        let glance = glancer.glance(line.as_bytes()).unwrap();
        match metrics.find(&glance) {
            Some(Known::Command(series)) => {
                shortcuts += 1;
                metrics.count_commands(&[series]);
                metrics.look(series, glance.millisecond);
            }
            Some(Known::Source(series, measured)) => {
                shortcuts += 1;
                metrics.count_known_source(series, &measured, &glance);
            }
            None => metrics.count_and_learn(&glance.event(&mut Vec::new()).unwrap(), &glance),
        }
    }
    assert!(shortcuts > events.len() / 2, "{shortcuts} shortcuts were taken");
    Recent::clone(&metrics.recent())
}

#[test]
fn a_shortcut_hides_nothing_that_is_kept() {
    let change = format!("{SUCCEEDED},\"changed\":2");
    let push = SUCCEEDED.replace("pull", "push");
    let command = CHANGE.replace("change", "changed");
    let round = [SUCCEEDED, &command, FAILED, SUCCEEDED, CHECK, &change, &push, OPENED, CLOSED];
    let lines: Vec<_> = (1..).zip(round.iter().cycle().copied().take(40)).collect();
    let kept = recent_by_shortcut(&lines);
    assert_eq!(kept, recent(&lines));
    assert_eq!(kept.pushes().count(), 4);
    assert!(whats(&kept).contains(&(&What::Recovered, 5)));
}

#[test]
fn a_shell_is_one_entry_in_whatever_order_its_lines_come() {
    for lines in [[(10, OPENED), (70, CLOSED)], [(70, CLOSED), (10, OPENED)]] {
        let (metrics, closed) = (counted(&lines), Some((70_000, "exit".into())));
        let kept = metrics.recent();
        let shells: Vec<_> = kept.shells().collect();
        assert_eq!(shells.len(), 1);
        assert_eq!(names(&shells[0].who, &metrics), ["db", "on-call", "::1"]);
        assert_eq!((shells[0].opened, &shells[0].closed), (Some(10_000), &closed));
    }
    // An agent that stops closes what is open.
    let kept = recent(&[(10, OPENED), (20, r#""event":"engine","state":"stopped""#)]);
    assert_eq!(kept.shells().next().unwrap().closed, Some((20_000, "stopped".into())));
}

#[test]
fn a_push_has_its_key_its_address_and_how_it_ended() {
    let push = r#""event":"source","name":"web","trigger":"push","error":false,"public_key":"ci","remote_addr":"192.0.2.7","changed":2"#;
    let unknown = r#""event":"source","name":"web","trigger":"push","error":true,"outcome":"unknown""#;
    let refused =
        r#""event":"refused","action":"push","reason":"signature","remote_addr":"192.0.2.9","count":4"#;
    let metrics = counted(&[(1, push), (2, refused), (3, unknown)]);
    let recent = metrics.recent();
    let pushes = recent.pushes().map(|push| (push.at, names(&push.who, &metrics), push.outcome));
    let owned = |names: [&str; 3]| names.map(str::to_owned);
    assert_eq!(
        pushes.collect::<Vec<_>>(),
        [
            (3000, owned(["web", "", ""]), PushOutcome::Unknown),
            (
                2000,
                owned(["", "", "192.0.2.9"]),
                PushOutcome::Refused { reason: Refusal::Signature, count: 4 }
            ),
            (1000, owned(["web", "ci", "192.0.2.7"]), PushOutcome::Succeeded { changed: 2, removed: 0 }),
        ]
    );
    assert_eq!(failing(&metrics).map(|(failing, _)| failing.is_known), Some(false));
}

#[test]
fn equal_events_are_one_note_and_everything_is_bounded() {
    let start = r#""event":"engine","state":"started","version":"1""#;
    let kept = recent(&[(1, start), (2, start), (3, start)]);
    assert_eq!(whats(&kept), [(&What::AgentStarted { version: "1".into() }, 3)]);

    let long = "é".repeat(10_000);
    let lines: Vec<_> = (0..1000)
        .flat_map(|n| {
            [
                format!(r#""event":"source","name":"{n}","trigger":"push","error":true"#),
                format!(r#""event":"refused","action":"push","reason":"signature","name":"{n}{long}""#),
                CHANGE.replace("site", &format!("site {n}")),
                OPENED.replace(r#""1""#, &format!("\"{n}\"")),
            ]
        })
        .collect();
    let metrics = counted(&(0..).zip(lines.iter().map(String::as_str)).collect::<Vec<_>>());
    let kept = metrics.recent();
    let lengths = (kept.notes().len(), kept.pushes().count(), kept.shells().count());
    assert_eq!(lengths, (MAX_NOTES, MAX_LISTED, MAX_LISTED));
    assert_eq!((kept.failing().count(), kept.failed_commands().count()), (MAX_FAILING, MAX_LISTED));
    assert_eq!(kept.pushes().next().unwrap().at, 3_997_000, "the latest stays");
    let texts = kept.notes().into_iter().filter(|(note, _)| matches!(note.what, What::Refused { .. }));
    let texts: Vec<_> = texts.map(|(note, _)| names(&note.who, &metrics)[0].clone()).collect();
    assert!(texts.len() > 10 && texts.iter().all(|text| text.len() <= MAX_TEXT_BYTES && text.ends_with('…')));
}

#[test]
fn what_names_a_series_that_is_not_there_is_not_gone_on_from() {
    let mut record = Metrics::new(Limits::default()).record();
    let mut kept = Recent::default();
    kept.command_failed(0, 1);
    record.recent = std::sync::Arc::new(kept);
    let restored = Metrics::restore(record, Limits::default()).unwrap();
    assert_eq!(*restored.recent(), Recent::default());
}
