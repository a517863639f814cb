//! What changes while the exporter runs: keys, certificates, configuration, and what stays when the new is bad.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::Signal,
};

use crate::harness::{
    exporter::{Exporter, Home, KEY, METRICS, command},
    program,
    wait::{SOON, wait_until},
};

/// The value of a sample, scraped with `key`.
fn own(exporter: &Exporter, key: &str, sample: &str) -> Option<f64> {
    let response = exporter.get(METRICS, &[("Authorization", &format!("Bearer {key}"))]);
    let line =
        response.text().lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))?.to_owned();
    line.parse().ok()
}

/// A self-signed certificate for `localhost` and its key, both PEM; valid until the year given.
fn pair(last_year: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(last_year, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn a_key_is_replaced_by_way_of_two_without_a_restart() {
    let home = Home::new();
    let mut exporter = home.start(&[]);
    home.place("key", format!("{KEY}\nnext-of-keys\n"));
    wait_until(SOON, "both keys to be right", || exporter.status("next-of-keys") == 200);
    assert_eq!(exporter.status(KEY), 200);
    home.place("key", "next-of-keys\r\n");
    wait_until(SOON, "the old key to be wrong", || exporter.status(KEY) != 200);
    assert_eq!(exporter.status("next-of-keys"), 200);
    assert!(exporter.process.terminate().success());
    let log = exporter.process.logged("the keys have changed");
    assert!(!log.contains("next-of-keys"), "{log}");
}

#[test]
fn a_change_that_the_file_system_tells_of_does_not_wait_for_the_next_look() {
    let home = Home::new();
    let exporter = home.start(&[]);
    let taken: Vec<_> = (0..8)
        .map(|n| {
            let (key, begun) = (format!("key-number-{n}"), Instant::now());
            home.place("key", &key);
            wait_until(SOON, "the new key to be right", || exporter.status(&key) == 200);
            begun.elapsed()
        })
        .collect();
    // Each change comes just after a look, the first one perhaps before: the next look is two seconds away.
    let prompt = taken.iter().filter(|taken| **taken < Duration::from_secs(1)).count();
    assert!(prompt > 1, "{taken:?}");
}

#[test]
fn a_key_file_that_became_empty_or_unreadable_leaves_the_last_good_keys_in_force() {
    let home = Home::new();
    let exporter = home.start(&[]);
    let reloaded = "etcha_exporter_reload_success{what=\"configuration\"}";
    assert_eq!(own(&exporter, KEY, reloaded), Some(1.0));
    home.place("key", "");
    wait_until(SOON, "the empty file to be told", || own(&exporter, KEY, reloaded) == Some(0.0));
    assert_eq!(exporter.get(METRICS, &[]).status, 403);
    wait_until(SOON, "the log to say so", || exporter.process.log().contains("the key is empty"));
    fs::remove_file(home.key_file()).unwrap();
    fs::create_dir(home.key_file()).unwrap();
    wait_until(SOON, "the directory to be told", || exporter.process.log().contains("cannot be read"));
    assert_eq!(exporter.status(KEY), 200);
    fs::remove_dir(home.key_file()).unwrap();
    home.place("key", "healed");
    wait_until(SOON, "the file to be right again", || exporter.status("healed") == 200);
    wait_until(SOON, "the metric to say so", || own(&exporter, "healed", reloaded) == Some(1.0));
}

#[test]
fn a_sighup_reads_the_configuration_again_and_says_what_takes_a_restart() {
    let home = Home::new();
    let config = |level: &str, poll: &str| {
        format!(
            r#"{{"exporter": {{"logLevel": "{level}", "pollInterval": "{poll}", "metricsKeyFile": "key"}}}}"#
        )
    };
    let file = home.place("config.json", config("info", "1s"));
    let mut process = home.launch(&["--config", &file, "--listen-address", "127.0.0.1:0"]);
    process.wait_for_log("where it is listening", |line| line.contains("listening").then_some(()));
    home.place("config.json", config("debug", "2s"));
    process.signal(Signal::HUP);
    process.wait_for_log("what takes a restart", |line| {
        (line.contains("restart") && line.contains("poll interval")).then_some(())
    });
    process.logged("the log level has changed");
    assert!(process.terminate().success());
}

#[test]
fn a_certificate_replaced_before_its_key_is_served_with_it_and_not_before() {
    let home = Home::new();
    let (first, second, expired) = (pair(2090), pair(2091), pair(2002));
    let (certificate, key) = (home.place("c.pem", &first.0), home.place("k.pem", &first.1));
    let (pinned_first, pinned_second) = (home.place("1.pem", &first.0), home.place("2.pem", &second.0));
    let mut exporter = home.start(&["--tls-certificate", &certificate, "--tls-key", &key]);
    exporter.certificate = pinned_first.into();
    let reloaded = "etcha_exporter_reload_success{what=\"certificate\"}";
    home.place("c.pem", &second.0);
    wait_until(SOON, "the half pair to be told", || own(&exporter, KEY, reloaded) == Some(0.0));
    home.place("k.pem", &second.1);
    exporter
        .process
        .wait_for_log("the new certificate", |line| line.contains("new certificate").then_some(()));
    exporter.certificate = pinned_second.into();
    // An answer may be as old as a second.
    wait_until(SOON, "the whole pair to be told", || own(&exporter, KEY, reloaded) == Some(1.0));
    let expiry = "etcha_exporter_certificate_expiry_timestamp_seconds";
    assert_eq!(own(&exporter, KEY, expiry), Some(3_818_448_000.0));
    // An expired one is served, so that whoever looks for the cause finds it; a metric tells. Its clients refuse it,
    // so a program that can be told to look away reads it.
    let Some(curl) = program::find("curl") else { return };
    home.place("k.pem", &expired.1);
    home.place("c.pem", &expired.0);
    let url = format!("https://localhost:{}{METRICS}", exporter.address.port());
    let key = format!("Authorization: Bearer {KEY}");
    wait_until(SOON, "the expiry to show", || {
        let output = run(&curl, &["--insecure", "--header", &key, &url]);
        String::from_utf8_lossy(&output.stdout).contains(&format!("\n{expiry} 1009843200\n"))
    });
    let refused = run(&curl, &["--cacert", &home.place("3.pem", &expired.0), "--header", &key, &url]);
    assert!(!refused.status.success());
}

/// Runs curl quietly, and never through a proxy.
fn run(curl: &Path, arguments: &[&str]) -> Output {
    Command::new(curl)
        .args(["--silent", "--noproxy", "*", "--max-time", "20"])
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn only_clients_with_a_certificate_of_the_authority_connect_where_one_is_named() {
    let Some(curl) = program::find("curl") else { return };
    let home = Home::new();
    let (ours, theirs) = (pair(2090), pair(2090));
    let authority = home.place("clients.pem", &ours.0);
    let exporter = home.start(&["--tls-client-ca", &authority]);
    let url = format!("https://localhost:{}{METRICS}", exporter.address.port());
    let key = format!("Authorization: Bearer {KEY}");
    let server = home.certificate();
    let base = ["--cacert", server.to_str().unwrap(), "--fail", "--header", &key, &url];
    assert!(!run(&curl, &base).status.success(), "without a certificate");
    for ((certificate, key), admitted) in [(&theirs, false), (&ours, true)] {
        let (certificate, key) = (home.place("client.pem", certificate), home.place("client.key", key));
        let output = run(&curl, &[&base[..], &["--cert", &certificate, "--key", &key]].concat());
        assert_eq!(output.status.success(), admitted, "{output:?}");
    }
}

#[test]
fn the_web_configuration_file_of_other_exporters_names_certificate_and_users() {
    let Some(curl) = program::find("curl") else { return };
    let home = Home::new();
    let (certificate, key) = pair(2090);
    let certificate = home.place("c.pem", certificate);
    home.place("k.pem", key);
    let hash = bcrypt::hash("correct horse", 5).unwrap();
    let web = format!(
        "tls_server_config:\n  cert_file: c.pem\n  key_file: k.pem\nbasic_auth_users:\n  alice: {hash}\n"
    );
    let web = home.place("web.yml", web);
    let mut process =
        home.launch(&["--web.config.file", &web, "--refuse-query-keys", "--listen-address", "127.0.0.1:0"]);
    let address = process.wait_for_log("where it is listening", crate::harness::exporter::listening);
    let url = format!("https://localhost:{}{METRICS}", address.port());
    for (user, admitted) in [
        ("alice:correct horse", true),
        ("alice:wrong", false),
        ("bob:correct horse", false),
        ("alice:correct horse", true),
    ] {
        let output = run(&curl, &["--cacert", &certificate, "--fail", "--user", user, &url]);
        assert_eq!(output.status.success(), admitted, "{user}: {output:?}");
    }
    let in_query = format!("{url}?key=correct%20horse");
    assert!(!run(&curl, &["--cacert", &certificate, "--fail", &in_query]).status.success());
    assert!(!process.log().contains("horse") && !process.log().contains(&hash), "{}", process.log());
}

#[test]
fn a_key_file_with_an_empty_key_stops_the_start() {
    let home = Home::new();
    for content in ["", "\n", "\r\n", "  \n"] {
        let file = home.place("key", content);
        let mut command = command();
        command.args(["--metrics-key-file", &file, "--listen-address", "127.0.0.1:0", "--state-dir"]);
        let output = command.arg(home.state()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{content:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("the key is empty"), "{content:?}: {said}");
    }
    for content in ["k\n", "k\r\n"] {
        home.place("key", content);
        assert_eq!(home.start(&[]).status("k"), 200, "{content:?}");
    }
}

#[test]
fn a_certificate_that_became_a_pipe_holds_up_neither_other_changes_nor_the_end() {
    let home = Home::new();
    let (certificate, key) = pair(2090);
    let pinned = home.place("pinned.pem", &certificate);
    let (certificate, key) = (home.place("c.pem", certificate), home.place("k.pem", key));
    let mut exporter = home.start(&["--tls-certificate", &certificate, "--tls-key", &key]);
    exporter.certificate = pinned.into();
    fs::remove_file(&certificate).unwrap();
    mknodat(CWD, &certificate, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    exporter
        .process
        .wait_for_log("the pipe is refused", |log| log.contains("not a regular file").then_some(()));
    home.place("key", "another-key");
    wait_until(SOON, "the other key opens", || exporter.status("another-key") == 200);
    let mut check = command();
    check.args(["--check-config", "--tls-certificate", &certificate, "--tls-key", &key]);
    let output = check.arg("--metrics-key-file").arg(home.path("key")).output().unwrap();
    assert!(!output.status.success());
    exporter.process.signal(Signal::TERM);
    assert!(exporter.process.wait().success());
}

#[test]
fn check_config_loads_what_a_start_loads_and_says_what_is_wrong_with_it() {
    let home = Home::new();
    let ((certificate, key), (_, other), (expired, its_key)) = (pair(2090), pair(2090), pair(2001));
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let marked = format!("\u{feff}{certificate}");
    for (certificate, key, succeeds, what) in [
        (certificate.as_str(), key.as_str(), true, "metrics keys"),
        (&marked, &key, true, "metrics keys"),
        (&expired, &its_key, true, "the certificate has expired"),
        (&certificate, &other, false, "do not belong together"),
        ("", &key, false, "no certificate in it"),
        (&certificate, "", false, "no private key in it"),
        (&certificate, encrypted, false, "without passphrase"),
    ] {
        let (certificate, key) = (home.place("c.pem", certificate), home.place("k.pem", key));
        let mut command = command();
        command.args(["--check-config", "--tls-certificate", &certificate, "--tls-key", &key]);
        command.args(["--metrics-key-file", &home.place("key", KEY)]).arg("--state-dir").arg(home.state());
        let output = command.output().unwrap();
        let said =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert_eq!(output.status.success(), succeeds, "{what}: {said}");
        assert!(said.contains(what), "{what}: {said}");
    }
    assert!(!home.state().join("tls-key.pem").exists(), "nothing is made");
}
