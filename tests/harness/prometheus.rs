//! The real Prometheus: started with targets, asked what it stored.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{
    comparison::FAMILIES,
    exporter::{Exporter, KEY, listening},
    exposition::{Exposition, Series},
    http,
    process::Process,
};

/// A running Prometheus.
pub(crate) struct Prometheus {
    /// Ended before its directory is removed.
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    /// Starts it with `targets` to scrape every second, and `arguments` besides its own.
    pub(crate) fn start(program: &Path, targets: &[Target], arguments: &[&str]) -> Self {
        Self::configured(program, &scrape_config(targets), arguments, "--storage.tsdb.path", "")
    }

    /// Starts it in agent mode.
    pub(crate) fn agent(program: &Path, config: &str) -> Self {
        Self::configured(program, config, &["--enable-feature=agent"], "--storage.agent.path", "")
    }

    /// Starts it with a whole configuration. It remembers `past`, samples as OpenMetrics with their times.
    pub(crate) fn remembering(program: &Path, config: &str, past: &str) -> Self {
        Self::configured(program, config, &[], "--storage.tsdb.path", past)
    }

    fn configured(program: &Path, config: &str, arguments: &[&str], storage: &str, past: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (file, data) = (directory.path().join("prometheus.yml"), directory.path().join("data"));
        fs::write(&file, config).unwrap();
        if !past.is_empty() {
            remember(&program.with_file_name("promtool"), past, &data);
        }
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("{storage}={}", data.display()));
        command.arg("--web.listen-address=127.0.0.1:0").args(arguments).stdout(Stdio::null());
        let mut process = Process::start(&mut command);
        let address = process.wait_for_log("where it is listening", listening);
        Self { process, address, _directory: directory }
    }

    /// What [`query`] says of it.
    pub(crate) fn query(&self, expression: &str) -> Exposition {
        query(self.address, expression)
    }
}

/// The samples that an expression yields now, without the labels that Prometheus adds. Empty while it is not ready.
pub(crate) fn query(address: SocketAddr, expression: &str) -> Exposition {
    let response = http::get_plain(address, &format!("/api/v1/query?query={}", percent_encoded(expression)));
    if response.status == 503 {
        return Exposition::default();
    }
    let answer: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(answer["status"], "success", "{answer}");
    let samples = answer["data"]["result"].as_array().unwrap().iter().map(sample).collect();
    Exposition { samples, ..Exposition::default() }
}

/// Makes blocks of storage in `data` that hold `past`.
fn remember(promtool: &Path, past: &str, data: &Path) {
    let file = data.with_extension("txt");
    fs::write(&file, past).unwrap();
    let mut command = Command::new(promtool);
    command.args(["tsdb", "create-blocks-from", "openmetrics"]).arg(file).arg(data);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What is to be scraped: an element of `scrape_configs`.
pub(crate) struct Target(String);

impl Target {
    /// The guide's scrape config, its target on loopback and its certificate in a file.
    pub(crate) fn exporter(job: &str, exporter: &Exporter, certificate: &Path) -> Self {
        Self(format!(
            r#"
  - job_name: {job}
    metrics_path: /etcha/v1/system/metrics
    params:
      key:
        - {KEY}
    scheme: https
    static_configs:
      - targets:
          - "localhost:{}"
    tls_config:
      ca_file: {}
"#,
            exporter.address.port(),
            certificate.display()
        ))
    }

    /// A server without TLS and key.
    pub(crate) fn plain(job: &str, address: SocketAddr) -> Self {
        Self(format!("\n  - job_name: {job}\n    static_configs:\n      - targets: [\"{address}\"]\n"))
    }
}

fn scrape_config(targets: &[Target]) -> String {
    let targets: String = targets.iter().map(|target| target.0.as_str()).collect();
    format!("global:\n  scrape_interval: 1s\nscrape_configs:{targets}")
}

/// One element of an instant vector. A label without a value is absent there: put back, as we sent it.
fn sample(element: &Value) -> (Series, f64) {
    let labels = element["metric"].as_object().unwrap();
    let name = labels.get("__name__").and_then(Value::as_str).unwrap_or_default();
    let empty = FAMILIES.iter().find(|(family, ..)| *family == name).map_or(&[][..], |(.., labels)| labels);
    let mut series = Series::new(name, &empty.iter().map(|label| (*label, "")).collect::<Vec<_>>());
    for (label, value) in
        labels.iter().filter(|(name, _)| !["__name__", "instance", "job"].contains(&&***name))
    {
        series.labels.insert(label.clone(), value.as_str().unwrap().to_owned());
    }
    (series, element["value"][1].as_str().unwrap().parse().unwrap())
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").unwrap();
        }
        encoded
    })
}
