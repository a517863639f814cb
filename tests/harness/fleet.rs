//! Hosts, each with a journal and an exporter of its own on a port of its own, as the shipped configurations of
//! Prometheus scrape them: by a file of targets, a file with the key, and a file with all certificates.

use std::{fs, path::PathBuf};

use super::{
    agent::Agent,
    exporter::{Exporter, Home},
    shipped,
};

/// Running exporters. Each is ended before its directory goes.
pub(crate) struct Fleet {
    pub(crate) exporters: Vec<Exporter>,
    /// Their directories, in the same order; the first also holds what the fleet has in common.
    pub(crate) homes: Vec<Home>,
}

impl Fleet {
    /// Starts `hosts` exporters whose agents have just started; the agents, too, in the same order.
    pub(crate) fn start(hosts: usize) -> (Self, Vec<Agent>) {
        let homes: Vec<_> = (0..hosts).map(|_| Home::new()).collect();
        let agents = homes.iter().map(|home| Agent::start(&home.journal())).collect();
        let exporters: Vec<_> = homes.iter().map(|home| home.start(&["--poll-interval", "50ms"])).collect();
        exporters.iter().for_each(Exporter::wait_until_ready);
        (Self { exporters, homes }, agents)
    }

    /// The host of this number, as Prometheus calls it.
    pub(crate) fn instance(&self, number: usize) -> String {
        format!("localhost:{}", self.exporters[number].address.port())
    }

    /// A shipped configuration that scrapes these hosts, and the `further` ones, twice a second.
    pub(crate) fn configured(&self, file: &str, interval: &str, further: &[String]) -> String {
        let own = (0..self.homes.len()).map(|number| self.instance(number));
        let targets: Vec<_> = own.chain(further.iter().cloned()).collect();
        let targets = self.homes[0].place("targets.yml", format!("- targets: {targets:?}\n"));
        shipped::with(
            file,
            &[
                (&format!("scrape_interval: {interval}"), "scrape_interval: 500ms"),
                ("/etc/prometheus/etcha-key", self.homes[0].key_file().to_str().unwrap()),
                ("/etc/prometheus/etcha-certificates.pem", &self.certificates()),
                ("/etc/prometheus/etcha-targets.yml", &targets),
            ],
        )
    }

    /// `prometheus.yml`, its rules and those of the guide evaluated twice a second, its alerts sent to `alertmanager`.
    pub(crate) fn prometheus_yml(&self, alertmanager: &str, further: &[String]) -> String {
        let rules: PathBuf = shipped::path("prometheus/*.rules.yml");
        let changes = [
            ("evaluation_interval: 30s", "evaluation_interval: 500ms"),
            ("/etc/prometheus/etcha*.rules.yml", rules.to_str().unwrap()),
            ("localhost:9093", alertmanager),
        ];
        shipped::changed(self.configured("prometheus/prometheus.yml", "30s", further), &changes)
    }

    /// All certificates in one file.
    fn certificates(&self) -> String {
        let read = |home: &Home| fs::read_to_string(home.certificate()).unwrap();
        self.homes[0].place("certificates.pem", self.homes.iter().map(read).collect::<String>())
    }
}
