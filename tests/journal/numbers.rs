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

/// Of one writer: how far it is from one line to the next. 0 repeats the line, less is a late line. It begins at 1.
type Course = Vec<i64>;

fn course() -> impl Strategy<Value = Course> {
    let step = prop_oneof![
        12 => Just(1i64), 4 => 2i64..9, 2 => Just(0i64), 4 => -9i64..0, 1 => Just(LARGEST as i64 - 300)
    ];
    prop::collection::vec(step, 0..120)
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
    let longest = courses.iter().map(Vec::len).max().unwrap_or(0);
    let mut at = vec![1_u64; courses.len()];
    for place in 0..=longest {
        for (writer, steps) in courses.iter().enumerate() {
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

/// Whether the lines before were rotated away, the journal alone does not say. Who was there knows that they never came.
#[test]
fn what_a_new_writer_leaves_out_is_missing_for_an_exporter_that_had_caught_up() {
    let place = JournalDir::new();
    let mut file = OpenOptions::new().create(true).append(true).open(place.path()).unwrap();
    file.write_all(line(0, 1).as_bytes()).unwrap();
    let mut live = follower(place.path());
    live.round(&mut |_| Go::On);
    // More than 64 bits count.
    for writer in 1..=2049 {
        file.write_all(line(writer, LARGEST).as_bytes()).unwrap();
    }
    live.round(&mut |_| Go::On);
    assert_eq!(live.state().missing, 2049 * u128::from(LARGEST - 1));
    assert_eq!(checked(place.path()), "0 line missing, 0 line twice");
    assert_eq!(
        found(&{
            let mut first = follower(place.path());
            first.round(&mut |_| Go::On);
            first
        }),
        checked(place.path())
    );
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
