//! The web configuration file that Prometheus' exporters share, against the running program. The files in
//! `tests/config/web/toolkit` mean what the examples of the exporter-toolkit mean, and what else the format has:
//! `NAME.good.yml` is accepted, `NAME.bad.yml` is refused with what is in `NAME.bad.txt`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use crate::harness::{
    exporter::{Exporter, Home, KEY, METRICS, command},
    program,
};

/// A home with the files that the examples name.
fn home() -> Home {
    let home = Home::new();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    home.place("server.crt", certificate.pem());
    home.place("server.key", key.serialize_pem());
    home.place("other.key", KeyPair::generate().unwrap().serialize_pem());
    let (authority_key, mut authority) = (KeyPair::generate().unwrap(), CertificateParams::default());
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "authority");
    home.place("ca.pem", authority.self_signed(&authority_key).unwrap().pem());
    let issuer = Issuer::from_params(&authority, &authority_key);
    for name in ["scraper.example.org", "stranger.example.org", "prometheus.example.org", "localhost"] {
        let key = KeyPair::generate().unwrap();
        let client = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        home.place(&format!("{name}.crt"), client.pem());
        home.place(&format!("{name}.key"), key.serialize_pem());
    }
    home
}

/// The examples whose names end so, at least one.
fn examples(end: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/web/toolkit");
    let all = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = all.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    assert!(files.len() > 5);
    files
}

/// Puts an example into `home`. A line `INLINE file` becomes that file.
fn place(home: &Home, example: &Path) -> String {
    let mut text = String::new();
    for line in fs::read_to_string(example).unwrap().lines() {
        match line.split_once("INLINE ") {
            None => text.push_str(&format!("{line}\n")),
            Some((indent, file)) => {
                let inline = fs::read_to_string(home.path(file)).unwrap();
                inline.lines().for_each(|line| text.push_str(&format!("{indent}{line}\n")));
            }
        }
    }
    home.place("web.yml", text)
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/config/web/toolkit/{name}.good.yml"))
}

fn check(web: &str, key: bool) -> Output {
    let mut command = command();
    command.args(["--check-config", "--web.config.file", web]);
    if key {
        command.env("ETCHA_EXPORTER_METRICS_KEY", KEY);
    }
    command.output().unwrap()
}

#[test]
fn what_other_exporters_accept_is_accepted() {
    let home = home();
    for path in examples(".good.yml") {
        let output = check(&place(&home, &path), true);
        assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn what_other_exporters_refuse_is_refused_with_the_field_and_the_reason() {
    let home = home();
    for path in examples(".bad.yml") {
        let output = check(&place(&home, &path), true);
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
        assert_eq!(output.status.code(), Some(2), "{}: {said}", path.display());
        assert!(said.contains(expected.trim()), "{}: {said}", path.display());
    }
}

#[test]
fn users_or_verified_client_certificates_alone_need_no_key() {
    let home = home();
    for (name, enough) in [
        ("users-without-tls", true),
        ("clients-verified", true),
        ("clients-with-names", true),
        ("clients-any", false),
        ("clients-asked", false),
        ("clients-if-given", false),
        ("plain", false),
        ("empty", false),
    ] {
        let output = check(&place(&home, &example(name)), false);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), enough, "{name}: {said}");
        assert!(enough || said.contains("no metrics key"), "{name}: {said}");
    }
}

/// What curl gets from the metrics: the head of the answer and the body, if it gets one.
fn curl(curl: &Path, home: &Home, address: &str, arguments: &[&str]) -> Option<String> {
    let authority = home.path("server.crt");
    let output = Command::new(curl)
        .args(["--silent", "--noproxy", "*", "--max-time", "20", "--include", "--cacert"])
        .arg(authority)
        .args(arguments)
        .arg(format!("https://localhost:{address}{METRICS}"))
        .output()
        .unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

fn port(exporter: &Exporter) -> String {
    exporter.address.port().to_string()
}

#[test]
fn a_verified_client_certificate_with_an_allowed_name_reads_the_metrics() {
    let Some(program) = program::find("curl") else { return };
    let home = home();
    let web = place(&home, &example("clients-with-names"));
    let mut process = home.launch(&["--web.config.file", &web, "--listen-address", "127.0.0.1:0"]);
    let address = process.wait_for_log("where it is listening", crate::harness::exporter::listening);
    let port = address.port().to_string();
    let (certificate, key) = (home.path("scraper.example.org.crt"), home.path("scraper.example.org.key"));
    let shown = ["--cert", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let answer = curl(&program, &home, &port, &shown).unwrap();
    assert!(answer.contains(" 200") && answer.contains("etcha_exporter_build_info{"), "{answer}");
    let (certificate, key) = (home.path("stranger.example.org.crt"), home.path("stranger.example.org.key"));
    let shown = ["--cert", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()];
    assert_eq!(curl(&program, &home, &port, &shown), None);
    assert_eq!(curl(&program, &home, &port, &[]), None);
}

#[test]
fn a_file_that_is_empty_or_cut_while_it_runs_lets_in_no_client_without_a_certificate() {
    let Some(program) = program::find("curl") else { return };
    let home = home();
    // Without a key, such a file would be refused because no client could read.
    let key = home.place("key", KEY);
    for end in ["tls_server_config:", "  client_auth_type:"] {
        let web = place(&home, &example("clients-with-names"));
        let options = ["--web.config.file", &web, "--metrics-key-file", &key];
        let mut process = home.launch(&[&options[..], &["--listen-address", "127.0.0.1:0"]].concat());
        let address = process.wait_for_log("where it is listening", crate::harness::exporter::listening);
        let whole = fs::read_to_string(&web).unwrap();
        fs::write(&web, &whole[..whole.find(end).unwrap()]).unwrap();
        process.signal(Signal::HUP);
        process.logged("client certificates are no longer required");
        assert_eq!(curl(&program, &home, &address.port().to_string(), &[]), None);
        assert!(process.terminate().success());
    }
}

#[test]
fn headers_rate_limit_versions_and_http2_are_as_the_file_says() {
    let Some(program) = program::find("curl") else { return };
    let home = home();
    let web = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  max_version: TLS12\n\
               http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n\
               rate_limit:\n  interval: 1h\n  burst: 3\n";
    let web = home.place("web.yml", web);
    let exporter = home.start(&["--web.config.file", &web]);
    let key = format!("Authorization: Bearer {KEY}");
    let get = |arguments: &[&str]| {
        curl(&program, &home, &port(&exporter), &[&["--header", key.as_str()], arguments].concat())
    };
    assert_eq!(get(&["--tlsv1.3"]), None);
    let answer = get(&["--http2"]).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("\nx-frame-options: deny"), "{answer}");
    assert!(get(&[]).unwrap().starts_with("HTTP/1.1 200"));
    assert!(get(&[]).unwrap().starts_with("HTTP/1.1 200"));
    let beyond = get(&[]).unwrap().to_lowercase();
    assert!(beyond.starts_with("http/1.1 429") && beyond.contains("\nretry-after: "), "{beyond}");
}

#[test]
fn the_path_is_a_choice_and_metrics_about_the_exporter_can_be_left_out() {
    let home = Home::new();
    let exporter = home.start(&["--web.telemetry-path", "/probe", "--no-exporter-metrics"]);
    let key = format!("Bearer {KEY}");
    let get = |path: &str| exporter.get(path, &[("Authorization", &key)]);
    assert_eq!((get("/probe").status, get(METRICS).status, get("/metrics").status), (200, 200, 404));
    assert_eq!(exporter.get("/probe", &[]).status, 403);
    let text = get("/probe").text().to_owned();
    assert!(!text.contains("etcha_exporter_") && !text.contains("process_"), "{text}");
}

#[test]
fn a_check_reads_certificates_as_a_start_does_and_says_what_a_file_is() {
    let home = home();
    let place = |name: &str, bytes: &[u8]| home.place(name, bytes);
    let certificate = fs::read(home.path("server.crt")).unwrap();
    let key = fs::read(home.path("server.key")).unwrap();
    let bom = |bytes: &[u8]| ["\u{feff}".as_bytes(), bytes].concat();
    let pair = KeyPair::from_pem(std::str::from_utf8(&key).unwrap()).unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let der = params.self_signed(&pair).unwrap();
    let request = params.serialize_request(&pair).unwrap().pem().unwrap();
    let fifo = home.path("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let (good, good_key) = (home.path("server.crt"), home.path("server.key"));
    let (good, good_key) = (good.to_str().unwrap(), good_key.to_str().unwrap());
    let exposed = place("exposed.key", &key);
    fs::set_permissions(&exposed, fs::Permissions::from_mode(0o644)).unwrap();
    let cases = [
        (place("bom.crt", &bom(&certificate)), place("bom.key", &bom(&key)), ""),
        (place("empty", b""), good_key.to_owned(), "it is empty"),
        (place("request", request.as_bytes()), good_key.to_owned(), "it holds a request"),
        (place("der", der.der()), good_key.to_owned(), "it looks like DER"),
        (good.to_owned(), place("key.der", pair.serialized_der()), "it looks like DER"),
        (good.to_owned(), place("encrypted", encrypted.as_bytes()), "the key is encrypted"),
        (good.to_owned(), home.path("other.key").to_str().unwrap().to_owned(), "do not belong together"),
        (fifo.to_str().unwrap().to_owned(), good_key.to_owned(), "not a regular file"),
        (good.to_owned(), "/dev/zero".to_owned(), "not a regular file"),
        (good.to_owned(), "/".to_owned(), "not a regular file"),
        (good.to_owned(), exposed, "everybody on this host can read this private key"),
    ];
    let output = check(fifo.to_str().unwrap(), true);
    assert!(
        !output.status.success()
            && String::from_utf8_lossy(&output.stderr).contains("a pipe that nothing wrote to")
    );
    for (certificate, key, what) in cases {
        for mut program in checks(&home, &certificate, &key) {
            let output = program.output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.success(), what.is_empty(), "{certificate}, {key}: {said}");
            assert!(said.contains(what), "{certificate}, {key}: {said}");
        }
    }
}

#[test]
fn a_private_key_in_a_web_configuration_that_everybody_can_read_is_refused() {
    let home = home();
    let web = place(&home, &example("inline"));
    assert!(fs::read_to_string(&web).unwrap().contains("PRIVATE KEY"));
    for (mode, succeeds) in [(0o640, true), (0o644, false)] {
        fs::set_permissions(&web, fs::Permissions::from_mode(mode)).unwrap();
        let output = check(&web, true);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.success(), succeeds, "{mode:o}: {said}");
        assert_eq!(said.contains("tls_server_config.key: everybody on this host"), !succeeds, "{said}");
    }
}

#[test]
fn both_programs_warn_of_a_certificate_outside_its_time_at_a_check() {
    let home = Home::new();
    for (from, until, what) in
        [(2001, 2002, "the certificate has expired"), (2090, 2091, "the certificate is not valid yet")]
    {
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let certificate = home.place("c.pem", params.self_signed(&pair).unwrap().pem());
        let key = home.place("k.pem", pair.serialize_pem());
        for mut program in checks(&home, &certificate, &key) {
            let output = program.output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success() && said.contains(what), "{what}: {said}");
        }
    }
}

/// A check of the configuration by both programs with this certificate and key.
fn checks(home: &Home, certificate: &str, key: &str) -> [Command; 2] {
    let mut exporter = command();
    exporter.args(["--check-config", "--tls-certificate", certificate, "--tls-key", key]);
    exporter.env("ETCHA_EXPORTER_METRICS_KEY", KEY);
    let server = serde_json::json!({"tlsCertificatePath": certificate, "tlsKeyPath": key});
    let sources = serde_json::json!({"a": {"commands": [{"id": "x", "check": "true"}]}});
    let whole = serde_json::json!({"httpServer": server, "sources": sources}).to_string();
    let mut engine = Command::new(env!("CARGO_BIN_EXE_etcha-engine"));
    engine.arg("--config").arg(home.place("etcha.json", whole)).args(["run", "--check-config"]);
    [exporter, engine]
}

/// The web configuration that the page on fleets shows.
fn documented() -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fleets.md")).unwrap();
    let (_, rest) = page.split_once("\n    tls_server_config:\n").unwrap();
    let lines = rest.lines().map_while(|line| line.strip_prefix("    "));
    lines.fold("tls_server_config:\n".to_owned(), |text, line| text + line + "\n")
}

#[test]
fn each_way_to_set_up_a_fleet_lets_prometheus_in_and_others_not() {
    let Some(curl) = program::find("curl") else { return };
    let home = home();
    let path = |name: &str| home.path(name).to_str().unwrap().to_owned();
    let bearer = format!("Authorization: Bearer {KEY}");
    let is_let_in = |port: u16, authority: &str, arguments: &[&str]| {
        let mut command = Command::new(&curl);
        command.args(["--silent", "--noproxy", "*", "--max-time", "20", "--fail", "--cacert", authority]);
        command.args(arguments).arg(format!("https://localhost:{port}{METRICS}"));
        command.output().unwrap().status.success()
    };
    let (certificate, key, authority) = (path("localhost.crt"), path("localhost.key"), path("ca.pem"));
    for (arguments, authority) in [
        (vec![], path("state/tls-certificate.pem")),
        (vec!["--tls-certificate", &certificate, "--tls-key", &key], authority.clone()),
    ] {
        let exporter = home.start(&arguments);
        let port = exporter.address.port();
        assert!(is_let_in(port, &authority, &["--header", &bearer]), "{arguments:?}");
        assert!(!is_let_in(port, &authority, &[]), "{arguments:?}");
    }
    for (from, to) in
        [("localhost.crt", "tls-certificate.pem"), ("localhost.key", "tls-key"), ("ca.pem", "authority.crt")]
    {
        fs::copy(home.path(from), home.path(to)).unwrap();
    }
    // systemd puts the key elsewhere.
    let web = documented().replace("/run/credentials/etcha-exporter.service/", "");
    let web = home.place("web.yml", web);
    let mut process = home.launch(&["--web-config-file", &web, "--listen-address", "127.0.0.1:0"]);
    let port = process.wait_for_log("where it is listening", crate::harness::exporter::listening).port();
    let [prometheus, host] = ["prometheus.example.org", "localhost"].map(|name| {
        ["--cert".to_owned(), path(&format!("{name}.crt")), "--key".to_owned(), path(&format!("{name}.key"))]
    });
    let shown =
        |arguments: &[String; 4]| is_let_in(port, &authority, &arguments.each_ref().map(String::as_str));
    assert!(shown(&prometheus));
    assert!(!shown(&host), "another host of the fleet reads the metrics of this one");
    assert!(!is_let_in(port, &authority, &["--header", &bearer]));
}
