//! The real logrotate at work on a journal under load, in each way that people set it up.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use journal_schema::{Options, Sync};

use crate::harness::{
    appender::{Appender, counted},
    exporter::{Exporter, Home},
    program,
    wait::{SOON, wait_until},
};

/// Rotations under load.
const ROTATIONS: usize = 12;

/// How often a scenario is begun: on a busy machine logrotate itself can lose a file, which ends it.
const ATTEMPTS: usize = 5;

/// Bytes that the active file has before it is rotated: hundreds of lines.
const BETWEEN: u64 = 100_000;

/// What was written of each id.
type Written = std::collections::BTreeMap<String, u64>;

/// Runs logrotate on the journal of a new home, with `directives`, while a writer appends and the exporter follows.
/// Returns when all is quiet: the exporter, and what was written. Where logrotate itself lost a file, it is done again.
fn rotate(logrotate: &Path, directives: &str) -> (Home, Exporter, Written) {
    (0..ATTEMPTS).find_map(|_| rotate_once(logrotate, directives)).expect("logrotate to lose no file")
}

/// The same; `None` if logrotate failed because the writer made the new file before it, twice in a row. It had then replaced
/// its own backup of the first.
fn rotate_once(logrotate: &Path, directives: &str) -> Option<(Home, Exporter, Written)> {
    let home = Home::with_journal("log/journal.jsonl");
    let directory = home.journal().parent().unwrap().to_owned();
    fs::create_dir(&directory).unwrap();
    // logrotate refuses directories that others may write.
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    let config = directory.with_file_name("logrotate.conf");
    let text = format!("{} {{\n rotate 100\n missingok\n{directives}\n}}\n", home.journal().display());
    fs::write(&config, text).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();

    let exporter = home.start(&["--poll-interval", "50ms"]);
    // Rotation is logrotate's: the writer finds another file under the path, or a shorter one.
    let options = Options { max_bytes: 0, sync: Sync::Never, ..Options::default() };
    // One writer, so that whatever is lost before its last line shows as a gap in its numbers.
    let appender = Appender::start(home.journal(), options, usize::MAX);
    let has_lines = || fs::metadata(home.journal()).is_ok_and(|active| active.len() > BETWEEN);
    for rotation in 0..ROTATIONS {
        wait_until(SOON, "lines to rotate", has_lines);
        let mut command = Command::new(logrotate);
        command.arg("--force").arg("--state").arg(directory.with_file_name("logrotate.state")).arg(&config);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("error creating output file") && said.contains("File exists") {
            appender.stop();
            return None;
        }
        assert!(output.status.success(), "{said}");
        keep_backup(&directory, rotation);
    }
    wait_until(SOON, "lines behind the last rotation", has_lines);
    let written = appender.stop();
    Some((home, exporter, written))
}

/// Where the writer made the new file before logrotate could, logrotate moves it to a name that says the hour and nothing
/// finer: the next one of this hour would replace it. Rotations are nearer to each other here than on a host.
fn keep_backup(directory: &Path, rotation: usize) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("journal.jsonl-20") && name.ends_with(".backup") {
            fs::rename(&path, directory.join(format!("journal.jsonl-{rotation}.backup"))).unwrap();
        }
    }
}

fn every_line_counts_once(directives: &str) {
    let Some(logrotate) = program::find("logrotate") else { return };
    let (home, exporter, written) = rotate(&logrotate, directives);
    wait_until(SOON, "every line to be counted", || counted(&exporter.scrape()) == written);
    drop(exporter);
    // And the same again for one that comes when everything is over.
    fs::remove_dir_all(home.state()).unwrap();
    let late = home.start(&[]);
    wait_until(SOON, "every line to be counted from what is left", || {
        let scrape = late.scrape();
        let (counted, written) = (counted(&scrape), &written);
        let sum = |counts: &std::collections::BTreeMap<String, u64>| counts.values().sum::<u64>();
        let missing = scrape.value("etcha_exporter_lines_missing", &[]);
        println!("{} of {}, missing {missing:?}", sum(&counted), sum(written));
        counted == *written
    });
    assert_eq!(late.scrape().value("etcha_exporter_lines_missing", &[]), Some(0.0));
}

#[test]
fn logrotate_with_create_costs_no_line() {
    every_line_counts_once("create 0640");
}

#[test]
fn logrotate_with_compress_and_delaycompress_costs_no_line() {
    every_line_counts_once("create 0640\n compress\n delaycompress");
}

#[test]
fn logrotate_with_compress_at_once_costs_no_line_of_a_writer_that_looks_before_it_writes() {
    every_line_counts_once("create 0640\n compress");
}

#[test]
fn what_logrotate_loses_with_copytruncate_is_counted_as_missing() {
    let Some(logrotate) = program::find("logrotate") else { return };
    let (_home, exporter, written) = rotate(&logrotate, "copytruncate");
    let written: u64 = written.values().sum();
    wait_until(SOON, "every line to be counted or missing", || {
        let scrape = exporter.scrape();
        let counted: u64 = counted(&scrape).values().sum();
        assert!(counted <= written, "{counted} counted of {written}");
        let torn = [("reason", "torn")];
        let missing = scrape.value("etcha_exporter_lines_missing", &[]).unwrap();
        println!(
            "{counted} + {missing} of {written}, torn {:?}",
            scrape.value("etcha_exporter_lines_rejected_total", &torn)
        );
        (written - counted) as f64 == missing
    });
}
