//! The exporter is killed at random moments while a writer appends and rotates: each line counts once all the same.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use journal_schema::{Command, Event, Mode, Options, Sync, Writer};

use crate::harness::{
    exporter::Home,
    exposition::Exposition,
    wait::{SOON, pause, wait_until},
};

/// How often the exporter is killed, unless `ETCHA_TEST_KILLS` says otherwise.
const KILLS: usize = 200;

/// Ids that the writer goes round.
const IDS: usize = 7;

/// Appends until it is stopped, rotating as it goes; returns how often each id was written.
struct Appender {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<String, u64>>,
}

impl Appender {
    fn start(journal: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut written = BTreeMap::new();
            let mut round = 0;
            while !stopped.load(Ordering::Relaxed) {
                // Each run of the agent is a writer of its own.
                let options =
                    Options { max_bytes: 64 * 1024, keep: 10_000, sync: Sync::Never, ..Options::default() };
                let mut writer = Writer::open(&journal, options).unwrap();
                for _ in 0..5_000 {
                    if stopped.load(Ordering::Relaxed) {
                        break;
                    }
                    let id = format!("id-{}", round % IDS);
                    round += 1;
                    writer.append(&command(&id)).unwrap();
                    *written.entry(id).or_default() += 1;
                    if round % 10 == 0 {
                        pause(Duration::from_millis(1));
                    }
                }
            }
            written
        });
        Self { stop, thread }
    }

    fn stop(self) -> BTreeMap<String, u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn command(id: &str) -> Event<'_> {
    Event::Command(Command {
        id: id.into(),
        mode: Mode::Check,
        error: false,
        parent_id: "".into(),
        source: "s".into(),
        public_key: "".into(),
        remote_addr: "".into(),
        duration_seconds: None,
    })
}

fn counted(scrape: &Exposition) -> BTreeMap<String, u64> {
    let commands = scrape.samples.iter().filter(|(series, _)| series.name == "etcha_commands_total");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
    commands.map(|(series, value)| (series.labels["id"].clone(), *value as u64)).collect()
}

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
    let appender = Appender::start(home.journal());
    let mut shown = BTreeMap::new();
    for _ in 0..kills {
        let exporter = home.start(&["--checkpoint-interval", "100ms", "--poll-interval", "20ms"]);
        pause(Duration::from_millis(next(&mut random) % 120));
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
