//! The program as its users meet it: command lines in, a journal, text and exit codes out.

mod auditing;
mod numbers;
mod program;
mod wrapping;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use program::{Ended, JournalDir, program};

const EVENTS: &str = concat!(
    r#"{"event":"engine","state":"started","version":"1.4.0","pid":7}"#,
    "\n",
    r#"{"event":"command","id":"a","mode":"changed","error":true,"source":"web","duration_seconds":0.5}"#,
    "\n",
    r#"{"event":"source","name":"web","trigger":"push","error":true,"remote_addr":"192.0.2.7"}"#,
    "\n",
    r#"{"event":"shell","name":"ops","session":"s1","state":"opened","public_key":"alice"}"#,
    "\n",
);

#[test]
fn every_event_can_be_appended_with_flags_and_nothing_is_said() {
    let place = JournalDir::new();
    for (flags, expected) in [
        (
            "command --id nginx --source web --mode check --error --parent-id g --public-key ops --remote-addr 2001:DB8::7 --duration-seconds 1.5",
            r#""event":"command","id":"nginx","mode":"check","error":true,"parent_id":"g","source":"web","public_key":"ops","remote_addr":"2001:db8::7","duration_seconds":1.5}"#,
        ),
        (
            "source --name web --trigger webhook --error=false --changed 3 --removed 0",
            r#""event":"source","name":"web","trigger":"webhook","error":false,"changed":3,"removed":0}"#,
        ),
        (
            "command --id --help --source -x --mode check",
            r#""event":"command","id":"--help","mode":"check","error":false,"source":"-x"}"#,
        ),
        (
            "shell --name web --session s1 --state closed --reason exit",
            r#""event":"shell","name":"web","session":"s1","state":"closed","reason":"exit"}"#,
        ),
        (
            "engine --state started --version 1.4.0 --pid 7",
            r#""event":"engine","state":"started","version":"1.4.0","pid":7}"#,
        ),
    ] {
        let ended = place.append(&flags.split(' ').collect::<Vec<_>>());
        assert_eq!(ended, Ended::quietly(), "{flags}");
        let journal = place.journal();
        assert!(journal.ends_with(&format!("{expected}\n")), "{journal}");
    }
    assert_eq!(place.check().code, 0);
}

#[test]
fn wrong_values_are_refused_and_nothing_is_written() {
    let place = JournalDir::new();
    for (flags, says) in [
        ("--time 2100-01-01T00:00:00Z engine --state started", "not in the future"),
        ("--source web engine --state started", "--from-env"),
        ("source --name web --trigger cron", "unknown variant `cron`"),
        ("source --name web", "--trigger is missing"),
        ("source --trigger push", "--name is missing"),
        ("command --id a --source web", "--mode"),
        ("command --id a --source web --mode check --duration-seconds -1", "--duration-seconds"),
        ("command --id a --source web --mode check --duration-seconds=NaN", "not below 0"),
        ("source --name web --trigger push --changed 9007199254740993", "9007199254740992"),
        ("--stdin engine --state started", "--stdin takes no event"),
        ("-v", "say which event"),
    ] {
        let ended = place.append(&flags.split(' ').collect::<Vec<_>>());
        assert!(ended.code != 0 && ended.err.contains(says), "{flags}: {ended:?}");
    }
    assert!(!place.path().exists());
}

#[test]
fn an_address_is_recorded_alone_and_an_event_is_never_lost_for_it() {
    let place = JournalDir::new();
    for (given, recorded) in [
        ("192.0.2.7:4000", "192.0.2.7"),
        ("[2001:DB8::7]:4000", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ] {
        let ended = place.append(&["source", "--name", "web", "--trigger", "push", "--remote-addr", given]);
        assert_eq!(ended, Ended::quietly(), "{given}");
        assert!(
            place.journal().ends_with(&format!("\"remote_addr\":\"{recorded}\"}}\n")),
            "{}",
            place.journal()
        );
        let input = format!(
            r#"{{"event":"source","name":"web","trigger":"push","error":false,"remote_addr":"{given}"}}"#
        );
        assert_eq!(place.append_stdin(&input), Ended::quietly(), "{given}");
        assert!(
            place.journal().ends_with(&format!("\"remote_addr\":\"{recorded}\"}}\n")),
            "{}",
            place.journal()
        );
    }
    let ended =
        place.append(&["source", "--name", "web", "--trigger", "push", "--remote-addr", "\u{1b}[2Jhost"]);
    assert!(ended.code == 0 && ended.err.contains("`\\u{1b}[2Jhost` is not an IP address"), "{ended:?}");
    assert!(place.journal().ends_with("\"trigger\":\"push\",\"error\":false}\n"));
}

/// Runs `append --from-env` as a Command that handles an event does.
fn handle(place: &JournalDir, event: &str, arguments: &[&str]) -> Ended {
    let variables = [
        ("ETCHA_EVENT_ID", "nginx"),
        ("ETCHA_EVENT_NAME", event),
        ("ETCHA_EVENT_PUBLIC_KEY", "ops"),
        ("ETCHA_EVENT_SRC", "[2001:db8::7]:51234"),
        ("ETCHA_SOURCE_NAME", "audit"),
        ("ETCHA_SOURCE_TRIGGER", "event"),
    ];
    program::run(place.command(&["append", "--from-env"]).args(arguments).envs(variables))
}

#[test]
fn one_audit_source_records_pulls_pushes_and_shells_and_claims_no_outcome() {
    let place = JournalDir::new();
    let origin = r#","public_key":"ops","remote_addr":"2001:db8::7""#;
    for event in ["pull", "push"] {
        assert_eq!(handle(&place, event, &["--source", "web"]), Ended::quietly());
        let unknown =
            format!(r#""name":"web","trigger":"{event}","error":true,"outcome":"unknown"{origin}}}"#);
        assert!(place.journal().ends_with(&format!("{unknown}\n")), "{}", place.journal());
    }
    assert_eq!(handle(&place, "shell", &["--source", "web"]), Ended::quietly());
    let journal = place.journal();
    let lines: Vec<_> = journal.lines().skip(2).collect();
    assert!(lines[0].contains(&format!(r#""state":"opened"{origin}"#)), "{}", lines[0]);
    assert!(
        lines[1].contains(&format!(r#""state":"closed"{origin},"reason":"end not seen""#)),
        "{}",
        lines[1]
    );
    assert_eq!(lines.len(), 2);
    // What was said elsewhere is recorded.
    assert_eq!(handle(&place, "push", &["source", "--name", "web", "--error"]), Ended::quietly());
    assert!(place.journal().trim_end().ends_with(&format!(r#""trigger":"push","error":true{origin}}}"#)));
    assert_eq!(handle(&place, "push", &["source", "--name", "web", "--error=false"]), Ended::quietly());
    assert!(place.journal().trim_end().ends_with(&format!(r#""trigger":"push","error":false{origin}}}"#)));
    let tail = program::run(&mut place.command(&["tail", "-n", "9"]));
    assert!(tail.out.contains("source   push     unknown  web"), "{}", tail.out);
    let stats: serde_json::Value =
        serde_json::from_str(&program::run(&mut place.command(&["stats", "--json"])).out).unwrap();
    let push = &stats["sources"][1];
    assert_eq!(
        (&push["runs"], &push["failed"], &push["unknown"]),
        (&3.into(), &1.into(), &1.into()),
        "{push}"
    );
}

#[test]
fn what_etchas_variables_do_not_say_is_an_error_and_not_a_guess() {
    let place = JournalDir::new();
    for (event, arguments, says) in [
        ("push", &[][..], "do not say which Source"),
        ("push", &["source"], "do not say which Source"),
        ("shell", &[], "do not say which Source"),
        ("restart", &["--source", "web"], "`restart`"),
        ("", &["--source", "web"], "not set"),
        ("restart", &["source", "--name", "web"], "--trigger is missing"),
        ("push", &["command", "--source", "web", "--id", "a", "--mode", "changed"], "--error"),
        ("push", &["command", "--source", "web", "--error", "--mode", "changed"], "--id is missing"),
    ] {
        let ended = handle(&place, event, arguments);
        assert!(ended.code == 2 && ended.err.contains(says), "{event} {arguments:?}: {ended:?}");
    }
    assert!(!place.path().exists());
}

#[test]
fn an_event_of_a_command_says_by_its_name_what_happened() {
    let place = JournalDir::new();
    for (event, said) in [
        ("changed_web_nginx", r#""id":"nginx","mode":"changed","error":false,"source":"web""#),
        ("failed_web", r#""id":"nginx","mode":"changed","error":true,"source":"web""#),
        ("removed_web_nginx", r#""id":"nginx","mode":"remove","error":false,"source":"web""#),
    ] {
        assert_eq!(handle(&place, event, &[]), Ended::quietly());
        assert!(place.journal().lines().last().unwrap().contains(said), "{event}: {}", place.journal());
    }
    assert_eq!(handle(&place, "changed_web_nginx", &["command", "--parent-id", "web > g"]), Ended::quietly());
    assert!(place.journal().contains(r#""parent_id":"web > g","source":"web""#));
}

#[test]
fn calls_are_one_writer_and_neither_rotate_nor_remove_what_others_keep() {
    let place = JournalDir::new();
    let line = r#"{"v":1,"writer":"w","seq":1,"time":"2026-11-01T00:00:00.000Z","event":"source","name":"n","trigger":"pull","error":false}"#;
    // More than a writer's own limit, and more segments than it keeps.
    fs::write(place.path(), format!("{line}\n").repeat(66 * 1024 * 1024 / line.len())).unwrap();
    let segments: Vec<_> =
        (0..12).map(|number| format!("journal.jsonl.202601{number:02}T000000.000000000Z")).collect();
    for segment in &segments {
        fs::write(place.path().with_file_name(segment), "").unwrap();
    }
    for _ in 0..3 {
        assert_eq!(place.append(&["source", "--name", "backup", "--trigger", "pull"]), Ended::quietly());
    }
    assert_eq!(place.segments().len(), 13);
    let journal = place.journal();
    let seqs: Vec<_> =
        journal.lines().rev().take(3).map(|line| line.split("\"seq\":").nth(1).unwrap()).collect();
    assert!(seqs[0].starts_with("3,") && seqs[1].starts_with("2,") && seqs[2].starts_with("1,"), "{seqs:?}");
    // Told to rotate, it rotates, and told nothing of how many to keep, it keeps all.
    assert_eq!(place.append(&["--max-bytes", "1000", "engine", "--state", "started"]), Ended::quietly());
    assert_eq!(place.segments().len(), 14);
    assert_eq!(
        place.append(&["--max-bytes", "1", "--keep", "2", "engine", "--state", "stopped"]),
        Ended::quietly()
    );
    assert_eq!(place.segments().len(), 3);
}

#[test]
fn what_is_recorded_late_has_the_time_at_which_it_happened() {
    let place = JournalDir::new();
    let engine = ["engine", "--state", "started"];
    for (when, time) in [
        ("2026-01-31T09:30:00Z", "2026-01-31T09:30:00.000000Z"),
        ("2026-01-31T10:30:00+01:00", "2026-01-31T09:30:00.000000Z"),
    ] {
        assert_eq!(place.append(&[&["--time", when][..], &engine].concat()), Ended::quietly());
        assert!(place.journal().lines().last().unwrap().contains(time));
    }
    let input = r#"{"event":"engine","state":"stopped","time":"2025-12-31T23:59:59.5Z"}"#;
    assert_eq!(place.append_stdin(input), Ended::quietly());
    assert!(place.journal().contains("\"time\":\"2025-12-31T23:59:59.500000Z\""));
    let future = place.append_stdin(&input.replace("2025", "2925"));
    assert!(future.code == 1 && future.err.contains("-:1: time is in the future"), "{future:?}");
}

#[test]
fn standard_input_is_appended_line_by_line_and_bad_lines_are_told() {
    let place = JournalDir::new();
    let input = format!(
        "{EVENTS}nonsense\n\n{}\n{}\n{}",
        r#"{"event":"engine","state":"stopped","seq":4}"#,
        r#"{"event":"source","name":"web","trigger":"push","error":false,"remote_addr":"10.0.0.1:80"}"#,
        r#"{"event":"engine","state":"stopped"}"#,
    );
    let ended = place.append_stdin(&input);
    assert_eq!(ended.code, 1);
    let told: Vec<_> =
        ended.err.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(told, ["-:5: malformed:", "-:7: invalid:"], "{}", ended.err);
    assert_eq!(place.journal().lines().count(), 6);
    assert!(place.journal().contains("\"seq\":6,"));
    assert_eq!(place.check().code, 0);
}

#[test]
fn the_mode_does_not_depend_on_the_umask() {
    let place = JournalDir::new();
    let script = "umask 077; exec \"$0\" append --journal \"$1\" engine --state started";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_etcha-journal")]).arg(place.path());
    assert_eq!(program::run(&mut shell), Ended::quietly());
    assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o7777, 0o640);
}

#[test]
fn a_full_disk_tears_one_line_and_the_next_writer_goes_on() {
    let place = JournalDir::new();
    // A limit on the size of files stands for the disk: it cuts a write short in the same way.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" append --stdin --sync never --journal \"$1\"";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_etcha-journal")]).arg(place.path());
    let ended = program::run_with_input(&mut shell, &EVENTS.repeat(5));
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("torn: "), "{}", ended.err);
    assert!(ended.err.contains("left out: "), "{}", ended.err);
    assert!(!place.journal().ends_with('\n'));
    place.append(&["engine", "--state", "stopped"]);
    let checked = place.check();
    assert!(checked.out.contains("1 bad: 1 torn"), "{checked:?}");
    assert!(checked.out.contains("1 writer, "), "{checked:?}");
}

#[test]
fn writing_resumes_by_itself_when_there_is_space_again() {
    let place = JournalDir::new();
    let script = "trap '' XFSZ; ulimit -S -f 1; exec \"$0\" append --stdin --sync never --journal \"$1\"";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_etcha-journal")]).arg(place.path());
    let mut child = shell.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut told = lines(child.stderr.take().unwrap());
    stdin.write_all(EVENTS.repeat(5).as_bytes()).unwrap();
    // The first line that does not fit is torn, the one after it is left out.
    for says in ["torn: ", "left out: "] {
        assert!(told.next().unwrap().contains(says));
    }
    let pid = rustix::process::Pid::from_child(&child);
    let plenty = rustix::process::Rlimit { current: Some(1 << 30), maximum: None };
    rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, plenty).unwrap();
    stdin.write_all(EVENTS.as_bytes()).unwrap();
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let checked = place.check();
    assert!(checked.out.contains("1 bad: 1 torn"), "{checked:?}");
    // One writer, and the lines that did not fit are a gap in its numbers.
    assert!(checked.out.contains("1 writer, ") && checked.out.contains(": 1 to 24, "), "{checked:?}");
    assert!(!checked.out.contains(", 0 lines missing"), "{checked:?}");
}

#[test]
fn many_processes_append_and_rotate_at_once() {
    const PROCESSES: usize = 6;
    const ROUNDS: usize = 40;
    let place = JournalDir::new();
    let start = || {
        let arguments = ["append", "--stdin", "--sync", "never", "--max-bytes", "5000", "--keep", "100000"];
        let mut child = place.command(&arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(EVENTS.repeat(ROUNDS).as_bytes()).unwrap();
        child
    };
    let children: Vec<_> = (0..PROCESSES).map(|_| start()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let segments = place.segments();
    assert!(segments.len() > 5, "{} segments", segments.len());
    let mut command = program(&["check"]);
    let ended = program::run(command.args(&segments));
    assert_eq!(ended.code, 0, "{ended:?}");
    let lines = PROCESSES * ROUNDS * 4;
    assert!(ended.out.starts_with(&format!("good: {lines} lines")), "{}", ended.out);
    assert!(ended.out.contains("1 writer, 0 lines missing, 0 lines twice"), "{}", ended.out);
    assert!(!ended.out.contains("began before"), "{}", ended.out);
}

#[test]
fn check_reports_bad_lines_with_their_place_and_sums_up() {
    let place = JournalDir::new();
    place.append_stdin(EVENTS);
    let good = place.journal();
    let first = good.lines().next().unwrap();
    // The second line is missing, the first one there twice, and the last one has no end.
    let rest: String = good.lines().skip(2).map(|line| format!("{line}\n")).collect();
    fs::write(place.path(), format!("{first}\n{{\"v\":1\n\n{first}\n{rest}{{\"v\"")).unwrap();
    let ended = place.check();
    assert_eq!(ended.code, 1);
    let path = place.path().display();
    for says in [
        format!("{path}:2: torn: EOF while parsing an object at byte 6\n"),
        format!("{path}:3: blank: nothing on the line\n"),
        "2 bad: 1 blank, 1 torn\n".to_owned(),
        "4 bytes after the last line feed".to_owned(),
        "1 writer, 1 line missing, 1 line twice\n".to_owned(),
        ": 1 to 4, 1 missing, the first is 2, 1 twice\n".to_owned(),
    ] {
        assert!(ended.out.contains(&says), "{says}\n{}", ended.out);
    }
    assert!(!ended.out.contains('\u{1b}'));
}

#[test]
fn check_reads_gzip_zstd_and_standard_input_and_says_what_it_cannot_read() {
    let place = JournalDir::new();
    place.append_stdin(EVENTS);
    let zipped = place.path().with_extension("jsonl.gz");
    let mut encoder =
        flate2::write::GzEncoder::new(fs::File::create(&zipped).unwrap(), flate2::Compression::fast());
    encoder.write_all(place.journal().as_bytes()).unwrap();
    encoder.finish().unwrap();
    let ended = program::run(program(&["check"]).arg(&zipped));
    assert!(ended.code == 0 && ended.out.starts_with("good: 4 lines"), "{ended:?}");
    let other = place.path().with_extension("jsonl.zst");
    fs::write(&other, zstd::encode_all(place.journal().as_bytes(), 3).unwrap()).unwrap();
    let ended = program::run(program(&["check"]).arg(&other));
    assert!(ended.code == 0 && ended.out.starts_with("good: 4 lines"), "{ended:?}");
    let ended = program::run(program(&["tail"]).arg(&other));
    assert!(ended.code == 0 && ended.out.lines().count() == 4, "{ended:?}");
    let ended = program::run(program(&["tail", "-f"]).arg(&other));
    assert!(ended.code == 2 && ended.out.is_empty() && ended.err.contains("is compressed"), "{ended:?}");
    let ended = program::run_with_input(&mut program(&["check", "-"]), &place.journal());
    assert!(ended.code == 0 && ended.out.starts_with("good: 4 lines"), "{ended:?}");
    fs::write(&zipped, &fs::read(&zipped).unwrap()[..40]).unwrap();
    let ended = program::run(program(&["check", "/nowhere/j"]).arg(&zipped).arg(place.path()));
    assert_eq!(ended.code, 2);
    assert!(
        ended.err.contains("/nowhere/j: No such file") && ended.err.contains("jsonl.gz: "),
        "{}",
        ended.err
    );
    assert!(ended.out.contains("good: 4 lines"), "{}", ended.out);
}

#[test]
fn numbers_missing_are_added_up_whatever_their_size() {
    let place = JournalDir::new();
    let line = |writer: usize, seq: u64| {
        format!(
            r#"{{"v":1,"writer":"w{writer}","seq":{seq},"time":"2026-01-31T09:30:00.000Z","event":"engine","state":"started"}}"#
        ) + "\n"
    };
    let largest = 1_u64 << 53;
    let lines: String = (0..3000).map(|writer| line(writer, 1) + &line(writer, largest)).collect();
    fs::write(place.path(), lines).unwrap();
    let ended = place.check();
    let missing = 3000 * u128::from(largest - 2);
    assert!(
        ended.out.contains(&format!("3000 writers, {missing} lines missing, 0 lines twice")),
        "{}",
        ended.out
    );
}

#[test]
fn check_shows_the_first_bad_lines_or_all_of_them() {
    let place = JournalDir::new();
    fs::write(place.path(), "x\n".repeat(50)).unwrap();
    let shown = |ended: &Ended| ended.out.lines().filter(|line| line.contains(": malformed: ")).count();
    let ended = place.check();
    assert_eq!(shown(&ended), 20);
    assert!(ended.out.contains("--all shows them"));
    assert_eq!(shown(&program::run(program(&["check", "--all"]).arg(place.path()))), 50);
}

#[test]
fn tail_shows_the_last_lines_and_filters() {
    let place = JournalDir::new();
    place.append_stdin(EVENTS);
    let tail = |arguments: &[&str]| {
        let ended = program::run(place.command(&["tail"]).args(arguments));
        assert_eq!((ended.code, ended.err.as_str()), (0, ""));
        ended.out
    };
    let all = tail(&[]);
    assert_eq!(all.lines().count(), 4);
    assert!(!all.contains('\u{1b}'), "no colours where there is no terminal");
    assert!(tail(&["-n", "1"]).contains("shell    opened"));
    assert!(tail(&["--errors", "-n", "1"]).contains("source   push     FAILED   web"));
    assert_eq!(tail(&["--errors"]).lines().count(), 2);
    assert_eq!(tail(&["--errors", "--shells"]).lines().count(), 3);
    assert!(tail(&["--id", "a"]).contains("took 500 ms"));
    assert_eq!(tail(&["--source", "ops"]).lines().count(), 1);
    assert_eq!(tail(&["-n", "0"]), "");
    assert_eq!(tail(&["--json"]), place.journal());
    let with_path = program::run(program(&["tail"]).arg(place.path()));
    assert_eq!(with_path.out, all);
}

#[test]
fn tail_follows_a_journal_from_before_it_exists_through_rotations() {
    let place = JournalDir::new();
    let mut child = place.command(&["tail", "-f", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = lines(child.stdout.take().unwrap());
    let mut expected = BTreeSet::new();
    for round in 0..3 {
        // A journal of at most 1 byte: each line goes into a file of its own.
        let state = if round % 2 == 0 { "started" } else { "stopped" };
        let version = round.to_string();
        let ended = place.append(&["engine", "--state", state, "--version", &version, "--max-bytes", "1"]);
        assert_eq!(ended, Ended::quietly());
        // The next line comes when this one was shown, so nothing is gone before it could be seen.
        expected.insert(shown.next().unwrap());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let written: BTreeSet<_> = place
        .segments()
        .iter()
        .flat_map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(expected, written);
    assert_eq!(written.len(), 3);
}

#[test]
fn stats_sum_up_for_people_and_for_programs() {
    let place = JournalDir::new();
    place.append_stdin(EVENTS);
    let copy = place.path().with_extension("copy");
    fs::copy(place.path(), &copy).unwrap();
    let run = |arguments: &[&str]| {
        let ended = program::run(program(&["stats"]).args(arguments).args([place.path(), &copy]));
        assert_eq!((ended.code, ended.err.as_str()), (0, ""));
        ended.out
    };
    let text = run(&[]);
    for says in [
        "4 events from",
        "4 lines came twice",
        "web     push        1       1",
        "Failing Commands",
        "500 ms",
        "still open",
    ] {
        assert!(text.contains(says), "{says}\n{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&run(&["--json"])).unwrap();
    assert_eq!(json["lines"], 4);
    assert_eq!(json["sources"][0]["failed"], 1);
    assert_eq!(json["shells"][0]["end"], "open");
    assert_eq!(json["slowest"][0]["seconds"]["max"], 0.5);
    let later: serde_json::Value =
        serde_json::from_str(&run(&["--json", "--since", "2100-01-01T00:00:00Z"])).unwrap();
    assert_eq!(later["lines"], 0);
    let earlier: serde_json::Value =
        serde_json::from_str(&run(&["--json", "--until", "2000-01-01"])).unwrap();
    assert_eq!((&earlier["lines"], earlier["shells"].as_array().unwrap().len()), (&0.into(), 0));
    let recent: serde_json::Value = serde_json::from_str(&run(&["--json", "--since", "7d"])).unwrap();
    assert_eq!(recent["lines"], 4);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = JournalDir::new();
    fs::write(place.path(), "x\n".repeat(100_000)).unwrap();
    let mut command = program(&["check", "--all"]);
    let mut child = command.arg(place.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn schema_prints_the_file_of_the_contract() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("journal-schema/journal.v1.schema.json");
    let ended = program::run(&mut program(&["schema"]));
    assert_eq!(ended, Ended { code: 0, out: fs::read_to_string(file).unwrap(), err: String::new() });
}

#[test]
fn the_python_writer_of_the_readme_writes_good_lines() {
    let place = JournalDir::new();
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("journal-schema/README.md")).unwrap();
    let code = readme.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let mut python = std::process::Command::new("python3");
    let directory = place.path().parent().unwrap();
    let Ok(output) = python.args(["-c", code]).current_dir(directory).output() else {
        assert!(std::env::var("CI").is_err(), "python3 is missing");
        eprintln!("left out, python3 is missing: the_python_writer_of_the_readme_writes_good_lines");
        return;
    };
    assert!(output.status.success(), "{output:?}");
    fs::write(place.path(), format!("{}torn", place.journal())).unwrap();
    assert!(
        std::process::Command::new("python3")
            .args(["-c", code])
            .current_dir(directory)
            .status()
            .unwrap()
            .success()
    );
    let ended = place.check();
    assert!(ended.out.contains("2 source") && ended.out.contains("1 bad: 1 malformed"), "{ended:?}");
}

/// What a program of ours writes, line by line.
#[expect(clippy::disallowed_methods, reason = "its lines are short; it is ours")]
fn lines(stream: impl std::io::Read) -> impl Iterator<Item = String> {
    BufReader::new(stream).lines().map(Result::unwrap)
}
