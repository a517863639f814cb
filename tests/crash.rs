//! The exporter is killed at random moments while a writer appends and rotates: each line counts once all the same.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use journal_schema::{Options, Sync};

use crate::harness::{
    appender::{Appender, counted},
    exporter::Home,
    wait::{SOON, holds_for, wait_until},
};

/// How often the exporter is killed, unless `ETCHA_TEST_KILLS` says otherwise.
const KILLS: usize = 200;

/// A xorshift generator: moments need no better chance.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn killed_at_any_moment_under_load_it_counts_each_line_once_and_never_shows_less_than_before() {
    let kills = std::env::var("ETCHA_TEST_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = (clock.as_secs() << 30 | u64::from(clock.subsec_nanos())) | 1;
    println!("seed {seed}");
    let mut random = seed;
    let home = Home::new();
    let appender = Appender::start(
        home.journal(),
        Options { max_bytes: 64 * 1024, keep: 10_000, sync: Sync::Never, ..Options::default() },
        5_000,
    );
    let mut shown = BTreeMap::new();
    for _ in 0..kills {
        let mut exporter = home.start(&["--checkpoint-interval", "100ms", "--poll-interval", "20ms"]);
        let life = Duration::from_millis(next(&mut random) % 120);
        holds_for(life, "it lives until it is killed", || exporter.process.is_running());
        // Every other life is scraped, so that the others are short enough to die before anything is ready.
        if next(&mut random).is_multiple_of(2) {
            let scrape = counted(&exporter.scrape());
            for (id, before) in scrape.keys().filter_map(|id| Some((id, shown.get(id)?))) {
                assert!(scrape[id] >= *before, "{id} fell from {before} to {}", scrape[id]);
            }
            shown.extend(scrape);
        }
    }
    let written = appender.stop();
    let exporter = home.start(&[]);
    wait_until(SOON, "every line to be counted once", || {
        let counted = counted(&exporter.scrape());
        let over = written.iter().find(|(id, count)| counted.get(*id).is_some_and(|c| c > count));
        assert!(over.is_none(), "counted more than was written: {counted:?} of {written:?}");
        counted == written
    });
    let scrape = exporter.scrape();
    for clean in ["etcha_exporter_lines_missing", "etcha_exporter_lines_duplicate_total"] {
        assert_eq!(scrape.value(clean, &[]), Some(0.0), "{clean}");
    }
}
