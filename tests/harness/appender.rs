//! A writer at work: an agent that appends a thousand or so lines a second until it is stopped, and a look at what
//! was counted of them.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use journal_schema::{Command, Event, Mode, Options, Writer};

use super::{exposition::Exposition, wait::pause};

/// Ids that the writer goes round.
const IDS: usize = 7;

/// Appends until it is stopped, rotating as it goes; returns how often each id was written.
pub(crate) struct Appender {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<String, u64>>,
}

impl Appender {
    /// Starts appending to `journal`, as one run of an agent after the other, each of `lines` lines.
    pub(crate) fn start(journal: PathBuf, options: Options, lines: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut written = BTreeMap::new();
            let mut round = 0;
            while !stopped.load(Ordering::Relaxed) {
                // Each run of the agent is a writer of its own.
                let mut writer = Writer::open(&journal, options.clone()).unwrap();
                for _ in 0..lines {
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

    pub(crate) fn stop(self) -> BTreeMap<String, u64> {
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

/// How often each id was counted.
pub(crate) fn counted(scrape: &Exposition) -> BTreeMap<String, u64> {
    let commands = scrape.samples.iter().filter(|(series, _)| series.name == "etcha_commands_total");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
    commands.map(|(series, value)| (series.labels["id"].clone(), *value as u64)).collect()
}
