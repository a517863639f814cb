//! The rules in `packaging/prometheus`: what promtool says of them, and that each has its cases.
//!
//! Cases lie in `tests/rules/*.test.yml`. The name of a case begins with its kind: `fires: …`, `does not fire: …`,
//! `birth: …` (of a series, or of a host), `exporter restart: …`, `agent restart: …`. Every alert and every recorded name is
//! looked at in each of the kinds; a case may look at many. A new rule without its cases fails here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use serde::Deserialize;

use crate::{docs, harness::program};

/// Kinds of cases.
const KINDS: [&str; 5] = ["fires", "does not fire", "birth", "exporter restart", "agent restart"];

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

/// An alert or a recorded name.
#[derive(Deserialize)]
pub(crate) struct Rule {
    alert: Option<String>,
    record: Option<String>,
    pub(crate) expr: String,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Rule {
    pub(crate) fn name(&self) -> &str {
        self.alert.as_deref().or(self.record.as_deref()).unwrap()
    }

    pub(crate) fn is_alert(&self) -> bool {
        self.alert.is_some()
    }
}

#[derive(Deserialize)]
struct CaseFile {
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(default)]
    alert_rule_test: Vec<AlertCase>,
    #[serde(default)]
    promql_expr_test: Vec<RecordCase>,
}

#[derive(Deserialize)]
struct AlertCase {
    alertname: String,
    exp_alerts: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct RecordCase {
    expr: String,
    exp_samples: Vec<serde_json::Value>,
}

/// A directory of the repository.
fn directory(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Files in `packaging/prometheus`, or wherever, whose name ends in `end`.
fn files(path: &str, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory(path)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.to_str().unwrap().ends_with(end));
    files.sort();
    assert!(!files.is_empty());
    files
}

/// All rules that are shipped.
pub(crate) fn rules() -> Vec<Rule> {
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap();
        let rules: Rules =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        rules.groups.into_iter().flat_map(|group| group.rules)
    };
    files("packaging/prometheus", ".rules.yml").into_iter().flat_map(read).collect()
}

/// The names in `expr` that should be families of ours, or recorded by a rule, and are neither.
pub(crate) fn unknown_names(expr: &str) -> Vec<&str> {
    let recorded: BTreeSet<_> = rules().into_iter().map(|rule| rule.name().to_owned()).collect();
    let words = expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let unknown = |word: &&str| match word.split_once("etcha_") {
        Some(("", _)) => !docs::has_family(word),
        Some((before, _)) if before.ends_with(':') => !recorded.contains(*word),
        _ => false,
    };
    words.filter(unknown).collect()
}

/// Runs `program` and returns what it said, which has to go well.
fn said(program: &Path, arguments: &[&str], files: &[PathBuf]) -> String {
    let output = Command::new(program).args(arguments).args(files).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn every_rule_has_cases_of_every_kind() {
    // Kind and name, with whether anything was expected of it.
    let mut looked_at: BTreeMap<(String, String), BTreeSet<bool>> = BTreeMap::new();
    for file in files("tests/rules", ".test.yml") {
        let cases: CaseFile = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for case in cases.tests {
            let kind = case.name.split(':').next().unwrap_or_default();
            assert!(KINDS.contains(&kind), "{}: the case {:?} has no kind", file.display(), case.name);
            let alerts = case.alert_rule_test.iter().map(|it| (&it.alertname, it.exp_alerts.is_empty()));
            let records = case.promql_expr_test.iter().map(|it| (&it.expr, it.exp_samples.is_empty()));
            for (name, empty) in alerts.chain(records) {
                looked_at.entry((kind.to_owned(), name.clone())).or_default().insert(!empty);
            }
        }
    }
    for rule in rules() {
        for kind in KINDS {
            let found = looked_at.get(&(kind.to_owned(), rule.name().to_owned()));
            let found = found.unwrap_or_else(|| panic!("{} has no case of the kind {kind:?}", rule.name()));
            assert!(kind != "fires" || found.contains(&true), "{} is never seen to fire", rule.name());
            // An alert that fires under this name would be in the wrong place.
            assert!(kind != "does not fire" || !found.contains(&true), "{}", rule.name());
        }
    }
}

#[test]
fn promtool_finds_every_case_as_expected() {
    let Some(promtool) = program::find("promtool") else { return };
    // A process for each file: it uses one core.
    thread::scope(|scope| {
        for file in files("tests/rules", ".test.yml") {
            let promtool = &promtool;
            scope.spawn(move || said(promtool, &["test", "rules"], &[file]));
        }
    });
}

#[test]
fn the_programs_that_will_read_it_take_what_is_shipped() {
    let Some(promtool) = program::find("promtool") else { return };
    said(
        &promtool,
        &["check", "rules", "--lint=all", "--lint-fatal"],
        &files("packaging/prometheus", ".rules.yml"),
    );
    let configs = ["guide.yml", "prometheus.yml"].map(|name| directory("packaging/prometheus").join(name));
    said(&promtool, &["check", "config", "--syntax-only"], &configs);
    let agent = [directory("packaging/prometheus/agent.yml")];
    said(&promtool, &["check", "config", "--syntax-only", "--agent"], &agent);
    if let Some(vmalert) = program::find("vmalert") {
        let rules = format!("-rule={}", directory("packaging/prometheus/*.rules.yml").display());
        said(&vmalert, &["-dryRun", &rules], &[]);
    }
    let Some(amtool) = program::find("amtool") else { return };
    said(&amtool, &["check-config"], &[directory("packaging/prometheus/alertmanager.yml")]);
}

#[test]
fn alertmanager_routes_each_alert_by_its_severity() {
    let Some(amtool) = program::find("amtool") else { return };
    let config = directory("packaging/prometheus/alertmanager.yml");
    for rule in rules().iter().filter(|rule| rule.is_alert()) {
        let (name, severity) = (rule.name(), &rule.labels["severity"]);
        let receiver = if severity == "info" { "null" } else { "operations" };
        let routed = said(
            &amtool,
            &[
                "config",
                "routes",
                "test",
                &format!("--config.file={}", config.display()),
                &format!("alertname={name}"),
                &format!("severity={severity}"),
            ],
            &[],
        );
        assert_eq!(routed.lines().find(|line| !line.starts_with("Warning")), Some(receiver), "{name}");
    }
}

#[test]
fn every_alert_has_a_severity_a_summary_and_says_what_to_do() {
    let mut names = BTreeSet::new();
    for rule in rules() {
        assert!(names.insert(rule.name().to_owned()), "{} twice", rule.name());
        if rule.is_alert() {
            let severity = rule.labels.get("severity").map(String::as_str);
            assert!(
                matches!(severity, Some("critical" | "warning" | "info")),
                "{}: {severity:?}",
                rule.name()
            );
            assert!(rule.annotations.contains_key("summary"), "{}", rule.name());
            assert!(rule.annotations.contains_key("description"), "{}", rule.name());
        }
    }
}

#[test]
fn every_alert_has_its_section_in_the_page_of_alerts_and_its_runbook_leads_there() {
    let page = fs::read_to_string(directory("docs/alerts.md")).unwrap();
    let sections: BTreeMap<_, _> =
        page.split("\n### ").skip(1).map(|section| section.split_once('\n').unwrap()).collect();
    let rules = rules();
    let alerts: Vec<_> = rules.iter().filter(|rule| rule.is_alert()).collect();
    let names: BTreeSet<_> = alerts.iter().map(|rule| rule.name()).collect();
    assert_eq!(sections.keys().copied().collect::<BTreeSet<_>>(), names);
    for alert in alerts {
        for part in ["**Meaning.** ", "**What to do.** ", "**When to silence.** "] {
            assert!(sections[alert.name()].contains(part), "{} lacks {part}", alert.name());
        }
        let anchor = alert.name().to_lowercase();
        let page = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/alerts.md");
        assert_eq!(alert.annotations["runbook_url"], format!("{page}#{anchor}"));
    }
}

#[test]
fn only_the_rules_of_the_guide_are_left_out_of_what_prometheus_loads() {
    // As prometheus.yml has it: `etcha*.rules.yml`.
    let guide: Vec<_> = files("packaging/prometheus", ".rules.yml")
        .into_iter()
        .filter(|file| !file.file_name().unwrap().to_str().unwrap().starts_with("etcha"))
        .collect();
    assert_eq!(guide, [directory("packaging/prometheus/guide.rules.yml")]);
    let rules: Rules = serde_saphyr::from_str(&fs::read_to_string(&guide[0]).unwrap()).unwrap();
    let expressions: Vec<_> =
        rules.groups.iter().flat_map(|group| &group.rules).map(|rule| rule.expr.as_str()).collect();
    assert_eq!(expressions, ["etcha_sources_shells == 1", "changes(etcha_sources_total[2m]) != 0"]);
}

#[test]
fn every_expression_speaks_of_families_that_exist() {
    for rule in rules() {
        assert!(unknown_names(&rule.expr).is_empty(), "{}: {:?}", rule.name(), unknown_names(&rule.expr));
    }
}
