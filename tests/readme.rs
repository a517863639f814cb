//! README, help and exposition agree: each family and each flag stands in the README with what it is, and nothing
//! stands there that does not exist. The examples are checked by the programs that will read them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use crate::harness::{
    exporter::{Home, command},
    program,
    recording::Recording,
    wait::{SOON, wait_until},
};

const README: &str = include_str!("../README.md");

/// First cell and second cell of each row of the tables whose header begins with `| {first} |`.
fn table(first: &str) -> Vec<(String, String, String)> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in README.lines() {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().replace('`', "")).collect();
        match cells.get(1).map(String::as_str) {
            None => inside = false,
            Some(cell) if cell == first => inside = true,
            Some(cell) if inside && !cell.starts_with("---") => {
                rows.push((cell.to_owned(), cells[2].clone(), cells[3].clone()));
            }
            Some(_) => {}
        }
    }
    rows
}

/// The code block after the comment `<!-- {name}: checked by a test -->`.
pub(crate) fn example(name: &str) -> &'static str {
    let (_, rest) = README.split_once(&format!("<!-- {name}: checked by a test -->\n```")).unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn the_tables_of_metrics_and_a_scrape_name_the_same_families_with_types_and_labels() {
    let home = Home::new();
    for name in ["tour", "shells"] {
        home.append(Recording::load(name).journal);
    }
    // What the recordings do not have: a duration, so that its histogram is born.
    home.append(
        r#"{"v":1,"writer":"w","seq":1,"time":"2026-01-01T00:00:00.000Z","event":"source","name":"s","trigger":"pull","error":false,"duration_seconds":0.5}"#,
    );
    home.append("\n");
    let exporter = home.start(&[]);
    exporter.wait_until_ready();
    let mut scrape = exporter.scrape();
    wait_until(SOON, "the first checkpoint", || {
        scrape = exporter.scrape();
        scrape.value("etcha_exporter_checkpoint_bytes", &[]) > Some(0.0)
    });

    let documented: BTreeMap<_, _> =
        table("family").into_iter().map(|(name, kind, _)| (name, kind)).collect();
    let served: BTreeMap<_, _> = scrape
        .types
        .iter()
        .filter(|(name, _)| !name.starts_with("process_"))
        .map(|(name, kind)| (name.clone(), kind.to_string()))
        .collect();
    assert_eq!(documented, served);
    for process in scrape.types.keys().filter(|name| name.starts_with("process_")) {
        assert!(README.contains(&format!("`{process}`")), "{process} is not in the README");
    }

    for (family, kind, labels) in table("family") {
        let labels: BTreeSet<_> = labels.split_whitespace().collect();
        let sample = if kind == "histogram" { format!("{family}_count") } else { family.clone() };
        let (series, _) = scrape.samples.iter().find(|(series, _)| series.name == sample).unwrap();
        let served: BTreeSet<_> = series.labels.keys().map(String::as_str).collect();
        assert_eq!(labels, served, "{family}");
    }
}

#[test]
fn the_table_of_flags_and_the_help_name_the_same_flags() {
    let help = command().arg("--help").output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let flags = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        words.filter(|word| word.starts_with("--") && word.len() > 3).map(str::to_owned).collect()
    };
    let definitions: String = help
        .lines()
        .filter(|line| line.trim_start().starts_with('-'))
        .map(|line| line.split("  ").find(|part| part.contains("--")).unwrap_or_default().to_owned() + " ")
        .collect();
    let mut helped = flags(&definitions);
    helped.retain(|flag| !matches!(flag.as_str(), "--help" | "--version"));
    let documented: BTreeSet<_> =
        table("flag").into_iter().filter(|(flag, ..)| !flag.is_empty()).map(|(flag, ..)| flag).collect();
    assert_eq!(documented, helped);
}

#[test]
fn the_readmes_configuration_file_is_taken() {
    let home = Home::new();
    let directory = home.journal().parent().unwrap().to_owned();
    let config = example("configuration file")
        .replace("/var/lib/etcha-exporter", directory.to_str().unwrap())
        .replace("/etc/etcha-exporter/metrics-key", directory.join("key").to_str().unwrap());
    fs::write(directory.join("config.json"), config).unwrap();
    let checked =
        command().arg("--check-config").arg("--config").arg(directory.join("config.json")).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn promtool_takes_the_readmes_scrape_configs_and_rules() {
    let Some(promtool) = program::find("promtool") else { return };
    let directory = tempfile::tempdir().unwrap();
    let check = |name: &str, arguments: &[&str]| {
        let file = directory.path().join("example.yml");
        let text = example(name);
        fs::write(directory.path().join("file"), "x").unwrap();
        let here = directory.path().join("file");
        let text = text
            .replace("/etc/prometheus/etcha-certificate.pem", here.to_str().unwrap())
            .replace("/etc/prometheus/etcha-key", here.to_str().unwrap());
        fs::write(&file, text).unwrap();
        let checked = Command::new(&promtool).args(arguments).arg(&file).output().unwrap();
        let said = [checked.stdout, checked.stderr].concat();
        assert!(checked.status.success(), "{name}: {}", String::from_utf8_lossy(&said));
    };
    check("scrape config", &["check", "config", "--syntax-only"]);
    check("scrape config with a header", &["check", "config", "--syntax-only"]);
    check("rules", &["check", "rules"]);
}

#[test]
fn promtool_sees_the_readmes_rules_fire_at_a_birth_and_not_at_a_restart() {
    let Some(promtool) = program::find("promtool") else { return };
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("rules.yml"), example("rules")).unwrap();
    fs::write(directory.path().join("test.yml"), include_str!("rules/readme.test.yml")).unwrap();
    let tested = Command::new(promtool)
        .args(["test", "rules", "test.yml"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let said = [tested.stdout, tested.stderr].concat();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&said));
}
