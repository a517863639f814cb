//! What the holder of a limited key gets done: a Source with a user of its own and no overrides gives the rights of that
//! user, to the Pattern while it is rendered and to its scripts. These tests need root; without it the engine refuses.

use std::{
    fs,
    os::{
        fd::AsRawFd as _,
        unix::{fs::PermissionsExt as _, net::UnixDatagram},
    },
    process::Command,
    time::Instant,
};

use rustix::process::geteuid;
use serde_json::{Value, json};

use super::{Home, peer::Keys};
use crate::harness::http::Response;

fn err(answer: &Response) -> String {
    let answer: Value = serde_json::from_str(answer.text()).unwrap();
    answer["err"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_pattern_of_a_limited_source_reads_and_costs_no_more_than_its_user_may() {
    if !geteuid().is_root() {
        return;
    }
    let (home, keys) = (Home::new(), Keys::new("limited"));
    // Others may pass through, and read what is theirs to read.
    fs::set_permissions(home.path(""), fs::Permissions::from_mode(0o711)).unwrap();
    home.write("secret", "of-root");
    fs::set_permissions(home.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let fifo = home.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o666.into(), 0).unwrap();
    let engine = home.listen(&json!({"sources": {"limited": {
        "allowPush": true, "verifyKeys": [keys.public], "exec": {"user": "nobody", "allowOverride": false}
    }}}));
    let secret = home.path("secret");
    let cases = [
        (format!("std.native('getFile')('{}')", secret.display()), "Permission denied"),
        (format!("std.native('getFile')('{}')", fifo.display()), "not a regular file"),
        ("std.native('getFile')('/dev/zero')".to_owned(), "not a regular file"),
        ("std.length(std.range(1, 2e9))".to_owned(), "more than 512 MiB of memory"),
        (
            "local f(n, a) = if n == 0 then a else f(n - 1, [a]) tailstrict; f(5000000, [])".to_owned(),
            "not rendered",
        ),
    ];
    for (number, (value, why)) in cases.iter().enumerate() {
        let begin = Instant::now();
        // A Pattern is never older than the one before.
        let token = keys.sign(&format!("{{run: [{{id: 'a', change: 'x' + {value}}}], id: '{number}'}}"));
        let answer = engine.push("limited", &token);
        assert_eq!(answer.status, 500, "{value}: {}", answer.text());
        assert!(err(&answer).contains(why), "{value}: {}", answer.text());
        assert!(begin.elapsed().as_secs() < 60, "{value}");
    }
    let right = "{run: [{id: 'a', always: true, change: 'id -un; echo $HOME; id -G'}], id: std.native('getEnv')('USER')}";
    let answer = engine.push("limited", &keys.sign(right));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!engine.process.log().contains("panicked"));
}

#[test]
fn nothing_of_the_engine_is_left_in_a_script() {
    let (home, keys) = (Home::new(), Keys::new("sign"));
    let socket = home.path("notify");
    let _service = UnixDatagram::bind(&socket).unwrap();
    let leaked = fs::File::open("/dev/null").unwrap();
    // As a parent that forgot to close it.
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let change = "env | grep -cE 'NOTIFY|LISTEN|WATCHDOG|ETCHA_|CREDENT|JOURNAL_STREAM' || true; exec ls /proc/self/fd";
    home.write("p.json", &json!({"run": [{"id": "a", "always": true, "change": change}]}).to_string());
    let mut command: Command = home.command(&["local", "p.json"]);
    command
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "30000000")
        .env("CREDENTIALS_DIRECTORY", "/run/credentials")
        .env("LISTEN_FDNAMES", "x")
        .env("JOURNAL_STREAM", "1:2")
        .env("ETCHA_build_signingKey", &keys.private);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // No variable; the descriptors are the three, and that of the directory that is listed.
    let lines: Vec<_> = said.lines().filter_map(|line| line.trim().strip_prefix("| ")).collect();
    assert!(leaked.as_raw_fd() > 2);
    assert_eq!(lines, ["0", "0", "1", "2", "3"], "{said}");
}

#[test]
fn what_scripts_print_does_not_act_on_the_terminal() {
    let home = Home::new();
    home.write(
        "p.jsonnet",
        r#"{run: [
            {id: "evil\u001b]0;ID\u0007", always: true, change: @'printf "\033]0;OWNED\007\033[31mred\033[2J"'},
            {id: 'fails', always: true, change: @'printf "\033]0;OWNED2\007"; exit 1'},
        ]}"#,
    );
    let output = home.command(&["local", "p.jsonnet"]).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!said.contains(['\u{1b}', '\u{7}']), "{said:?}");
    assert!(said.contains(r"evil\u{1b}]0;ID\u{7}") && said.contains(r"\u{1b}]0;OWNED2\u{7}"), "{said}");
}
