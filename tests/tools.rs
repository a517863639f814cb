//! Real programs at work on a journal that scripts write, each line by another writer: whatever people do to the files, each
//! line counts once.
//!
//! What no reader could make good is left out: programs that write a file anew lose what is appended meanwhile, so the
//! writers wait for these. `ETCHA_TEST_LINES=300000` makes a long run of it.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

use crate::harness::{
    exporter::{Exporter, Home},
    program,
    wait::{SOON, wait_until},
};

/// Lines of a run, unless `ETCHA_TEST_LINES` says otherwise.
const LINES: u64 = 3000;

/// How often all programs are run.
const ROUNDS: u64 = 3;

/// Calls of `etcha-journal append` in each round, beside the scripts.
const APPENDS: u64 = 4;

/// After so many lines the scripts pause ...
const BURST: u64 = 10;

/// ... for so long.
const PAUSE: Duration = Duration::from_millis(1);

/// A journal that scripts write, and what they wrote.
struct Scripts {
    journal: PathBuf,
    /// Held while a line is written, and while a program works that would lose it.
    gate: Mutex<()>,
    written: AtomicU64,
}

impl Scripts {
    /// Writes a line as a script does: it opens the journal, and has a number 1 that it never goes beyond.
    fn write_line(&self, number: u64) {
        let _gate = self.gate.lock().unwrap();
        let (writer, millisecond) = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number % 1000);
        let (minute, second) = (number / 60_000 % 60, number / 1000 % 60);
        let line = format!(
            "{{\"v\":1,\"writer\":\"{writer:016x}\",\"seq\":1,\"time\":\"2026-01-02T03:{minute:02}:{second:02}.{millisecond:03}Z\",\
             \"event\":\"source\",\"name\":\"s\",\"trigger\":\"pull\",\"error\":false}}\n"
        );
        let mut file = OpenOptions::new().append(true).create(true).open(&self.journal).unwrap();
        file.write_all(line.as_bytes()).unwrap();
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    fn append(&self) {
        let _gate = self.gate.lock().unwrap();
        let mut append = Command::new(env!("CARGO_BIN_EXE_etcha-journal"));
        append.args(["append", "source", "--name", "s", "--trigger", "pull", "--journal"]).arg(&self.journal);
        ran(&mut append);
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

/// Runs a program, which has to go well.
fn ran(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The configuration of logrotate, with its state.
fn logrotate(journal: &Path, directives: &str, name: &str) -> Option<Command> {
    let directory = journal.parent().unwrap();
    let config = directory.with_file_name(format!("{name}.conf"));
    let text = format!("{} {{\n rotate 1000\n missingok\n{directives}\n}}\n", journal.display());
    fs::write(&config, text).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = Command::new(program::find("logrotate")?);
    command.arg("--force").arg("--state").arg(directory.with_file_name("logrotate.state")).arg(&config);
    Some(command)
}

/// A program, if it is there, with these arguments and the file.
fn on(name: &str, arguments: &[&str], file: &Path) -> Option<Command> {
    let mut command = Command::new(program::find(name)?);
    command.args(arguments).arg(file);
    Some(command)
}

/// Brings one file up to another, if the program for it is there.
fn rsync(arguments: &[&str], from: &Path, to: &Path) -> Option<Command> {
    let mut command = on("rsync", arguments, from)?;
    command.arg(to);
    Some(command)
}

/// Everything that people do to a journal, in this round.
fn programs(scripts: &Scripts, exporter: &Exporter, round: u64) {
    let journal = &scripts.journal;
    let beside = |name: &str| PathBuf::from(format!("{}.{name}{round}", journal.display()));
    let copy = |to: &Path| {
        let mut cp = Command::new("cp");
        ran(cp.arg("-p").arg(journal).arg(to));
    };
    // These lose nothing, so the scripts go on.
    copy(&beside("bak"));
    logrotate(journal, "create 0640\n compress\n delaycompress", "create").iter_mut().for_each(ran);
    copy(&beside("old"));
    let mirror = PathBuf::from(format!("{}.mirror", journal.display()));
    rsync(&["-a"], journal, &mirror).iter_mut().for_each(ran);
    on("gzip", &["-f"], &beside("bak")).iter_mut().for_each(ran);
    on("zstd", &["-q", "-f", "--rm"], &beside("old")).iter_mut().for_each(ran);
    // These write the file anew, and some take lines away: what was not read by then, nobody can count.
    for command in [
        on("sed", &["-i", "-e", "7d", "-e", "9s/{/{ /"], journal),
        on("vim", &["-N", "-es", "-u", "NONE", "-i", "NONE", "-n", "-c", "5d", "-c", "wq"], journal),
        // The mirror is made whole, and brought back as a new file and into the one that is there.
        rsync(&["-a", "--append-verify"], journal, &mirror),
        rsync(&["-a", "--ignore-times"], &mirror, journal),
        rsync(&["-a", "--ignore-times", "--inplace"], &mirror, journal),
        logrotate(journal, "copytruncate", "copytruncate"),
    ] {
        let _gate = scripts.gate.lock().unwrap();
        wait_for_all(scripts, exporter);
        command.into_iter().for_each(|mut command| ran(&mut command));
    }
    // The one that a person brings back.
    let _gate = scripts.gate.lock().unwrap();
    if let Some(mut unpack) =
        on("gzip", &["-d", "-f", "-k"], &PathBuf::from(format!("{}.gz", beside("bak").display())))
    {
        ran(&mut unpack);
    }
}

/// Until all that was written is counted.
fn wait_for_all(scripts: &Scripts, exporter: &Exporter) {
    let limit = SOON + Duration::from_millis(scripts.written());
    wait_until(limit, "every line to be counted", || counted(exporter) >= scripts.written() as f64);
}

fn counted(exporter: &Exporter) -> f64 {
    exporter.scrape().value("etcha_exporter_events_total", &[("event", "source")]).unwrap()
}

#[test]
fn whatever_real_programs_do_to_a_journal_of_scripts_each_line_counts_once() {
    let lines = std::env::var("ETCHA_TEST_LINES").ok().and_then(|lines| lines.parse().ok()).unwrap_or(LINES);
    let home = Home::with_journal("log/journal.jsonl");
    let directory = home.journal().parent().unwrap().to_owned();
    fs::create_dir(&directory).unwrap();
    // logrotate refuses directories that others may write.
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    let mut exporter = home.start(&["--poll-interval", "50ms"]);
    let scripts = Scripts { journal: home.journal(), gate: Mutex::new(()), written: AtomicU64::new(0) };
    let per_round = lines / ROUNDS;
    for round in 0..ROUNDS {
        let begin = round * per_round;
        let (_go, stopped) = sync_channel::<()>(0);
        thread::scope(|scope| {
            let (scripts, exporter) = (&scripts, &exporter);
            scope.spawn(move || {
                for number in begin..begin + per_round {
                    scripts.write_line(number);
                    if number % BURST == 0 {
                        // Its pace is how long it waits to be stopped, which it never is.
                        assert_eq!(stopped.recv_timeout(PAUSE), Err(RecvTimeoutError::Timeout));
                    }
                }
            });
            let half = scripts.written() + per_round / 2;
            (0..APPENDS).for_each(|_| scripts.append());
            wait_until(Duration::from_secs(600), "half of the lines", || scripts.written() >= half);
            programs(scripts, exporter, round);
        });
        wait_for_all(&scripts, &exporter);
        assert_eq!(
            counted(&exporter),
            scripts.written() as f64,
            "after round {round}: {}",
            exporter.process.log()
        );
    }
    let written = scripts.written() as f64;
    let missing = exporter.scrape().value("etcha_exporter_lines_missing", &[]);
    assert_eq!((counted(&exporter), missing), (written, Some(0.0)));
    // And after a restart, with everything that lies there by now. Some lines were taken away since they were counted.
    assert!(exporter.process.terminate().success());
    let again = home.start(&["--poll-interval", "50ms"]);
    again.wait_until_ready();
    assert_eq!(counted(&again), written);
}
