//! Alerts from end to end: what an agent writes to its journal arrives at a receiver of webhooks, by way of the exporter,
//! the real Prometheus and the real Alertmanager, with the configurations and rules as they are shipped.

use std::fmt::Write as _;

use jiff::Timestamp;
use journal_schema::{ShellState, Trigger};

use crate::harness::{agent::Agent, alerting::Alerting, fleet::Fleet};

/// Half an hour in which `target` was scraped and the key `known` had pushed: longer than a host is new.
fn past(target: &str) -> String {
    let instance = format!("job=\"etcha\",instance=\"{target}\"");
    let labels = "error=\"0\",name=\"web\",public_key=\"known\",remote_addr=\"192.0.2.7\",trigger=\"push\"";
    let now = Timestamp::now().as_second();
    let mut past = String::new();
    for series in [
        format!("etcha_exporter_caught_up{{{instance}}}"),
        format!("etcha_sources_total{{{instance},{labels}}}"),
    ] {
        for ago in (1..60).rev() {
            writeln!(past, "{series} 1 {}", now - 30 * ago).unwrap();
        }
    }
    past + "# EOF\n"
}

#[test]
fn a_shell_and_a_first_push_arrive_at_the_receiver_of_alerts() {
    let (fleet, mut agents) = Fleet::start(1);
    let (agent, instance) = (&mut agents[0], fleet.instance(0));
    agent.run("web", Trigger::Push, "known", false);
    let Some(alerting) = Alerting::start(&fleet, &past(&instance)) else { return };

    agent.shell("ops", ShellState::Opened);
    let alert = alerting.wait("EtchaShellSessionStarts", "ops", "firing");
    let annotations = &alert["annotations"];
    assert_eq!(annotations["summary"], format!("{instance}: a shell of web is open"));
    assert_eq!((&annotations["source"], &annotations["remote_addr"]), (&"web".into(), &"192.0.2.7".into()));
    agent.shell("ops", ShellState::Closed);
    alerting.wait("EtchaShellSessionStarts", "ops", "resolved");

    // Over before anybody looks.
    fleet.homes[0].append(Agent::brief_shell("guest"));
    agent.run("web", Trigger::Push, "stranger", false);
    alerting.wait("EtchaShellOpened", "guest", "firing");
    alerting.wait("EtchaFirstPush", "stranger", "firing");
    // It fires, and is only for dashboards.
    alerting.work_until_it_fires("EtchaSourceIsPushed", || agent.run("web", Trigger::Push, "known", false));
    assert_eq!(alerting.arrived("EtchaSourceIsPushed", "known", "firing"), None);
    assert_eq!(alerting.arrived("EtchaShellSessionStarts", "guest", "firing"), None);
    assert_eq!(alerting.arrived("EtchaFirstPush", "known", "firing"), None);
    alerting.end();
}
