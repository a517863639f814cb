//! The program `etcha-engine` as a person and a service manager see it: its output, its files, its end.

mod alerted;
mod beside;
mod bound;
mod clumsy;
mod edge;
mod hanging;
mod hostile;
mod listen;
mod live;
mod peer;
mod pushing;
mod recipe;
mod rights;
mod running;
mod scraped;
mod shells;
mod soak;
mod terminal;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::harness::{
    process::Process,
    wait::{SOON, wait_until},
};

/// A directory in which engines run.
struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    fn new() -> Home {
        Home { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        if text.contains("private:") {
            // As one keeps a key: the engine warns of others.
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcha-engine"));
        // Settings of the person who runs the tests are none of theirs.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().to_ascii_lowercase().starts_with("etcha_") {
                command.env_remove(name);
            }
        }
        // Several engines at once: each on a port of its own, unless a test says otherwise.
        command.env("etcha_httpServer_listenAddress", "127.0.0.1:0");
        command.current_dir(&self.directory).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a run that has to go well.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// The journal without heartbeats, which come when they come.
    fn lines(&self) -> Vec<Value> {
        let mut lines = self.all_lines();
        lines.retain(|line| line["event"] != "heartbeat");
        lines
    }

    fn all_lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("journal.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The text without durations, which differ each time.
fn timeless(text: &str) -> String {
    let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
    for word in &mut words {
        let digits = word.trim_start_matches('[');
        if digits.parse::<f64>().is_ok() && digits.contains('.') {
            *word = word.replace(digits, "N");
        }
    }
    words.join(" ")
}

#[test]
fn local_says_what_changed_and_how_long_it_took() {
    let home = Home::new();
    home.write(
        "web.jsonnet",
        "{run: [{id: 'conf', check: 'test -e conf', change: 'echo made; touch conf', remove: 'rm conf', onChange: 'reload'},
          {id: 'g', commands: [{id: 'fine', check: 'true'}]},
          {id: 'reload', check: 'true', change: 'true'}]}",
    );
    let said = home.says(&["local", "web.jsonnet"]);
    assert_eq!(
        timeless(&said),
        "changed  local > conf [N s]\n         | made\nchanged  local > reload (set off by conf) [N s]\n\
         2 changed, 0 removed in N s\n"
    );
    assert_eq!(timeless(&home.says(&["local", "web.jsonnet"])), "nothing to do, checked in N s\n");
    let said = home.says(&["local", "-r", "-s", "web", "web.jsonnet"]);
    assert_eq!(timeless(&said), "removed  web > conf [N s]\n0 changed, 1 removed in N s\n");
    assert!(!home.path("conf").exists() && !home.path("journal.jsonl").exists());
}

#[test]
fn local_takes_text_and_fails_with_what_failed() {
    let home = Home::new();
    let output = home.run(&["local", "{id: 'a', always: true, change: 'echo no; exit 3'}, {id: 'b'}"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        timeless(&text(&output.stdout)),
        "failed   local > a [N s]\n         exit status 3\n         | no\n\
         1 changed, 0 removed, then it failed in N s: changing local > a: exit status 3: no\n"
    );
}

#[test]
fn local_goes_on_when_nobody_reads_any_more() {
    let home = Home::new();
    let commands = "{id: 'a', always: true, change: 'cat go'}, {id: 'b', always: true, change: 'touch done'}";
    assert!(Command::new("mkfifo").arg(home.path("go")).status().unwrap().success());
    let mut command = home.command(&["local", commands]);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(running.stdout.take());
    fs::write(home.path("go"), "now\n").unwrap();
    let output = running.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    assert!(home.path("done").exists());
}

#[test]
fn local_passes_over_what_the_filter_leaves_out() {
    let home = Home::new();
    let commands = "[{id: g, commands: [{id: 'a', always: true, change: 'true'}]} for g in ['x', 'y']]";
    let said = home.says(&["local", "-f", "x$", commands]);
    assert_eq!(timeless(&said), "changed  local > x > a [N s]\n1 changed, 0 removed in N s\n");
}

#[test]
fn render_sees_the_variables_of_the_configuration_and_of_the_source() {
    let home = Home::new();
    home.write("etcha.jsonnet", "{vars: {a: 'config', b: 'config'}, sources: {web: {vars: {b: 'source'}}}}");
    home.write(
        "p.jsonnet",
        "local vars = std.native('getConfig')().vars; {run: [{id: '%(a)s %(b)s %(source)s' % vars}]}",
    );
    let rendered: Value = serde_json::from_str(&home.says(&["render", "-s", "web", "p.jsonnet"])).unwrap();
    assert_eq!(rendered, json!({"run": [{"id": "config source web"}]}));
}

#[test]
fn errors_are_one_line_that_names_the_place() {
    let home = Home::new();
    home.write("p.jsonnet", "{run: [{id: 'a', onChange: 'b'}]}");
    let cases: [(i32, &[&str], &str); 4] = [
        (
            1,
            &["local", "p.jsonnet"],
            "etcha-engine: run, command `a`: `onChange` has the target `b`, which matches no id in the same list\n",
        ),
        (1, &["local", "{id: }"], "etcha-engine: /main.jsonnet:1:14: something else is expected here\n"),
        (
            2,
            &["-x", "lint_x=1", "run"],
            "etcha-engine: configuration: `lint` is a key of Etcha that this engine does not have; remove it\n",
        ),
        (2, &["run"], "etcha-engine: there is nothing to run; add `sources` to the configuration\n"),
    ];
    for (code, arguments, expected) in cases {
        let output = home.run(arguments);
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(code), expected));
    }
}

#[test]
fn what_is_built_is_verified_rendered_and_pulled() {
    let home = Home::new();
    let keys: Value = serde_json::from_str(&home.says(&["generate-keys", "release"])).unwrap();
    home.write(
        "etcha.jsonnet",
        &json!({
            "build": {"signingKey": keys["privateKey"]},
            "journal": {"path": "journal.jsonl"},
            "run": {"stateDir": "state", "verifyKeys": [keys["publicKey"]]},
            "sources": {"web": {"pullPaths": ["web.jwt"]}}
        })
        .to_string(),
    );
    home.write(
        "web.jsonnet",
        "local vars = std.native('getConfig')().vars;
         {build: [{id: 'v', always: true, change: 'echo 1.2', onChange: ['etcha:runVar_version', 'etcha:buildManifest']}],
          run: [{id: 'a', check: 'test -e made', change: 'echo ' + std.get(vars, 'version', 'none') + ' > made'}]}",
    );
    assert!(home.says(&["build", "web.jsonnet", "web.jwt"]).ends_with("wrote web.jwt\n"));
    let said: Value = serde_json::from_str(&home.says(&["jwt", "web.jwt"])).unwrap();
    assert_eq!(said["publicKey"], "release");
    assert_eq!(said["claims"]["etchaRunVars"], json!({"version": "1.2"}));
    assert_eq!(said["claims"]["etchaBuildManifest"], "1.2\n");
    let rendered: Value = serde_json::from_str(&home.says(&["render", "web.jwt"])).unwrap();
    assert_eq!(rendered["run"][0]["change"], "echo 1.2 > made");
    home.says(&["run", "--once"]);
    assert_eq!(fs::read_to_string(home.path("made")).unwrap(), "1.2\n");
    let events: Vec<_> = home.lines().iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(events, ["engine", "command", "command", "source", "engine"]);
    let source = &home.lines()[3];
    assert_eq!((&source["public_key"], &source["trigger"]), (&json!("release"), &json!("init")));
    // Another key signs nothing that runs here.
    let stranger: Value = serde_json::from_str(&home.says(&["generate-keys", "-a", "ecp256"])).unwrap();
    let setting = format!("build_signingKey={}", stranger["privateKey"].as_str().unwrap());
    home.says(&["-x", &setting, "build", "web.jsonnet", "evil.jwt"]);
    let output = home.run(&["jwt", "evil.jwt"]);
    assert_eq!(text(&output.stderr), "etcha-engine: evil.jwt: was signed by none of the configured keys\n");
}

#[test]
fn once_fails_if_a_source_fails() {
    let home = Home::new();
    home.write("etcha.jsonnet", "{sources: {a: {commands: [{id: 'x', always: true, change: 'false'}]}}}");
    let output = home.run(&["run", "--once"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("changing a > x: exit status 1"), "{}", text(&output.stderr));
}

#[test]
fn a_schedule_goes_on_until_the_end_is_asked_for() {
    let home = Home::new();
    home.write(
        "etcha.jsonnet",
        "{journal: {path: 'journal.jsonl'}, sources: {
          often: {runFrequency: '100ms', commands: [{id: 'a', check: 'true'}]},
          long: {commands: [{id: 'b'}], runFrequency: '1h'}}}",
    );
    let mut engine = Process::start(&mut home.command(&["run"]));
    let runs = |trigger: &str| {
        let lines = home.lines();
        lines.iter().filter(|line| line["event"] == "source" && line["trigger"] == trigger).count()
    };
    wait_until(SOON, "three runs on schedule", || runs("pull") >= 3);
    assert_eq!(runs("init"), 2);
    assert!(engine.terminate().success());
    let lines = home.lines();
    assert_eq!(
        (&lines[0]["state"], &lines[lines.len() - 1]["state"]),
        (&json!("started"), &json!("stopped"))
    );
}

#[test]
fn help_fits_a_terminal_of_eighty_columns() {
    let home = Home::new();
    let tasks = ["run", "local", "push", "shell", "render", "build", "jwt", "generate-keys"];
    for arguments in tasks.map(|task| vec![task, "--help"]).into_iter().chain([vec!["--help"], vec!["-h"]]) {
        for line in home.says(&arguments).lines() {
            assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
        }
    }
}

/// The commands of `--help`, each in one line as a shell takes it.
fn examples(help: &str) -> Vec<String> {
    let (_, examples) = help.split_once("Examples:\n").unwrap();
    let joined = examples.replace("\\\n", "");
    let commands = joined.lines().filter_map(|line| line.strip_prefix("    "));
    commands.map(|command| command.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn every_example_of_the_help_does_what_it_says() {
    let (home, there) = (Home::new(), Home::new());
    home.write(
        "web.jsonnet",
        "{run: [{id: 'made', check: 'test -e made', change: 'touch made', remove: 'rm made'}]}",
    );
    home.write("motd", "");
    home.write(
        "etcha.jsonnet",
        "{journal: {path: 'journal.jsonl'}, sources: {web: {commands: [{id: 'a', check: 'true'}]}}}",
    );
    let shell = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(home.path("")).stdin(std::process::Stdio::null());
        for (name, value) in home.command(&[]).get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell
    };
    let (mut engine, mut said) = (None, String::new());
    for example in examples(&home.says(&["--help"])) {
        let is_push = example.contains("push --host");
        if is_push {
            // It trusts the key that an example before has made.
            let pair: Value =
                serde_json::from_str(&fs::read_to_string(home.path("web.key")).unwrap()).unwrap();
            let started = there.listen(&json!({
                "run": {"verifyKeys": pair["publicKey"]},
                "sources": {"web": {"allowPush": true, "shell": {"command": "/bin/sh"}}}
            }));
            let targets = json!({"web1": {"hostname": "127.0.0.1", "port": started.address.port()}});
            let operator = json!({
                "build": {"signingKeyPath": "web.key"},
                "httpClient": {"tlsCAPath": started.certificate(), "noSystemCA": true},
                "targets": targets
            });
            home.write("operator.jsonnet", &operator.to_string());
            home.write("targets.jsonnet", &json!({"targets": targets}).to_string());
            fs::copy(started.certificate(), home.path("tls-certificate.pem")).unwrap();
            engine = Some(started);
        }
        // No name of the examples can be looked up here.
        let program = format!(
            "{}{} ",
            env!("CARGO_BIN_EXE_etcha-engine"),
            if is_push { " -c targets.jsonnet" } else { "" }
        );
        let script = example.replace("etcha-engine ", &program);
        if example.ends_with(" run") {
            // Until the end is asked for.
            let mut agent = Process::start(&mut shell(&format!("exec {script}")));
            agent.wait_for_log("where it is listening", crate::harness::exporter::listening);
            continue;
        }
        let output = shell(&script).output().unwrap();
        assert!(output.status.success(), "{example}: {}", text(&output.stderr));
        said.push_str(&text(&output.stdout));
    }
    let words = ["changed  local > motd", "\"id\": \"made\"", "removed  local > made", "wrote web.jwt"];
    for words in words.into_iter().chain(["web1: 1 changed", "load average"]) {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(engine.is_some());
}

#[test]
fn help_speaks_of_every_task() {
    let said = Home::new().says(&["--help"]);
    for word in
        ["run", "local", "push", "render", "build", "jwt", "generate-keys", "Examples:", "journal_path"]
    {
        assert!(said.contains(word), "{word}: {said}");
    }
}
