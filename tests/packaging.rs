//! What is packaged fits the programs: units, their flags and files, what they forbid. That it also works on a host is
//! tried by `make host`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::harness::{
    exporter::{KEY, command},
    program,
};

/// Highest exposure that `systemd-analyze security` may find for the exporter, in tenths: 0 is none, 100 is all.
const MOST_EXPOSED: u32 = 15;

fn packaged(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(packaged(path)).unwrap()
}

/// Values of `key` in a unit, in order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn the_exporters_unit_is_hardened_to_what_was_promised() {
    let Some(analyze) = program::find("systemd-analyze") else { return };
    let unit = packaged("systemd/etcha-exporter.service");
    let output = Command::new(analyze)
        .args(["security", "--no-pager", "--offline=true", &format!("--threshold={MOST_EXPOSED}")])
        .arg(unit)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn the_exporter_outlives_the_agent_that_it_reports_on() {
    let (exporter, engine) = (read("systemd/etcha-exporter.service"), read("systemd/etcha-engine.service"));
    for binding in ["BindsTo", "Requires", "Requisite", "PartOf", "Upholds"] {
        assert_eq!(values(&exporter, binding), [""; 0], "{binding}");
        assert_eq!(values(&engine, binding), [""; 0], "{binding}");
    }
    assert!(values(&exporter, "After")[0].contains("etcha-engine.service"));
    assert!(values(&engine, "Wants")[0].contains("etcha-exporter.service"));
}

#[test]
fn both_packages_make_the_journals_directory_alike() {
    // systemd-tmpfiles takes a line that comes twice, and complains of two that differ.
    assert_eq!(read("systemd/etcha-exporter.tmpfiles"), read("systemd/etcha-engine.tmpfiles"));
}

#[test]
fn the_exporter_takes_its_units_configuration_and_credential() {
    let unit = read("systemd/etcha-exporter.service");
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(file("config.json"), read("deb/config.json")).unwrap();
    let (credential, _) = values(&unit, "LoadCredential")[0].split_once(':').unwrap();
    fs::write(file(credential), KEY).unwrap();
    fs::set_permissions(file(credential), fs::Permissions::from_mode(0o400)).unwrap();

    let start =
        values(&unit, "ExecStart")[0].replace("/etc/etcha-exporter/config.json", &file("config.json"));
    let output = command()
        .args(start.split(' ').skip(1))
        .arg("--check-config")
        .env("CREDENTIALS_DIRECTORY", directory.path())
        .env("STATE_DIRECTORY", "/var/lib/etcha-exporter")
        .output()
        .unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{wrong}");
    for line in
        ["/var/lib/etcha/journal.jsonl", "/var/lib/etcha-exporter", "1 (from systemd credential", ":4000"]
    {
        assert!(said.contains(line), "{line} in {said}");
    }
    assert_eq!(wrong, "");
}

#[test]
fn the_engine_takes_its_configuration_and_asks_for_sources() {
    let output = Command::new(env!("CARGO_BIN_EXE_etcha-engine"))
        .arg("--config")
        .arg(packaged("deb/etcha.jsonnet"))
        .arg("run")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("add `sources`"), "{said}");
    let start = values(&read("systemd/etcha-engine.service"), "ExecStart")[0].to_owned();
    assert_eq!(start, "/usr/bin/etcha-engine --config /etc/etcha-engine/etcha.jsonnet run");
}

#[test]
fn the_engines_example_source_is_one() {
    // What stands behind `// ` below `sources`, without it.
    let text = read("deb/etcha.jsonnet");
    let (before, example) = text.split_once("  sources: {\n").unwrap();
    let example: String = example.lines().map(|line| line.replacen("// ", "", 1) + "\n").collect();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("etcha.jsonnet");
    fs::write(&config, format!("{before}  sources: {{\n{example}")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_etcha-engine"))
        .arg("--config")
        .arg(config)
        .args(["render", "--source", "motd", "{id: 'x'}"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
