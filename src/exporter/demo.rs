//! `etcha-exporter demo`: a recording of an agent, written to a journal at its recorded pace, and the exporter on it.
//!
//! Everything lives in a temporary directory that goes with the process. Nothing of it is for production: the key is
//! made anew each time and printed.

use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use journal_schema::{Line, Options, Reader, WriteError, Writer};

use super::config::{
    Bounds, Config, Connections, DEFAULT_CHECKPOINT_INTERVAL, DEFAULT_MAX_LABEL_BYTES, DEFAULT_MAX_SERIES,
    DEFAULT_POLL_INTERVAL, Limits, ListenAddress, Log, TlsVersion,
};
use super::run::{self, RunError, Running};
use super::serve::{Access, METRICS_PATH};

/// What an agent did in two minutes: pushes, webhooks, events, failing commands, shells.
const RECORDINGS: [&str; 2] = [
    include_str!("../../tests/recordings/tour/journal.jsonl"),
    include_str!("../../tests/recordings/shells/journal.jsonl"),
];

/// Longest pause between two lines, whatever the recording says: nobody watches an idle demonstration.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why there is no demonstration.
#[derive(Debug)]
pub enum DemoError {
    /// The temporary directory or its journal cannot be made.
    Directory(io::Error),
    /// The journal cannot be written.
    Journal(WriteError),
    /// The exporter cannot start.
    Run(RunError),
}

impl fmt::Display for DemoError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DemoError::Directory(error) => write!(out, "a temporary directory cannot be made: {error}"),
            DemoError::Journal(error) => error.fmt(out),
            DemoError::Run(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for DemoError {}

/// Listens on `listen` until SIGTERM or SIGINT; the recording goes `speed` times faster than it was made.
///
/// # Errors
///
/// If it cannot start.
pub fn demo(listen: ListenAddress, speed: f64, log: Log) -> Result<(), DemoError> {
    let directory =
        tempfile::Builder::new().prefix("etcha-exporter-demo-").tempdir().map_err(DemoError::Directory)?;
    let key = random_key().map_err(DemoError::Directory)?;
    let config = configuration(directory.path(), &key, listen, log);
    let writer = Writer::open(&config.journal, Options::default()).map_err(DemoError::Journal)?;
    let (stop, stopped) = sync_channel(1);
    let journal = config.journal.clone();
    let agent = thread::Builder::new()
        .name("recording".to_owned())
        .spawn(move || play(writer, speed, &stopped))
        .map_err(DemoError::Directory)?;
    let ran = run::serve(&config, |running| eprint!("{}", welcome(running, &journal, &key)));
    drop(stop);
    if agent.join().is_err() {
        tracing::error!("the recording ended with a panic");
    }
    ran.map_err(DemoError::Run)
}

fn configuration(directory: &Path, key: &str, listen: ListenAddress, log: Log) -> Config {
    let mut access = Access::default();
    // It is not empty: it was just made.
    let _ = access.keys.add(key.as_bytes());
    Config {
        journal: directory.join("journal.jsonl"),
        state_dir: directory.join("state"),
        listen: vec![listen],
        access,
        key_sources: vec!["the demonstration".to_owned()],
        tls: None,
        client_auth: None,
        least_tls: TlsVersion::default(),
        textfile: None,
        connections: Connections::default(),
        poll_interval: DEFAULT_POLL_INTERVAL,
        checkpoint_interval: DEFAULT_CHECKPOINT_INTERVAL,
        limits: Limits { max_series: DEFAULT_MAX_SERIES, max_label_bytes: DEFAULT_MAX_LABEL_BYTES },
        bounds: Bounds::default(),
        log,
        warnings: Vec::new(),
        files: Vec::new(),
        reread: None,
    }
}

/// Plays the recordings again and again, each time as a new run of the agent.
fn play(mut writer: Writer, speed: f64, stopped: &Receiver<()>) {
    loop {
        for recording in RECORDINGS {
            if !play_once(&mut writer, recording, speed, stopped) {
                return;
            }
            match Writer::open(writer.path(), Options::default()) {
                Ok(next) => writer = next,
                Err(error) => {
                    tracing::error!(%error, "the recording cannot go on");
                    return;
                }
            }
        }
    }
}

/// Whether it was played to its end.
fn play_once(writer: &mut Writer, recording: &str, speed: f64, stopped: &Receiver<()>) -> bool {
    let mut reader = Reader::new(recording.as_bytes());
    let mut before = None;
    // Reading memory cannot fail, and the recordings hold good lines only.
    while let Ok(Some(record)) = reader.next() {
        let Ok(Line { envelope, event }) = record.content else { continue };
        let recorded = before.map_or(Duration::ZERO, |before| {
            Duration::try_from(envelope.time.duration_since(before)).unwrap_or_default()
        });
        before = Some(envelope.time);
        let pause = recorded.min(LONGEST_PAUSE).div_f64(speed);
        if stopped.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
            return false;
        }
        if let Err(error) = writer.append(&event) {
            tracing::warn!(%error, "a line of the recording was not written");
        }
    }
    true
}

fn welcome(running: &Running, journal: &Path, key: &str) -> String {
    let mut text = String::new();
    let Some(address) = running.addresses.first() else { return text };
    let host = if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        SocketAddr::to_string(address)
    };
    let url = format!("https://{host}{METRICS_PATH}?key={key}");
    // Writing to memory cannot fail.
    let _ = write!(
        text,
        "
A recorded agent is writing to a journal, and its metrics are served at

  {url}

Key          {key}
Scrape       curl --cacert {} '{url}'
Journal      tail -f {}
Stop         Ctrl-C; everything above is temporary

",
        running.certificate.display(),
        journal.display(),
    );
    text
}

/// 128 bits as 32 characters.
fn random_key() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::from)?;
    Ok(bytes.iter().fold(String::new(), |mut key, byte| {
        let _ = write!(key, "{byte:02x}");
        key
    }))
}
