//! The whole journal in one command: rotated, compressed and copied segments, in order, filtered, in three forms.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::program::{self, Ended, JournalDir, program};

/// Six days of pushes, a failed one each second day, and shells, a day in each segment, each of another form.
fn journal_of_six_days() -> JournalDir {
    let place = JournalDir::new();
    for day in 1..=6 {
        let at = |hour: u32, seq: u32, rest: &str| {
            format!(
                r#"{{"v":1,"writer":"w","seq":{},"time":"2026-01-0{day}T{hour:02}:00:00.000Z",{rest}}}"#,
                (day - 1) * 4 + seq
            ) + "\n"
        };
        let key = if day % 2 == 0 { "bob" } else { "alice" };
        let origin = format!(r#""public_key":"{key}","remote_addr":"192.0.2.{day}""#);
        let shell = |state: &str| {
            format!(r#""event":"shell","name":"ops","session":"s{day}","state":"{state}",{origin}"#)
        };
        let lines = [
            at(
                9,
                1,
                &format!(
                    r#""event":"source","name":"web","trigger":"push","error":{},{origin}"#,
                    day % 2 == 0
                ),
            ),
            at(
                10,
                2,
                &format!(
                    r#""event":"command","id":"nginx","mode":"changed","error":false,"source":"web",{origin}"#
                ),
            ),
            at(11, 3, &shell("opened")),
            at(12, 4, &shell("closed")),
        ]
        .concat();
        match day {
            1 => write(&place, "journal.jsonl-20260102.gz", &gzip(&lines)),
            2 => write(
                &place,
                "journal.jsonl.20260103T000000.000000000Z.zst",
                &zstd::encode_all(lines.as_bytes(), 3).unwrap(),
            ),
            // Under a name that does not say so, and with its copies.
            3 => write(&place, "journal.jsonl.old", &gzip(&lines)),
            4 => write(&place, "journal.jsonl.2", lines.as_bytes()),
            5 => {
                write(&place, "journal.jsonl.1", lines.as_bytes());
                write(&place, "journal.jsonl.1.bak", lines.as_bytes());
            }
            _ => write(&place, "journal.jsonl", lines.as_bytes()),
        }
    }
    // None of these is a segment.
    write(&place, "journal.jsonl.sha256", b"0123  journal.jsonl\n");
    write(&place, "journal.jsonl.lock", b"");
    write(&place, "journal.jsonl.md", b"# Notes\n");
    place
}

fn write(place: &JournalDir, name: &str, content: &[u8]) {
    fs::write(place.path().with_file_name(name), content).unwrap();
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn ask(place: &JournalDir, arguments: &[&str]) -> String {
    let ended = program::run(&mut place.command(arguments));
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{arguments:?}");
    ended.out
}

/// The days of the lines, in their order.
fn days(out: &str) -> Vec<u32> {
    out.lines().map(|line| line.split("2026-01-0").nth(1).unwrap()[..1].parse().unwrap()).collect()
}

#[test]
fn tail_stats_and_check_read_all_segments_in_order() {
    let place = journal_of_six_days();
    let all = ask(&place, &["tail", "-n", "1000"]);
    assert_eq!(days(&all), [1, 2, 3, 4, 5, 6].map(|day| [day; 4]).concat());
    assert_eq!(days(&ask(&place, &["tail"])), [[4; 2].as_slice(), &[5; 4], &[6; 4]].concat());
    assert_eq!(ask(&place, &["tail", "-n", "1000", "--shells"]).lines().count(), 12);
    assert_eq!(days(&ask(&place, &["tail", "-n", "2", "--errors"])), [4, 6]);
    let stats: serde_json::Value = serde_json::from_str(&ask(&place, &["stats", "--json"])).unwrap();
    assert_eq!(
        (&stats["lines"], &stats["duplicate_lines"], &stats["bad_lines"]),
        (&24.into(), &4.into(), &0.into())
    );
    assert_eq!((&stats["sources"][0]["runs"], &stats["sources"][0]["failed"]), (&6.into(), &3.into()));
    let ends: Vec<_> = stats["shells"].as_array().unwrap().iter().map(|shell| shell["end"].clone()).collect();
    assert_eq!(ends, ["closed"; 6]);
    let checked = ask(&place, &["check"]);
    assert!(
        checked.starts_with("good: 28 lines") && checked.contains("1 writer, 0 lines missing, 4 lines twice"),
        "{checked}"
    );
}

#[test]
fn who_did_what_is_one_command() {
    let place = journal_of_six_days();
    let of = |arguments: &[&str]| days(&ask(&place, &[&["tail"], arguments].concat()));
    assert_eq!(of(&["--shells", "--since", "2026-01-03", "--until", "2026-01-05"]), [3, 3, 4, 4]);
    assert_eq!(of(&["--kind", "source", "--trigger", "push", "--since", "2025-12-31"]), [1, 2, 3, 4, 5, 6]);
    assert_eq!(of(&["--kind", "source,command", "--key", "bob", "-n", "3"]), [4, 6, 6]);
    assert_eq!(of(&["--address", "192.0.2.4", "--since", "2026-01-01"]), [4; 4]);
    assert_eq!(of(&["--address", "192.0.2.4/31", "--kind", "shell", "--since", "2026-01-01"]), [4, 4, 5, 5]);
    assert_eq!(of(&["--source", "ops", "--until", "2026-01-02T11:30:00Z"]), [1, 1, 2]);
    assert_eq!(ask(&place, &["tail", "--since", "1h"]), "");
}

#[test]
fn what_is_found_comes_plain_as_json_or_as_csv() {
    let place = journal_of_six_days();
    let json = ask(&place, &["tail", "--shells", "--key", "bob", "--since", "2026-01-06", "--json"]);
    let lines: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [23, 24]);
    let csv = ask(&place, &["tail", "--kind", "source,shell", "--since", "2026-01-06", "--csv"]);
    let expected = [
        "time,event,what,result,source,id,parent_id,session,public_key,remote_addr,reason,changed,removed,duration_seconds,version,pid,writer,seq,token_id,subject,digest,count",
        "2026-01-06T09:00:00Z,source,push,failed,web,,,,bob,192.0.2.6,,,,,,,w,21,,,,",
        "2026-01-06T11:00:00Z,shell,opened,,ops,,,s6,bob,192.0.2.6,,,,,,,w,23,,,,",
        "2026-01-06T12:00:00Z,shell,closed,,ops,,,s6,bob,192.0.2.6,,,,,,,w,24,,,,",
    ];
    assert_eq!(csv.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_damaged_segment_is_reported_and_the_others_are_read() {
    let place = journal_of_six_days();
    let damaged = place.path().with_file_name("journal.jsonl-20260102.gz");
    fs::write(&damaged, &fs::read(&damaged).unwrap()[..60]).unwrap();
    write(&place, "journal.jsonl.9.xz", b"\xfd7zXZ\0and more");
    for subcommand in ["tail", "stats", "check"] {
        let arguments =
            if subcommand == "tail" { &["tail", "--since", "2026-01-01"][..] } else { &[subcommand] };
        let Ended { code, out, err } = program::run(&mut place.command(arguments));
        assert_eq!(code, 2, "{subcommand}: {err}");
        assert!(
            err.contains("journal.jsonl-20260102.gz: ")
                && err.contains("journal.jsonl.9.xz: compressed in a form"),
            "{err}"
        );
        assert!(out.contains("2026-01-06") || out.contains("24 lines"), "{subcommand}: {out}");
    }
}

#[test]
fn a_pipe_is_read_once_and_whole() {
    let place = JournalDir::new();
    let line = |seq: u32| {
        format!(
            r#"{{"v":1,"writer":"a","seq":{seq},"time":"2026-11-25T10:00:00.000Z","event":"source","name":"web","trigger":"pull","error":false}}"#
        ) + "\n"
    };
    fs::write(place.path(), (1..=20_000).map(line).collect::<String>()).unwrap();
    for lines in ["10", "20000"] {
        // The shell's process substitution: a pipe with a name.
        let script =
            format!("\"$0\" stats --json <(head -n {lines} \"$1\") <(head -n {lines} \"$1\" | gzip)");
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &script, env!("CARGO_BIN_EXE_etcha-journal")])
            .arg(place.path())
            .stdin(Stdio::null());
        let ended = program::run(&mut shell);
        assert_eq!((ended.code, ended.err.as_str()), (0, ""));
        let stats: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(
            (stats["lines"].to_string(), stats["duplicate_lines"].to_string()),
            (lines.to_owned(), lines.to_owned())
        );
    }
    let ended = program::run_with_input(&mut program(&["stats", "--json", "-"]), &place.journal());
    let stats: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(stats["lines"], 20_000);
}

#[test]
fn a_journal_that_is_not_there_is_an_error() {
    let place = JournalDir::new();
    for subcommand in ["tail", "stats", "check"] {
        let ended = program::run(&mut place.command(&[subcommand]));
        assert!(
            ended.code == 2 && ended.err.contains("journal.jsonl: ") && ended.out.is_empty(),
            "{subcommand}: {ended:?}"
        );
    }
    // Rotated a moment ago, and not made again yet.
    place.append(&["engine", "--state", "started"]);
    fs::rename(place.path(), place.path().with_file_name("journal.jsonl.1")).unwrap();
    for subcommand in ["tail", "stats", "check"] {
        assert!(ask(&place, &[subcommand]).contains("engine") || subcommand == "stats");
    }
    assert!(!Path::new(place.path()).exists());
}

#[test]
fn the_documented_commands_of_an_auditor_run() {
    let place = journal_of_six_days();
    let programs = Path::new(env!("CARGO_BIN_EXE_etcha-journal")).parent().unwrap();
    let path = std::env::join_paths([programs, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-euc", &crate::docs::example_run("journal, audit")]).env("PATH", path);
    let ended = program::run(shell.env("ETCHA_JOURNAL", place.path()));
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
    assert!(ended.out.contains("shell    opened") && ended.out.contains("good: 28 lines"), "{}", ended.out);
}
