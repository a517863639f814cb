//! What may stand in a journal and in place of one: each fault costs itself and nothing else.

use std::{
    fs::{self, File},
    io::{self, Read, Seek as _, Write as _},
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use exporter::{
    exposition,
    follow::{Bounds, Follower, Go},
    metrics::{Limits, Metrics},
};
use journal_schema::Reason;

use crate::harness::{
    exporter::Home,
    exposition::{Exposition, Samples},
    wait::{SOON, wait_until},
};

/// Address space that `render` gets, in KiB. A buffer that grew with its input would not fit in.
const ADDRESS_SPACE: &str = "262144";

fn command(seq: u64, labels: &str) -> Vec<u8> {
    let time = "2026-01-02T03:04:05.000Z";
    let event = r#""event":"command","mode":"check","error":false"#;
    format!("{{\"v\":1,\"writer\":\"w\",\"seq\":{seq},\"time\":\"{time}\",{event},{labels}}}\n").into_bytes()
}

fn plain(seq: u64) -> Vec<u8> {
    command(seq, r#""id":"c","source":"s""#)
}

fn follower(journal: &Path) -> Follower {
    Follower::new(journal, Metrics::new(Limits::default()), Bounds::default())
}

/// Everything that can be read of a stream.
fn replayed(content: &mut dyn Read) -> Follower {
    let mut follower = follower(Path::new("journal.jsonl"));
    follower.replay_stream(Path::new("-"), content).unwrap();
    follower
}

fn samples(follower: &Follower) -> Samples {
    let mut text = Vec::new();
    exposition::guide(follower.metrics().tables(), &mut text);
    let text = String::from_utf8(text).unwrap();
    text.parse::<Exposition>().unwrap_or_else(|error| panic!("{error}\n{text}")).samples
}

fn rejected(follower: &Follower) -> Vec<(Reason, u64)> {
    let counts = Reason::ALL.into_iter().map(|reason| (reason, follower.tally().rejected[reason as usize]));
    counts.filter(|(_, count)| *count > 0).collect()
}

fn commands(follower: &Follower) -> u64 {
    follower.tally().events[0]
}

#[test]
fn a_line_that_comes_byte_by_byte_counts_once_and_at_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let mut file = File::create(&path).unwrap();
    let mut follower = follower(&path);
    let line = plain(1);
    for (at, byte) in line.iter().enumerate() {
        follower.round(&mut |_| Go::On);
        assert_eq!(commands(&follower), 0, "after {at} bytes");
        file.write_all(&[*byte]).unwrap();
    }
    for _ in 0..3 {
        follower.round(&mut |_| Go::On);
        assert_eq!(commands(&follower), 1);
    }
}

#[test]
fn a_mebibyte_of_nuls_is_counted_and_spares_the_next_line() {
    let content = [plain(1), vec![0; 1 << 20], plain(2)].concat();
    let follower = replayed(&mut &content[..]);
    assert_eq!((commands(&follower), rejected(&follower)), (2, vec![(Reason::Padding, 1)]));
}

/// What `render` prints of a stream, and what it says of it, within [`ADDRESS_SPACE`].
fn rendered(arguments: &[&str], content: &mut dyn Read) -> (Samples, String) {
    let limited = ["-c", "ulimit -v \"$1\"; shift; exec \"$@\"", "sh", ADDRESS_SPACE];
    let render = [env!("CARGO_BIN_EXE_etcha-exporter"), "render", "-"];
    let mut command = Command::new("sh");
    command.args(limited).args(render).args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let sent = io::copy(content, &mut child.stdin.take().unwrap());
    let output = child.wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && sent.is_ok(), "{:?}, {sent:?}: {log}", output.status);
    (String::from_utf8(output.stdout).unwrap().parse::<Exposition>().unwrap().samples, log)
}

#[test]
fn a_gibibyte_without_an_end_of_line_is_skipped_in_bounded_memory() {
    let endless = io::repeat(b'x').take(1 << 30);
    let (first, rest) = (plain(1), [&b"\n"[..], &plain(2)].concat());
    let (_, log) = rendered(&[], &mut first.chain(endless).chain(&rest[..]));
    assert!(log.contains("2 lines counted, 1 overlong"), "{log}");
}

#[test]
fn a_gibibyte_of_hole_at_the_front_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let mut file = File::create(&path).unwrap();
    file.set_len(1 << 30).unwrap();
    let mut follower = follower(&path);
    file.seek(io::SeekFrom::End(0)).unwrap();
    file.write_all(&plain(1)).unwrap();
    follower.round(&mut |_| Go::On);
    file.write_all(&plain(2)).unwrap();
    follower.round(&mut |_| Go::On);
    assert_eq!((commands(&follower), rejected(&follower)), (2, vec![(Reason::Padding, 1)]));
}

/// Lines of commands, each with an id of its own.
struct Distinct {
    next: u64,
    end: u64,
    line: io::Cursor<Vec<u8>>,
}

impl Read for Distinct {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.line.position() == self.line.get_ref().len() as u64 && self.next <= self.end {
            let labels = format!(r#""id":"id number {}","source":"s""#, self.next);
            self.line = io::Cursor::new(command(self.next, &labels));
            self.next += 1;
        }
        self.line.read(buffer)
    }
}

#[test]
fn a_million_distinct_ids_are_capped_add_up_and_take_bounded_memory() {
    let mut lines = Distinct { next: 1, end: 1_000_000, line: io::Cursor::default() };
    let (samples, log) = rendered(&["--max-series", "1000"], &mut lines);
    assert_eq!(samples.len(), 1_001, "{log}");
    let sum: f64 = samples.values().sum();
    assert!((sum - 1_000_000.0).abs() < 0.5, "{sum}");
    let overflow = samples.iter().find(|(series, _)| series.labels["id"] == "__overflow__").unwrap();
    assert!((overflow.1 - 999_000.0).abs() < 0.5, "{overflow:?}");
}

#[test]
fn whatever_stands_in_labels_the_exposition_is_valid_and_distinct_values_stay_distinct() {
    let ids = [
        r#""""#,
        r#""\"""#,
        r#""\\""#,
        r#""\\n""#,
        r#""\n""#,
        r#""\r""#,
        r#""\t""#,
        r#""\u0000""#,
        r#""}""#,
        r#""a=\"b\",c""#,
        r#"" ""#,
        "\"\u{e9}\"",
        "\"e\u{301}\"",
        "\"\u{2028}\"",
        "\"\u{202e}\"",
        "\"\u{1f980}\"",
        r#""\ud83e\udd80x""#,
    ];
    let mut content = Vec::new();
    for (seq, id) in (1..).zip(ids) {
        content.extend(command(seq, &format!(r#""id":{id},"source":"s""#)));
    }
    let follower = replayed(&mut &content[..]);
    assert_eq!(commands(&follower), ids.len() as u64, "{:?}", rejected(&follower));
    assert_eq!(samples(&follower).len(), ids.len());
}

#[test]
fn lone_surrogates_and_bytes_that_are_no_utf8_are_counted_by_reason() {
    let surrogate = command(1, r#""id":"\ud800","source":"s""#);
    let latin = [&plain(2)[..], b"\xe9\n", &plain(3)].concat();
    let follower = replayed(&mut &[surrogate, latin].concat()[..]);
    assert_eq!(commands(&follower), 2);
    assert_eq!(rejected(&follower).iter().map(|(_, count)| count).sum::<u64>(), 2);
}

#[test]
fn label_values_of_sixty_thousand_bytes_are_shortened_and_stay_distinct() {
    let mut content = Vec::new();
    for seq in 1..=3 {
        let id = format!("{}{seq}", "x".repeat(60_000));
        content.extend(command(seq, &format!(r#""id":"{id}","source":"s""#)));
    }
    let follower = replayed(&mut &content[..]);
    let samples = samples(&follower);
    assert_eq!((commands(&follower), samples.len()), (3, 3));
    assert!(samples.keys().all(|series| series.label("id").len() <= 1024));
}

#[test]
fn each_odd_line_is_counted_by_its_reason_and_the_next_one_counts() {
    let deep = format!("{}{}\n", "[".repeat(30_000), "]".repeat(30_000));
    let deep_member = format!(r#""id":"c","source":"s","more":{}{}"#, "[".repeat(20_000), "]".repeat(20_000));
    let with = |from: &str, to: &str| String::from_utf8(plain(1)).unwrap().replace(from, to).into_bytes();
    let cases: [(&str, Vec<u8>, Option<Reason>); 17] = [
        ("CRLF", with("}\n", "}\r\n"), None),
        ("white space around", with("{\"v\"", " \t{ \"v\""), None),
        ("unknown field", with("\"id\"", "\"new\":[{}],\"id\""), None),
        ("blank", b"\n".to_vec(), Some(Reason::Blank)),
        ("white space", b" \t\r\n".to_vec(), Some(Reason::Blank)),
        ("byte order mark", [b"\xef\xbb\xbf".to_vec(), plain(1)].concat(), Some(Reason::Malformed)),
        ("no JSON", b"hello\n".to_vec(), Some(Reason::Malformed)),
        ("two objects", b"{}{}\n".to_vec(), Some(Reason::Malformed)),
        ("deep nesting", deep.into_bytes(), Some(Reason::Malformed)),
        ("deep unknown field", command(1, &deep_member), None),
        ("duplicate key", with("\"seq\":1", "\"seq\":1,\"seq\":1"), Some(Reason::Invalid)),
        ("number as string", with("\"seq\":1", "\"seq\":\"1\""), Some(Reason::Invalid)),
        ("NaN", with("\"source\"", "\"duration_seconds\":NaN,\"source\""), Some(Reason::Malformed)),
        ("1e999", with("\"source\"", "\"duration_seconds\":1e999,\"source\""), None),
        ("unknown event", with("command", "comet"), Some(Reason::UnknownEvent)),
        ("higher version", with("\"v\":1", "\"v\":2"), Some(Reason::Version)),
        ("cut off", b"{\"v\":1,\"writer\":\"w\",\"se\n".to_vec(), Some(Reason::Torn)),
    ];
    for (what, line, reason) in cases {
        let follower = replayed(&mut &[line, plain(2)].concat()[..]);
        let (counted, unusable) = (commands(&follower), rejected(&follower));
        if what == "1e999" {
            assert_eq!(counted + unusable.len() as u64, 2, "either reading of it is right, silence is not");
            continue;
        }
        let expected: Vec<_> = reason.into_iter().map(|reason| (reason, 1)).collect();
        assert_eq!((counted, unusable), (2 - expected.len() as u64, expected), "{what}");
    }
}

#[test]
fn what_is_no_regular_file_is_refused_with_the_reason_and_without_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    fs::create_dir(place("directory")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, place("pipe"), rustix::fs::Mode::RWXU).unwrap();
    symlink("/dev/zero", place("device")).unwrap();
    symlink(place("loop"), place("loop")).unwrap();
    for (name, reason) in [
        ("directory", Some("it is a directory, not a regular file")),
        ("pipe", Some("it is a pipe, not a regular file")),
        ("device", Some("it is a device, not a regular file")),
        ("loop", Some("Too many levels of symbolic links (os error 40)")),
        ("nothing", None),
    ] {
        let mut follower = follower(&place(name));
        assert!(!follower.round(&mut |_| Go::On).changed);
        assert_eq!(follower.state().trouble.as_deref(), reason);
        assert_eq!(follower.state().awaited, reason.is_none());
        let (path, _) = follower.replay(&[place(name)], &mut |_| Go::On).unwrap_err();
        assert_eq!(path, place(name));
    }
}

#[test]
fn what_is_no_regular_file_beside_the_journal_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    fs::write(place("journal.jsonl"), plain(1)).unwrap();
    fs::create_dir(place("journal.jsonl.1")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, place("journal.jsonl.2"), rustix::fs::Mode::RWXU).unwrap();
    symlink("/dev/zero", place("journal.jsonl.3")).unwrap();
    symlink(place("journal.jsonl"), place("journal.jsonl.4")).unwrap();
    fs::write(place("journal.jsonl.5.gz"), b"no gzip at all").unwrap();
    let mut follower = follower(&place("journal.jsonl"));
    follower.round(&mut |_| Go::On);
    assert_eq!((commands(&follower), follower.tally().duplicates, follower.state().unreadable), (1, 0, 1));
}

#[test]
fn segments_compressed_with_gzip_or_zstd_count_and_others_are_told_and_give_no_bad_lines() {
    let home = Home::new();
    let place = |ending: &str| format!("{}{ending}", home.journal().display());
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&plain(1)).unwrap();
    fs::write(place(".1.gz"), encoder.finish().unwrap()).unwrap();
    fs::write(place(".2.zst"), zstd::encode_all(&plain(2)[..], 3).unwrap()).unwrap();
    // What nobody reads need not be right.
    fs::write(place(".3.xz"), b"\xfd7zXZ\0\n\n\n").unwrap();
    home.append(plain(3));
    let exporter = home.start(&[]);
    exporter.wait_until_ready();
    let value = |name: &str, labels: &[(&str, &str)]| exporter.scrape().value(name, labels);
    assert_eq!(value("etcha_exporter_events_total", &[("event", "command")]), Some(3.0));
    assert_eq!(value("etcha_exporter_lines_rejected_total", &[("reason", "blank")]), Some(0.0));
    assert_eq!(value("etcha_exporter_journal_segments_unreadable", &[]), Some(1.0));
    fs::remove_file(place(".3.xz")).unwrap();
    wait_until(SOON, "the segment to be gone", || {
        value("etcha_exporter_journal_segments_unreadable", &[]) == Some(0.0)
    });
    let told = || exporter.process.log().matches("compresscmd").count();
    wait_until(SOON, "the log to say what to do", || told() > 0);
    assert_eq!(told(), 1, "said once, however often it is looked at");
}

#[test]
fn a_compressed_segment_that_is_damaged_counts_up_to_its_damage_and_as_unreadable() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    fs::write(place("journal.jsonl"), plain(9)).unwrap();
    // Stored without compression, so that the damage stands between two lines.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(&[plain(1), plain(2)].concat()).unwrap();
    let mut bytes = encoder.finish().unwrap();
    let checksum = bytes.len() - 8;
    bytes[checksum] ^= 1;
    fs::write(place("journal.jsonl.1.gz"), bytes).unwrap();
    let mut follower = follower(&place("journal.jsonl"));
    for _ in 0..4 {
        follower.round(&mut |_| Go::On);
        assert_eq!((commands(&follower), follower.state().unreadable), (3, 1));
        wait_until(SOON, "the stamp to settle", || {
            let changed = fs::metadata(place("journal.jsonl.1.gz")).unwrap().modified().unwrap();
            changed.elapsed().is_ok_and(|age| age.as_millis() > 30)
        });
    }
    assert_eq!((follower.tally().duplicates, follower.state().missing), (0, 6));
}
