//! How the three programs end: the same exit statuses and the same form of the line that says what went wrong.

use std::process::{Command, Output};

const EXPORTER: &str = env!("CARGO_BIN_EXE_etcha-exporter");
const ENGINE: &str = env!("CARGO_BIN_EXE_etcha-engine");
const JOURNAL: &str = env!("CARGO_BIN_EXE_etcha-journal");

/// Name and path of each.
const PROGRAMS: [(&str, &str); 3] =
    [("etcha-exporter", EXPORTER), ("etcha-engine", ENGINE), ("etcha-journal", JOURNAL)];

fn run(program: &str, arguments: &[&str]) -> Output {
    // Away from configuration files of the directory that tests run in.
    Command::new(program).args(arguments).env_clear().current_dir("/").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn each_program_ends_with_the_same_statuses_and_says_in_its_name_what_went_wrong() {
    let cases: [(i32, &str, &[&str], &str); 11] = [
        // A command line that is none.
        (2, EXPORTER, &["--no-such-flag"], "etcha-exporter: unexpected argument '--no-such-flag' found\n"),
        (2, ENGINE, &["--no-such-flag"], "etcha-engine: unexpected argument '--no-such-flag' found\n"),
        (2, JOURNAL, &["--no-such-flag"], "etcha-journal: unexpected argument '--no-such-flag' found\n"),
        (2, JOURNAL, &["append"], "etcha-journal: say which event (command, source, shell, engine), "),
        // A configuration, or an input, that cannot be used.
        (
            2,
            EXPORTER,
            &["--config", "/no/such/file"],
            "etcha-exporter: /no/such/file: cannot be read: No such file",
        ),
        (2, ENGINE, &["-x", "no_such=1", "run", "--check-config"], "etcha-engine: configuration"),
        (2, ENGINE, &["run"], "etcha-engine: there is nothing to run; add `sources` to the configuration\n"),
        (2, JOURNAL, &["check", "/no/such/file"], "etcha-journal: /no/such/file: No such file or directory"),
        // Work that fails.
        (
            1,
            EXPORTER,
            &["render", "/no/such/file"],
            "etcha-exporter: /no/such/file: No such file or directory",
        ),
        (1, ENGINE, &["jwt", "/no/such/file"], "etcha-engine: /no/such/file: No such file or directory"),
        (1, JOURNAL, &["documents", "/no/such"], "etcha-journal: /no/such: No such file or directory"),
    ];
    for (status, program, arguments, expected) in cases {
        let output = run(program, arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(status), "{program} {arguments:?}: {said}");
        assert!(said.starts_with(expected), "{program} {arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{program} {arguments:?}: {output:?}");
    }
}

#[test]
fn help_and_version_are_no_errors_and_help_states_the_statuses() {
    for (name, program) in PROGRAMS {
        let version = run(program, &["--version"]);
        assert_eq!((version.status.code(), said(&version).as_str()), (Some(0), ""), "{name}");
        assert!(version.stdout.starts_with(name.as_bytes()), "{name}: {version:?}");
        let help = run(program, &["--help"]);
        let text = String::from_utf8(help.stdout.clone()).unwrap();
        assert_eq!((help.status.code(), said(&help).as_str()), (Some(0), ""), "{name}");
        assert!(text.contains("Exit status: 0 done, 1 failed, 2 wrong usage"), "{name}: {text}");
    }
}

#[test]
fn what_others_wrote_into_a_name_does_nothing_to_the_terminal_of_the_error() {
    for (name, program, arguments) in [
        ("etcha-exporter", EXPORTER, &["--config", "/no\u{1b}[2J"] as &[_]),
        ("etcha-engine", ENGINE, &["jwt", "/no\u{1b}[2J"]),
        ("etcha-journal", JOURNAL, &["documents", "/no\u{1b}[2J"]),
    ] {
        let said = said(&run(program, arguments));
        assert!(said.starts_with(&format!("{name}: ")) && !said.contains('\u{1b}'), "{said:?}");
        assert!(said.contains("[2J"), "{said:?}");
    }
}
