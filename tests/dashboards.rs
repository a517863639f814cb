//! The dashboards in `packaging/dashboards`: that they are what their Jsonnet says, that they stand in any Grafana, and
//! that each of their queries finds something in a real Prometheus that scraped hosts at work.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use engine::jsonnet::{Imports, Natives, render};
use jiff::Timestamp;
use journal_schema::{ShellState, Trigger};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::{
    harness::{
        fleet::Fleet,
        program,
        prometheus::Prometheus,
        shipped,
        wait::{SOON, wait_until},
    },
    rules::unknown_names,
};

const DASHBOARDS: [&str; 2] = ["host", "fleet"];

/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;

fn dashboard(name: &str) -> Value {
    let file = shipped::path(&format!("dashboards/etcha-{name}.json"));
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Panels that show something: all but headings.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row")
}

fn queries(panel: &Value) -> impl Iterator<Item = &str> {
    list(&panel["targets"]).iter().map(|target| text(&target["expr"]))
}

#[test]
fn the_dashboards_are_what_their_jsonnet_says() {
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let stale = DASHBOARDS.map(|name| {
        let source = shipped::path(&format!("dashboards/{name}.jsonnet"));
        let rendered = render(&Imports::of_path(&source).unwrap(), &Natives::without_config());
        let rendered = serde_json::to_string_pretty(&rendered.unwrap()).unwrap() + "\n";
        fs::write(fresh.join(format!("etcha-{name}.json")), &rendered).unwrap();
        let shipped: PathBuf = shipped::path(&format!("dashboards/etcha-{name}.json"));
        fs::read_to_string(shipped).unwrap_or_default() != rendered
    });
    assert!(
        !stale.contains(&true),
        "packaging/dashboards is stale; refresh it from the top of the repository with\n  \
         cp {}/etcha-*.json packaging/dashboards/",
        fresh.display()
    );
}

#[test]
fn the_dashboards_stand_in_any_grafana() {
    let mut names = BTreeSet::new();
    for name in DASHBOARDS {
        let dashboard = dashboard(name);
        assert!(dashboard["id"].is_null(), "an id is given by the Grafana that takes it");
        assert!(names.insert(text(&dashboard["uid"]).to_owned()));
        let variables: BTreeSet<_> =
            list(&dashboard["templating"]["list"]).iter().map(|it| text(&it["name"]).to_owned()).collect();
        let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
        for panel in list(&dashboard["panels"]) {
            let title = text(&panel["title"]);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
            let place = &panel["gridPos"];
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|it| place[it].as_u64().unwrap());
            assert!(x + w <= COLUMNS, "{title} reaches beyond the edge");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(places.insert(cell), "{title} lies on another panel");
            }
        }
        let source = json!({"type": "prometheus", "uid": "${datasource}"});
        for panel in panels(&dashboard) {
            let title = text(&panel["title"]);
            assert!(!text(&panel["description"]).is_empty(), "{title} says nothing");
            assert!(!panel["fieldConfig"]["defaults"].is_null(), "{title}");
            assert_eq!(panel["datasource"], source, "{title}");
            assert!(list(&panel["targets"]).iter().all(|target| target["datasource"] == source), "{title}");
            for query in queries(panel) {
                assert!(unknown_names(query).is_empty(), "{title}: {:?}", unknown_names(query));
                let used = query.split('$').skip(1).map(|rest| {
                    rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap()
                });
                for variable in used.filter(|variable| *variable != "__rate_interval") {
                    assert!(variables.contains(variable), "{title}: there is no variable {variable}");
                }
            }
        }
    }
}

/// The query as Grafana sends it for this host.
fn filled_in(query: &str, instance: &str) -> String {
    let values = [("$__rate_interval", "10s"), ("$job", "etcha"), ("$instance", instance), ("$source", ".*")];
    values.iter().fold(query.to_owned(), |query, (variable, value)| query.replace(variable, value))
}

/// A port that refuses connections for as long as this socket has it.
fn refusing() -> (Socket, String) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap().to_string();
    (socket, address)
}

#[test]
fn every_panel_and_every_variable_finds_something_in_a_prometheus_that_scraped_hosts_at_work() {
    let Some(program) = program::find("prometheus") else { return };
    let (fleet, mut agents) = Fleet::start(2);
    // One host whose agent is down, one whose exporter is down, and one with everything there is to see.
    agents[1].run("web", Trigger::Pull, "", false);
    agents[1].stop();
    let (_refusing, down) = refusing();
    let agent = &mut agents[0];
    agent.run("web", Trigger::Push, "ops", false);
    agent.run("base", Trigger::Pull, "", false);
    // A failure after a success, in another millisecond.
    let success = Timestamp::now().as_millisecond();
    wait_until(SOON, "another millisecond", || Timestamp::now().as_millisecond() > success);
    agent.run("base", Trigger::Pull, "", true);
    agent.shell("ops", ShellState::Opened);
    agent.shell("guest", ShellState::Opened);
    agent.shell("guest", ShellState::Closed);
    fleet.homes[0].append("this is no line of a journal\n");
    let config = fleet.prometheus_yml(&down, std::slice::from_ref(&down));
    let mut prometheus = Prometheus::remembering(&program, &config, "");

    let mut finds = |what: &str, query: &str| {
        let query = filled_in(query, &fleet.instance(0));
        wait_until(SOON, &format!("{what} to show something: {query}"), || {
            // What is drawn as a rate needs work that goes on.
            agent.run("web", Trigger::Push, "ops", false);
            agent.run("db", Trigger::Pull, "", true);
            prometheus.query(&query).samples.values().any(|value| value.is_finite())
        });
    };
    for name in DASHBOARDS {
        let dashboard = dashboard(name);
        for panel in panels(&dashboard) {
            for query in queries(panel) {
                finds(text(&panel["title"]), query);
            }
        }
        for variable in list(&dashboard["templating"]["list"]).iter().filter(|it| it["type"] == "query") {
            let definition = text(&variable["definition"]);
            let inner = definition.strip_prefix("label_values(").and_then(|it| it.strip_suffix(')'));
            let (selector, label) = inner.unwrap().rsplit_once(',').unwrap();
            finds(definition, &format!("count by ({label}) ({selector})"));
        }
    }
    assert!(prometheus.process.terminate().success());
}
