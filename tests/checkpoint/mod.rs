//! Checkpoints on a disk that may be cut off, refuse or lie at each single step, bytes that are none, and the format
//! itself, which is frozen here.

mod disk;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use exporter::{
    checkpoint::{CURRENT, Checkpoint, DAMAGED, NEW, Origin, PREVIOUS, Unusable, load, save},
    exposition,
    follow::{Bounds, Follower, Go},
    metrics::{Limits, Metrics},
    publish::Snapshot,
};
use proptest::prelude::*;

use self::disk::{Disk, Files, Trouble};

const JOURNAL: &str = "/var/log/etcha/journal.jsonl";

/// A journal with every event, damage, and a line that is missing.
const LINES: &[u8] = br#"{"v":1,"writer":"a","seq":1,"time":"2026-01-02T03:04:05.000Z","event":"engine","state":"started","version":"1.2","pid":7}
{"v":1,"writer":"a","seq":2,"time":"2026-01-02T03:04:06.000Z","event":"shell","name":"s","session":"1","state":"opened"}
{"v":1,"writer":"a","seq":3,"time":"2026-01-02T03:04:07.000Z","event":"command","id":"c","mode":"check","error":true,"source":"s"}
no line

{"v":1,"writer":"a","seq":6,"time":"2026-01-02T03:04:08.000Z","event":"source","name":"s","trigger":"push","error":false,"changed":1,"removed":0,"duration_seconds":0.5}
{"v":1,"writer":"a","seq":7,"time":"2026-01-02T03:04:09.000Z","event":"shell","name":"s","session":"2","state":"opened"}
{"v":1,"writer":"a","seq":8,"time":"2026-01-02T03:04:19.000Z","event":"shell","name":"s","session":"2","state":"closed","reason":"exit"}
{"v":1,"writer":"c","seq":1,"time":"2026-01-02T03:04:20.000Z","event":"run","name":"s","trigger":"pull","run":"1","state":"started","duration_seconds":5}
{"v":1,"writer":"c","seq":2,"time":"2026-01-02T03:04:21.000Z","event":"heartbeat"}
{"v":1,"writer":"c","seq":3,"time":"2026-01-02T03:04:22.000Z","event":"refused","action":"push","reason":"signature","count":3}
"#;

fn follower() -> Follower {
    let mut follower = Follower::new(Path::new(JOURNAL), Metrics::new(Limits::default()), Bounds::default());
    follower.replay_stream(Path::new("-"), &mut &LINES[..]).unwrap();
    follower
}

/// A state that is told from others by the time it was taken.
fn state(taken: i64) -> Vec<u8> {
    let follower = follower();
    let (metrics, follow) = (follower.metrics().record(), follower.record());
    Checkpoint { journal: JOURNAL.into(), taken, metrics, follow }.encode()
}

/// Which state is loaded, as an exporter does it that follows `JOURNAL`.
fn loaded(disk: &mut Disk) -> Option<(i64, Origin)> {
    load(disk, |checkpoint| {
        if checkpoint.journal != Path::new(JOURNAL) {
            return Err(Unusable::Journal(checkpoint.journal));
        }
        Metrics::restore(checkpoint.metrics, Limits::default()).ok_or(Unusable::Unsound)?;
        Ok(checkpoint.taken)
    })
}

fn taken(disk: &mut Disk) -> Option<i64> {
    loaded(disk).map(|(taken, _)| taken)
}

/// Every directory that may be found after `run` was cut off at any step, or right after its end.
fn crashes(files: &Files, mut run: impl FnMut(&mut Disk)) -> Vec<Files> {
    let mut found = Vec::new();
    for step in 1.. {
        let mut disk = Disk::new(files).trouble_at(step, Trouble::Crash);
        run(&mut disk);
        found.extend(disk.after_a_crash());
        if disk.steps() < step {
            return found;
        }
    }
    unreachable!("some step is the last one")
}

/// What an exporter does: it loads first.
fn start_and_save(disk: &mut Disk, bytes: &[u8]) {
    loaded(disk);
    drop(save(disk, bytes));
}

fn directory(files: &[(&str, &[u8])]) -> Files {
    files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}

#[test]
fn a_crash_at_any_step_leaves_the_old_state_or_the_new_one() {
    let (first, second, third) = (state(1), state(2), state(3));
    for files in crashes(&Files::new(), |disk| drop(save(disk, &first))) {
        assert!(matches!(taken(&mut Disk::new(&files)), None | Some(1)), "{:?}", files.keys());
        for files in crashes(&files, |disk| start_and_save(disk, &second)) {
            let before = taken(&mut Disk::new(&files));
            assert!(matches!(before, None | Some(1 | 2)), "{:?}", files.keys());
            for files in crashes(&files, |disk| start_and_save(disk, &third)) {
                let after = taken(&mut Disk::new(&files));
                assert!(
                    after == before || after == Some(3),
                    "{after:?} after {before:?}: {:?}",
                    files.keys()
                );
            }
        }
    }
}

#[test]
fn a_crash_after_a_save_that_ended_well_leaves_what_was_saved() {
    let mut disk = Disk::default();
    for number in 1..4 {
        save(&mut disk, &state(number)).unwrap();
        for files in disk.after_a_crash() {
            assert_eq!(taken(&mut Disk::new(&files)), Some(number));
        }
    }
}

#[test]
fn a_crash_while_a_damaged_one_is_set_aside_and_replaced_loses_nothing() {
    let (good, next) = (state(1), state(2));
    let files = directory(&[(CURRENT, b"damaged"), (PREVIOUS, &good)]);
    for files in crashes(&files, |disk| start_and_save(disk, &next)) {
        assert!(matches!(taken(&mut Disk::new(&files)), Some(1 | 2)), "{:?}", files.keys());
    }
}

#[test]
fn a_damaged_one_that_could_not_be_set_aside_never_costs_the_good_one() {
    let (good, next) = (state(1), state(2));
    let files = directory(&[(CURRENT, b"damaged"), (PREVIOUS, &good)]);
    for trouble in
        [Trouble::Once(io::ErrorKind::PermissionDenied), Trouble::Once(io::ErrorKind::ReadOnlyFilesystem)]
    {
        let mut disk = Disk::new(&files).trouble_at(1, trouble);
        assert_eq!(loaded(&mut disk), Some((1, Origin::Previous)));
        assert_eq!(disk.files(), files, "nothing could be renamed");
        for files in crashes(&disk.files(), |disk| drop(save(disk, &next))) {
            assert!(matches!(taken(&mut Disk::new(&files)), Some(1 | 2)), "{:?}", files.keys());
        }
    }
}

#[test]
fn a_disk_that_refuses_any_step_keeps_what_was_there_and_takes_the_next_one() {
    let (old, new, next) = (state(1), state(2), state(3));
    for kind in
        [io::ErrorKind::StorageFull, io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::PermissionDenied]
    {
        for step in 1.. {
            let mut last = false;
            for trouble in [Trouble::Once(kind), Trouble::FromNowOn(kind)] {
                let mut disk = Disk::default();
                save(&mut disk, &old).unwrap();
                let mut disk = Disk::new(&disk.files()).trouble_at(step, trouble);
                let saved = save(&mut disk, &new);
                last = disk.steps() < step;
                assert_eq!(saved.is_ok(), last, "step {step}, {trouble:?}");
                for files in disk.after_a_crash() {
                    assert!(matches!(taken(&mut Disk::new(&files)), Some(1 | 2)), "{:?}", files.keys());
                }
                let mut disk = Disk::new(&disk.files());
                assert!(matches!(taken(&mut disk), Some(1 | 2)));
                save(&mut disk, &next).unwrap();
                assert_eq!(loaded(&mut disk), Some((3, Origin::Current)));
            }
            if last {
                break;
            }
        }
    }
}

#[test]
fn every_kind_of_damage_is_set_aside_and_the_one_before_is_taken() {
    let good = state(1);
    let changed = |at: usize, to: u8| {
        let mut bytes = state(2);
        bytes[at] = to;
        bytes
    };
    let mut sealed = vec![0xff; 40];
    sealed.splice(..0, state(2)[..24].to_vec());
    seal(&mut sealed);
    let follower = follower();
    let (metrics, follow) = (follower.metrics().record(), follower.record());
    let elsewhere = Checkpoint { journal: "/elsewhere".into(), taken: 2, metrics, follow }.encode();
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("filled with NULs", vec![0; good.len()]),
        ("cut", good[..good.len() - 1].to_vec()),
        ("cut in its header", good[..13].to_vec()),
        ("longer than it says", [&good[..], b"x"].concat()),
        ("changed in one bit", changed(good.len() - 9, 0xa5)),
        ("of a future version", changed(8, 9)),
        ("of another program", changed(0, b'E')),
        ("of another shape", sealed),
        ("of another journal", elsewhere),
    ] {
        let mut disk = Disk::new(&directory(&[(CURRENT, &bytes), (PREVIOUS, &good)]));
        assert_eq!(loaded(&mut disk), Some((1, Origin::Previous)), "{what}");
        assert_eq!(disk.files()[DAMAGED], bytes, "{what}");
        let mut disk = Disk::new(&directory(&[(CURRENT, &bytes), (PREVIOUS, b"older")]));
        assert_eq!(loaded(&mut disk), None, "{what}");
        assert_eq!(disk.files()[DAMAGED], bytes, "of two that cannot be used, the newer one is kept: {what}");
        save(&mut disk, &good).unwrap();
        assert_eq!(loaded(&mut disk), Some((1, Origin::Current)), "{what}");
    }
}

#[test]
fn one_that_was_complete_when_the_power_went_is_newer_than_the_previous_one() {
    let (old, new) = (state(1), state(2));
    assert_eq!(taken(&mut Disk::new(&directory(&[(PREVIOUS, &old), (NEW, &new)]))), Some(2));
    assert_eq!(taken(&mut Disk::new(&directory(&[(PREVIOUS, &old), (NEW, &new[..90])]))), Some(1));
}

/// Makes the header right for whatever payload follows it.
fn seal(bytes: &mut [u8]) {
    let length = bytes.len() as u64 - 24;
    let crc = crc32fast::hash(&bytes[24..]);
    bytes[12..20].copy_from_slice(&length.to_le_bytes());
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
}

/// Decodes, restores and goes on, as an exporter does at its start.
fn go_on(bytes: &[u8]) {
    let Ok(checkpoint) = Checkpoint::decode(bytes) else { return };
    let Some(metrics) = Metrics::restore(checkpoint.metrics, Limits::default()) else { return };
    let journal = Path::new(JOURNAL);
    let mut follower = Follower::restore(journal, metrics, checkpoint.follow, Bounds::default());
    follower.replay_stream(Path::new("-"), &mut &LINES[..]).unwrap();
    exposition::guide(follower.metrics().tables(), &mut Vec::new());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_refused_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Checkpoint::decode(&bytes).is_err());
        let mut sealed = [&state(1)[..24], &bytes].concat();
        seal(&mut sealed);
        go_on(&sealed);
    }

    #[test]
    fn a_checkpoint_with_any_bytes_changed_and_a_right_checksum_does_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = state(1);
        let length = bytes.len();
        for (at, to) in changes {
            bytes[24 + at.index(length - 24)] = to;
        }
        seal(&mut bytes);
        go_on(&bytes);
    }

    #[test]
    fn encoding_what_was_decoded_gives_the_same_bytes(taken in any::<i64>(), path in prop::collection::vec(1u8.., 0..9)) {
        use std::os::unix::ffi::OsStringExt as _;
        let follower = follower();
        let (metrics, follow) = (follower.metrics().record(), follower.record());
        let journal = std::ffi::OsString::from_vec(path).into();
        let bytes = Checkpoint { journal, taken, metrics, follow }.encode();
        prop_assert_eq!(Checkpoint::decode(&bytes).unwrap().encode(), bytes);
    }
}

#[test]
fn a_length_that_no_memory_holds_is_refused_before_it_is_taken() {
    // After the journal's path and the time, the first list of the first table claims 2^63 texts.
    let mut bytes = state(1)[..24].to_vec();
    bytes.extend_from_slice(&[0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    seal(&mut bytes);
    assert!(matches!(Checkpoint::decode(&bytes), Err(Unusable::Shape(_))));
}

/// The format of version 3, frozen. If all that changed is that these lines count in a family more, or add to what happened
/// lately, this file is written again, and the version stays:
/// `ETCHA_WRITE_GOLDEN=1 cargo test --test integration checkpoint`. Otherwise a checkpoint that is on a user's disk can no
/// longer be read as what it was: raise `VERSION` in `checkpoint/mod.rs`, name the file of the new version here, write it by
/// the same command, and keep this one, which must then still be read.
#[test]
fn the_format_on_disk_is_that_of_its_version() {
    let file = golden("checkpoint.v3");
    let bytes = state(1_767_323_045_000);
    if std::env::var_os("ETCHA_WRITE_GOLDEN").is_some() {
        fs::write(&file, &bytes).unwrap();
    }
    let golden = fs::read(&file).unwrap();
    assert!(golden == bytes, "the format changed; the comment at this test says what to do");
    goes_on_as_it_was(&golden);
}

#[test]
fn what_happened_lately_is_kept() {
    let before = follower().metrics().record();
    let (journal, follow) = (JOURNAL.into(), follower().record());
    let kept = Checkpoint { journal, taken: 1, metrics: before.clone(), follow }.encode();
    let after = Checkpoint::decode(&kept).unwrap().metrics;
    assert_eq!(after.recent(), before.recent());
    assert_ne!(*after.recent(), exporter::metrics::Recent::default());
}

#[test]
fn runs_under_way_refusals_and_heartbeats_are_kept() {
    let text = |metrics: &Metrics| {
        let mut text = Vec::new();
        let snapshot = Snapshot { caught_up: true, tables: metrics.tables().clone(), ..Snapshot::default() };
        exposition::render(&snapshot, &[], exposition::Format::Text, &mut text);
        String::from_utf8(text).unwrap()
    };
    let before = follower();
    let checkpoint = Checkpoint::decode(&state(1)).unwrap();
    let after = Metrics::restore(checkpoint.metrics, Limits::default()).unwrap();
    assert_eq!(text(&after), text(before.metrics()));
    let run = r#"etcha_source_run_start_timestamp_seconds{name="s",trigger="pull"} 1767323055"#;
    assert!(text(&after).contains(run), "{}", text(&after));
    assert!(text(&after).contains(r#"etcha_refusals_total{action="push",reason="signature"} 3"#));
}

#[test]
fn a_checkpoint_of_an_earlier_version_is_gone_on_from() {
    for version in ["checkpoint.v1", "checkpoint.v2", "checkpoint.v3-before-recent"] {
        goes_on_as_it_was(&fs::read(golden(version)).unwrap());
    }
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// What was counted is there, and none of it counts again, though the bytes come from elsewhere.
fn goes_on_as_it_was(bytes: &[u8]) {
    let text = |follower: &Follower| {
        let mut text = Vec::new();
        exposition::guide(follower.metrics().tables(), &mut text);
        String::from_utf8(text).unwrap()
    };
    let checkpoint = Checkpoint::decode(bytes).unwrap();
    let metrics = Metrics::restore(checkpoint.metrics, Limits::default()).unwrap();
    let mut again = Follower::restore(Path::new(JOURNAL), metrics, checkpoint.follow, Bounds::default());
    assert_eq!(text(&again), text(&follower()));
    let missing = again.state().missing;
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("journal.jsonl");
    fs::write(&file, LINES).unwrap();
    again.replay(&[file], &mut |_| Go::On).unwrap();
    assert_eq!(text(&again), text(&follower()));
    assert_eq!((missing, again.state().missing), (2, 2));
}
