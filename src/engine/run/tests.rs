//! The rules of a run, each with real processes.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::exec::Exec;
use crate::pattern::command;
use crate::stop::{self, Stopper};

/// A list of Commands in a directory of their own, and what came of running it.
struct Bench {
    directory: tempfile::TempDir,
    exec: Exec,
    limits: RunLimits,
    _stopper: Stopper,
    pending: Pending,
    commands: Vec<Command>,
    check_only: bool,
    filter: Option<Regex>,
}

/// `id mode error` of each step, with the parents before it if there are any.
type Steps = Vec<String>;

impl Bench {
    fn new(commands: Value) -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let (stopper, stop) = stop::pair().unwrap();
        let exec = Exec { work_dir: Some(directory.path().to_owned()), ..Exec::default() };
        Bench {
            directory,
            exec,
            limits: RunLimits { deadline: None, stop },
            _stopper: stopper,
            pending: Pending::default(),
            commands: command::list("run", "", commands, &mut 0).unwrap(),
            check_only: false,
            filter: None,
        }
    }

    fn run(&mut self, phase: Phase) -> (Steps, Summary) {
        let mut steps = Vec::new();
        let context = RunContext {
            source: "s",
            exec: &self.exec,
            filter: self.filter.as_ref(),
            check_only: self.check_only,
            limits: &self.limits,
        };
        let stages = [(phase, self.commands.as_slice())];
        let summary = run(
            context,
            &stages,
            &BTreeMap::new(),
            &mut self.pending,
            &mut |step| {
                let parents = step.parents.label();
                let inside = if parents.is_empty() { String::new() } else { format!("[{parents}] ") };
                steps.push(format!("{inside}{} {:?} {}", step.id, step.mode, u8::from(step.error)));
            },
            &mut |_| {},
        );
        (steps, summary)
    }

    fn change(&mut self) -> (Steps, Summary) {
        self.run(Phase::Change)
    }

    /// What the scripts wrote into `file`, word by word.
    fn written(&self, file: impl AsRef<Path>) -> Vec<String> {
        let text = fs::read_to_string(self.directory.path().join(file)).unwrap_or_default();
        text.split_whitespace().map(str::to_owned).collect()
    }
}

fn changed(summary: &Summary) -> Vec<&str> {
    summary.changed().map(|output| output.id.as_str()).collect()
}

/// One row of the decision table.
struct Row {
    phase: Phase,
    check_only: bool,
    always: bool,
    set_off: bool,
    /// Exit status of the check; nothing if there is no check.
    check: Option<i32>,
    /// Exit status of change and remove; nothing if there are no such scripts.
    act: Option<i32>,
    /// What is counted.
    steps: &'static [&'static str],
    /// The scripts that were started.
    started: &'static [&'static str],
    fails: bool,
}

const QUIET: Row = Row {
    phase: Phase::Change,
    check_only: false,
    always: false,
    set_off: false,
    check: None,
    act: Some(0),
    steps: &["a Check 0"],
    started: &[],
    fails: false,
};
const GOES: Row = Row { steps: &["a Check 1", "a Change 0"], started: &["change"], ..QUIET };
const UNDOES: Row =
    Row { phase: Phase::Remove, steps: &["a Check 1", "a Remove 0"], started: &["remove"], ..QUIET };
const ONLY: Row = Row { check_only: true, steps: &["a Check 1"], ..QUIET };

#[rustfmt::skip]
const TABLE: &[Row] = &[
    // Nothing to ask and nothing to do.
    QUIET,
    Row { phase: Phase::Remove, ..QUIET },
    Row { check_only: true, ..QUIET },
    Row { act: None, ..QUIET },
    // Always: the check is not asked.
    Row { always: true, ..GOES },
    Row { always: true, check: Some(0), ..GOES },
    Row { always: true, check: Some(1), ..GOES },
    Row { always: true, set_off: true, ..GOES },
    Row { always: true, ..UNDOES },
    Row { always: true, check: Some(1), ..UNDOES },
    Row { always: true, ..ONLY },
    Row { always: true, act: None, steps: &["a Check 1"], ..QUIET },
    Row { always: true, act: Some(1), steps: &["a Check 1", "a Change 1"], fails: true, ..GOES },
    Row { always: true, act: Some(1), steps: &["a Check 1", "a Remove 1"], fails: true, ..UNDOES },
    // Set off: the check is not asked.
    Row { set_off: true, ..GOES },
    Row { set_off: true, check: Some(0), ..GOES },
    Row { set_off: true, ..UNDOES },
    Row { set_off: true, check: Some(1), ..UNDOES },
    Row { set_off: true, check: Some(0), ..ONLY },
    Row { set_off: true, act: None, steps: &["a Check 1"], ..QUIET },
    Row { set_off: true, act: Some(1), steps: &["a Check 1", "a Change 1"], fails: true, ..GOES },
    // Change: what is not there has to be made.
    Row { check: Some(0), started: &["check"], ..QUIET },
    Row { check: Some(0), started: &["check"], check_only: true, ..QUIET },
    Row { check: Some(1), started: &["check", "change"], ..GOES },
    Row { check: Some(127), started: &["check", "change"], ..GOES },
    Row { check: Some(1), started: &["check"], ..ONLY },
    Row { check: Some(1), act: None, steps: &["a Check 1"], started: &["check"], ..QUIET },
    Row { check: Some(1), act: Some(1), steps: &["a Check 1", "a Change 1"], started: &["check", "change"], fails: true, ..GOES },
    // Remove: what is there can be removed.
    Row { check: Some(1), phase: Phase::Remove, started: &["check"], ..QUIET },
    Row { check: Some(0), started: &["check", "remove"], ..UNDOES },
    Row { check: Some(0), phase: Phase::Remove, started: &["check"], ..ONLY },
    Row { check: Some(0), phase: Phase::Remove, act: None, steps: &["a Check 1"], started: &["check"], ..QUIET },
    Row { check: Some(0), act: Some(1), steps: &["a Check 1", "a Remove 1"], started: &["check", "remove"], fails: true, ..UNDOES },
];

#[test]
fn each_row_of_the_decision_table_does_and_counts_what_it_says() {
    for (number, row) in TABLE.iter().enumerate() {
        let script = |name: &str, status: Option<i32>| {
            status.map(|status| format!("echo {name} >> started; exit {status}")).unwrap_or_default()
        };
        let mut bench = Bench::new(json!([{
            "id": "a",
            "always": row.always,
            "check": script("check", row.check),
            "change": script("change", row.act),
            "remove": script("remove", row.act),
        }]));
        bench.check_only = row.check_only;
        if row.set_off {
            bench.pending.set_off(row.phase, 0, "another");
        }
        let (steps, summary) = bench.run(row.phase);
        assert_eq!(steps, row.steps, "steps of row {number}");
        assert_eq!(bench.written("started"), row.started, "scripts of row {number}");
        assert_eq!(summary.failure.is_some(), row.fails, "failure of row {number}");
        let acted = row.steps.len() > 1;
        let expected = (acted && row.phase == Phase::Change, acted && row.phase == Phase::Remove);
        let counted = (summary.changed().count() == 1, summary.removed().count() == 1);
        assert_eq!(counted, expected, "changed and removed of row {number}");
        let needed = summary.outputs.iter().filter(|output| output.needed).count();
        assert_eq!(needed, usize::from(row.steps[0] == "a Check 1"), "need of row {number}");
    }
}

#[test]
fn a_check_without_an_answer_is_a_failure_and_nothing_is_done_about_it() {
    let cases = [
        (json!({"check": "x", "exec": {"command": "/no/such/program"}}), "not started: /no/such/program: "),
        (
            json!({"check": "x", "exec": {"user": "no-such-user"}}),
            "not started: user `no-such-user` does not",
        ),
        (json!({"check": "kill -9 $$"}), "ended by signal 9"),
        (json!({"check": "kill -SEGV $$"}), "ended by signal 11"),
        // Only a part of it was killed.
        (json!({"check": "bash -c 'kill -9 $$'; true"}), "exit status 137"),
    ];
    for (case, ending) in cases {
        let mut command = json!({"id": "a", "change": "touch acted", "remove": "touch acted", "onFail": "b"});
        command.as_object_mut().unwrap().extend(case.as_object().unwrap().clone());
        for phase in [Phase::Change, Phase::Remove] {
            let mut bench = Bench::new(json!([command, {"id": "b", "change": "touch warned"}]));
            let (steps, summary) = bench.run(phase);
            // Before it, backwards, comes one that has nothing to do.
            let before: Steps =
                if phase == Phase::Remove { vec!["b Check 0".to_owned()] } else { Vec::new() };
            assert_eq!(steps, before, "{command}");
            let failure = summary.failure.unwrap().to_string();
            assert!(failure.starts_with(&format!("checking s > a: {ending}")), "{failure}");
            assert!(!bench.directory.path().join("acted").exists(), "{command}");
            assert_eq!(bench.directory.path().join("warned").exists(), phase == Phase::Change);
        }
    }
}

#[test]
fn a_status_that_is_no_signal_is_an_answer() {
    for status in [1, 2, 126, 127, 141, 255] {
        let mut bench = Bench::new(json!([{"id": "a", "check": format!("exit {status}"), "change": "true"}]));
        assert_eq!(bench.change().0, ["a Check 1", "a Change 0"], "{status}");
    }
}

#[test]
fn a_removal_that_fails_before_a_new_pattern_names_the_way_out() {
    let old = Bench::new(json!([{"id": "old", "always": true, "remove": "echo busy; exit 4"}]));
    let mut new = Bench::new(json!([{"id": "new", "always": true, "change": "touch changed"}]));
    let context =
        RunContext { source: "s", exec: &new.exec, filter: None, check_only: false, limits: &new.limits };
    let stages = [(Phase::Remove, old.commands.as_slice()), (Phase::Change, new.commands.as_slice())];
    let summary = run(context, &stages, &BTreeMap::new(), &mut new.pending, &mut |_| {}, &mut |_| {});
    assert_eq!(
        summary.failure.unwrap().to_string(),
        "removing s > old: exit status 4 (the new pattern waits for it; mend what it needs, or set `noRemove` of the \
         source): busy"
    );
    assert!(!new.directory.path().join("changed").exists());
    let alone = Bench::new(json!([{"id": "old", "always": true, "remove": "exit 4"}])).run(Phase::Remove).1;
    assert_eq!(alone.failure.unwrap().to_string(), "removing s > old: exit status 4");
}

#[test]
fn many_long_outputs_make_no_command_fail() {
    let mut commands: Vec<Value> = (0..40)
        .map(|n| json!({"id": format!("c{n}"), "envPrefix": format!("P{n}"), "check": "head -c 90000 /dev/zero | tr '\\0' x"}))
        .collect();
    commands.push(json!({"id": "last", "check": "test ${#P0} -eq 90000"}));
    let (steps, summary) = Bench::new(Value::from(commands)).change();
    assert!(summary.failure.is_none(), "{:?}", summary.failure);
    assert_eq!(steps.last().unwrap(), "last Check 0");
}

#[test]
fn variables_tell_later_commands_what_happened_before() {
    let mut bench = Bench::new(json!([
        {"id": "skip", "envPrefix": "S"},
        {"id": "ok", "envPrefix": "OK", "check": "echo ' fine '", "change": "false"},
        {"id": "made", "envPrefix": "M", "check": "echo missing; false", "change": "echo making; echo it >&2"},
        {"id": "g", "commands": [
            {"id": "see", "always": true, "change": "env | grep -E '^(S|OK|M)(_|=)|^_C' | sort | tr '\\n' ' ' > seen"}
        ]}
    ]));
    let (_, summary) = bench.change();
    assert!(summary.failure.is_none());
    let seen = bench.written("seen").join(" ");
    // What `see` itself has no prefix for stands under the bare names.
    let expected = "M=missing M_CHANGE=0 M_CHANGE_OUT=making it M_CHECK=1 M_CHECK_OUT=missing \
                    OK=fine OK_CHECK=0 OK_CHECK_OUT=fine S_CHECK=0 _CHECK=1";
    // `M_CHANGE_OUT` has two lines, of which grep drops the second one.
    assert_eq!(seen, expected.replace("making it", "making"));
}

#[test]
fn groups_name_their_commands_and_no_others() {
    let mut bench = Bench::new(json!([
        {"id": "a", "always": true},
        {"id": "g1", "commands": [{"id": "b"}, {"id": "h", "commands": [{"id": "c"}]}, {"id": "d"}]},
        {"id": "g2", "commands": [{"id": "e"}]},
        {"id": "f"}
    ]));
    let (steps, _) = bench.change();
    assert_eq!(
        steps,
        [
            "a Check 1",
            "[s > g1] b Check 0",
            "[s > g1 > h] c Check 0",
            "[s > g1] d Check 0",
            "[s > g2] e Check 0",
            "f Check 0"
        ]
    );
}

#[test]
fn remove_goes_backwards_at_every_level() {
    let undo = |id: &str| json!({"id": id, "always": true, "remove": format!("echo {id} >> order")});
    let mut bench = Bench::new(json!([
        undo("a"), {"id": "g", "commands": [undo("b"), undo("c")]}, undo("d")
    ]));
    let (_, summary) = bench.run(Phase::Remove);
    assert_eq!(bench.written("order"), ["d", "c", "b", "a"]);
    assert_eq!((summary.changed().count(), summary.removed().count()), (0, 4));
}

#[test]
fn a_failure_ends_all_lists_around_it() {
    let mut bench = Bench::new(json!([
        {"id": "g", "commands": [
            {"id": "bad", "always": true, "change": "echo broken; exit 3"},
            {"id": "not", "check": "touch reached"}
        ]},
        {"id": "nor", "check": "touch reached"}
    ]));
    let (steps, summary) = bench.change();
    assert_eq!(steps, ["[s > g] bad Check 1", "[s > g] bad Change 1"]);
    assert_eq!(summary.failure.as_ref().unwrap().to_string(), "changing s > g > bad: exit status 3: broken");
    assert_eq!(changed(&summary), ["bad"]);
    assert!(!bench.directory.path().join("reached").exists());
}

#[test]
fn after_a_failure_later_commands_run_that_are_set_off_or_always_do() {
    let note = |id: &str| json!({"id": id, "check": "touch asked", "change": format!("echo {id} >> order")});
    let mut bench = Bench::new(json!([
        {"id": "before", "check": "true", "change": "echo before >> order"},
        {"id": "bad", "always": true, "change": "echo bad >> order; false", "onFail": ["clean.*", "etcha:alarm"]},
        note("cleaning"),
        {"id": "always", "always": true, "change": "echo always >> order; false"},
        note("other"),
        {"id": "clean-group", "commands": [note("inside")]},
        note("cleaner")
    ]));
    let (steps, summary) = bench.change();
    assert_eq!(steps, ["before Check 0", "bad Check 1", "bad Change 1"]);
    assert_eq!(bench.written("order"), ["bad", "cleaning", "always", "cleaner"]);
    assert!(!bench.directory.path().join("asked").exists());
    assert_eq!(changed(&summary), ["bad", "cleaning", "always", "cleaner"]);
    assert_eq!(summary.outputs[0].events, ["alarm"]);
}

#[test]
fn a_failed_remove_and_a_check_only_run_set_nothing_off() {
    let commands = json!([
        {"id": "last", "always": true, "change": "echo last >> order", "remove": "echo last >> order"},
        {"id": "bad", "always": true, "change": "false", "remove": "false", "onFail": "etcha:alarm"}
    ]);
    let (_, summary) = Bench::new(commands.clone()).run(Phase::Remove);
    assert!(summary.outputs.iter().all(|output| output.events.is_empty()));
    let mut bench = Bench::new(commands);
    bench.check_only = true;
    let (_, summary) = bench.change();
    assert!(summary.failure.is_none() && bench.written("order").is_empty());
}

#[test]
fn a_change_sets_off_what_its_targets_match_anywhere_in_the_id() {
    let note = |id: &str| json!({"id": id, "check": "true", "change": format!("echo {id} >> order")});
    let mut bench = Bench::new(json!([
        {"id": "conf", "check": "false", "change": "true", "onChange": ["load", "^rest", "etcha:done"]},
        note("reload"), note("load2"), note("unrelated"), note("restart"), note("not-rest")
    ]));
    let (steps, summary) = bench.change();
    assert_eq!(bench.written("order"), ["reload", "load2", "restart"]);
    assert!(steps.contains(&"reload Check 1".to_owned()) && steps.contains(&"unrelated Check 0".to_owned()));
    assert_eq!(summary.outputs[0].events, ["done"]);
    assert!(bench.pending.changed.is_empty());
}

#[test]
fn a_remove_sets_off_what_is_removed_after_it() {
    let mut bench = Bench::new(json!([
        {"id": "directory", "check": "false", "remove": "echo directory >> order"},
        {"id": "file", "check": "true", "remove": "echo file >> order", "onRemove": ["dir", "etcha:gone"]}
    ]));
    let (_, summary) = bench.run(Phase::Remove);
    assert_eq!(bench.written("order"), ["file", "directory"]);
    assert_eq!(summary.outputs[0].events, ["gone"]);
}

#[test]
fn a_group_sets_off_what_it_names_when_something_inside_changed() {
    let group = |inside: &str| {
        json!([
            {"id": "g", "onChange": ["after", "etcha:grown"], "commands": [{"id": "a", "check": inside, "change": "true"}]},
            {"id": "after", "check": "true", "change": "echo after >> order"}
        ])
    };
    let mut bench = Bench::new(group("false"));
    let (_, summary) = bench.change();
    assert_eq!(bench.written("order"), ["after"]);
    let events: Vec<_> = summary.outputs.iter().flat_map(|output| &output.events).collect();
    assert_eq!(events, ["grown"]);
    assert_eq!(changed(&summary), ["a", "after"]);
    let mut bench = Bench::new(group("true"));
    bench.change();
    assert!(bench.written("order").is_empty());
}

#[test]
fn what_was_set_off_before_a_failure_has_its_turn_in_the_next_run() {
    let mut bench = Bench::new(json!([
        {"id": "conf", "check": "test -e conf", "change": "touch conf", "onChange": "reload"},
        {"id": "flaky", "always": true, "change": "test -e good"},
        {"id": "reload", "check": "true", "change": "echo reload >> order"}
    ]));
    let (_, summary) = bench.change();
    assert!(summary.failure.is_some() && bench.written("order").is_empty());
    fs::write(bench.directory.path().join("good"), "").unwrap();
    // Looking only does not use it up.
    bench.check_only = true;
    assert!(bench.change().0.contains(&"reload Check 1".to_owned()));
    bench.check_only = false;
    assert!(bench.change().1.failure.is_none());
    assert_eq!(bench.written("order"), ["reload"]);
    bench.change();
    assert_eq!(bench.written("order"), ["reload"]);
}

#[test]
fn a_command_never_sets_itself_off() {
    let mut bench = Bench::new(json!([
        {"id": "a1", "check": "test -e done", "change": "touch done; echo a1 >> order", "onChange": "a."},
        {"id": "a2", "check": "true", "change": "echo a2 >> order"}
    ]));
    bench.change();
    bench.change();
    assert_eq!(bench.written("order"), ["a1", "a2"]);
}

#[test]
fn a_filter_passes_over_commands_by_their_parents_in_silence() {
    let mut bench = Bench::new(json!([
        {"id": "a", "always": true},
        {"id": "web", "commands": [{"id": "b", "always": true}, {"id": "in", "commands": [{"id": "c"}]}]},
        {"id": "db", "commands": [{"id": "d", "always": true}]}
    ]));
    bench.filter = Some(Regex::new("web").unwrap());
    assert_eq!(bench.change().0, ["[s > web] b Check 1", "[s > web > in] c Check 0"]);
}

#[test]
fn input_goes_to_check_change_and_remove() {
    let commands = json!([{
        "id": "a", "stdin": "text", "check": "test \"$(cat)\" = text && false",
        "change": "echo change $(cat) >> got", "remove": "echo remove $(cat) >> got"
    }]);
    let mut bench = Bench::new(commands.clone());
    bench.change();
    assert_eq!(bench.written("got"), ["change", "text"]);
    bench.commands = command::list(
        "run",
        "",
        json!([{"id": "a", "stdin": "text", "check": "grep -q text", "remove": "cat > removed"}]),
        &mut 0,
    )
    .unwrap();
    bench.run(Phase::Remove);
    assert_eq!(bench.written("removed"), ["text"]);
}

#[test]
fn a_run_that_is_stopped_in_a_check_neither_changes_nor_counts() {
    let mut bench = Bench::new(json!([
        {"id": "a", "check": "touch asked; sleep 1000", "change": "touch changed"},
        {"id": "b", "always": true, "change": "touch changed"}
    ]));
    bench.limits.deadline = Some(Instant::now() + Duration::from_millis(300));
    let (steps, summary) = bench.change();
    assert!(steps.is_empty(), "{steps:?}");
    assert_eq!(summary.failure.unwrap().to_string(), "checking s > a: ended at its time limit");
    assert!(bench.directory.path().join("asked").exists());
    // `b` runs always, after a failure too.
    assert!(bench.directory.path().join("changed").exists());
}
