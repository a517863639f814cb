//! Alerts from end to end: what an agent writes to its journal arrives at a receiver of webhooks, by way of the exporter,
//! the real Prometheus and the real Alertmanager, with the configurations and rules as they are shipped.

use std::{
    fmt::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use jiff::Timestamp;
use journal_schema::{ShellState, Trigger};
use serde_json::Value;

use crate::harness::{
    exporter::{Home, listening},
    fleet::Fleet,
    process::Process,
    program,
    prometheus::Prometheus,
    shipped,
    wait::{SOON, wait_for},
    webhook::Webhook,
};

/// Starts Alertmanager, which sends to `webhook`; the process and where it listens.
fn alertmanager(program: &Path, home: &Home, webhook: &Webhook) -> (Process, String) {
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

/// Ten minutes in which `target` was scraped and the key `known` had pushed.
fn past(target: &str) -> String {
    let instance = format!("job=\"etcha\",instance=\"{target}\"");
    let labels = "error=\"0\",name=\"web\",public_key=\"known\",remote_addr=\"192.0.2.7\",trigger=\"push\"";
    let now = Timestamp::now().as_second();
    let mut past = String::new();
    for series in [
        format!("etcha_exporter_caught_up{{{instance}}}"),
        format!("etcha_sources_total{{{instance},{labels}}}"),
    ] {
        for ago in (1..20).rev() {
            writeln!(past, "{series} 1 {}", now - 30 * ago).unwrap();
        }
    }
    past + "# EOF\n"
}

/// The first alert of this name and key that arrived with this status.
fn arrived(webhook: &Webhook, name: &str, key: &str, status: &str) -> Option<Value> {
    let wanted = |alert: &Value| {
        let labels = &alert["labels"];
        labels["alertname"] == name && labels["public_key"] == key && alert["status"] == status
    };
    webhook.alerts().into_iter().find(wanted)
}

#[test]
fn a_shell_and_a_first_push_arrive_at_the_receiver_of_alerts() {
    let Some(prometheus_program) = program::find("prometheus") else { return };
    let Some(alertmanager_program) = program::find("prometheus-alertmanager") else { return };
    let webhook = Webhook::start();
    let (fleet, mut agents) = Fleet::start(1);
    let (agent, instance) = (&mut agents[0], fleet.instance(0));
    agent.run("web", Trigger::Push, "known", false);
    let (mut alertmanager, address) = alertmanager(&alertmanager_program, &fleet.homes[0], &webhook);
    let config = fleet.prometheus_yml(&address, &[]);
    let mut prometheus = Prometheus::remembering(&prometheus_program, &config, &past(&instance));
    let wait = |name: &str, key: &str, status: &str| {
        wait_for(SOON, &format!("{name} of {key}, {status}"), || arrived(&webhook, name, key, status))
    };

    agent.shell("ops", ShellState::Opened);
    let alert = wait("EtchaShellSessionStarts", "ops", "firing");
    let annotations = &alert["annotations"];
    assert_eq!(annotations["summary"], format!("{instance}: a shell of web is open"));
    assert_eq!((&annotations["source"], &annotations["remote_addr"]), (&"web".into(), &"192.0.2.7".into()));
    agent.shell("ops", ShellState::Closed);
    wait("EtchaShellSessionStarts", "ops", "resolved");

    // Over before anybody looks.
    agent.shell("guest", ShellState::Opened);
    agent.shell("guest", ShellState::Closed);
    agent.run("web", Trigger::Push, "stranger", false);
    wait("EtchaShellOpened", "guest", "firing");
    wait("EtchaFirstPush", "stranger", "firing");
    assert_eq!(arrived(&webhook, "EtchaShellSessionStarts", "guest", "firing"), None);
    assert_eq!(arrived(&webhook, "EtchaFirstPush", "known", "firing"), None);

    assert!(prometheus.process.terminate().success());
    assert!(alertmanager.terminate().success());
}
