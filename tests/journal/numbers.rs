//! Missing numbers: `check`, `render` and the exporter that follows come to the same.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use exporter::{
    follow::{Bounds, Follower, Go},
    metrics::{Limits, Metrics},
};
use proptest::prelude::*;

use super::program::{JournalDir, program, run};

/// The largest number that a line may have.
const LARGEST: u64 = 1 << 53;

/// Of one writer: where it begins, and how far it is from one line to the next. 0 repeats the line, less is a late line.
type Course = (u64, Vec<i64>);

fn course() -> impl Strategy<Value = Course> {
    let start = prop_oneof![Just(1), 2u64..1000, LARGEST - 300..=LARGEST];
    let step = prop_oneof![6 => Just(1i64), 2 => 2i64..9, 1 => Just(0i64), 2 => -9i64..0];
    (start, prop::collection::vec(step, 0..120))
}

fn line(writer: usize, seq: u64) -> String {
    format!(
        "{{\"v\":1,\"writer\":\"w{writer}\",\"seq\":{seq},\"time\":\"2026-01-02T03:04:05.000Z\",\
         \"event\":\"heartbeat\"}}\n"
    )
}

/// The lines of all writers, each in its own order, one after the other.
fn lines(courses: &[Course]) -> Vec<String> {
    let mut lines = Vec::new();
    let longest = courses.iter().map(|(_, steps)| steps.len()).max().unwrap_or(0);
    let mut at: Vec<u64> = courses.iter().map(|(start, _)| *start).collect();
    for place in 0..=longest {
        for (writer, (_, steps)) in courses.iter().enumerate() {
            let Some(step) = place.checked_sub(1).map_or(Some(&0), |place| steps.get(place)) else {
                continue;
            };
            at[writer] = at[writer].saturating_add_signed(*step).clamp(1, LARGEST);
            lines.push(line(writer, at[writer]));
        }
    }
    lines
}

fn follower(journal: &Path) -> Follower {
    Follower::new(journal, Metrics::new(Limits::default()), Bounds::default())
}

/// Lines missing and lines that came twice, as the program says.
fn checked(journal: &Path) -> String {
    let said = run(program(&["check", "-q"]).arg(journal)).out;
    let summary = said.lines().find(|line| line.contains(" missing, ")).unwrap();
    summary.split_once(", ").unwrap().1.replace("lines", "line")
}

fn found(follower: &Follower) -> String {
    format!("{} line missing, {} line twice", follower.state().missing, follower.tally().duplicates)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn check_render_and_the_exporter_miss_the_same_lines(
        courses in prop::collection::vec(course(), 1..4),
        look_each in 1usize..40,
        beyond in any::<bool>(),
    ) {
        let place = JournalDir::new();
        let mut file = OpenOptions::new().create(true).append(true).open(place.path()).unwrap();
        let mut live = follower(place.path());
        for (number, line) in lines(&courses).into_iter().enumerate() {
            file.write_all(line.as_bytes()).unwrap();
            if number % look_each == 0 {
                live.round(&mut |_| Go::On);
            }
        }
        if beyond {
            // No number of a line, for any of them.
            file.write_all(line(0, u64::MAX).as_bytes()).unwrap();
        }
        live.round(&mut |_| Go::On);
        let mut rendered = follower(Path::new("journal.jsonl"));
        rendered.replay(&[place.path().to_owned()], &mut |_| Go::On).unwrap();
        let checked = checked(place.path());
        prop_assert_eq!(&found(&live), &checked);
        prop_assert_eq!(&found(&rendered), &checked);
    }
}

#[test]
fn a_hundred_gaps_are_filled_in_any_order_for_every_program() {
    let place = JournalDir::new();
    let mut file = OpenOptions::new().create(true).append(true).open(place.path()).unwrap();
    let mut live = follower(place.path());
    let mut append = |live: &mut Follower, numbers: &mut dyn Iterator<Item = u64>| {
        numbers.for_each(|seq| file.write_all(line(0, seq).as_bytes()).unwrap());
        live.round(&mut |_| Go::On);
    };
    append(&mut live, &mut (1..=100).map(|half| half * 2));
    assert_eq!((found(&live), checked(place.path())), ("99 line missing, 0 line twice".into(), found(&live)));
    append(&mut live, &mut (1..=100).rev().map(|half| half * 2 - 1));
    assert_eq!((found(&live), checked(place.path())), ("0 line missing, 0 line twice".into(), found(&live)));
    append(&mut live, &mut [7, 8].into_iter());
    assert_eq!((found(&live), checked(place.path())), ("0 line missing, 2 line twice".into(), found(&live)));
}
