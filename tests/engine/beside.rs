//! The recipe for an Etcha agent that writes no journal (`packaging/etcha`, `docs/beside-etcha.md`): what it records equals
//! what an agent records of itself, and what it cannot know is absent or unknown.
//!
//! The engine takes the agent's part. Its own journal is the reference, the recipe writes another one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Home, peer::Keys, text};
use crate::docs::example;
use crate::harness::wait::{SOON, wait_until};

pub(super) const TOOL: &str = env!("CARGO_BIN_EXE_etcha-journal");

/// Where the recipe writes.
const BESIDE: &str = "beside.jsonl";

pub(super) fn library() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/etcha/journal.libsonnet"))
        .unwrap()
}

fn lines(home: &Home, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(home.path(name)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How often each Command, but for the recorders, ran in each way.
fn commands(lines: &[Value]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in lines.iter().filter(|line| line["event"] == "command") {
        let id = line["id"].as_str().unwrap();
        if id != "journal" && !id.starts_with("journal ") && id != "record" {
            let parent = line["parent_id"].as_str().unwrap_or_default();
            let key = format!("{} | {parent} | {id} | {} | {}", line["source"], line["mode"], line["error"]);
            *counts.entry(key).or_default() += 1;
        }
    }
    counts
}

/// Numbers that are always the same and look random enough.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// A list of Commands of every kind, at most `depth` groups deep.
    pub(super) fn list(&mut self, depth: u64) -> Value {
        let count = 1 + self.roll(5);
        (0..count).map(|number| self.command(number, count, depth)).collect()
    }

    fn command(&mut self, number: u64, count: u64, depth: u64) -> Value {
        let id = format!("{number} it's \"{depth}\"");
        if depth > 0 && self.roll(4) == 0 {
            return json!({"id": id, "commands": self.list(depth - 1)});
        }
        let mut command = json!({"id": id});
        match self.roll(4) {
            0 => command["always"] = true.into(),
            1 => {}
            2 => command["check"] = "true".into(),
            _ => command["check"] = "false".into(),
        }
        match self.roll(9) {
            0 => command["change"] = "false".into(),
            1 => {}
            _ => command["change"] = "true".into(),
        }
        if self.roll(4) == 0 {
            command["envPrefix"] = format!("OWN_{}", self.roll(u64::MAX)).into();
        }
        let later = format!("^{} ", number + 1);
        if number + 1 < count && self.roll(3) == 0 {
            command["onChange"] = later.clone().into();
        }
        if number + 1 < count && self.roll(3) == 0 {
            command["onFail"] = if self.roll(2) == 0 { later.into() } else { json!([later]) };
        }
        command
    }
}

#[test]
fn what_commands_do_is_recorded_as_the_agent_counts_it() {
    let home = Home::new();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let sources: BTreeMap<String, Value> =
        (0..60).map(|number| (format!("s{number}"), dice.list(3))).collect();
    home.write("journal.libsonnet", &library());
    home.write("lists.json", &json!(sources).to_string());
    home.write(
        "etcha.jsonnet",
        &format!(
            "local journal = import 'journal.libsonnet';
             local lists = import 'lists.json';
             {{journal: {{path: 'journal.jsonl'}}, run: {{stateDir: 'state'}}, sources: {{
               [name]: {{commands: journal.record(lists[name], source=name, tool='{TOOL}', journal='{}')}}
               for name in std.objectFields(lists)
             }}}}",
            home.path(BESIDE).display()
        ),
    );
    // Some of them fail, and so does the whole.
    home.run(&["run", "--once"]);
    let (own, beside) = (commands(&home.lines()), commands(&lines(&home, BESIDE)));
    assert!(own.len() > 200, "{}", own.len());
    assert!(own.keys().any(|key| key.ends_with("\"changed\" | true")), "{own:#?}");
    for key in own.keys().chain(beside.keys()) {
        assert_eq!(own.get(key), beside.get(key), "{key}");
    }
}

#[test]
fn a_pushed_pattern_records_itself_and_the_audit_source_adds_key_and_address() {
    let (home, keys) = (Home::new(), Keys::new("deploy"));
    home.write("journal.libsonnet", &library());
    let beside = home.path(BESIDE).display().to_string();
    home.write(
        "audit.jsonnet",
        &format!(
            "{{run: (import 'journal.libsonnet').audit('web', tool='{TOOL}', journal='{beside}').commands}}"
        ),
    );
    let audit: Value = serde_json::from_str(&home.says(&["render", "audit.jsonnet"])).unwrap();
    let engine = home.listen(&json!({
        "journal": {"path": "journal.jsonl"},
        "run": {"verifyKeys": keys.public},
        "sources": {
            "web": {"allowPush": true},
            "audit": {"triggerOnly": true, "eventsReceive": ["pull", "push", "shell"], "commands": audit["run"]},
        }
    }));
    for (number, change) in ["true", "false", "true"].iter().enumerate() {
        let pattern = format!(
            "local journal = {}; {{run: journal.record([{{id: 'c{number}', always: true, change: '{change}'}}], tool='{TOOL}', journal='{beside}')}}",
            library()
        );
        engine.push("web", &keys.sign(&pattern));
    }
    let runs = |lines: &[Value]| {
        lines
            .iter()
            .filter(|line| line["event"] == "source" && line["name"] == "web")
            .cloned()
            .collect::<Vec<_>>()
    };
    wait_until(SOON, "three pushes in the journal", || runs(&lines(&home, BESIDE)).len() == 3);
    let (own, recorded) = (runs(&home.lines()), runs(&lines(&home, BESIDE)));
    assert_eq!(own.len(), 3);
    for (own, recorded) in own.iter().zip(&recorded) {
        for same in ["trigger", "public_key", "remote_addr"] {
            assert_eq!(own[same], recorded[same]);
        }
        assert_eq!(recorded["outcome"], "unknown");
    }
    assert_eq!(commands(&lines(&home, BESIDE)), {
        let mut own = commands(&home.lines());
        // The reference has the key and the address as well; the labels that both have are equal.
        own.retain(|key, _| key.starts_with("\"web\""));
        own
    });
}

#[test]
fn a_wrapped_shell_is_opened_and_closed_as_the_agent_sees_it() {
    let (home, here, keys) = (Home::new(), Home::new(), Keys::new("ops"));
    let beside = home.path(BESIDE).display().to_string();
    let engine = home.listen(&json!({
        "journal": {"path": "journal.jsonl"},
        "run": {"verifyKeys": keys.public},
        "sources": {"web": {"shell": {"command": format!("{TOOL} shell --source web --journal {beside} -- /bin/sh")}}}
    }));
    let operator = json!({
        "build": {"signingKey": keys.private},
        "httpClient": {"tlsCAPath": engine.certificate(), "noSystemCA": true},
    });
    here.write("operator.json", &operator.to_string());
    let port = engine.address.port().to_string();
    for code in ["0", "3"] {
        let arguments = ["-c", "operator.json", "shell", "--host", "localhost", "--port", &port, "web"];
        let mut command = here.command(&arguments);
        let mut client =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut client.stdin.take().unwrap(), format!("exit {code}\n").as_bytes())
            .unwrap();
        let output = client.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code.parse().unwrap()), "{}", text(&output.stderr));
    }
    let states = |name: &str| {
        let shells = lines(&home, name).into_iter().filter(|line| line["event"] == "shell");
        shells.map(|line| format!("{} {}", line["name"], line["state"])).collect::<Vec<_>>()
    };
    wait_until(SOON, "the agent's own word on both ends", || states("journal.jsonl").len() == 4);
    assert_eq!(states(BESIDE), states("journal.jsonl"));
    let recorded = lines(&home, BESIDE);
    assert_eq!((&recorded[1]["reason"], &recorded[3]["reason"]), (&json!("exit"), &json!("exit 3")));
    assert_ne!(recorded[0]["session"], recorded[2]["session"]);
}

#[test]
fn the_documented_configuration_of_an_agent_with_a_recorder_is_right() {
    let home = Home::new();
    home.write("journal.libsonnet", &library());
    home.write("etcha.jsonnet", &example("beside Etcha, configuration").replace("/etc/etcha/", ""));
    home.write("deploy.pub", &Keys::new("deploy").public);
    let output = home.run(&["run", "--check-config"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    home.write("web.jsonnet", &example("beside Etcha, pattern").replace("/etc/etcha/", ""));
    let rendered: Value = serde_json::from_str(&home.says(&["render", "-s", "web", "web.jsonnet"])).unwrap();
    let ids: Vec<_> =
        rendered["run"].as_array().unwrap().iter().map(|command| command["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["nginx", "journal 1", "site"]);
}

#[test]
fn two_commands_with_one_prefix_are_refused_because_their_results_could_not_be_told_apart() {
    let home = Home::new();
    home.write("journal.libsonnet", &library());
    home.write(
        "p.jsonnet",
        "{run: (import 'journal.libsonnet').record([{id: 'a', envPrefix: 'P'}, {id: 'g', commands: [{id: 'b', envPrefix: 'P'}]}], 's')}",
    );
    let output = home.run(&["render", "p.jsonnet"]);
    assert!(
        text(&output.stderr).contains("an envPrefix is used by several Commands"),
        "{}",
        text(&output.stderr)
    );
}
