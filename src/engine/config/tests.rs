//! What a configuration may say, and what it is told otherwise.
#![allow(clippy::unwrap_used)]

use std::fs;

use journal_schema::Sync;
use serde_json::json;

use super::layers::Layers;
use super::*;
use crate::wire::key::{Algorithm, generate};

fn wrong(value: Value) -> String {
    ConfigError::Wrong(Config::read(value).unwrap_err()).to_string()
}

#[test]
fn nothing_at_all_is_a_configuration() {
    let config = Config::read(json!({})).unwrap();
    assert_eq!(config.exec, Exec::default());
    assert!(config.sources.is_empty() && config.journal.is_none());
}

#[test]
fn a_whole_configuration_is_read() {
    let config = Config::read(json!({
        "exec": {"env": {"A": 1}},
        "journal": {"path": "/j", "maxBytes": 1000, "keep": 3, "sync": "500ms"},
        "run": {"stateDir": "/s", "randomizedStartDelaySec": 7},
        "sources": {"web": {
            "commands": [{"id": "a", "check": "true"}], "runFrequency": "1m",
            "checkOnly": true, "eventsSend": "^a", "eventsReceive": "b", "vars": {"x": 1}
        }},
        "vars": {"y": 2}
    }))
    .unwrap();
    let (journal, web) = (config.journal.unwrap(), &config.sources["web"]);
    assert_eq!((journal.options.max_bytes, journal.options.keep), (1000, 3));
    assert!(matches!(journal.options.sync, Sync::Interval(interval) if interval.as_millis() == 500));
    assert_eq!(config.exec.env["A"], "1");
    assert_eq!(web.run_frequency, Some(Duration::from_secs(60)));
    assert_eq!(web.commands.as_ref().unwrap().run.len(), 1);
    assert_eq!(config.randomized_start_delay, Duration::from_secs(7));
}

#[test]
fn the_engine_listens_where_it_is_told_to_and_beside_the_metrics_otherwise() {
    let listen = |value| Config::read(value).unwrap().server.listen.map(|address| address.to_string());
    assert_eq!(listen(json!({})).as_deref(), Some(":4001"));
    let given = json!({"httpServer": {"listenAddress": "127.0.0.1:7"}});
    assert_eq!(listen(given).as_deref(), Some("127.0.0.1:7"));
    assert_eq!(listen(json!({"httpServer": {"listenAddress": ""}})), None);
}

#[test]
fn a_target_is_reached_by_its_name_where_engines_listen_unless_told_otherwise() {
    let config = Config::read(json!({
        "build": {"pushDomainSuffix": ".example.org", "pushMaxWorkers": 3},
        "httpClient": {"tlsSkipVerify": true, "noSystemCA": true, "tlsCAPath": "ca.pem"},
        "targets": {
            "web1": {},
            "web2": {"hostname": "192.0.2.2", "port": 4000, "insecure": true, "pathPush": "/p/", "pathShell": "/s",
                     "sourcePatterns": {"web": "web.jsonnet", "db": ""}, "vars": {"a": 1}}
        }
    }))
    .unwrap();
    let (web1, web2) = (&config.targets["web1"], &config.targets["web2"]);
    assert_eq!((web1.hostname.as_str(), web1.port, web1.insecure), ("web1", 4001, false));
    assert_eq!((web1.path_push.as_str(), web1.path_shell.as_str()), ("/etcha/v1/push", "/etcha/v1/shell"));
    assert_eq!((web2.hostname.as_str(), web2.port, web2.insecure), ("192.0.2.2", 4000, true));
    assert_eq!((web2.path_push.as_str(), web2.source_patterns.len()), ("/p", 2));
    assert_eq!(config.build.push_max_workers, Some(3));
    assert!(config.trust.skip_verify && config.trust.no_system && config.trust.ca_path.is_some());
    let cases = [
        (
            json!({"targets": {"a": {"port": 70000}}}),
            "configuration, targets, `a`: `port` is not a whole number between 1 and 65535",
        ),
        (
            json!({"targets": {"a": {"pathPush": "push"}}}),
            "configuration, targets, `a`: `pathPush` has to begin with / and have no ?, # or space",
        ),
        (
            json!({"httpClient": {"tlsSkip": true}}),
            "configuration, httpClient: unknown key `tlsSkip`; did you mean `tlsSkipVerify`?",
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(wrong(value), expected);
    }
}

#[test]
fn what_cannot_be_is_told_with_its_place() {
    let cases = [
        (
            json!({"lint": {}}),
            "configuration: `lint` is a key of Etcha that this engine does not have; remove it",
        ),
        (json!({"sorces": {}}), "configuration: unknown key `sorces`; did you mean `sources`?"),
        (
            json!({"run": {"stateDirectory": "x"}}),
            "configuration, run: unknown key `stateDirectory`; did you mean `stateDir`?",
        ),
        (
            json!({"sources": {"a/b": {}}}),
            "configuration, sources, `a/b`: names of sources have no `/` and are not empty, `.` or `..`",
        ),
        (
            json!({"sources": {"a": {"commands": [{"id": ""}]}}}),
            "configuration, sources, `a`, run, command 1: `id` is missing; every command needs one",
        ),
        (
            json!({"sources": {"a": {"eventsReceiveExit": ["x"]}}}),
            "configuration, sources, `a`: `eventsReceiveExit` is a key of Etcha that this engine does not have; remove it",
        ),
        (
            json!({"sources": {"a": {"webhookPaths": "/etcha/v1/x"}}}),
            "configuration, sources, `a`: `webhookPaths` holds `/etcha/v1/x`; /etcha… is the engine's own",
        ),
        (
            json!({"sources": {"a": {"webhookPaths": ["x"]}}}),
            "configuration, sources, `a`: `webhookPaths` holds `x`, but a path begins with / and has no ?",
        ),
        (
            json!({"sources": {"a": {"allowPush": true}}}),
            "configuration, sources, `a`: `allowPush` needs a key to verify with; give `verifyKeys` here or in `run`",
        ),
        (
            json!({"run": {"timeoutPush": "0s"}}),
            "configuration, run: `timeoutPush` is out of bounds: 1ms to 24h",
        ),
        (
            json!({"httpServer": {"listenAddress": "4001"}}),
            "configuration, httpServer: `listenAddress` \"4001\" is not an address and port; write :4000 for every \
             address of this host, or as in 127.0.0.1:4000, [::1]:4000, localhost:4000",
        ),
        (
            json!({"httpServer": {"tlsKeyPath": "k"}}),
            "configuration, httpServer: `tlsCertificatePath` is missing beside tlsKeyPath",
        ),
        (
            json!({"sources": {"a": {"pullPaths": ["/x.jwt"]}}}),
            "configuration, sources, `a`: `pullPaths` needs a key to verify with; give `verifyKeys` here or in `run`",
        ),
        (
            json!({"sources": {"a": {"shell": {"user": "x"}}}}),
            "configuration, sources, `a`, shell: `command` is missing; name the program that a shell runs, such as /bin/bash -l",
        ),
        (
            json!({"sources": {"a": {"shell": {"command": "sh"}}}}),
            "configuration, sources, `a`: `shell` needs a key to verify with; give `verifyKeys` here or in `run`",
        ),
        (
            json!({"run": {"timeoutShell": "0s"}}),
            "configuration, run: `timeoutShell` is out of bounds: 1ms to 24h",
        ),
        (
            json!({"sources": {"a": {"runFrequency": "1ms"}}}),
            "configuration, sources, `a`: `runFrequency` is shorter than 100ms",
        ),
        (
            json!({"journal": {}}),
            "configuration, journal: `path` is missing; name the file that the exporter follows",
        ),
        (
            json!({"journal": {"path": "x", "sync": 5}}),
            "configuration, journal: `sync` is a number, but has to be a string",
        ),
        (
            json!({"journal": {"path": "x", "keep": 0}}),
            "configuration, journal: `keep` is not a whole number between 1 and 1000000",
        ),
        (
            json!({"journal": {"path": "x", "heartbeat": "5m"}}),
            "configuration, journal: `heartbeat` is out of bounds: 0s to 2m",
        ),
        (
            json!({"journal": {"path": "x", "heartbeat": "1ms"}}),
            "configuration, journal: `heartbeat` has to be 0s, or from 1s to 2m",
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(wrong(value), expected);
    }
}

#[test]
fn everything_that_is_wrong_is_named_together() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.jsonnet");
    fs::write(
        &file,
        "{run: {stateDri: 'x', timeoutPush: 5}, sources: {a: {exec: {sudo: 1}, pullPaths: ['x', 7]}}}",
    )
    .unwrap();
    let layers = Layers { file: Some(file), settings: vec!["vars".to_owned()], ..Layers::default() };
    let expected = [
        "configuration, -x vars: is no key=value",
        "configuration, run: unknown key `stateDri`; did you mean `stateDir`?",
        "configuration, sources, `a`, exec: `sudo` is a number, but has to be true or false",
        "configuration, sources, `a`: `pullPaths` holds a number, but only strings fit",
        "configuration, run: `timeoutPush` is a number, but has to be a string",
    ];
    let said = layers.read().unwrap_err().to_string();
    for line in expected {
        assert!(said.lines().any(|said| said == line), "{line}\nis not in\n{said}");
    }
    assert_eq!(said.lines().count(), expected.len(), "{said}");
}

#[test]
fn a_shell_that_would_not_be_the_one_that_is_named_is_refused() {
    let key = generate(Algorithm::Ed25519, None).unwrap().public;
    let config = |allow: bool| json!({"exec": {"allowOverride": allow}, "sources": {"a": {"verifyKeys": key, "shell": {"command": "sh"}}}});
    assert!(Config::read(config(true)).unwrap().sources["a"].shell.is_some());
    assert_eq!(
        wrong(config(false)),
        "configuration, sources, `a`: `shell` has no effect, because `allowOverride` is off in `exec`"
    );
}

#[test]
fn environment_wins_over_the_file_and_settings_over_both() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.jsonnet");
    fs::write(&file, "{vars: {a: 'file', b: 'file', c: 'file'}}").unwrap();
    let environment =
        [("etcha_vars_b", "env"), ("ETCHA_vars_c", "env"), ("ETCHA_EVENT_NAME", "x"), ("HOME", "x")];
    let layers = Layers {
        file: Some(file),
        environment: environment.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec(),
        settings: vec!["vars_c=[1,{\"d\":null}]".to_owned(), "run_randomizedStartDelaySec=3".to_owned()],
    };
    let config = layers.read().unwrap();
    assert_eq!(Value::Object(config.vars), json!({"a": "file", "b": "env", "c": [1, {"d": null}]}));
    assert_eq!(config.randomized_start_delay.as_secs(), 3);
}

#[test]
fn what_is_laid_over_is_told_with_its_name() {
    let read = |name: &str, text: &str, setting: &str| {
        let layers = Layers {
            environment: vec![(name.to_owned(), text.to_owned())],
            settings: Some(setting.to_owned()).into_iter().filter(|text| !text.is_empty()).collect(),
            ..Layers::default()
        };
        layers.read().unwrap_err().to_string()
    };
    assert_eq!(
        read("ETCHA_RUN_STATEDIR", "x", ""),
        "configuration, ETCHA_RUN_STATEDIR: keys are written as in the file, so it has to begin with ETCHA_run_"
    );
    assert_eq!(read("etcha_config", "x", ""), "configuration, etcha_config: holds no JSON object");
    assert_eq!(read("A", "x", "vars"), "configuration, -x vars: is no key=value");
    assert!(read("A", "x", "vars_a=[").starts_with("configuration, -x vars_a: the value is no JSON"));
}

#[test]
fn a_named_file_has_to_be_there() {
    let layers = Layers { file: Some("/no/such.jsonnet".into()), ..Layers::default() };
    assert!(layers.read().unwrap_err().to_string().contains("/no/such.jsonnet: cannot be read"));
}

#[test]
fn heartbeats_come_every_minute_unless_the_journal_says_otherwise() {
    let every = |journal| Config::read(json!({ "journal": journal })).unwrap().journal.unwrap().heartbeat;
    assert_eq!(every(json!({"path": "x"})), Some(Duration::from_secs(60)));
    assert_eq!(every(json!({"path": "x", "heartbeat": "90s"})), Some(Duration::from_secs(90)));
    assert_eq!(every(json!({"path": "x", "heartbeat": "0s"})), None);
}

#[test]
fn a_signing_key_in_a_file_that_everybody_can_read_is_said_to_be_known_to_others() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().unwrap();
    let (main, part) = (directory.path().join("conf/etcha.jsonnet"), directory.path().join("key.libsonnet"));
    let key = crate::wire::key::generate(crate::wire::key::Algorithm::Ed25519, Some("ops")).unwrap().private;
    fs::create_dir(directory.path().join("conf")).unwrap();
    let write = |path: &std::path::Path, text: &str, mode| {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let exposure = |settings: &[String]| {
        let layers = Layers { file: Some(main.clone()), settings: settings.to_vec(), ..Layers::default() };
        layers.read().unwrap().build.signing.exposure()
    };
    write(&main, &format!("{{build: {{signingKey: '{key}'}}}}"), 0o644);
    let said = exposure(&[]).unwrap();
    assert!(said.starts_with(&format!("{}: everybody", main.display())) && !said.contains(&key), "{said}");
    // Another key is in force.
    assert_eq!(exposure(&["build_signingKey=".to_owned()]), None);
    write(&main, &format!("{{build: {{signingKey: '{key}'}}}}"), 0o640);
    assert_eq!(exposure(&[]), None);
    write(&main, "{build: {signingKey: import '../key.libsonnet'}}", 0o644);
    write(&part, &format!("'{key}'"), 0o600);
    assert_eq!(exposure(&[]), None);
    write(&part, &format!("'{key}'"), 0o604);
    assert!(exposure(&[]).unwrap().starts_with(&format!("{}: everybody", part.display())));
}
