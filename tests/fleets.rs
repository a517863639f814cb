//! A fleet as the README describes it: exporters, scraped by Prometheus in agent mode, which writes to VictoriaMetrics,
//! where rules are evaluated and questions are asked. All programs are the real ones, all configurations the shipped ones.

use journal_schema::{ShellState, Trigger};

use crate::harness::{
    comparison::FAMILIES,
    exposition::{Samples, Series},
    fleet::Fleet,
    program,
    prometheus::{Prometheus, query},
    shipped,
    victoria::Victoria,
    wait::{SOON, wait_until},
};

const HOSTS: usize = 5;

/// The families of the guide, without the label by which an agent of Prometheus names itself.
fn of_the_guide(samples: Samples) -> Samples {
    let named = |series: &Series| FAMILIES.iter().any(|(family, ..)| *family == series.name);
    let own = samples.into_iter().filter(|(series, _)| named(series)).map(|(mut series, value)| {
        series.labels.remove("agent");
        (series, value)
    });
    own.collect()
}

#[test]
fn five_hosts_are_scraped_by_an_agent_of_prometheus_and_asked_about_in_victoria_metrics() {
    let Some(prometheus) = program::find("prometheus") else { return };
    let Some(victoria) = program::find("victoria-metrics") else { return };
    let Some(vmalert) = program::find("vmalert") else { return };
    let (mut fleet, mut agents) = Fleet::start(HOSTS);
    for (number, agent) in agents.iter_mut().enumerate() {
        for _ in 0..=number {
            agent.run("web", Trigger::Push, "ops", number == 3);
        }
    }
    agents[4].shell("ops", ShellState::Opened);

    let mut victoria = Victoria::start(&victoria);
    let written_to = format!("{}/", victoria.address);
    let config = fleet.configured("prometheus/agent.yml", "60s", &[]);
    let config = shipped::changed(config, &[("victoria-metrics.example:8428/", &written_to)]);
    let mut prometheus = Prometheus::agent(&prometheus, &config);
    let mut rules = victoria.evaluate(&vmalert, &shipped::path("prometheus/etcha-fleet.rules.yml"));

    // Every host's series are there, with the values that the host shows.
    for (number, exporter) in fleet.exporters.iter().enumerate() {
        let all = format!("{{__name__=~\"etcha_.*\",instance=\"{}\"}}", fleet.instance(number));
        wait_until(SOON, &format!("host {number} to be in VictoriaMetrics"), || {
            let shown = of_the_guide(exporter.scrape().samples);
            !shown.is_empty() && of_the_guide(query(victoria.address, &all).samples) == shown
        });
    }
    // Questions about all of them.
    let asked = |expression: &str, expected: f64| {
        wait_until(SOON, &format!("{expression} to be {expected}"), || {
            query(victoria.address, expression).samples.into_values().eq([expected])
        });
    };
    asked("count(etcha_engine_up{agent=\"agent-1\"} == 1)", 5.0);
    asked("sum(etcha_sources_total)", 15.0);
    asked("count by (name) (etcha_sources_shells == 1)", 1.0);
    // Answered by the recording rules.
    asked("job:etcha_exporters_up:sum", 5.0);
    asked("job_name:etcha_source_failing:count", 1.0);

    // A host that goes is seen.
    drop(fleet.exporters.pop());
    asked("job:etcha_exporters_up:sum", 4.0);

    assert!(prometheus.process.terminate().success());
    assert!(rules.terminate().success());
    assert!(victoria.process.terminate().success());
}
