//! The writer against real files: identity, damage, rotation, many writers at once.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Instant;

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::*;
use crate::event::{Engine, EngineState, Source, Trigger};
use crate::line::Reason;
use crate::reader::Reader;

fn event(name: &str) -> Event<'_> {
    Event::Source(Source {
        name: name.into(),
        trigger: Trigger::Push,
        error: false,
        outcome: None,
        public_key: "".into(),
        remote_addr: "".into(),
        token_id: "".into(),
        subject: "".into(),
        digest: "".into(),
        changed: Some(1),
        removed: None,
        duration_seconds: Some(0.25),
    })
}

fn options(max_bytes: u64, keep: usize) -> Options {
    Options { max_bytes, keep, sync: Sync::Never, ..Options::default() }
}

/// A journal in a directory of its own.
struct JournalDir {
    directory: TempDir,
    journal: PathBuf,
}

impl JournalDir {
    fn new() -> JournalDir {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("journal.jsonl");
        JournalDir { directory, journal }
    }

    fn writer(&self) -> Writer {
        Writer::open(&self.journal, options(0, 8)).unwrap()
    }

    /// The names in the directory, sorted, without those of locks.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }

    /// `(writer, seq)` of each good line of all files, and the reasons of the bad ones.
    fn lines(&self) -> (Vec<(String, u64)>, Vec<Reason>) {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for name in self.names() {
            let file = fs::File::open(self.directory.path().join(name)).unwrap();
            let mut reader = Reader::new(file);
            while let Some(record) = reader.next().unwrap() {
                match record.content {
                    Ok(line) => good.push((line.envelope.writer.into_owned(), line.envelope.seq)),
                    Err(rejected) => bad.push(rejected.reason),
                }
            }
            assert_eq!(reader.unfinished(), 0);
        }
        (good, bad)
    }
}

#[test]
fn lines_are_numbered_and_each_writer_has_a_name_of_its_own() {
    let place = JournalDir::new();
    let (mut one, mut two) = (place.writer(), place.writer());
    assert_eq!(one.append(&event("a")).unwrap(), 1);
    assert_eq!(one.append(&event("a")).unwrap(), 2);
    assert_eq!(two.append(&event("b")).unwrap(), 1);
    assert_ne!(one.name(), two.name());
    assert!(crate::line::is_writer(one.name()) && one.name().len() == 16);
    let named = |writer: &Writer, seq| (writer.name().to_owned(), seq);
    assert_eq!(place.lines(), (vec![named(&one, 1), named(&one, 2), named(&two, 1)], vec![]));
}

#[test]
fn the_mode_is_group_readable_whatever_the_umask() {
    // The umask belongs to the whole process, so it is not changed here: a mode that no usual umask yields will do.
    let place = JournalDir::new();
    place.writer();
    assert_eq!(fs::metadata(&place.journal).unwrap().permissions().mode() & 0o7777, 0o640);
}

#[test]
fn time_is_the_clock_that_was_passed_in() {
    let place = JournalDir::new();
    let clock = || "2026-01-31T09:30:00.123456Z".parse().unwrap();
    let mut writer = Writer::open(&place.journal, Options { clock, ..options(0, 1) }).unwrap();
    writer.append(&event("a")).unwrap();
    let text = fs::read_to_string(&place.journal).unwrap();
    assert!(
        text.contains(r#""seq":1,"time":"2026-01-31T09:30:00.123456Z","event":"source","name":"a""#),
        "{text}"
    );
}

#[test]
fn a_torn_last_line_spoils_only_itself() {
    let place = JournalDir::new();
    fs::write(&place.journal, r#"{"v":1,"wri"#).unwrap();
    let (mut one, mut two) = (place.writer(), place.writer());
    one.append(&event("a")).unwrap();
    two.append(&event("b")).unwrap();
    let (good, bad) = place.lines();
    assert_eq!((good.len(), bad), (2, vec![Reason::Torn]));
}

#[test]
fn a_line_that_is_being_written_is_not_taken_for_a_torn_one() {
    const WRITERS: usize = 3;
    const LINES: usize = 100;
    let place = JournalDir::new();
    let long = "x".repeat(60_000);
    // Long lines take the system several steps, and each opening falls between two of them now and then.
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let mut writer = place.writer();
                (0..LINES).for_each(|_| assert!(writer.append(&event(&long)).is_ok()));
            });
            scope.spawn(|| (0..LINES).for_each(|_| assert!(place.writer().append(&event("a")).is_ok())));
        }
    });
    let (good, bad) = place.lines();
    assert_eq!((good.len(), bad), (2 * WRITERS * LINES, vec![]));
}

#[test]
fn an_event_that_does_not_fit_is_left_out_and_leaves_a_gap() {
    let place = JournalDir::new();
    let mut writer = place.writer();
    let error = writer.append(&event(&"x".repeat(70_000))).unwrap_err();
    assert!(matches!(error, WriteError::TooLong { seq: 1, .. }), "{error}");
    assert_eq!(writer.append(&event("a")).unwrap(), 2);
    assert_eq!(place.lines(), (vec![(writer.name().to_owned(), 2)], vec![]));
}

#[test]
fn a_journal_that_was_renamed_or_removed_is_made_again() {
    let place = JournalDir::new();
    let mut writer = place.writer();
    writer.append(&event("a")).unwrap();
    fs::rename(&place.journal, place.directory.path().join("journal.jsonl.1")).unwrap();
    writer.append(&event("a")).unwrap();
    assert_eq!(place.names(), ["journal.jsonl", "journal.jsonl.1"]);
    fs::write(place.directory.path().join("fresh"), "").unwrap();
    fs::rename(place.directory.path().join("fresh"), &place.journal).unwrap();
    writer.append(&event("a")).unwrap();
    // The second line went with the file that was replaced.
    assert_eq!(place.lines().0.iter().map(|line| line.1).collect::<Vec<_>>(), [3, 1]);
}

#[test]
fn a_directory_that_vanished_is_an_error_until_it_is_back() {
    let place = JournalDir::new();
    let inner = place.directory.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let mut writer = Writer::open(inner.join("j"), options(0, 8)).unwrap();
    fs::remove_dir_all(&inner).unwrap();
    let error = writer.append(&event("a")).unwrap_err().to_string();
    assert!(error.contains("make its directory first"), "{error}");
    fs::create_dir(&inner).unwrap();
    assert_eq!(writer.append(&event("a")).unwrap(), 2);
}

#[test]
fn what_is_no_regular_file_is_refused_with_its_kind() {
    let place = JournalDir::new();
    let at = |name: &str| place.directory.path().join(name);
    rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    symlink("/dev/zero", at("device")).unwrap();
    symlink("circle", at("circle")).unwrap();
    fs::create_dir(at("directory")).unwrap();
    for (name, says) in [
        ("fifo", "is a FIFO"),
        ("device", "is a device"),
        ("directory", "is a directory"),
        ("circle", "links lead in a circle"),
        ("missing/j", "make its directory first"),
    ] {
        let error = Writer::open(at(name), options(0, 8)).err().unwrap().to_string();
        assert!(error.contains(says), "{name}: {error}");
    }
}

#[test]
fn a_link_to_a_journal_stays_a_link_through_rotations() {
    let place = JournalDir::new();
    let disk = place.directory.path().join("disk");
    fs::create_dir(&disk).unwrap();
    symlink("disk/j", &place.journal).unwrap();
    let mut writer = Writer::open(&place.journal, options(400, 8)).unwrap();
    for _ in 0..6 {
        writer.append(&event("a")).unwrap();
    }
    assert!(fs::symlink_metadata(&place.journal).unwrap().is_symlink());
    assert!(fs::read_dir(&disk).unwrap().count() > 2);
    assert_eq!(place.names(), ["disk", "journal.jsonl"]);
}

#[test]
fn the_newest_segments_stay_and_foreign_files_are_not_touched() {
    let place = JournalDir::new();
    for foreign in ["journal.jsonl.1", "journal.jsonl.20200101T000000.000000000Z.gz", "other"] {
        fs::write(place.directory.path().join(foreign), "").unwrap();
    }
    let mut writer = Writer::open(&place.journal, options(400, 3)).unwrap();
    for _ in 0..40 {
        writer.append(&event("a")).unwrap();
        assert!(fs::metadata(&place.journal).unwrap().len() <= 400);
    }
    assert!(writer.take_warning().is_none());
    // Three foreign ones, the active one, three rotated ones.
    assert_eq!(place.names().len(), 7, "{:?}", place.names());
    let seqs: Vec<_> = place.lines().0.into_iter().map(|line| line.1).collect();
    let newest = *seqs.iter().max().unwrap();
    assert_eq!(newest, 40);
    assert_eq!(
        BTreeSet::from_iter(seqs.iter().copied()).len() as u64,
        newest - seqs.iter().min().unwrap() + 1
    );
}

#[test]
fn a_reader_that_locks_the_journal_does_not_stop_rotation() {
    let place = JournalDir::new();
    let mut writer = Writer::open(&place.journal, options(300, 3)).unwrap();
    let reader = fs::File::open(&place.journal).unwrap();
    flock(&reader, FlockOperation::LockShared).unwrap();
    for _ in 0..10 {
        writer.append(&event("a")).unwrap();
        assert!(fs::metadata(&place.journal).unwrap().len() <= 300);
    }
    assert!(place.names().len() > 2, "{:?}", place.names());
}

#[test]
fn a_writer_that_does_not_give_the_lock_back_stops_rotation_until_the_journal_is_twice_as_large() {
    // A clock that goes on by a tenth of a second with each line.
    static NOW: AtomicI64 = AtomicI64::new(1_795_000_000_000);
    fn clock() -> Timestamp {
        Timestamp::from_millisecond(NOW.fetch_add(100, Ordering::Relaxed)).unwrap()
    }
    let place = JournalDir::new();
    let mut writer = Writer::open(&place.journal, Options { clock, ..options(1_000, 1_000) }).unwrap();
    writer.append(&event("a")).unwrap();
    let lock = super::lock::beside(&place.journal, "lock");
    let held = super::lock::open(&lock, &fs::metadata(&place.journal).unwrap()).unwrap();
    assert!(super::lock::try_take(&held).unwrap());
    let mut warnings = Vec::new();
    for _ in 0..40 {
        writer.append(&event("a")).unwrap();
        warnings.extend(writer.take_warning());
        let size = fs::metadata(&place.journal).unwrap().len();
        assert!(place.names().len() > 1 || size <= 5_000, "{size} bytes");
    }
    assert!(place.names().len() >= 2, "{:?}", place.names());
    assert!(warnings[0].to_string().contains("rotated without the lock"), "{}", warnings[0]);
    drop(held);
    for _ in 0..40 {
        writer.append(&event("a")).unwrap();
    }
    assert!(writer.take_warning().is_none());
    assert_eq!(place.lines().0.len(), 81);
}

/// Appends as a process of its own would that lives for so many lines.
fn append_continued(place: &JournalDir, lines: usize) -> Vec<u64> {
    let mut writer = Writer::open_continued(&place.journal, options(0, 8)).unwrap();
    let seqs = (0..lines).map(|_| writer.append(&event("a")).unwrap()).collect();
    assert!(writer.take_warning().is_none());
    seqs
}

#[test]
fn short_lives_are_one_writer_whatever_happens_to_the_files() {
    let place = JournalDir::new();
    let state = super::lock::beside(&place.journal, "append");
    assert_eq!(append_continued(&place, 2), [1, 2]);
    assert_eq!(append_continued(&place, 1), [3]);
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o7777, 0o600);
    // Rotated, with a fresh file of another writer behind it.
    fs::rename(&place.journal, place.directory.path().join("journal.jsonl.1")).unwrap();
    place.writer().append(&event("other")).unwrap();
    assert_eq!(append_continued(&place, 1), [4]);
    // The state is gone, cut, from before a reboot and older than the journal, or from before it and newer.
    fs::remove_file(&state).unwrap();
    assert_eq!(append_continued(&place, 1), [5]);
    fs::write(&state, "etcha-app").unwrap();
    assert_eq!(append_continued(&place, 1), [6]);
    let now = fs::read_to_string(&state).unwrap();
    let name = now.split(' ').nth(1).unwrap();
    for (seq, next) in [(3, 7), (20, 21)] {
        fs::write(&state, format!("etcha-append-1 {name} {seq:020} another-boot\n")).unwrap();
        assert_eq!(append_continued(&place, 1), [next]);
    }
    // The active file is gone: the state tells.
    fs::remove_file(&place.journal).unwrap();
    assert_eq!(append_continued(&place, 1), [22]);
    let (good, bad) = place.lines();
    assert_eq!(bad, []);
    assert_eq!(good.iter().filter(|(writer, _)| writer == name).count(), 4, "{good:?}");
    // Both are gone: how far the numbers went, nothing tells. A number twice would be a line lost.
    fs::remove_file(&state).unwrap();
    fs::remove_file(&place.journal).unwrap();
    assert_eq!(append_continued(&place, 1), [1]);
    assert!(
        place
            .lines()
            .0
            .iter()
            .any(|(writer, seq)| writer != name && writer.starts_with("append-") && *seq == 1)
    );
}

#[test]
fn a_process_that_dies_between_number_and_line_leaves_a_gap_and_never_a_number_twice() {
    let place = JournalDir::new();
    let mut writer = Writer::open_continued(&place.journal, options(0, 8)).unwrap();
    writer.append(&event("a")).unwrap();
    // What the kill leaves: a number that is used up, and the lock given back.
    drop(writer.turn().unwrap());
    drop(writer);
    assert_eq!(append_continued(&place, 1), [3]);
}

#[test]
fn many_continued_writers_at_the_same_time_have_their_numbers_in_order() {
    const WRITERS: usize = 6;
    const LINES: u64 = 50;
    let place = JournalDir::new();
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| append_continued(&place, usize::try_from(LINES).unwrap()));
        }
    });
    let (good, bad) = place.lines();
    assert_eq!(bad, []);
    let seqs: Vec<_> = good.iter().map(|line| line.1).collect();
    assert_eq!(seqs, (1..=WRITERS as u64 * LINES).collect::<Vec<_>>());
    assert!(good.iter().all(|line| line.0 == good[0].0));
}

#[test]
fn where_the_numbers_cannot_be_kept_the_line_is_written_by_a_writer_by_itself() {
    let place = JournalDir::new();
    fs::create_dir(super::lock::beside(&place.journal, "append")).unwrap();
    let mut writer = Writer::open_continued(&place.journal, options(0, 8)).unwrap();
    let warning = writer.take_warning().unwrap().to_string();
    assert!(warning.contains("begins anew") && warning.contains(".journal.jsonl.append"), "{warning}");
    assert_eq!(writer.append(&event("a")).unwrap(), 1);
    assert_eq!(place.lines().0.len(), 1);
}

#[test]
fn many_writers_that_rotate_lose_nothing_and_tear_nothing() {
    const WRITERS: usize = 4;
    const LINES: u64 = 400;
    let place = JournalDir::new();
    let names: Vec<String> = thread::scope(|scope| {
        let run = || {
            let mut writer = Writer::open(&place.journal, options(2_000, usize::MAX)).unwrap();
            for _ in 0..LINES {
                writer.append(&event("storm")).unwrap();
                assert!(writer.take_warning().is_none());
            }
            writer.name().to_owned()
        };
        let threads: Vec<_> = (0..WRITERS).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (mut good, bad) = place.lines();
    good.sort();
    let mut expected: Vec<_> =
        names.iter().flat_map(|name| (1..=LINES).map(move |seq| (name.clone(), seq))).collect();
    expected.sort();
    assert_eq!(good, expected);
    assert_eq!(bad, []);
    // Ten lines fill a file. Fewer files is right, because nobody waits for who rotates; more of them would mean that a
    // fresh file was rotated by somebody late.
    let lines_per_file = good.len() / (place.names().len() - 1);
    assert!((10..200).contains(&lines_per_file), "{lines_per_file} lines per file");
}

#[test]
fn somebody_else_may_rename_and_create_while_lines_are_written() {
    const ROTATIONS: usize = 60;
    let place = JournalDir::new();
    let mut writer = place.writer();
    let mut seq = writer.append(&event("first")).unwrap();
    thread::scope(|scope| {
        let rotate = || {
            for number in 0..ROTATIONS {
                let segment = place.directory.path().join(format!("journal.jsonl.{number}"));
                // Gone for a moment when the writer was not there yet to make it again.
                while fs::rename(&place.journal, &segment).is_err() {
                    thread::yield_now();
                }
                // The writer may be faster, and that is as good.
                let _ = fs::File::create_new(&place.journal);
            }
        };
        let rotating = scope.spawn(rotate);
        while !rotating.is_finished() {
            seq = writer.append(&event("storm")).unwrap();
        }
    });
    let (good, bad) = place.lines();
    let mut seqs: Vec<_> = good.into_iter().map(|line| line.1).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=seq).collect::<Vec<_>>());
    assert_eq!(bad, []);
}

#[test]
fn the_interval_syncs_by_itself_and_close_syncs_the_rest() {
    let place = JournalDir::new();
    let sync = Sync::Interval(Duration::from_millis(1));
    let mut writer = Writer::open(&place.journal, Options { sync, ..options(0, 1) }).unwrap();
    writer.append(&event("a")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while writer.active.dirty.load(std::sync::atomic::Ordering::Acquire) {
        assert!(Instant::now() < deadline, "the line was not synced");
        thread::yield_now();
    }
    writer.append(&event("a")).unwrap();
    writer.close().unwrap();
}

#[test]
fn an_engine_event_does_not_wait_for_the_interval() {
    let place = JournalDir::new();
    let sync = Sync::Interval(Duration::from_secs(3600));
    let mut writer = Writer::open(&place.journal, Options { sync, ..options(0, 1) }).unwrap();
    let started = Engine { state: EngineState::Started, version: "".into(), pid: Some(1) };
    writer.append(&Event::Engine(started)).unwrap();
    assert!(!writer.active.dirty.load(std::sync::atomic::Ordering::Acquire));
    // Stops at once, in spite of the interval.
    writer.close().unwrap();
}
