//! The recipe for an Etcha agent that writes no journal (`packaging/etcha`) against two engines that do the same: one with a
//! journal, which is the reference, and one without, which takes the part of such an agent. Two hundred random pushes,
//! webhooks and shells, then pulls; what the exporter serves of both is compared, series by series.

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
    thread,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{
    Home,
    beside::{Dice, TOOL, library},
    peer::{Engine, Keys},
    text,
};
use crate::harness::{
    exporter,
    exposition::{Exposition, Series},
    wait::{SOON, wait_until},
};

/// How much is done, unless `ETCHA_TEST_RECIPE_ACTIONS` says otherwise.
const ACTIONS: u64 = 200;

/// Families of which an agent without a journal says nothing.
const UNKNOWN: [&str; 7] = [
    "etcha_sources_commands",
    "etcha_refusals_total",
    "etcha_source_last_change_timestamp_seconds",
    "etcha_source_last_success_timestamp_seconds",
    "etcha_source_run_duration_seconds",
    "etcha_source_run_start_timestamp_seconds",
    "etcha_engine_heartbeat_timestamp_seconds",
];

/// One thing that somebody asks for.
enum Action {
    /// A push of these Commands.
    Push(Value),
    Webhook,
    /// A shell that ends with this status.
    Shell(u64),
}

fn actions(dice: &mut Dice, count: u64) -> Vec<Action> {
    let action = |_| match dice.roll(10) {
        0..=5 => Action::Push(dice.list(1)),
        6..=7 => Action::Webhook,
        _ => Action::Shell(dice.roll(3)),
    };
    (0..count).map(action).collect()
}

/// An engine, and the exporter of the journal about it.
struct Agent<'k> {
    home: Home,
    keys: &'k Keys,
    engine: Engine,
    watched: exporter::Home,
    has_journal: bool,
}

impl<'k> Agent<'k> {
    fn start(keys: &'k Keys, has_journal: bool, web: &Value) -> Agent<'k> {
        let (home, watched) = (Home::new(), exporter::Home::new());
        home.write("journal.libsonnet", &library());
        let mut config = json!({"run": {"verifyKeys": keys.public}, "sources": {"web": web}});
        if has_journal {
            config["journal"] = json!({"path": watched.journal()});
        } else {
            let beside = watched.journal().display().to_string();
            let call = format!("audit('web', shells=false, tool='{TOOL}', journal='{beside}')");
            home.write("audit.jsonnet", &format!("{{run: (import 'journal.libsonnet').{call}.commands}}"));
            let audit: Value = serde_json::from_str(&home.says(&["render", "audit.jsonnet"])).unwrap();
            config["sources"]["audit"] =
                json!({"triggerOnly": true, "eventsReceive": ["pull", "push"], "commands": audit["run"]});
            if !config["sources"]["web"]["shell"].is_null() {
                let shell = format!("{TOOL} shell --source web --journal {beside} -- /bin/sh");
                config["sources"]["web"]["shell"]["command"] = shell.into();
            }
        }
        let engine = home.listen(&config);
        let agent = Agent { home, keys, engine, watched, has_journal };
        agent.drop_in("ExecStartPost");
        agent
    }

    /// Does what the drop-in for the unit does at the start or the end.
    fn drop_in(&self, key: &str) {
        if self.has_journal {
            return;
        }
        let unit = include_str!("../../packaging/etcha/etcha.service.d/journal.conf");
        let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix("=-+")).unwrap();
        let line = line.replace("/usr/bin/etcha-journal", TOOL).replace("$$", "$");
        let status = Command::new("sh")
            .args(["-c", &line])
            .env("MAINPID", self.engine.process.id().to_string())
            .env("SERVICE_RESULT", "success")
            .env("ETCHA_JOURNAL", self.watched.journal())
            .status();
        assert!(status.unwrap().success(), "{line}");
    }

    /// The Pattern as its author writes it for this agent.
    fn pattern(&self, commands: &Value) -> String {
        if self.has_journal {
            return format!("{{run: {commands}}}");
        }
        let options = format!("tool='{TOOL}', journal='{}'", self.watched.journal().display());
        format!("local journal = {}; {{run: journal.record({commands}, {options})}}", library())
    }

    fn act(&self, action: &Action) {
        match action {
            Action::Push(commands) => {
                let answer = self.engine.push("web", &self.keys.sign(&self.pattern(commands)));
                assert!([200, 500].contains(&answer.status), "{answer:?}");
            }
            // No Command of the lists answers it.
            Action::Webhook => assert_eq!(self.engine.send("POST", "/hook", "").status, 404),
            Action::Shell(code) => self.shell(*code),
        }
    }

    fn shell(&self, code: u64) {
        let operator = json!({
            "build": {"signingKey": self.keys.private},
            "httpClient": {"tlsCAPath": self.engine.certificate(), "noSystemCA": true},
        });
        self.home.write("operator.json", &operator.to_string());
        let port = self.engine.address.port().to_string();
        let arguments =
            ["-c", "operator.json", "-l", "error", "shell", "--host", "localhost", "--port", &port, "web"];
        let mut client = self.home.command(&arguments);
        client.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut client = client.spawn().unwrap();
        client.stdin.take().unwrap().write_all(format!("exit {code}\n").as_bytes()).unwrap();
        let output = client.wait_with_output().unwrap();
        assert_eq!(output.status.code(), i32::try_from(code).ok(), "{}", text(&output.stderr));
    }
}

/// The sums of a family by some of its labels, of the Source `web` alone. What is zero has not happened.
fn sums(scrape: &Exposition, family: &str, labels: &[&str]) -> BTreeMap<String, f64> {
    let of_web = |series: &&Series| [series.label("source"), series.label("name")].contains(&"web");
    let mut sums = BTreeMap::new();
    for series in scrape.samples.keys().filter(|series| series.name == family).filter(of_web) {
        let key: Vec<_> = labels.iter().map(|label| format!("{label}={}", series.label(label))).collect();
        *sums.entry(key.join(" ")).or_default() += scrape.samples[series];
    }
    sums.retain(|_, sum| *sum != 0.0);
    sums
}

/// What the recipe promises, as the exporter serves it: the same labels but those that it cannot know.
fn promised(scrape: &Exposition) -> Vec<BTreeMap<String, f64>> {
    let mut sums = vec![
        sums(scrape, "etcha_commands_total", &["error", "id", "mode", "parent_id", "source"]),
        sums(scrape, "etcha_sources_total", &["name", "trigger", "public_key", "remote_addr"]),
        sums(scrape, "etcha_shells_opened_total", &["name"]),
        // The wrapper's reason also says the exit status.
        sums(scrape, "etcha_shells_closed_total", &["name"]),
        sums(scrape, "etcha_shell_duration_seconds_count", &["name"]),
        sums(scrape, "etcha_sources_shells", &["name"]),
    ];
    sums[0].retain(|key, _| !key.contains("mode=remove"));
    sums[1].retain(|key, _| key.contains("trigger=push"));
    for engine in ["etcha_engine_starts_total", "etcha_engine_up"] {
        sums.push([(engine.to_owned(), scrape.value(engine, &[]).unwrap())].into());
    }
    sums
}

/// That no series says what nobody could know.
fn assert_nothing_is_made_up(scrape: &Exposition) {
    for series in scrape.samples.keys() {
        assert!(!UNKNOWN.iter().any(|family| series.name.starts_with(family)), "{series}");
        let is = |family: &str, label: &str, values: &[&str]| {
            assert!(series.name != family || values.contains(&series.label(label)), "{series}");
        };
        is("etcha_engine_info", "version", &[""]);
        is("etcha_sources_total", "error", &["unknown"]);
        is("etcha_sources_total", "trigger", &["pull", "push"]);
        let is_exit = series.label("reason").split(' ').next() == Some("exit");
        assert!(series.name != "etcha_shells_closed_total" || is_exit, "{series}");
        is("etcha_commands_total", "mode", &["check", "changed"]);
        is("etcha_commands_total", "public_key", &[""]);
        is("etcha_commands_total", "remote_addr", &[""]);
        for name in ["source", "name"] {
            assert!(["", "web"].contains(&series.label(name)), "{series}");
        }
    }
}

#[test]
fn what_the_recipe_promises_equals_an_agents_own_journal_and_what_it_cannot_know_is_absent() {
    let count = std::env::var("ETCHA_TEST_RECIPE_ACTIONS").map_or(ACTIONS, |text| text.parse().unwrap());
    let seed = 0x5851_f42d_4c95_7f2d;
    println!("seed {seed:#x}, {count} actions");
    let actions = actions(&mut Dice(seed), count);
    let keys = Keys::new("deploy");
    let web = json!({"allowPush": true, "webhookPaths": "/hook", "shell": {"command": "/bin/sh"}});
    let mut agents = [true, false].map(|has_journal| Agent::start(&keys, has_journal, &web));
    thread::scope(|scope| {
        for agent in &agents {
            let actions = &actions;
            scope.spawn(move || actions.iter().for_each(|action| agent.act(action)));
        }
    });
    let exporters = [0, 1].map(|which: usize| agents[which].watched.start(&[]));
    let scrapes = || [0, 1].map(|which: usize| exporters[which].scrape());
    wait_until(SOON, "both journals to be read", || {
        scrapes().iter().all(|scrape| scrape.value("etcha_engine_up", &[]).is_some())
    });
    let compared = || scrapes().map(|scrape| promised(&scrape));
    // The audit Source and the guards of shells come after what they record.
    wait_until(SOON, "the runs and shells to be recorded", || {
        let [own, beside] = compared();
        own[1] == beside[1] && own[3] == beside[3]
    });
    let [own, beside] = compared();
    for (own, beside) in own.iter().zip(&beside) {
        for key in own.keys().chain(beside.keys()) {
            assert_eq!(own.get(key), beside.get(key), "{key}");
        }
    }
    let [own, beside] = scrapes();
    assert_nothing_is_made_up(&beside);
    let runs = sums(&own, "etcha_sources_total", &["error", "trigger"]);
    for some in ["error=0 trigger=push", "error=1 trigger=push", "error=0 trigger=webhook"] {
        assert!(runs.contains_key(some), "{some}: {runs:?}");
    }
    // An agent that is killed is seen by both.
    for agent in &mut agents {
        agent.engine.process.signal(Signal::KILL);
        agent.engine.process.wait();
    }
    wait_until(SOON, "both to be seen as down", || {
        scrapes().iter().all(|scrape| scrape.value("etcha_engine_up", &[]) == Some(0.0))
    });
}

#[test]
fn pulls_are_counted_as_often_as_the_agent_pulls_with_an_outcome_that_is_not_known() {
    let keys = Keys::new("deploy");
    let web = json!({"runFrequency": "100ms", "pullPaths": ["web.jwt"], "triggerOnly": false});
    let mut agent = Agent::start(&keys, false, &web);
    let commands = json!([{"id": "a", "check": "true"}]);
    agent.home.write("web.jwt", &keys.sign(&agent.pattern(&commands)));
    let exporter = agent.watched.start(&[]);
    let recorded = || sums(&exporter.scrape(), "etcha_sources_total", &["error", "trigger", "public_key"]);
    let key = "error=unknown trigger=pull public_key=deploy";
    wait_until(SOON, "five pulls", || recorded().get(key).is_some_and(|count| *count >= 5.0));
    assert!(agent.engine.process.terminate().success());
    agent.drop_in("ExecStopPost");
    let log = agent.engine.process.log();
    let own = log.lines().filter(|line| line.contains("ran source=\"web\" trigger=Pull"));
    let own = f64::from(u32::try_from(own.count()).unwrap());
    let recorded = recorded()[key];
    // What was pulled as the agent ended has no run of the audit Source any more.
    assert!((recorded..=recorded + 1.0).contains(&own), "{recorded} recorded, {own} in the log");
    wait_until(SOON, "its end", || exporter.scrape().value("etcha_engine_up", &[]) == Some(0.0));
    assert_nothing_is_made_up(&exporter.scrape());
}
