//! Sources with real processes and files: what runs, what is kept, what one sets off in others.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::*;
use crate::agent::guard::Guard;
use crate::jsonnet::Imports;
use crate::stop::{self, Stopper};
use crate::wire::key::{Algorithm, SigningKey, generate};
use crate::wire::push::PushResult;
use crate::wire::token;

mod events;
mod pushes;

/// Longer than anything takes on a loaded machine.
const SOON: Duration = Duration::from_secs(30);

/// Sources that are asked from outside of their tasks.
struct Engine {
    runtime: Runtime,
    sources: Arc<Sources>,
}

impl Engine {
    /// What came of a run, when all that it set off is done.
    fn run(&self, name: &str, trigger: Trigger) -> Outcome {
        let outcome = self.runtime.block_on(self.sources.run(name, trigger));
        self.settle();
        outcome
    }

    /// Waits until nothing is under way.
    fn settle(&self) {
        self.runtime.block_on(async { timeout(SOON, self.sources.idle()).await }).unwrap();
    }

    fn is_stopping(&self) -> bool {
        self.runtime.block_on(async { timeout(SOON, self.sources.stop.asked()).await }).is_ok()
    }
}

impl std::ops::Deref for Engine {
    type Target = Arc<Sources>;

    fn deref(&self) -> &Arc<Sources> {
        &self.sources
    }
}

/// A host with a directory of its own.
struct Host {
    directory: tempfile::TempDir,
    private: String,
    public: String,
}

impl Host {
    fn new() -> Host {
        let made = generate(Algorithm::Ed25519, Some("k1")).unwrap();
        Host { directory: tempfile::tempdir().unwrap(), private: made.private, public: made.public }
    }

    /// Starts an engine, as after a restart.
    fn start(&self, sources: &Value) -> (Engine, Stopper) {
        let directory = self.directory.path();
        let config = Config::read(json!({
            "exec": {"workDir": directory},
            "run": {"verifyKeys": self.public},
            "sources": sources
        }))
        .unwrap();
        let journal = Journal::new(directory.join("journal.jsonl"), journal_schema::Options::default());
        let (stopper, stop) = stop::pair().unwrap();
        let state = StateDir::open(&directory.join("state")).unwrap();
        let sources = Sources::new(config, journal, state, stop, stopper.clone());
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        (Engine { runtime, sources }, stopper)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Signs a program into the file `name`.
    fn sign(&self, name: &str, program: &str) {
        fs::write(self.path(name), self.token(program)).unwrap();
    }

    /// A token with a program.
    fn token(&self, program: &str) -> String {
        let claims = Claims { pattern: Some(Imports::of_text(program)), ..Claims::default() };
        token::sign(&claims, &SigningKey::read(&self.private).unwrap()).unwrap()
    }

    fn pulling(&self) -> Value {
        json!({"web": {"pullPaths": [self.path("missing.jwt"), self.path("web.jwt")]}})
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name))
            .unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The journal.
    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("journal.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// `name trigger error changed removed key` of each run in the journal.
    fn runs(&self) -> Vec<String> {
        let runs = self.lines().into_iter().filter(|line| line["event"] == "source");
        runs.map(|line| {
            let number = |key: &str| line[key].as_u64().map_or("-".to_owned(), |number| number.to_string());
            let (name, trigger) = (line["name"].as_str().unwrap(), line["trigger"].as_str().unwrap());
            let key = line["public_key"].as_str().unwrap_or("-");
            format!("{name} {trigger} {} {} {} {key}", line["error"], number("changed"), number("removed"))
        })
        .collect()
    }
}

#[test]
fn static_commands_run_at_the_start_and_on_schedule() {
    let host = Host::new();
    let (sources, _stopper) = host.start(&json!({
        "web": {"commands": [{"id": "a", "check": "test -e made", "change": "touch made"}]},
        "none": {"eventsReceive": "x"}
    }));
    assert_eq!(sources.run("web", Trigger::Init), Outcome::Done);
    assert_eq!(sources.run("web", Trigger::Pull), Outcome::Done);
    assert_eq!(sources.run("none", Trigger::Init), Outcome::Nothing);
    assert_eq!(host.runs(), ["web init false 1 0 -", "web pull false 0 0 -"]);
}

#[test]
fn a_new_pattern_removes_what_the_old_one_had() {
    let host = Host::new();
    let undo =
        |id: &str| format!("{{id: '{id}', check: 'test -e {id}', change: 'touch {id}', remove: 'rm {id}'}}");
    host.sign("web.jwt", &format!("{{run: [{}, {}]}}", undo("a"), undo("b")));
    let (sources, _stopper) = host.start(&host.pulling());
    assert_eq!(sources.run("web", Trigger::Init), Outcome::Done);
    host.sign("web.jwt", &format!("{{run: [{}, {}]}}", undo("b"), undo("c")));
    assert_eq!(sources.run("web", Trigger::Pull), Outcome::Done);
    let exists = ["a", "b", "c"].map(|name| host.path(name).exists());
    assert_eq!(exists, [false, true, true]);
    assert_eq!(host.runs(), ["web init false 2 0 k1", "web pull false 1 1 k1"]);
}

#[test]
fn with_no_remove_nothing_is_removed() {
    let host = Host::new();
    host.sign("web.jwt", "{run: [{id: 'a', check: 'test -e a', change: 'touch a', remove: 'rm a'}]}");
    let mut web = host.pulling();
    web["web"]["noRemove"] = json!(true);
    let (sources, _stopper) = host.start(&web);
    sources.run("web", Trigger::Init);
    host.sign("web.jwt", "{run: [{id: 'b'}]}");
    sources.run("web", Trigger::Pull);
    assert!(host.path("a").exists());
}

#[test]
fn a_kept_pattern_comes_back_after_a_restart_without_its_origin() {
    let host = Host::new();
    host.sign("web.jwt", "{run: [{id: 'a', always: true, change: 'echo a >> ran'}]}");
    let (sources, stopper) = host.start(&host.pulling());
    sources.run("web", Trigger::Init);
    drop((sources, stopper));
    fs::remove_file(host.path("web.jwt")).unwrap();
    let (sources, _stopper) = host.start(&host.pulling());
    assert_eq!(sources.run("web", Trigger::Init), Outcome::Done);
    // At the start what is there runs all the same; later a pull that fails is a failure.
    assert_eq!(sources.run("web", Trigger::Pull), Outcome::Failed);
    assert_eq!(host.read("ran"), "a a");
    assert_eq!(host.runs()[1..], ["web init false 1 0 k1", "web pull true - - -"]);
}

#[test]
fn with_no_restore_nothing_comes_back() {
    let host = Host::new();
    host.sign("web.jwt", "{run: [{id: 'a', always: true, change: 'echo a >> ran'}]}");
    let mut web = host.pulling();
    web["web"]["noRestore"] = json!(true);
    let (sources, _stopper) = host.start(&web);
    sources.run("web", Trigger::Init);
    assert!(!host.path("state/web.jwt").exists());
    fs::remove_file(host.path("web.jwt")).unwrap();
    assert_eq!(host.start(&web).0.run("web", Trigger::Init), Outcome::Failed);
}

#[test]
fn a_source_that_only_events_run_stores_what_it_pulls() {
    let host = Host::new();
    host.sign("web.jwt", "{run: [{id: 'a', always: true, change: 'echo a >> ran'}]}");
    let mut config = host.pulling();
    config["web"]["triggerOnly"] = json!(true);
    config["web"]["eventsReceive"] = json!("go");
    config["sender"] = json!({
        "eventsSend": "go", "commands": [{"id": "s", "always": true, "change": "true", "onChange": "etcha:go"}]
    });
    let (sources, _stopper) = host.start(&config);
    assert_eq!(sources.run("web", Trigger::Init), Outcome::Done);
    assert!(host.path("state/web.jwt").exists() && !host.path("ran").exists());
    sources.run("sender", Trigger::Pull);
    assert_eq!(host.read("ran"), "a");
    assert_eq!(host.runs(), ["web init false - - k1", "sender pull false 1 0 -", "web event false 1 0 -"]);
}

#[test]
fn a_token_of_another_key_or_a_damaged_kept_one_runs_nothing() {
    let host = Host::new();
    Host::new().sign("web.jwt", "{run: []}");
    let stranger = Host { directory: tempfile::tempdir().unwrap(), ..Host::new() };
    stranger.sign("web.jwt", "{run: [{id: 'a', always: true, change: 'touch evil'}]}");
    fs::copy(stranger.path("web.jwt"), host.path("web.jwt")).unwrap();
    fs::create_dir(host.path("state")).unwrap();
    fs::copy(stranger.path("web.jwt"), host.path("state/web.jwt")).unwrap();
    let (sources, _stopper) = host.start(&host.pulling());
    assert_eq!(sources.run("web", Trigger::Init), Outcome::Failed);
    assert!(!host.path("evil").exists());
    assert_eq!(host.runs(), ["web init true - - -"]);
}

#[test]
fn a_run_that_fails_leaves_the_old_pattern_in_place() {
    let host = Host::new();
    host.sign("web.jwt", "{run: [{id: 'a', check: 'test -e a', change: 'touch a', remove: 'rm a'}]}");
    let (sources, _stopper) = host.start(&host.pulling());
    sources.run("web", Trigger::Init);
    let kept = host.read("state/web.jwt");
    host.sign("web.jwt", "{run: [{id: 'bad', always: true, change: 'false'}]}");
    assert_eq!(sources.run("web", Trigger::Pull), Outcome::Failed);
    assert_eq!(host.read("state/web.jwt"), kept);
    fs::write(host.path("a"), "again").unwrap();
    host.sign("web.jwt", "{run: [{id: 'good'}]}");
    sources.run("web", Trigger::Pull);
    // The old one was still known, so its remove ran once more.
    assert!(!host.path("a").exists());
    host.sign("web.jwt", "{run: 1}");
    assert_eq!(sources.run("web", Trigger::Pull), Outcome::Failed);
    let runs = host.runs();
    assert_eq!(runs[1..], ["web pull true 1 1 k1", "web pull false 0 1 k1", "web pull true - - k1"]);
}

#[test]
fn check_only_asks_and_does_nothing() {
    let host = Host::new();
    let commands = json!([{"id": "a", "check": "false", "change": "touch a"}]);
    let (sources, _stopper) = host.start(&json!({"web": {"checkOnly": true, "commands": commands}}));
    assert_eq!(sources.run("web", Trigger::Pull), Outcome::Done);
    assert!(!host.path("a").exists());
    assert_eq!(host.runs(), ["web pull false 0 0 -"]);
}

#[test]
fn runs_of_a_source_wait_for_each_other_unless_it_says_run_multi() {
    // With `runMulti` each run waits inside for a second one; without, each looks whether it is alone.
    let alone = "mkdir inside || touch together; echo looking; rmdir inside";
    let pairwise = "touch in.$$; until [ $(ls in.* | wc -l) -ge 2 ]; do sleep 0.01; done; touch together";
    for (multi, script) in [(false, alone), (true, pairwise)] {
        let host = Host::new();
        let commands = json!([{"id": "a", "always": true, "change": script}]);
        let (sources, _stopper) = host.start(&json!({"web": {"runMulti": multi, "commands": commands}}));
        let runs = (0..4).map(|_| {
            let sources = Arc::clone(&sources);
            async move { sources.run("web", Trigger::Pull).await }
        });
        let runs: Vec<_> = runs.map(|run| sources.runtime.spawn(run)).collect();
        for run in runs {
            assert_eq!(sources.runtime.block_on(run).unwrap(), Outcome::Done);
        }
        assert_eq!(host.path("together").exists(), multi, "runMulti {multi}");
        assert_eq!(host.runs().len(), 4);
    }
}

/// Pushes a program, from an address. All that it set off is done.
fn push(host: &Host, sources: &Engine, check: bool, program: &str) -> PushResult {
    let pushed = sources.runtime.block_on(sources.push(to_push(host, sources, check, program))).unwrap();
    sources.settle();
    pushed
}

fn to_push(host: &Host, sources: &Engine, check: bool, program: &str) -> push::PushRequest {
    let token = sources.verify_push("web", &host.token(program), &Guard::new(None)).unwrap();
    push::PushRequest {
        source: "web".to_owned(),
        token,
        check,
        filter: None,
        remote_addr: "192.0.2.7".to_owned(),
    }
}

/// Changes a file, which sets off a reload; a Command between them fails until `up` is there.
const RELOADING: &str = "{run: [
    {id: 'config', check: 'test -e config', change: 'touch config', onChange: 'reload'},
    {id: 'between', check: 'test -e up', change: 'test -e up'},
    {id: 'reload', change: 'test ! -e deaf && echo r >> reloads'}]}";

#[test]
fn what_was_set_off_runs_after_a_failure_a_restart_and_a_failure_of_its_own_and_then_no_more() {
    let host = Host::new();
    let web = json!({"web": {"allowPush": true}});
    let (sources, stopper) = host.start(&web);
    push(&host, &sources, false, "{run: [{id: 'base', check: 'true'}]}");
    assert_eq!(push(&host, &sources, false, RELOADING).err, "changing web > between: exit status 1");
    drop((sources, stopper));
    fs::write(host.path("up"), "").unwrap();
    fs::write(host.path("deaf"), "").unwrap();
    let (sources, stopper) = host.start(&web);
    assert_eq!(push(&host, &sources, false, RELOADING).err, "changing web > reload: exit status 1");
    fs::remove_file(host.path("deaf")).unwrap();
    // Another Pattern that still has the Command.
    let changed = RELOADING.replace("{run: [", "{run: [{id: 'new', check: 'true'},");
    let pushed = push(&host, &sources, false, &changed);
    assert_eq!((pushed.err.as_str(), pushed.changed_ids), ("", Some(vec!["reload".to_owned()])));
    assert_eq!(host.read("reloads"), "r");
    assert!(!host.path("state/web.pending.json").exists());
    drop((sources, stopper));
    let (sources, _stopper) = host.start(&web);
    assert_eq!(push(&host, &sources, false, &changed).changed_ids, None);
    assert_eq!(host.read("reloads"), "r");
}

#[test]
fn what_was_set_off_is_kept_before_the_run_is_over() {
    let host = Host::new();
    let (sources, _stopper) = host.start(&json!({"web": {"allowPush": true}}));
    let program = "{run: [{id: 'a', always: true, change: 'true', onChange: 'b'},
        {id: 'look', always: true, change: 'cat state/web.pending.json > seen'}, {id: 'b', change: 'true'}]}";
    assert_eq!(push(&host, &sources, false, program).err, "");
    assert_eq!(host.read("seen"), r#"{"version":1,"triggers":[[[["b",0]],["a"]]],"bases":[]}"#);
}

#[test]
fn what_cannot_be_kept_is_not_run_and_said_to_have_failed() {
    let host = Host::new();
    let (sources, _stopper) = host.start(&json!({"web": {"allowPush": true}}));
    push(&host, &sources, false, "{run: [{id: 'a', check: 'true'}]}");
    let kept = host.read("state/web.jwt");
    // Nothing can be put in its place.
    fs::create_dir_all(host.path("state/web.jwt.staged-1/full")).unwrap();
    let failed = push(&host, &sources, false, "{run: [{id: 'b', always: true, change: 'touch b'}]}");
    assert!(failed.err.starts_with("state directory: "), "{}", failed.err);
    assert!(!host.path("b").exists());
    assert_eq!(host.read("state/web.jwt"), kept);
    assert_eq!(host.runs()[1], "web push true - - k1");
    fs::remove_dir_all(host.path("state/web.jwt.staged-1")).unwrap();
    assert_eq!(push(&host, &sources, false, "{run: [{id: 'b', always: true, change: 'touch b'}]}").err, "");
    assert_ne!(host.read("state/web.jwt"), kept);
}

#[test]
fn a_token_that_could_not_be_kept_in_the_end_is_a_failure_and_kept_by_the_next_run() {
    let host = Host::new();
    let program = "{run: [{id: 'a', always: true, change: 'test -e ran || { rm state/web.jwt.staged-0; touch ran; }'}]}";
    host.sign("web.jwt", program);
    let (sources, _stopper) = host.start(&host.pulling());
    assert_eq!(sources.run("web", Trigger::Init), Outcome::Failed);
    assert!(!host.path("state/web.jwt").exists());
    assert_eq!(sources.run("web", Trigger::Pull), Outcome::Done);
    assert!(host.path("state/web.jwt").exists());
    assert_eq!(host.runs(), ["web init true 1 0 k1", "web pull false 1 0 k1"]);
}

#[test]
fn a_run_that_takes_long_is_recorded_while_it_lasts_and_when_it_ends() {
    let host = Host::new();
    let waits = json!({"web": {"commands": [
        {"id": "a", "always": true, "change": "until test -e go; do sleep 0.02; done"}
    ]}});
    let (engine, _stopper) = host.start(&waits);
    let sources = Arc::clone(&engine.sources);
    let run = engine.runtime.spawn(async move { sources.run("web", Trigger::Pull).await });
    let deadline = Instant::now() + SOON;
    while engine.under_way(Duration::ZERO).is_empty() {
        assert!(Instant::now() < deadline, "the run does not begin");
        std::thread::yield_now();
    }
    assert!(engine.record_runs(SOON) && host.lines().iter().all(|line| line["event"] != "run"));
    assert!(engine.record_runs(Duration::ZERO) && engine.record_runs(Duration::ZERO));
    fs::write(host.path("go"), "").unwrap();
    assert_eq!(engine.runtime.block_on(run).unwrap(), Outcome::Done);
    assert!(engine.record_runs(Duration::ZERO));
    let lines: Vec<_> = host.lines().into_iter().filter(|line| line["event"] == "run").collect();
    let said = |line: &Value| {
        ["name", "trigger", "state"].map(|member| line[member].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(
        lines.iter().map(said).collect::<Vec<_>>(),
        [["web", "pull", "started"], ["web", "pull", "ended"]]
    );
    assert_eq!(lines[0]["run"], lines[1]["run"]);
    assert!(lines[1]["duration_seconds"].as_f64() > lines[0]["duration_seconds"].as_f64());
}

#[test]
fn an_engine_whose_runs_hang_at_a_lock_has_no_heartbeat() {
    let host = Host::new();
    let (engine, _stopper) = host.start(&json!({"web": {"commands": [{"id": "a", "check": "true"}]}}));
    engine.run("web", Trigger::Init);
    let state = engine.configured("web").unwrap().state;
    let held = lock(&state.current);
    let beat = engine.blocking(Sources::heartbeat);
    let mut beat = std::pin::pin!(beat);
    let waited = engine.runtime.block_on(async { timeout(Duration::from_millis(200), &mut beat).await });
    assert!(waited.is_err());
    assert!(host.lines().iter().all(|line| line["event"] != "heartbeat"));
    drop(held);
    engine.runtime.block_on(beat).unwrap();
    assert_eq!(host.lines().last().unwrap()["event"], "heartbeat");
}
