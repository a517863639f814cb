//! What is kept of a journal, and that it stays within its bounds.

#![allow(clippy::unwrap_used)]

use journal_schema::decode;
use journal_schema::glance::Glancer;

use super::super::{Known, Limits, Metrics};
use super::*;

/// Applies events, given without envelope, at these seconds since 1970.
fn recent(events: &[(u32, &str)]) -> Recent {
    let mut metrics = Metrics::new(Limits::default());
    for (seq, (second, event)) in events.iter().enumerate() {
        let time = jiff::Timestamp::from_second(i64::from(*second)).unwrap();
        let line = format!(r#"{{"v":1,"writer":"w","seq":{},"time":"{time:.3}",{event}}}"#, seq + 1);
        metrics.apply(&decode(line.as_bytes()).unwrap_or_else(|rejected| panic!("{line}: {rejected}")));
    }
    Recent::clone(&metrics.recent())
}

const FAILED: &str = r#""event":"source","name":"web","trigger":"pull","error":true"#;
const SUCCEEDED: &str = r#""event":"source","name":"web","trigger":"pull","error":false"#;
const CHANGE: &str = r#""event":"command","id":"site","mode":"change","error":true,"source":"web""#;
const CHECK: &str = r#""event":"command","id":"disk","mode":"check","error":true,"source":"web""#;
const OPENED: &str = r#""event":"shell","name":"db","session":"1","state":"opened","public_key":"on-call","remote_addr":"::1""#;
const CLOSED: &str = r#""event":"shell","name":"db","session":"1","state":"closed","reason":"exit""#;

fn whats(recent: &Recent) -> Vec<(&What, u64)> {
    recent.notes().map(|note| (&note.what, note.times)).collect()
}

#[test]
fn a_source_fails_since_its_first_failed_run_with_the_commands_of_its_last() {
    let other = CHANGE.replace("site", "config");
    let kept = recent(&[(1, SUCCEEDED), (2, CHECK), (3, CHANGE), (4, FAILED), (8, &other), (9, FAILED)]);
    let failing = kept.failing("web").unwrap();
    assert_eq!((failing.since, failing.is_known), (4000, true));
    assert_eq!(failing.commands, [FailedCommand { id: "config".to_owned(), mode: Mode::Changed, at: 8000 }]);
    let command = |id: &str| What::CommandFailed { id: id.to_owned(), mode: Mode::Changed };
    assert_eq!(whats(&kept), [(&command("config"), 1), (&What::BeganToFail, 1), (&command("site"), 1)]);
    assert_eq!(recent(&[(1, FAILED), (2, SUCCEEDED)]).failing("web"), None);
    // A late line says nothing of now.
    let late = recent(&[(1, SUCCEEDED), (9, FAILED), (5, SUCCEEDED), (4, FAILED)]);
    assert_eq!(late.failing("web").map(|failing| failing.since), Some(9000));
}

/// As [`recent`], over the shortcuts by which the exporter counts labels that it knows.
fn recent_by_shortcut(events: &[(u32, &str)]) -> Recent {
    let (mut metrics, mut glancer, mut shortcuts) = (Metrics::new(Limits::default()), Glancer::default(), 0);
    for (seq, (second, event)) in events.iter().enumerate() {
        let time = jiff::Timestamp::from_second(i64::from(*second)).unwrap();
        let line = format!(r#"{{"v":1,"writer":"w","seq":{},"time":"{time:.3}",{event}}}"#, seq + 1);
        let glance = glancer.glance(line.as_bytes()).unwrap();
        match metrics.find(&glance) {
            Some(Known::Command(series)) => metrics.count_commands(&[series]),
            Some(Known::Source(series, measured)) => {
                shortcuts += 1;
                metrics.count_known_source(series, &measured, &glance);
            }
            None => metrics.count_and_learn(&glance.event(&mut Vec::new()).unwrap(), &glance),
        }
    }
    assert!(shortcuts > 0, "no shortcut was taken");
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
        let kept = recent(&lines);
        let shells: Vec<_> = kept.shells().collect();
        assert_eq!(shells.len(), 1);
        assert_eq!(shells[0].who, Who::new("db", "on-call", "::1"));
        assert_eq!((shells[0].opened, &shells[0].closed), (Some(10_000), &Some((70_000, "exit".to_owned()))));
    }
    // An agent that stops closes what is open.
    let kept = recent(&[(10, OPENED), (20, r#""event":"engine","state":"stopped""#)]);
    assert_eq!(kept.shells().next().unwrap().closed, Some((20_000, "stopped".to_owned())));
}

#[test]
fn a_push_has_its_key_its_address_and_how_it_ended() {
    let push = r#""event":"source","name":"web","trigger":"push","error":false,"public_key":"ci","remote_addr":"192.0.2.7","changed":2"#;
    let unknown = r#""event":"source","name":"web","trigger":"push","error":true,"outcome":"unknown""#;
    let refused =
        r#""event":"refused","action":"push","reason":"signature","remote_addr":"192.0.2.9","count":4"#;
    let kept = recent(&[(1, push), (2, refused), (3, unknown)]);
    let outcomes: Vec<_> = kept.pushes().map(|push| (push.at, &push.who, &push.outcome)).collect();
    let refusal = PushOutcome::Refused { reason: "signature".to_owned(), count: 4 };
    assert_eq!(
        outcomes,
        [
            (3000, &Who::new("web", "", ""), &PushOutcome::Unknown),
            (2000, &Who::new("", "", "192.0.2.9"), &refusal),
            (1000, &Who::new("web", "ci", "192.0.2.7"), &PushOutcome::Succeeded { changed: 2, removed: 0 }),
        ]
    );
    assert_eq!(kept.failing("web").map(|failing| failing.is_known), Some(false));
}

#[test]
fn equal_events_are_one_note_and_everything_is_bounded() {
    let start = r#""event":"engine","state":"started","version":"1""#;
    let kept = recent(&[(1, start), (2, start), (3, start)]);
    assert_eq!(whats(&kept), [(&What::AgentStarted { version: "1".to_owned() }, 3)]);

    let mut kept = Recent::default();
    let long = "é".repeat(10_000);
    for n in 0..1000 {
        let name = format!("{n}{long}");
        let line = format!(
            r#"{{"v":1,"writer":"w","seq":1,"time":"2026-01-01T00:00:00.000Z","event":"source","name":"{name}","trigger":"push","error":true}}"#
        );
        kept.take(&decode(line.as_bytes()).unwrap().event, n);
    }
    assert_eq!((kept.notes().count(), kept.pushes().count()), (MAX_NOTES, MAX_LISTED));
    assert_eq!(kept.pushes().next().unwrap().at, 999, "the latest stays");
    assert!(
        kept.notes().all(|note| note.who.source.len() <= MAX_TEXT_BYTES && note.who.source.ends_with('…'))
    );
    assert!(kept.pushes().all(|push| push.who.source.len() <= MAX_TEXT_BYTES));
    assert!(kept.failing(&super::kept(&format!("0{long}"))).is_some());
    assert!(kept.failing(&super::kept(&format!("999{long}"))).is_none(), "beyond the limit");
}
