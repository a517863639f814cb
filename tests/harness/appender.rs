//! A writer at work: an agent that appends a thousand or so lines a second until it is stopped, and a look at what
//! was counted of them.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use journal_schema::{Command, Event, Mode, Options, Writer};

use super::exposition::Exposition;

/// Ids that the writer goes round.
const IDS: usize = 7;

/// Between ten lines and the next ten.
const PACE: Duration = Duration::from_millis(1);

/// Appends until it is stopped, rotating as it goes; returns how often each id was written.
pub(crate) struct Appender {
    /// Gone when it is to stop.
    go: SyncSender<()>,
    thread: JoinHandle<BTreeMap<String, u64>>,
}

impl Appender {
    /// Starts appending to `journal`, as one run of an agent after the other, each of `lines` lines.
    pub(crate) fn start(journal: PathBuf, options: Options, lines: usize) -> Self {
        let (go, stopped) = sync_channel(0);
        let thread = thread::spawn(move || {
            let mut written = BTreeMap::new();
            let mut round = 0;
            loop {
                // Each run of the agent is a writer of its own.
                let mut writer = Writer::open(&journal, options.clone()).unwrap();
                for _ in 0..lines {
                    let id = format!("id-{}", round % IDS);
                    round += 1;
                    writer.append(&command(&id)).unwrap();
                    *written.entry(id).or_default() += 1;
                    // Its pace is how long it waits to be stopped.
                    if round % 10 == 0 && stopped.recv_timeout(PACE) == Err(RecvTimeoutError::Disconnected) {
                        return written;
                    }
                }
            }
        });
        Self { go, thread }
    }

    pub(crate) fn stop(self) -> BTreeMap<String, u64> {
        drop(self.go);
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
