//! What is packaged fits the programs: units, their flags and files, what they forbid. That it also works on a host is
//! tried by `make host`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::harness::{
    exporter::{Home, KEY, command},
    program,
    recording::Recording,
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
fn a_command_may_upgrade_the_engine_because_its_package_waits_for_nothing() {
    let script = read("deb/etcha-engine/postinst");
    let restarts: Vec<_> =
        script.lines().filter(|line| line.contains("restart etcha-engine.service")).collect();
    assert_eq!(restarts.len(), 1, "{script}");
    assert!(restarts[0].contains("--no-block try-restart"), "{script}");
    // After all packages are configured, and not by what cargo-deb would add.
    assert!(script.contains("dpkg-trigger --no-await etcha-engine-restart"), "{script}");
    assert!(read("deb/etcha-engine/triggers").contains("interest-noawait etcha-engine-restart\n"));
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let (_, engine) = manifest.split_once("[package.metadata.deb.variants.engine]").unwrap();
    assert!(engine.contains("restart-after-upgrade = false") && engine.contains("etcha-engine/triggers"));
    // A script that the engine does not end by itself, and a daemon, are no matter of the service manager.
    assert_eq!(values(&read("systemd/etcha-engine.service"), "KillMode"), ["process"]);
}

#[test]
fn a_reload_checks_the_configuration_that_the_engine_runs_with() {
    let unit = read("systemd/etcha-engine.service");
    let (start, reload) = (values(&unit, "ExecStart")[0], values(&unit, "ExecReload"));
    assert_eq!(reload, [&format!("{start} --check-config"), "/bin/sh -c 'kill -HUP \"$MAINPID\"'"]);
}

#[test]
fn the_drop_ins_beside_etcha_fit_their_units() {
    let Some(analyze) = program::find("systemd-analyze") else { return };
    let directory = tempfile::tempdir().unwrap();
    let write = |path: &str, text: String| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    // Programs that are there.
    let there = |text: String| {
        text.replace("/usr/bin/etcha-exporter", "/bin/true").replace("/usr/bin/etcha-journal", "/bin/true")
    };
    write("etcha-exporter.service", there(read("systemd/etcha-exporter.service")));
    write("etcha.service", "[Service]\nExecStart=/bin/true run\n".to_owned());
    for path in ["etcha-exporter.service.d/port.conf", "etcha.service.d/journal.conf"] {
        write(path, there(read(&format!("etcha/{path}"))));
    }
    let verify = || {
        let output = Command::new(&analyze)
            .args(["verify", "--man=no", "etcha.service", "etcha-exporter.service"])
            // The trailing colon adds the places of the system.
            .env("SYSTEMD_UNIT_PATH", format!("{}:", directory.path().display()))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        said.lines().filter(|line| line.contains("etcha")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(verify(), "");
    write("etcha.service.d/journal.conf", "[Service]\nExecStartPast=-+/bin/true\n".to_owned());
    assert!(verify().contains("ExecStartPast"), "what does not fit is seen");
}

#[test]
fn a_port_that_is_taken_is_explained_with_who_has_it_and_the_drop_in_that_moves_the_exporter() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new();
    let (address, key) = (taken.local_addr().unwrap().to_string(), home.key_file());
    let output = command()
        .arg("--journal")
        .arg(home.journal())
        .arg("--state-dir")
        .arg(home.state())
        .arg("--metrics-key-file")
        .arg(key)
        .args(["--listen-address", &address])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let drop_in = read("etcha/etcha-exporter.service.d/port.conf");
    let setting = values(&drop_in, "Environment")[0].to_owned();
    for part in [&address, &format!("process id {}, listens there", std::process::id()), &setting] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn neither_unit_writes_cores_and_the_exporter_cannot_fill_the_memory_of_a_host() {
    let (exporter, engine) = (read("systemd/etcha-exporter.service"), read("systemd/etcha-engine.service"));
    assert_eq!(values(&exporter, "LimitCORE"), ["0"]);
    assert_eq!(values(&engine, "LimitCORE"), ["0"]);
    assert_eq!(values(&exporter, "MemoryMax"), ["1G"]);
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

/// The documents of a YAML file.
fn documents(path: &str) -> Vec<Value> {
    let text = read(path);
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

#[test]
fn the_exporter_takes_the_arguments_of_the_sidecar_and_finds_all_it_names_on_its_volumes() {
    let documents = documents("container/sidecar.yaml");
    let sidecar = &documents[0]["spec"]["template"]["spec"]["initContainers"][0];
    let directory = tempfile::tempdir().unwrap();
    let mounts: Vec<_> =
        sidecar["volumeMounts"].as_array().unwrap().iter().map(|mount| text(&mount["mountPath"])).collect();
    let volumes = ["journal", "state", "key", "tls"].map(|name| directory.path().join(name));
    assert_eq!(mounts.len(), volumes.len());
    for volume in &volumes {
        fs::create_dir(volume).unwrap();
    }
    fs::write(volumes[2].join("metrics-key"), KEY).unwrap();
    fs::set_permissions(volumes[2].join("metrics-key"), fs::Permissions::from_mode(0o440)).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
    fs::write(volumes[3].join("tls.crt"), certificate.pem()).unwrap();
    fs::write(volumes[3].join("tls.key"), key.serialize_pem()).unwrap();
    fs::set_permissions(volumes[3].join("tls.key"), fs::Permissions::from_mode(0o440)).unwrap();

    // Longest first: one directory is the beginning of another one's name.
    let arguments = sidecar["args"].as_array().unwrap().iter().map(|argument| {
        let argument = text(argument);
        let mount = mounts.iter().zip(&volumes).find(|(mount, _)| {
            argument.contains(&format!("={mount}/")) || argument.ends_with(&format!("={mount}"))
        });
        match mount {
            Some((mount, volume)) => argument.replace(mount, volume.to_str().unwrap()),
            None => argument.to_owned(),
        }
    });
    let output = command().args(arguments).arg("--check-config").output().unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{wrong}");
    for volume in &volumes {
        assert!(said.contains(volume.to_str().unwrap()), "{volume:?} in {said}");
    }
}

#[test]
fn the_sidecar_asks_for_pages_that_need_no_key_and_for_the_port_of_the_service() {
    let documents = documents("container/sidecar.yaml");
    let sidecar = &documents[0]["spec"]["template"]["spec"]["initContainers"][0];
    let port = &sidecar["ports"][0];
    assert_eq!(port["containerPort"], documents[1]["spec"]["ports"][0]["port"]);
    let home = Home::new();
    let exporter = home.start(&[]);
    exporter.wait_until_ready();
    for probe in ["startupProbe", "livenessProbe"] {
        let probe = &sidecar[probe]["httpGet"];
        assert_eq!((text(&probe["scheme"]), &probe["port"]), ("HTTPS", &port["name"]));
        assert_eq!(exporter.get(text(&probe["path"]), &[]).status, 200);
    }
}

#[test]
fn the_image_starts_what_it_contains() {
    let file = read("container/Containerfile");
    let programs =
        file.lines().find_map(|line| line.strip_prefix("COPY --from=build /source/target/static/")).unwrap();
    assert!(programs.starts_with("etcha-exporter ") && programs.ends_with(" /usr/bin/"), "{programs}");
    assert!(file.contains("ENTRYPOINT [\"/usr/bin/etcha-exporter\"]"));
    let (_, arguments) = file.split_once("CMD ").unwrap();
    let arguments: Vec<String> = serde_json::from_str(arguments).unwrap();
    let home = Home::new();
    let key = home.key_file();
    let here = arguments
        .iter()
        .map(|argument| argument.replace("/etc/etcha-exporter/metrics-key", key.to_str().unwrap()));
    assert!(command().args(here).arg("--check-config").output().unwrap().status.success());
}

#[test]
fn man_pages_and_completions_tell_of_each_flag_and_subcommand() {
    let directory = tempfile::tempdir().unwrap();
    for program in [env!("CARGO_BIN_EXE_etcha-exporter"), env!("CARGO_BIN_EXE_etcha-engine")] {
        let made = Command::new(program).arg("documents").arg(directory.path()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    let made = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    let page = made("etcha-exporter.1").replace("\\-", "-");
    let help = command().arg("--help").output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let flags = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    for flag in flags.filter(|word| word.starts_with("--") && word.len() > 3) {
        assert!(page.contains(flag), "{flag} is not in the man page");
        assert!(made("etcha-exporter.bash").contains(flag), "{flag} is not completed by bash");
    }
    assert!(
        made("_etcha-engine").contains("generate-keys")
            && made("etcha-engine.fish").contains("generate-keys")
    );
    assert!(made("etcha-engine-run.1").contains("once"));
    // What makes them is for packagers.
    assert!(!page.contains("documents") && !directory.path().join("etcha-exporter-documents.1").exists());
}

#[test]
fn logrotate_takes_the_example_and_the_exporter_counts_on() {
    let Some(logrotate) = program::find("logrotate") else { return };
    let home = Home::with_journal("log/journal.jsonl");
    let directory = home.journal().parent().unwrap().to_owned();
    fs::create_dir(&directory).unwrap();
    // logrotate refuses directories that others may write.
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    home.append(Recording::load("shells").journal);
    let group = Command::new("id").args(["--group", "--name"]).output().unwrap().stdout;
    let owner = Command::new("id").args(["--user", "--name"]).output().unwrap().stdout;
    let config = home.path("logrotate.conf");
    let text = read("systemd/etcha.logrotate")
        .replace("/var/lib/etcha/journal.jsonl", home.journal().to_str().unwrap())
        .replace(
            "root etcha-exporter",
            &format!("{} {}", String::from_utf8_lossy(&owner).trim(), String::from_utf8_lossy(&group).trim()),
        );
    fs::write(&config, text).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
    let rotated = Command::new(logrotate)
        .arg("--force")
        .arg("--state")
        .arg(home.path("logrotate.state"))
        .arg(&config)
        .output()
        .unwrap();
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    assert_eq!(fs::metadata(home.journal()).unwrap().permissions().mode() & 0o777, 0o640);
    let exporter = home.start(&[]);
    exporter.wait_until_ready();
    assert_eq!(exporter.scrape().value("etcha_exporter_journal_segments", &[]), Some(2.0));
}

#[test]
fn each_command_of_the_page_on_operations_is_tried_on_a_host() {
    let (chapter, trial) = (include_str!("../docs/operations.md"), include_str!("../.ci/host"));
    let marked: Vec<_> = chapter.split("<!-- operations, ").skip(1).collect();
    assert_eq!(marked.len(), chapter.matches("```sh\n").count(), "a block without a mark");
    for block in marked {
        let (name, rest) = block.split_once(": run by a test -->\n").unwrap();
        assert!(rest.starts_with("```sh\n"), "{name}");
        let tried = [format!("follow(\"{name}\""), format!("blocks[\"{name}\"]")];
        assert!(tried.iter().any(|tried| trial.contains(tried)), "{name}");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
