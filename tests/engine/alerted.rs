//! A real shell on a real engine makes an alert arrive: engine, journal, exporter, Prometheus, Alertmanager, receiver.

use super::{
    Home,
    peer::Keys,
    shells::{at_terminal, client, engine, piped},
};
use crate::harness::{alerting::Alerting, fleet::Fleet};

#[test]
fn a_shell_of_the_engine_arrives_at_the_receiver_of_alerts_also_when_it_is_over_at_once() {
    let (fleet, _) = Fleet::start(1);
    let Some(alerting) = Alerting::start(&fleet, "") else { return };
    let home = Home::new();
    let _engine = engine(&home, &Keys::new("ops"), &fleet.homes[0].journal(), "10m");

    let mut terminal = at_terminal(&home, 80, 24);
    let alert = alerting.wait("EtchaShellSessionStarts", "ops", "firing");
    assert_eq!(alert["annotations"]["remote_addr"], "127.0.0.1");
    assert_eq!(alert["annotations"]["source"], "web");
    terminal.keys("exit\r");
    assert_eq!(terminal.wait().code(), Some(0));
    alerting.wait("EtchaShellSessionStarts", "ops", "resolved");

    assert!(piped(client(&home, &["web"]), b"exit\n").status.success());
    alerting.wait("EtchaShellOpened", "ops", "firing");
    alerting.end();
}
