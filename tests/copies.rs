//! Journals whose every line is a writer, as scripts write them, and whatever people and their tools do to such files: each
//! line counts once. And what else may stand beside a journal, in any number and size.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use exporter::{
    checkpoint::Checkpoint,
    follow::{Bounds, Follower, Go, Skip},
    metrics::{Limits, Metrics},
};

/// More than are kept by name.
const LINES: usize = 5000;

/// A directory with a journal, and what follows it.
struct Rig {
    directory: tempfile::TempDir,
    follower: Follower,
    bounds: Bounds,
}

impl Rig {
    fn new(bounds: Bounds) -> Rig {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("journal.jsonl");
        let follower = Follower::new(&journal, Metrics::new(Limits::default()), bounds);
        Rig { directory, follower, bounds }
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.directory.path().join(format!("journal.jsonl{ending}"))
    }

    /// Replaces a file as `sed -i` and editors do: by another one of its name.
    fn replace(&self, ending: &str, content: &[u8]) {
        let new = self.directory.path().join("new");
        fs::write(&new, content).unwrap();
        fs::rename(new, self.path(ending)).unwrap();
    }

    fn append(&self, content: &[u8]) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path("")).unwrap();
        file.write_all(content).unwrap();
    }

    /// Looks until there is nothing more to read; says how many lines were counted in all.
    fn look(&mut self) -> u64 {
        for _ in 0..100 {
            if !self.follower.round(&mut |_| Go::On).again {
                return self.follower.tally().events[1];
            }
        }
        panic!("the follower never comes to rest");
    }

    /// Another process goes on from what this one saved.
    fn restart(&mut self) {
        let checkpoint = Checkpoint {
            journal: self.path(""),
            taken: 0,
            metrics: self.follower.metrics().record(),
            follow: self.follower.record(),
        };
        let checkpoint = Checkpoint::decode(&checkpoint.encode()).unwrap();
        let metrics = Metrics::restore(checkpoint.metrics, Limits::default()).unwrap();
        self.follower = Follower::restore(&self.path(""), metrics, checkpoint.follow, self.bounds);
    }
}

/// Lines of as many scripts, from this number on.
fn scripts(from: usize, lines: usize) -> Vec<Vec<u8>> {
    let line = |number: usize| {
        let (second, milli) = (number / 1000, number % 1000);
        let time =
            format!("2026-01-01T{:02}:{:02}:{:02}.{milli:03}Z", second / 3600, second / 60 % 60, second % 60);
        format!(
            "{{\"v\":1,\"writer\":\"script-{number}\",\"seq\":1,\"time\":\"{time}\",\"event\":\"source\",\
             \"name\":\"n\",\"trigger\":\"pull\",\"error\":false}}\n"
        )
        .into_bytes()
    };
    (from..from + lines).map(line).collect()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// What is done to a journal of these lines.
type Fate = fn(&Rig, &[Vec<u8>]);

const FATES: [(&str, Fate); 11] = [
    ("a copy beside it", |rig, lines| fs::write(rig.path(".bak"), lines.concat()).unwrap()),
    ("an earlier copy", |rig, lines| fs::write(rig.path(".bak"), lines[..LINES / 2].concat()).unwrap()),
    ("lines removed by sed -i", |rig, lines| {
        rig.replace("", &[lines[..100].concat(), lines[111..].concat()].concat());
    }),
    ("a line put in by an editor that writes in place", |rig, lines| {
        fs::write(rig.path(""), [lines[..9].concat(), b"# seen\n".to_vec(), lines[9..].concat()].concat())
            .unwrap();
    }),
    ("an older backup put back", |rig, lines| rig.replace("", &lines[..LINES - 10].concat())),
    ("the first lines cut off", |rig, lines| rig.replace("", &lines[10..].concat())),
    ("the last lines cut off", |rig, lines| {
        let length = lines[..LINES - 7].concat().len() + 40;
        File::options().write(true).open(rig.path("")).unwrap().set_len(length as u64).unwrap();
    }),
    ("a zeroed tail", |rig, lines| {
        let mut content = lines.concat();
        let length = content.len();
        content[length - 3000..].fill(0);
        rig.replace("", &content);
    }),
    ("a compressed copy", |rig, lines| fs::write(rig.path(".1.gz"), gzip(&lines.concat())).unwrap()),
    ("a compressed copy that is not whole yet", |rig, lines| {
        let packed = gzip(&lines.concat());
        fs::write(rig.path(".1.gz"), &packed[..packed.len() / 2]).unwrap();
    }),
    ("copied and cut to nothing", |rig, lines| {
        fs::write(rig.path(".1"), lines.concat()).unwrap();
        File::options().write(true).open(rig.path("")).unwrap().set_len(0).unwrap();
    }),
];

#[test]
fn whatever_is_done_to_a_journal_of_one_line_writers_each_line_counts_once() {
    let lines = scripts(0, LINES);
    for (what, fate) in FATES {
        for restart in [false, true] {
            let mut rig = Rig::new(Bounds::default());
            rig.append(&lines.concat());
            assert_eq!(rig.look(), LINES as u64);
            fate(&rig, &lines);
            if restart {
                rig.restart();
            }
            assert_eq!(rig.look(), LINES as u64, "{what}");
            assert_eq!(rig.look(), LINES as u64, "{what}, at another look");
            // Behind a cut line it begins anew.
            rig.append(b"\n");
            rig.append(&scripts(LINES, 3).concat());
            assert_eq!(rig.look(), LINES as u64 + 3, "{what}, and three more lines");
            assert_eq!(rig.follower.state().missing, 0, "{what}");
        }
    }
}

#[test]
fn copies_and_restarts_do_not_depend_on_how_many_writers_are_remembered() {
    let lines = scripts(0, LINES);
    let mut rig = Rig::new(Bounds { writers: 100, ..Bounds::default() });
    rig.append(&lines.concat());
    assert_eq!(rig.look(), LINES as u64);
    assert!(rig.follower.state().writers_forgotten >= 4000);
    fs::write(rig.path(".bak"), lines.concat()).unwrap();
    fs::write(rig.path(".1.gz"), gzip(&lines.concat())).unwrap();
    for _ in 0..3 {
        assert_eq!(rig.look(), LINES as u64);
        rig.restart();
    }
    assert_eq!(rig.follower.tally().duplicates, 0, "not a line was read again");
}

#[test]
fn of_an_edited_file_only_what_follows_the_edit_is_read_again() {
    let lines = scripts(0, LINES);
    let mut rig = Rig::new(Bounds::default());
    rig.append(&lines.concat());
    rig.look();
    rig.replace("", &[lines[..LINES - 100].concat(), lines[LINES - 99..].concat()].concat());
    assert_eq!(rig.look(), LINES as u64);
    let again = rig.follower.tally().duplicates;
    assert!((99..300).contains(&again), "{again} lines");
}

#[test]
fn a_line_that_an_editor_changed_counts_though_the_file_has_its_size_and_ends_as_before() {
    for count in [100, LINES] {
        let mut lines = scripts(1000, count);
        let mut rig = Rig::new(Bounds::default());
        rig.append(&lines.concat());
        assert_eq!(rig.look(), count as u64);
        lines[count / 2] = scripts(9000, 1).remove(0);
        rig.replace("", &lines.concat());
        assert_eq!(rig.look(), count as u64 + 1);
        rig.restart();
        assert_eq!(rig.look(), count as u64 + 1);
    }
}

#[test]
fn a_file_of_the_size_and_time_of_a_compressed_one_is_read() {
    let lines = scripts(0, 3);
    let mut rig = Rig::new(Bounds::default());
    let size = lines[..2].concat().len();
    let at = |ending: &str| {
        let file = File::options().write(true).open(rig.path(ending)).unwrap();
        assert_eq!(file.metadata().unwrap().len(), size as u64);
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)).unwrap();
    };
    // A writer of tapes fills a compressed file up with NULs.
    let mut packed = gzip(&lines[..2].concat());
    packed.resize(size, 0);
    fs::write(rig.path(".1.gz"), packed).unwrap();
    at(".1.gz");
    rig.append(&lines[0]);
    rig.append(&lines[2]);
    at("");
    assert_eq!(rig.look(), 3);
    assert_eq!(rig.look(), 3);
}

#[test]
fn thousands_of_segments_are_counted_once_over_every_restart() {
    for segments in [1100, 5000] {
        let mut rig = Rig::new(Bounds::default());
        for (number, line) in scripts(0, segments).iter().enumerate() {
            fs::write(rig.path(&format!(".{number:06}")), line).unwrap();
        }
        for _ in 0..3 {
            assert_eq!(rig.look(), segments as u64);
            rig.restart();
        }
        assert_eq!(rig.look(), segments as u64);
        let state = rig.follower.state();
        assert_eq!((state.segments, rig.follower.tally().duplicates), (segments, 0));
    }
}

#[test]
fn more_files_than_can_be_remembered_are_left_out_and_shown_and_counted_when_there_is_room() {
    let lines = scripts(0, 20);
    let mut rig = Rig::new(Bounds { segments: 10, ..Bounds::default() });
    for (number, line) in lines.iter().enumerate() {
        fs::write(rig.path(&format!(".{number:02}")), line).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(rig.look(), 10);
        assert_eq!(rig.follower.state().skipped[Skip::NoRoom as usize], 10);
        rig.restart();
    }
    assert_eq!(rig.look(), 10);
    for number in 0..10 {
        fs::remove_file(rig.path(&format!(".{number:02}"))).unwrap();
    }
    assert_eq!(rig.look(), 20);
    assert_eq!(rig.follower.state().skipped, [0; 6]);
}

#[test]
fn what_is_no_segment_gives_neither_bad_lines_nor_ours_whatever_its_name() {
    let lines = scripts(0, 3);
    let mut rig = Rig::new(Bounds::default());
    rig.append(&lines[0]);
    for (ending, content) in [
        (".sha256", &b"3f786850e387550fdab836ed7e6dc881de23001b  journal.jsonl\n"[..]),
        (".lock", b""),
        (".md", b"# The journal\n\nRotated each night.\n"),
        (".swp", b"b0VIM 9.1\0\0\0\0root\0\0host\0\0"),
        (".gpg", b"\x85\x01\x8c\x03\x0a\xff\n\x00\x01"),
    ] {
        fs::write(rig.path(ending), content).unwrap();
    }
    // Of another journal, whose name goes on from this one's.
    fs::write(rig.path("-web.jsonl"), &lines[1]).unwrap();
    // Compressed, whatever its name says.
    fs::write(rig.path(".old"), gzip(&lines[2])).unwrap();
    assert_eq!(rig.look(), 2);
    let state = rig.follower.state();
    assert_eq!(rig.follower.tally().rejected.iter().sum::<u64>(), 0);
    assert_eq!((state.skipped[Skip::NotASegment as usize], state.unreadable), (4, 0));
}

#[test]
fn holes_of_any_size_are_passed_over() {
    let lines = scripts(0, 4);
    let mut rig = Rig::new(Bounds::default());
    let sparse = |path: &Path, bytes: u64| File::create(path).unwrap().set_len(bytes).unwrap();
    sparse(&rig.path(""), 64 << 30);
    rig.append(&lines[..3].concat());
    sparse(&rig.path(".1"), 8 << 40);
    let began = Instant::now();
    assert_eq!(rig.look(), 3);
    rig.append(&lines[3]);
    rig.restart();
    assert_eq!(rig.look(), 4);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// As many blocks of NULs, each of 128 KiB in four bytes.
fn zstd_of_nuls(blocks: usize) -> Vec<u8> {
    let mut bytes = [&0xfd2f_b528_u32.to_le_bytes()[..], &[0, 13 << 3]].concat();
    let header = (131_072_u32 << 3) | 2;
    bytes.extend([&header.to_le_bytes()[..3], &[0]].concat().repeat(blocks));
    bytes.extend([1, 0, 0]);
    bytes
}

#[test]
fn a_compressed_file_that_never_ends_is_interrupted_when_asked_and_then_set_aside() {
    let lines = scripts(0, 3);
    let mut rig = Rig::new(Bounds::default());
    rig.append(&lines.concat());
    // A quarter of a terabyte.
    fs::write(rig.path(".1.zst"), zstd_of_nuls(2_000_000)).unwrap();
    let (mut asked, mut latest, mut longest) = (0, Instant::now(), Duration::ZERO);
    let round = rig.follower.round(&mut |_| {
        longest = longest.max(latest.elapsed());
        (asked, latest) = (asked + 1, Instant::now());
        if asked < 20 { Go::On } else { Go::Stop }
    });
    assert!(round.stopped && longest < Duration::from_secs(1), "{longest:?}");
    assert_eq!(rig.look(), 3);
    assert_eq!(rig.follower.state().skipped[Skip::Oversized as usize], 1);
    rig.append(&scripts(3, 1).concat());
    assert_eq!(rig.look(), 4);
}

#[test]
fn a_former_active_segment_that_is_found_nowhere_is_said() {
    let mut rig = Rig::new(Bounds::default());
    rig.append(&scripts(0, 2).concat());
    rig.look();
    fs::rename(rig.path(""), rig.path(".1")).unwrap();
    rig.append(&scripts(2, 2).concat());
    rig.look();
    assert_eq!((rig.follower.tally().rotations, rig.follower.tally().lost), (1, 0));
    fs::rename(rig.path(""), rig.directory.path().join("elsewhere")).unwrap();
    rig.append(&scripts(4, 2).concat());
    assert_eq!(rig.look(), 6);
    assert_eq!((rig.follower.tally().rotations, rig.follower.tally().lost), (2, 1));
}
