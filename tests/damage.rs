//! Compressed segments that are damaged, cut or padded: every program counts the same lines of them.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use exporter::{
    follow::{Bounds, Follower, Go},
    metrics::{Limits, Metrics},
};
use journal_schema::{Reader, compressed::Compression};

use crate::harness::exporter::{self as program, Home};

/// Of so many variants, one is also given to the programs themselves.
const PROGRAMS_EACH: usize = 40;

/// Lines of a journal, each a writer's only one, as scripts write them.
fn lines(from: u64, count: u64) -> Vec<u8> {
    let line = |number: u64| {
        let (writer, id) = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number * 7919 % 10_007);
        format!(
            "{{\"v\":1,\"writer\":\"{writer:016x}\",\"seq\":1,\"time\":\"2026-01-02T03:04:05.{number:06}Z\",\
             \"event\":\"command\",\"id\":\"{id}\",\"mode\":\"check\",\"error\":false,\"source\":\"s\"}}\n"
        )
    };
    (from..from + count).flat_map(|number| line(number).into_bytes()).collect()
}

fn gzip(lines: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(lines).unwrap();
    encoder.finish().unwrap()
}

fn zstd(lines: &[u8], has_checksum: bool) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(has_checksum).unwrap();
    encoder.write_all(lines).unwrap();
    encoder.finish().unwrap()
}

/// What the exporter counts of a segment that stands beside a journal of another line, and whether it says that it could
/// not be read to its end.
fn live(directory: &Path) -> (u64, bool) {
    let journal = directory.join("journal.jsonl");
    let mut follower = Follower::new(&journal, Metrics::new(Limits::default()), Bounds::default());
    for _ in 0..2 {
        follower.round(&mut |_| Go::On);
    }
    (follower.tally().events.iter().sum::<u64>() - 1, follower.state().unreadable > 0)
}

/// What `render` counts of it.
fn rendered(segment: &Path) -> (u64, bool) {
    let mut follower =
        Follower::new(Path::new("journal.jsonl"), Metrics::new(Limits::default()), Bounds::default());
    let failed = follower.replay(&[segment.to_owned()], &mut |_| Go::On).is_err();
    (follower.tally().events.iter().sum(), failed)
}

/// What the reader of the contract gives, in reads of so many bytes.
fn read(bytes: &[u8], chunk: usize) -> (u64, bool) {
    let (mut events, mut seen) = (0, std::collections::HashSet::new());
    let Some(form) = Compression::of_content(bytes) else { return (0, true) };
    let mut reader = Reader::new(form.decode(io::BufReader::with_capacity(chunk, bytes)).unwrap());
    loop {
        match reader.next() {
            Ok(None) => return (events, false),
            Err(_) => return (events, true),
            Ok(Some(record)) => {
                let Ok(line) = record.content else { continue };
                events += u64::from(seen.insert((line.envelope.writer.into_owned(), line.envelope.seq)));
            }
        }
    }
}

/// Lines that a program prints, by `count`, and whether it fails and says so.
fn by_program(mut command: Command, count: impl Fn(&str) -> u64) -> (u64, bool) {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let failed = err.contains("of content") || err.contains("first bytes");
    // `check` ends with 1 for bad lines, and says nothing on standard error.
    assert_eq!(output.status.success() || err.is_empty(), !failed, "{out}{err}");
    (count(&out), failed)
}

fn tool(arguments: &[&str], segment: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etcha-journal"));
    command.env_remove("ETCHA_JOURNAL").args(arguments).arg(segment).stdin(Stdio::null());
    command
}

/// The number before a word.
fn number_before(text: &str, word: &str) -> u64 {
    let number = text.split(word).next().and_then(|before| before.split([' ', '"', ':', '\n']).next_back());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Each program's answer.
fn by_programs(segment: &Path) -> [(u64, bool); 5] {
    let (mut render, mut streamed) = (program::command(), program::command());
    render.arg("render").arg(segment).stdin(Stdio::null());
    streamed.args(["render", "-"]).stdin(fs::File::open(segment).unwrap());
    let commands = |out: &str| {
        let counts = out.lines().filter(|line| line.starts_with("etcha_commands_total{"));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    [
        // A filter leaves out lines that are no events.
        by_program(tool(&["tail", "-n", "100000", "--since", "2000-01-01"], segment), |out| {
            out.lines().count() as u64
        }),
        by_program(tool(&["stats"], segment), |out| number_before(out, " event")),
        by_program(tool(&["check", "-q"], segment), |out| number_before(out, " command")),
        by_program(render, commands),
        by_program(streamed, commands),
    ]
}

/// A segment beside a journal, in one variant after the other.
struct Beside {
    home: Home,
    variants: usize,
}

impl Beside {
    fn new() -> Beside {
        let home = Home::new();
        home.append(lines(0, 1));
        Beside { home, variants: 0 }
    }

    /// Puts the segment there and lets every program read it; their one answer.
    fn count(&mut self, what: &str, ending: &str, bytes: &[u8]) -> (u64, bool) {
        let segment = self.home.journal().with_file_name(format!("journal.jsonl.1.{ending}"));
        fs::write(&segment, bytes).unwrap();
        let counted = live(segment.parent().unwrap());
        assert_eq!(rendered(&segment), counted, "render and live: {what}");
        for chunk in [1, 7, 4096, 1 << 20] {
            assert_eq!(read(bytes, chunk), counted, "reading {chunk} bytes at a time and live: {what}");
        }
        if self.variants.is_multiple_of(PROGRAMS_EACH) {
            assert_eq!(by_programs(&segment), [counted; 5], "programs and live: {what}");
        }
        self.variants += 1;
        fs::remove_file(&segment).unwrap();
        counted
    }
}

/// Segments of eight lines in each form.
fn whole() -> [(&'static str, Vec<u8>); 5] {
    let eight = lines(1, 8);
    let (four, other) = eight.split_at(lines(1, 4).len());
    [
        ("gz", gzip(&eight, 6)),
        ("gz", gzip(&eight, 0)),
        ("gz", [gzip(four, 6), gzip(other, 6)].concat()),
        ("zst", zstd(&eight, true)),
        ("zst", [zstd(four, false), zstd(other, true)].concat()),
    ]
}

#[test]
fn a_segment_that_is_cut_at_any_byte_counts_the_same_for_every_program() {
    let mut beside = Beside::new();
    for (form, (ending, bytes)) in whole().into_iter().enumerate() {
        assert_eq!(beside.count("whole", ending, &bytes), (8, false));
        let mut most = 0;
        for end in 4..bytes.len() {
            let (counted, failed) = beside.count(&format!("form {form} cut at {end}"), ending, &bytes[..end]);
            assert!(counted >= most && counted <= 8, "form {form} cut at {end}: {counted} after {most}");
            assert!(failed || counted == 4, "form {form} cut at {end}: nothing is said");
            most = counted;
        }
    }
}

#[test]
fn a_segment_with_any_byte_flipped_counts_the_same_for_every_program() {
    let mut beside = Beside::new();
    for (form, (ending, mut bytes)) in whole().into_iter().enumerate() {
        for at in 4..bytes.len() {
            bytes[at] ^= 1 << (at % 8);
            let (counted, _) = beside.count(&format!("form {form} flipped at {at}"), ending, &bytes);
            assert!(counted <= 8, "form {form} flipped at {at}: {counted}");
            bytes[at] ^= 1 << (at % 8);
        }
    }
}

#[test]
fn a_segment_with_nuls_or_garbage_behind_it_is_whole_for_every_program() {
    let mut beside = Beside::new();
    for (ending, bytes) in whole() {
        for padding in [1, 2, 511, 512, 1024, 4096, 10_240, 65_536] {
            beside.variants = 0;
            let padded = [&bytes[..], &vec![0; padding]].concat();
            assert_eq!(
                beside.count("padded", ending, &padded),
                (8, false),
                "{padding} NULs behind .{ending}"
            );
        }
        let garbage = [&bytes[..], b"\n-- \nan appended note"].concat();
        assert_eq!(beside.count("garbage", ending, &garbage), (8, false), "garbage behind .{ending}");
    }
}

#[test]
fn members_without_lines_and_frames_to_be_skipped_are_no_damage() {
    let mut beside = Beside::new();
    let skipped = b"\x50\x2a\x4d\x18\x05\0\0\0hello".to_vec();
    for (what, ending, parts) in [
        ("empty member first", "gz", vec![gzip(b"", 6), gzip(&lines(1, 3), 6)]),
        ("empty member last", "gz", vec![gzip(&lines(1, 3), 6), gzip(b"", 6)]),
        ("a line over two members", "gz", vec![gzip(&lines(1, 3)[..100], 6), gzip(&lines(1, 3)[100..], 6)]),
        ("empty frame first", "zst", vec![zstd(b"", true), zstd(&lines(1, 3), true)]),
        ("skippable first", "zst", vec![skipped.clone(), zstd(&lines(1, 3), true)]),
        ("skippable last", "zst", vec![zstd(&lines(1, 3), false), skipped.clone()]),
        ("skippable between", "zst", vec![zstd(&lines(1, 1), false), skipped, zstd(&lines(2, 2), true)]),
    ] {
        beside.variants = 0;
        assert_eq!(beside.count(what, ending, &parts.concat()), (3, false), "{what}");
    }
}

#[test]
fn damage_in_a_large_segment_costs_what_follows_it_and_each_program_says_where_it_is() {
    let mut beside = Beside::new();
    let all = lines(1, 5000);
    for (ending, whole) in [("gz", gzip(&all, 6)), ("zst", zstd(&all, true))] {
        for eighth in 1..8 {
            let mut bytes = whole.clone();
            let at = bytes.len() * eighth / 8;
            bytes[at..at + 64].fill(0);
            beside.variants = 0;
            let (counted, failed) = beside.count("zeroed", ending, &bytes);
            assert!(failed && counted < 5000, "{counted} at {eighth}/8 of .{ending}");
        }
    }
}

#[test]
fn the_log_says_how_much_of_a_damaged_segment_was_counted() {
    let home = Home::new();
    let all = lines(1, 3000);
    let mut bytes = zstd(&all, true);
    let half = bytes.len() / 2;
    bytes[half..].fill(0);
    fs::write(home.journal().with_file_name("journal.jsonl.1.zst"), &bytes).unwrap();
    home.append(lines(0, 1));
    let (counted, failed) = read(&bytes, 1 << 16);
    assert!(failed && (1..3000).contains(&counted), "{counted}");
    let mut content = Vec::new();
    Compression::Zstd.decode(&bytes[..]).unwrap().read_to_end(&mut content).unwrap_err();
    let end = content.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let exporter = home.start(&[]);
    exporter.wait_until_ready();
    let scrape = exporter.scrape();
    let value = scrape.value("etcha_exporter_events_total", &[("event", "command")]);
    assert_eq!(value, Some(counted as f64 + 1.0));
    let damaged = scrape.value("etcha_exporter_journal_files_skipped", &[("reason", "damaged")]);
    assert_eq!(damaged, Some(1.0));
    let log = exporter.process.log();
    let place = format!("damaged after {} bytes of content", content.len());
    let said = format!("its lines up to byte {end} of its content are counted, {counted} of them now");
    assert!(log.contains(&place) && log.contains(&said), "{place}; {said}: {log}");
}

#[test]
fn a_segment_that_is_being_compressed_is_no_damage_and_one_that_was_cut_is() {
    let home = Home::new();
    home.append(lines(0, 1));
    let directory = home.journal().parent().unwrap().to_owned();
    let plain = directory.join("journal.jsonl.1");
    let packed = directory.join("journal.jsonl.1.gz");
    fs::write(&plain, lines(1, 500)).unwrap();
    let bytes = gzip(&lines(1, 500), 6);
    fs::write(&packed, &bytes[..bytes.len() / 2]).unwrap();
    let mut follower = Follower::new(&home.journal(), Metrics::new(Limits::default()), Bounds::default());
    for _ in 0..3 {
        follower.round(&mut |_| Go::On);
        assert_eq!((follower.tally().events[0], follower.state().unreadable), (501, 0));
    }
    // Its compressor was killed, and somebody removed the original.
    fs::remove_file(&plain).unwrap();
    fs::write(&packed, &bytes[..bytes.len() / 2 + 1]).unwrap();
    for _ in 0..3 {
        follower.round(&mut |_| Go::On);
        assert_eq!((follower.tally().events[0], follower.state().unreadable), (501, 1));
    }
    fs::write(&packed, &bytes).unwrap();
    for _ in 0..3 {
        follower.round(&mut |_| Go::On);
        assert_eq!((follower.tally().events[0], follower.state().unreadable), (501, 0));
    }
}
