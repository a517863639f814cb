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
fn events_run_those_who_receive_them_with_what_happened() {
    let host = Host::new();
    let seen = "env | grep -E '^ETCHA_(EVENT|SOURCE)' | sort >> seen";
    let (sources, _stopper) = host.start(&json!({
        "sender": {
            "eventsSend": "^made$",
            "eventsReceive": "made",
            "commands": [{"id": "m", "always": true, "change": "echo ' out '", "onChange": ["etcha:made", "etcha:kept"]}]
        },
        "receiver": {
            "eventsReceive": ["made", "kept"], "triggerOnly": true, "checkOnly": true,
            "eventsSend": ".", "commands": [{"id": "r", "always": true, "change": seen, "onChange": "etcha:made"}]
        },
        "other": {"eventsReceive": "else", "triggerOnly": true, "commands": [{"id": "o", "always": true, "change": "touch else"}]}
    }));
    assert_eq!(sources.run("receiver", Trigger::Init), Outcome::Done);
    sources.run("sender", Trigger::Init);
    assert_eq!(
        host.read("seen"),
        "ETCHA_EVENT_ID=m ETCHA_EVENT_NAME=made ETCHA_EVENT_OUTPUT=out ETCHA_EVENT_PUBLIC_KEY= ETCHA_EVENT_SRC= \
         ETCHA_SOURCE_NAME=receiver ETCHA_SOURCE_TRIGGER=event"
    );
    assert!(!host.path("else").exists());
    assert_eq!(host.runs(), ["sender init false 1 0 -", "receiver event false 1 0 -"]);
}

#[test]
fn a_command_ends_the_engine_after_those_who_receive_its_events() {
    let host = Host::new();
    let (sources, _stopper) = host.start(&json!({
        "a": {"eventsSend": "last", "commands": [
            {"id": "new", "always": true, "change": "true", "onChange": ["etcha:exit", "etcha:last"]}
        ]},
        "b": {"eventsReceive": "last", "triggerOnly": true, "commands": [{"id": "r", "always": true, "change": "touch last"}]}
    }));
    assert_eq!(sources.run("a", Trigger::Pull), Outcome::Done);
    assert!(host.path("last").exists() && sources.is_stopping());
}

#[test]
fn events_of_a_failed_run_still_arrive() {
    let host = Host::new();
    let (sources, _stopper) = host.start(&json!({
        "a": {"eventsSend": ".", "commands": [{"id": "bad", "always": true, "change": "false", "onFail": "etcha:alarm"}]},
        "b": {"eventsReceive": "alarm", "triggerOnly": true, "commands": [{"id": "r", "always": true, "change": "touch alarm"}]}
    }));
    assert_eq!(sources.run("a", Trigger::Pull), Outcome::Failed);
    assert!(host.path("alarm").exists());
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

/// A Source that notes in `heard` each event that it receives.
fn listener(events: &[&str]) -> Value {
    json!({"eventsReceive": events, "triggerOnly": true, "commands": [{
        "id": "note", "always": true,
        "change": "echo $ETCHA_EVENT_NAME:$ETCHA_EVENT_ID:$ETCHA_EVENT_OUTPUT:$ETCHA_EVENT_PUBLIC_KEY:$ETCHA_EVENT_SRC >> heard"
    }]})
}

#[test]
fn the_engines_own_events_tell_what_was_done_to_which_source_and_why_it_failed() {
    let host = Host::new();
    host.sign("web.jwt", "{run: [{id: 'a', check: 'true'}]}");
    let mut config = host.pulling();
    config["web"]["allowPush"] = json!(true);
    config["static"] = json!({"commands": [{"id": "s", "check": "true"}]});
    config["audit"] = listener(&["pull", "push", "shell"]);
    let (sources, _stopper) = host.start(&config);
    // What nobody signed is no pull.
    sources.run("static", Trigger::Init);
    sources.run("web", Trigger::Pull);
    push(&host, &sources, false, "{run: [{id: 'b', always: true, change: 'echo no; exit 3'}]}");
    push(&host, &sources, true, "{run: [{id: 'c', always: true, change: 'true'}]}");
    let cause = events::Cause { source: "web", public_key: "k2", remote_addr: "2001:db8::1" };
    sources.runtime.block_on(async { sources.send_system(System::Shell, cause, "") });
    sources.settle();
    assert_eq!(
        host.read("heard"),
        "pull:web::k1: push:web:changing web > b: exit status 3: no:k1:192.0.2.7 shell:web::k2:2001:db8::1"
    );
    let lines = host.lines();
    let audits: Vec<_> =
        lines.iter().filter(|line| line["event"] == "source" && line["name"] == "audit").collect();
    assert_eq!(audits.len(), 3);
    assert_eq!((&audits[1]["public_key"], &audits[1]["remote_addr"]), (&json!("k1"), &json!("192.0.2.7")));
}

#[test]
fn no_push_waits_for_those_who_receive_its_events() {
    let host = Host::new();
    let wait = "until test -e go; do sleep 0.01; done; ";
    let mut other = listener(&["made"]);
    let note = other["commands"][0]["change"].as_str().unwrap().to_owned();
    other["commands"][0]["change"] = json!(format!("{wait}{note}"));
    let (sources, _stopper) =
        host.start(&json!({"web": {"allowPush": true, "eventsSend": "."}, "other": other}));
    let program =
        "{run: [{id: 'a', always: true, change: 'echo out', onChange: ['etcha:made', 'etcha:exit']}]}";
    let push = to_push(&host, &sources, false, program);
    let pushed = sources.runtime.block_on(async { timeout(SOON, sources.push(push)).await }).unwrap();
    assert!(pushed.unwrap().exit && !host.path("heard").exists() && !sources.stop.is_asked());
    fs::write(host.path("go"), "").unwrap();
    assert!(sources.is_stopping());
    assert_eq!(host.read("heard"), "made:a:out:k1:192.0.2.7");
}

#[test]
fn a_push_that_fails_leaves_what_was_there_and_one_that_only_asks_too() {
    let host = Host::new();
    let (sources, _stopper) = host.start(&json!({"web": {"allowPush": true}}));
    push(&host, &sources, false, "{run: [{id: 'a', check: 'test -e a', change: 'touch a', remove: 'rm a'}]}");
    let kept = host.read("state/web.jwt");
    let failed = push(&host, &sources, false, "{run: [{id: 'bad', always: true, change: 'false'}]}");
    assert_eq!(failed.err, "changing web > bad: exit status 1");
    assert_eq!(failed.removed_ids, Some(vec!["a".to_owned()]));
    fs::write(host.path("a"), "").unwrap();
    let asked = push(&host, &sources, true, "{run: [{id: 'b', check: 'false', change: 'touch b'}]}");
    assert_eq!(
        (asked.changed_ids, asked.removed_ids),
        (Some(vec!["b".to_owned()]), Some(vec!["a".to_owned()]))
    );
    assert_eq!(host.read("state/web.jwt"), kept);
    let runs = host.runs();
    assert_eq!(runs, ["web push false 1 0 k1", "web push true 1 1 k1", "web push false 0 0 k1"]);
}

#[test]
fn a_push_to_a_source_that_only_events_run_is_stored() {
    let host = Host::new();
    let (sources, _stopper) = host.start(&json!({
        "web": {"allowPush": true, "triggerOnly": true, "webhookPaths": "/hook"}
    }));
    let program = "{run: [{id: 'a', always: true, change: 'echo hi', onChange: 'etcha:webhookBody'}]}";
    assert_eq!(push(&host, &sources, false, program), PushResult::default());
    assert!(host.path("state/web.jwt").exists());
    let answer = sources.runtime.block_on(sources.webhook("web", &webhook::Hook::default()));
    let answer = answer.unwrap().unwrap();
    assert_eq!((answer.body.as_str(), answer.content_type), ("hi", None));
    assert_eq!(host.runs(), ["web push false - - k1", "web webhook false 1 0 -"]);
}

#[test]
fn who_may_push_is_decided_by_the_source_and_its_keys() {
    let host = Host::new();
    let other = Host::new();
    let (sources, _stopper) = host.start(&json!({
        "web": {"allowPush": true},
        "shared": {"allowPush": true, "verifyKeys": other.public.replace(":k1", ":k2")},
        "closed": {}
    }));
    let (own, foreign) = (host.token("{run: [{id: 'a'}]}"), other.token("{run: [{id: 'a'}]}"));
    let key = |name: &str, token: &str| {
        sources.verify_push(name, token, &Guard::new(None)).map(|token| token.key_id().to_owned())
    };
    assert_eq!(key("web", &own).unwrap(), "k1");
    // The id is the receiver's, whatever the token says.
    assert_eq!(key("shared", &foreign).unwrap(), "k2");
    assert_eq!(key("shared", &own).unwrap(), "k1");
    assert_eq!(key("web", &foreign), Err(push::PushRefusal::Token(token::TokenError::NotVerified)));
    assert_eq!(key("closed", &own), Err(push::PushRefusal::NotAllowed));
    assert_eq!(key("none", &own), Err(push::PushRefusal::Unknown));
}

#[test]
fn a_push_that_waits_compares_with_what_the_one_before_it_left() {
    let host = Host::new();
    let (sources, _stopper) = host.start(&json!({"web": {"allowPush": true}}));
    let undo = |id: &str| {
        format!(
            "{{run: [{{id: '{id}', check: 'test -e {id}', change: 'sleep 0.1; touch {id}', remove: 'rm {id}'}}]}}"
        )
    };
    let pushes = ["a", "b", "c", "d"].map(|id| {
        let (push, sources) = (to_push(&host, &sources, false, &undo(id)), Arc::clone(&sources));
        async move { sources.push(push).await.unwrap() }
    });
    let pushes = pushes.map(|push| sources.runtime.spawn(push));
    for push in pushes {
        assert_eq!(sources.runtime.block_on(push).unwrap().err, "");
    }
    // Each removed the one before it, so the last one is alone.
    let left = ["a", "b", "c", "d"].iter().filter(|id| host.path(id).exists()).count();
    assert_eq!(left, 1);
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

/// Pushes what a filter lets through.
fn push_filtered(host: &Host, sources: &Engine, filter: &str, program: &str) -> PushResult {
    let mut push = to_push(host, sources, false, program);
    push.filter = Some(regex::Regex::new(filter).unwrap());
    let pushed = sources.runtime.block_on(sources.push(push)).unwrap();
    sources.settle();
    pushed
}

#[test]
fn what_a_push_with_a_filter_did_not_remove_is_removed_by_the_next_whole_one() {
    let host = Host::new();
    let web = json!({"web": {"allowPush": true}});
    let (sources, stopper) = host.start(&web);
    let undo =
        |id: &str| format!("{{id: '{id}', check: 'test -e {id}', change: 'touch {id}', remove: 'rm {id}'}}");
    let group = |id: &str, commands: &[&str]| {
        let commands: Vec<_> = commands.iter().map(|id| undo(id)).collect();
        format!("{{id: '{id}', commands: [{}]}}", commands.join(","))
    };
    push(&host, &sources, false, &format!("{{run: [{}, {}]}}", group("app", &["a"]), group("db", &["old"])));
    let second = format!("{{run: [{}]}}", group("app", &["a", "b"]));
    assert_eq!(push_filtered(&host, &sources, "web > app", &second).changed_ids, Some(vec!["b".to_owned()]));
    assert!(host.path("old").exists());
    // Also after a restart, and what came with the filter is known as well.
    drop((sources, stopper));
    let (sources, _stopper) = host.start(&web);
    assert_eq!(push(&host, &sources, true, &second).removed_ids, Some(vec!["old".to_owned()]));
    let third = format!("{{run: [{}]}}", group("app", &["a"]));
    let pushed = push(&host, &sources, false, &third);
    assert_eq!(pushed.removed_ids, Some(vec!["b".to_owned(), "old".to_owned()]));
    assert!(!host.path("old").exists() && !host.path("b").exists() && host.path("a").exists());
    assert_eq!(push(&host, &sources, false, &third), PushResult::default());
    assert!(!host.path("state/web.pending.json").exists());
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

#[test]
fn what_was_pushed_is_named_in_the_journal() {
    let host = Host::new();
    let (sources, _stopper) = host.start(&json!({"web": {"allowPush": true}}));
    let push = |id: &str| {
        let pattern = Some(Imports::of_text("{run: [{id: 'a'}]}"));
        let claims =
            Claims { pattern, id: id.to_owned(), subject: "ticket 7".to_owned(), ..Claims::default() };
        let text = token::sign(&claims, &SigningKey::read(&host.private).unwrap()).unwrap();
        let token = sources.verify_push("web", &text, &Guard::new(None)).unwrap();
        let (source, remote_addr) = ("web".to_owned(), "192.0.2.7".to_owned());
        let push = push::PushRequest { source, token, check: false, filter: None, remote_addr };
        sources.runtime.block_on(sources.push(push)).unwrap();
        host.lines().pop().unwrap()
    };
    let (first, second) = (push("deploy-42"), push(&"x".repeat(300)));
    assert_eq!((&first["token_id"], &first["subject"]), (&json!("deploy-42"), &json!("ticket 7")));
    assert_eq!(second["token_id"].as_str().unwrap().len(), 200);
    // sha256sum of {"entrypoint":"/main.jsonnet","files":{"/main.jsonnet":"{run: [{id: 'a'}]}"}}
    let digest = "55000d9c11be3fa553a45e3571054afbba7ca434e65095e5ad6270830ca61ecf";
    assert_eq!((&first["digest"], &second["digest"]), (&json!(digest), &json!(digest)));
    assert!(
        host.lines()
            .iter()
            .filter(|line| line["event"] == "command")
            .all(|line| line.get("digest").is_none())
    );
}
