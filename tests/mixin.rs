//! The monitoring mixin in `packaging/mixin`: that the rules and dashboards that are shipped are made from it, and that it
//! takes another configuration. What the rules and dashboards say is tested in `rules.rs` and `dashboards.rs`.

use std::{fs, path::Path};

use engine::jsonnet::{Imports, Natives, evaluate};
use serde_json::Value;

use crate::harness::shipped;

fn rendered(file: &Path) -> Value {
    // In this process: it is a test, not the engine that would be started once more to render.
    let json = evaluate(&Imports::of_path(file).unwrap(), &Natives::without_config(), &mut Vec::new());
    serde_json::from_str(&json.unwrap()).unwrap()
}

#[test]
fn what_is_shipped_is_what_the_mixin_makes() {
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mixin");
    let files = rendered(&shipped::path("mixin/files.jsonnet"));
    let mut stale = Vec::new();
    for (name, text) in files.as_object().unwrap() {
        let (text, file) = (text.as_str().unwrap(), fresh.join(name));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        if fs::read_to_string(shipped::path(name)).unwrap_or_default() != text {
            stale.push(name);
        }
    }
    assert!(
        stale.is_empty(),
        "{stale:?} in packaging are stale; refresh them from the top of the repository with\n  \
         cp -r {}/* packaging/",
        fresh.display()
    );
}

/// Whether each metric of the exporter in `expr` is followed by `matchers`.
fn selects(expr: &str, matchers: &str) -> bool {
    // Labels are not metrics, and neither are the names that recording rules give.
    let metrics = expr.match_indices("etcha_").filter(|(at, _)| {
        let before = expr[..*at].chars().next_back().unwrap_or(' ');
        !before.is_alphanumeric() && !['_', ':', '"'].contains(&before)
    });
    metrics.map(|(at, _)| &expr[at..]).all(|rest| {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        rest[end..]
            .strip_prefix('{')
            .and_then(|it| it.split_once('}'))
            .is_some_and(|it| it.0.contains(matchers))
    })
}

#[test]
fn another_configuration_reaches_every_rule_and_every_panel() {
    let made = rendered(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mixin/north.jsonnet"));
    let mut rules = 0;
    for kind in ["alerts", "rules"] {
        let groups = made[kind]["groups"].as_array().unwrap();
        for rule in groups.iter().flat_map(|group| group["rules"].as_array().unwrap()) {
            let expr = rule["expr"].as_str().unwrap();
            assert!(selects(expr, "cluster=\"north\""), "{expr}");
            assert!(!expr.contains("on (job"), "a host has a cluster here: {expr}");
            if let Some(name) = rule["alert"].as_str() {
                let runbook = format!("https://wiki.example.com/etcha#{}", name.to_lowercase());
                assert_eq!(rule["annotations"]["runbook_url"], runbook);
            }
            if rule["alert"] == "EtchaAgentDown" {
                assert_eq!(rule["for"], "10m");
            }
            rules += 1;
        }
    }
    assert!(rules > 30, "{rules}");
    for (name, dashboard) in made["dashboards"].as_object().unwrap() {
        assert_eq!(dashboard["tags"], serde_json::json!(["etcha", "north"]), "{name}");
        let targets =
            dashboard["panels"].as_array().unwrap().iter().filter_map(|it| it["targets"].as_array());
        for target in targets.flatten() {
            let expr = target["expr"].as_str().unwrap();
            assert!(selects(expr, "cluster=\"north\""), "{name}: {expr}");
        }
    }
}

#[test]
fn the_mixin_needs_no_other_package_of_jsonnet_bundler() {
    let file = fs::read_to_string(shipped::path("mixin/jsonnetfile.json")).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    assert_eq!((&file["version"], &file["dependencies"]), (&1.into(), &Value::Array(Vec::new())));
}
