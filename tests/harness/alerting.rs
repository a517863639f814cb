//! The way of an alert: the real Prometheus with the shipped rules, the real Alertmanager with the shipped routes, and a
//! receiver of webhooks at its end.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{
    exporter::{Home, listening},
    fleet::Fleet,
    process::Process,
    program,
    prometheus::Prometheus,
    shipped,
    wait::{SOON, wait_for, wait_until},
    webhook::Webhook,
};

/// The running programs.
pub(crate) struct Alerting {
    prometheus: Prometheus,
    alertmanager: Process,
    webhook: Webhook,
}

impl Alerting {
    /// Starts all of it on the hosts of `fleet`, of which Prometheus remembers `past`. `None` where a program is
    /// missing: the test is to return at once.
    pub(crate) fn start(fleet: &Fleet, past: &str) -> Option<Self> {
        let (prometheus, alertmanager) =
            (program::find("prometheus")?, program::find("prometheus-alertmanager")?);
        let webhook = Webhook::start();
        let (alertmanager, address) = start_alertmanager(&alertmanager, &fleet.homes[0], &webhook);
        let prometheus = Prometheus::remembering(&prometheus, &fleet.prometheus_yml(&address, &[]), past);
        Some(Self { prometheus, alertmanager, webhook })
    }

    /// The first alert of this name and key that has arrived with this status.
    pub(crate) fn arrived(&self, name: &str, key: &str, status: &str) -> Option<Value> {
        let wanted = |alert: &Value| {
            let labels = &alert["labels"];
            labels["alertname"] == name && labels["public_key"] == key && alert["status"] == status
        };
        self.webhook.alerts().into_iter().find(wanted)
    }

    /// Waits for it.
    pub(crate) fn wait(&self, name: &str, key: &str, status: &str) -> Value {
        wait_for(SOON, &format!("{name} of {key}, {status}"), || self.arrived(name, key, status))
    }

    /// Does `work` until an alert of this name fires in Prometheus, whether or not Alertmanager passes it on.
    pub(crate) fn work_until_it_fires(&self, name: &str, mut work: impl FnMut()) {
        let query = format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}}");
        wait_until(SOON, &format!("{name} in Prometheus"), || {
            work();
            !self.prometheus.query(&query).samples.is_empty()
        });
    }

    /// Ends all of it in good order.
    pub(crate) fn end(mut self) {
        assert!(self.prometheus.process.terminate().success());
        assert!(self.alertmanager.terminate().success());
    }
}

/// Starts Alertmanager, which sends to `webhook`; the process and where it listens.
fn start_alertmanager(program: &Path, home: &Home, webhook: &Webhook) -> (Process, String) {
    let config = shipped::with(
        "prometheus/alertmanager.yml",
        &[
            ("http://localhost:9095/", &format!("http://{}/", webhook.address)),
            ("group_interval: 5m", "group_interval: 1s"),
        ],
    );
    let mut command = Command::new(program);
    command.arg(format!("--config.file={}", home.place("alertmanager.yml", config)));
    command.arg(format!("--storage.path={}", home.path("alertmanager").display()));
    command.args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]).stdout(Stdio::null());
    let mut process = Process::start(&mut command);
    let address = process.wait_for_log("where it is listening", listening);
    (process, address.to_string())
}
