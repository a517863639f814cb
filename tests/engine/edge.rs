//! The edge to the person who types: where keys and configurations may come from, what an argument is taken for, and what
//! foreign text does to a terminal and to a log.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    process::Stdio,
};

use serde_json::{Value, json};

use super::{
    Home,
    peer::{Engine, Keys},
    shells::{operator, piped},
    text, timeless,
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// An engine whose Source `web` takes pushes and opens shells, and `operator.json` without a key.
fn engine(home: &Home, keys: &Keys) -> Engine {
    let engine = home.listen(&json!({
        "journal": {"path": "journal.jsonl"},
        "run": {"verifyKeys": keys.public},
        "sources": {"web": {"allowPush": true, "shell": {"command": "/bin/sh"}}}
    }));
    operator(home, keys, &engine, "operator.json");
    let mut config: Value =
        serde_json::from_str(&fs::read_to_string(home.path("operator.json")).unwrap()).unwrap();
    config["build"] = json!({});
    home.write("operator.json", &config.to_string());
    engine
}

#[test]
fn a_configuration_above_is_used_if_others_cannot_write_it() {
    let home = Home::new();
    let inner = home.path("above/here");
    fs::create_dir_all(&inner).unwrap();
    let (above, file) = (home.path("above"), home.path("above/etcha.jsonnet"));
    fs::write(&file, "{vars: {a: 'from above'}}").unwrap();
    let render = |arguments: &[&str]| {
        let program = "{id: std.native('getConfig')().vars.a}";
        let mut command = home.command(&[arguments, &["render", program]].concat());
        let output = command.current_dir(&inner).output().unwrap();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    let found: [&[&str]; 2] = [&[], &["-c", "etcha.jsonnet"]];
    for arguments in found {
        let (is_used, said) = render(arguments);
        assert!(is_used && said.contains("from above"), "{said}");
        for (path, wrong) in [(&file, 0o664), (&file, 0o646), (&above, 0o777)] {
            let right = mode(path);
            set_mode(path, wrong);
            let (is_used, said) = render(arguments);
            assert!(
                !is_used && said.contains("was found, but others may write") && !said.contains("from above"),
                "{said}"
            );
            set_mode(path, right);
        }
        if rustix::process::geteuid().is_root() {
            for path in [&file, &above] {
                chown(path, Some(65_534), None).unwrap();
                let (is_used, said) = render(arguments);
                assert!(!is_used && said.contains("belongs to another user"), "{said}");
                chown(path, Some(0), None).unwrap();
            }
        }
    }
    // One that was named with its directory is meant.
    set_mode(&file, 0o666);
    assert!(render(&["-c", "../etcha.jsonnet"]).0);
}

#[test]
fn a_pair_is_written_for_its_owner_alone() {
    let home = Home::new();
    let redirected = home.path("redirected.json");
    File::create(&redirected).unwrap();
    set_mode(&redirected, 0o644);
    let mut command = home.command(&["generate-keys", "ops"]);
    assert!(command.stdout(File::create(&redirected).unwrap()).status().unwrap().success());
    let public = home.says(&["generate-keys", "-o", "new.json", "ops"]);
    for path in [redirected, home.path("new.json")] {
        assert_eq!(mode(&path), 0o600);
        let pair: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert!(pair["privateKey"].as_str().unwrap().starts_with("ed25519private:"));
    }
    assert!(public.starts_with("ed25519public:") && public.ends_with(":ops\n"), "{public}");
    let again = home.run(&["generate-keys", "-o", "new.json"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("new.json: File exists"), "{}", text(&again.stderr));
}

#[test]
fn a_key_comes_from_a_file_or_from_standard_input_and_never_has_to_be_an_argument() {
    let home = Home::new();
    home.says(&["generate-keys", "-o", "key.json", "ops"]);
    let pair: Value = serde_json::from_str(&fs::read_to_string(home.path("key.json")).unwrap()).unwrap();
    let of = |name: &str| pair[name].as_str().unwrap().to_owned();
    let keys = Keys { private: of("privateKey"), public: of("publicKey") };
    let engine = engine(&home, &keys);
    let port = engine.address.port().to_string();
    let push = ["push", "--host", "127.0.0.1", "-p", &port, "web", "echo hello"];
    let from_file = ["-c", "operator.json", "-x", "build_signingKeyPath=key.json"];
    let from_input = ["-c", "operator.json", "-x", "build_signingKeyPath=-"];
    assert!(home.says(&[&from_file[..], &push].concat()).contains("| hello"));
    let input = format!("{}\n", keys.private);
    let pushed = piped(home.command(&[&from_input[..], &push].concat()), input.as_bytes());
    assert!(text(&pushed.stdout).contains("| hello"), "{}", text(&pushed.stderr));
    // A shell gets what comes behind the key.
    let typed =
        piped(home.command(&[&from_input[..], &["shell", "web"]].concat()), (input + "exit 7\n").as_bytes());
    assert_eq!(typed.status.code(), Some(7), "{}", text(&typed.stderr));
    set_mode(&home.path("key.json"), 0o644);
    let refused = home.run(&[&from_file[..], &push].concat());
    let said = text(&refused.stderr);
    assert!(
        !refused.status.success()
            && said.contains("key.json: others can read this private key; `chmod 600` it"),
        "{said}"
    );
    let none = home.run(&[&["-c", "operator.json"][..], &push].concat());
    assert!(text(&none.stderr).contains("set `build_signingKeyPath`"), "{}", text(&none.stderr));
    let setting = format!("build_signingKey={}", keys.private);
    let seen = home.run(&[&["-c", "operator.json", "-x", &setting][..], &push].concat());
    assert!(
        text(&seen.stderr).contains("others on this host can see a key on a command line"),
        "{}",
        text(&seen.stderr)
    );
}

#[test]
fn a_file_that_is_a_pattern_is_pushed_as_one_whatever_it_is_called_and_it_is_said_before() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let engine = engine(&home, &keys);
    home.write("key", &keys.private);
    set_mode(&home.path("key"), 0o600);
    let pattern = json!({"run": [{"id": "one", "always": true, "change": "echo done"}]}).to_string();
    for name in ["pattern.json", "pattern.jsonnet", "web.conf", "pattern"] {
        home.write(name, &pattern);
    }
    home.write("script.sh", "#!/bin/sh\necho local\n");
    home.write("web.jwt", "a.b.c");
    home.write("broken.conf", "{run: [{id: }]}");
    let port = engine.address.port().to_string();
    let push = |argument: &str| {
        let key = "build_signingKeyPath=key";
        let output = home.run(&[
            "-c",
            "operator.json",
            "-l",
            "error",
            "-x",
            key,
            "push",
            "--host",
            "127.0.0.1",
            "-p",
            &port,
            "web",
            argument,
        ]);
        (timeless(&text(&output.stdout)), text(&output.stderr))
    };
    for name in ["pattern.json", "pattern.jsonnet", "web.conf", "pattern"] {
        let (said, before) = push(name);
        assert_eq!(said, "127.0.0.1: 1 changed, 0 removed in N s\n  changed  one\n           | done\n");
        assert_eq!(before, format!("etcha-engine: pushing the pattern {name}\n"));
    }
    let (said, before) = push("echo pattern.json");
    assert!(said.contains("  changed  etcha push\n           | pattern.json\n"), "{said}");
    assert_eq!(before, "etcha-engine: pushing the command `echo pattern.json`\n");
    let (_, before) = push("script.sh");
    assert!(
        before.contains("pushing the command `script.sh` (the file of this name here is no pattern)"),
        "{before}"
    );
    let (said, before) = push("broken.conf");
    assert!(said.is_empty() && before.contains("/broken.conf:1:"), "{said}{before}");
    let (said, before) = push("web.jwt");
    assert!(
        said.is_empty() && before.contains("web.jwt is signed; name the pattern that it was built from"),
        "{before}"
    );
    let (said, before) = push("none.json");
    assert!(said.is_empty() && before.contains("none.json"), "{before}");
}

/// What would rename a window, clear it, write into the clipboard, or begin a line of its own.
const HOSTILE: &str = r"printf '\033]0;OWNED\007\033[2J\033]52;c;ZXZpbA==\007\nforged line\n'";

#[test]
fn what_scripts_print_and_are_called_does_nothing_to_a_terminal() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let engine = engine(&home, &keys);
    home.write("key", &keys.private);
    set_mode(&home.path("key"), 0o600);
    let program = json!({"run": [
        {"id": "evil\u{1b}]0;OWNED\u{7}\u{1b}[2J", "always": true, "change": HOSTILE},
        {"id": "f", "always": true, "change": format!("{HOSTILE}; exit 1")}
    ]});
    home.write("p.jsonnet", &program.to_string());
    let port = engine.address.port().to_string();
    let push = [
        "-c",
        "operator.json",
        "-x",
        "build_signingKeyPath=key",
        "push",
        "--host",
        "127.0.0.1",
        "-p",
        &port,
        "web",
        "p.jsonnet",
    ];
    let runs: [&[&str]; 3] = [&["local", "p.jsonnet"], &push, &["render", "p.jsonnet"]];
    for arguments in runs {
        let output = home.run(arguments);
        for stream in [&output.stdout, &output.stderr] {
            let said = text(stream);
            let bad = said.chars().find(|character| character.is_control() && *character != '\n');
            assert_eq!(bad, None, "{arguments:?}: {said:?}");
            assert!(!said.lines().any(|line| line.starts_with("forged")), "{said}");
        }
        assert!(text(&output.stdout).contains("OWNED"), "{arguments:?}");
    }
}

#[test]
fn nothing_that_is_logged_begins_a_line_of_its_own() {
    let home = Home::new();
    let program = json!({"sources": {"web": {"commands": [
        {"id": "evil\n2026-01-01T00:00:00Z  INFO forged", "always": true, "change": format!("{HOSTILE}; exit 1")}
    ]}}});
    home.write("etcha.jsonnet", &program.to_string());
    let mut command = home.command(&["-l", "debug", "run", "--once"]);
    let output = command.stdout(Stdio::null()).output().unwrap();
    let log = text(&output.stderr);
    assert!(log.contains(r"OWNED\u{7}") && log.contains(r"\nforged line"), "{log}");
    for line in log.lines() {
        assert!(!line.contains(char::is_control) && !line.starts_with("forged"), "{line:?}");
        assert!(!line.starts_with("2026-01-01"), "{line}");
    }
}
