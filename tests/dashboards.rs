//! The dashboards in `packaging/dashboards`: that any Grafana takes them, that they keep the rules of Grafana's
//! dashboard-linter, and that each of their queries finds something in a real Prometheus that scraped hosts at work.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
};

use jiff::Timestamp;
use journal_schema::{ShellState, Trigger};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::{
    harness::{
        agent::Agent,
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
                for variable in used.filter(|variable| !["__rate_interval", "__range"].contains(variable)) {
                    assert!(variables.contains(variable), "{title}: there is no variable {variable}");
                }
            }
        }
    }
}

/// The selectors of metrics in a query, braces and all: `name{…}`.
fn selectors(query: &str) -> impl Iterator<Item = &str> {
    query.match_indices('{').map(|(at, _)| {
        let name = query[..at].rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
        let end = query[at..].find('}').unwrap();
        &query[name.map_or(0, |it| it + 1)..=at + end]
    })
}

/// What dashboard-linter asks of a dashboard beside what the test above does, by the names of its rules. Its rules on
/// Loki do not apply.
#[test]
fn the_dashboards_keep_the_rules_of_grafanas_linter() {
    for name in DASHBOARDS {
        let dashboard = dashboard(name);
        // uneditable-dashboard
        assert_eq!(dashboard["editable"], false);
        let variables = list(&dashboard["templating"]["list"]);
        // template-datasource-rule
        let source = variables.iter().find(|it| it["type"] == "datasource").unwrap();
        assert_eq!((&source["name"], &source["query"]), (&"datasource".into(), &"prometheus".into()));
        assert_eq!(source["label"], "Data source");
        // template-job-rule, template-instance-rule, template-on-time-change-reload-rule
        for variable in variables.iter().filter(|it| it["type"] == "query") {
            assert_eq!(variable["datasource"]["uid"], "${datasource}", "{variable}");
            assert_eq!(
                (&variable["multi"], &variable["includeAll"]),
                (&true.into(), &true.into()),
                "{variable}"
            );
            assert_eq!(
                (&variable["allValue"], &variable["refresh"]),
                (&".+".into(), &2.into()),
                "{variable}"
            );
            let mut label = text(&variable["name"]).to_owned();
            label[..1].make_ascii_uppercase();
            assert_eq!(variable["label"], label, "{variable}");
        }
        let wanted: &[&str] = if name == "host" { &["job", "instance"] } else { &["job"] };
        for wanted in wanted {
            assert!(variables.iter().any(|it| it["name"] == *wanted), "{name} has no variable {wanted}");
        }
        for panel in panels(&dashboard) {
            let title = text(&panel["title"]);
            // panel-title-description-rule, panel-no-targets-rule, panel-units-rule
            assert!(!title.is_empty() && !list(&panel["targets"]).is_empty(), "{title}");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
            assert!(panel["fieldConfig"]["defaults"]["noValue"].is_string(), "{title} may be empty");
            for query in queries(panel) {
                // target-job-rule, target-instance-rule
                for selector in selectors(query) {
                    for wanted in wanted {
                        let matcher = format!("{wanted}=~\"${wanted}\"");
                        assert!(selector.contains(&matcher), "{title}: {selector} lacks {matcher}");
                    }
                }
                // target-rate-interval-rule, and the same for `$__range`.
                let ranges = query.split('[').skip(1).map(|it| it.split_once(']').unwrap().0);
                for range in ranges {
                    assert!(["$__rate_interval", "$__range"].contains(&range), "{title}: [{range}]");
                }
                // target-counter-agg-rule
                for (at, _) in query.match_indices("_total{") {
                    let counted = ["rate(", "increase(", "round("].iter().any(|it| query[..at].contains(it));
                    assert!(counted, "{title} shows a counter as it is: {query}");
                }
            }
        }
    }
}

#[test]
fn the_dashboards_keep_the_schema_that_grafana_publishes() {
    let Some(python) = program::find_python("jsonschema") else { return };
    let mut validate = Command::new(python);
    validate.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/grafana/validate.py"));
    validate.args(DASHBOARDS.map(|name| shipped::path(&format!("dashboards/etcha-{name}.json"))));
    let output = validate.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn what_an_auditor_reads_follows_the_time_picker() {
    let host = dashboard("host");
    for title in ["Pushes", "Shells opened", "Commands that failed", "Shells closed", "Sources"] {
        let panel = panels(&host).find(|panel| panel["title"] == title).unwrap();
        assert!(queries(panel).any(|query| query.contains("[$__range]")), "{title}");
    }
    for dashboard in DASHBOARDS.map(dashboard) {
        let marks: Vec<_> =
            list(&dashboard["annotations"]["list"]).iter().map(|it| text(&it["name"])).collect();
        assert_eq!(marks, ["Pushes", "Shells", "Restarts of the agent"]);
    }
}

#[test]
fn the_dashboards_link_to_each_other_and_keep_time_and_variables() {
    for (from, to) in [("host", "fleet"), ("fleet", "host")] {
        let (dashboard, target) = (dashboard(from), dashboard(to));
        let link = &list(&dashboard["links"])[0];
        assert_eq!(link["url"], format!("/d/{}", text(&target["uid"])));
        assert_eq!((&link["keepTime"], &link["includeVars"]), (&true.into(), &true.into()));
    }
}

/// The query as Grafana sends it for this host.
fn filled_in(query: &str, instance: &str) -> String {
    let values = [
        ("$__rate_interval", "10s"),
        ("$__range", "10s"),
        ("[1m]", "[10s]"),
        ("offset 1m", "offset 10s"),
        ("$job", "etcha"),
        ("$instance", instance),
        ("$source", ".*"),
    ];
    values.iter().fold(query.to_owned(), |query, (variable, value)| query.replace(variable, value))
}

/// A query without what it shows where it finds nothing.
fn without_fallback(query: &str) -> &str {
    let end =
        [" or on () label_replace(vector(0)", " or vector(0)", "or on (job, instance) label_replace(0 *"];
    end.iter().filter_map(|it| query.rfind(it)).min().map_or(query, |at| &query[..at])
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

    let journal = fleet.homes[0].journal();
    let mut finds = |what: &str, query: &str| {
        let query = filled_in(without_fallback(query), &fleet.instance(0));
        wait_until(SOON, &format!("{what} to show something: {query}"), || {
            // What is drawn as a rate or a mark needs work that goes on.
            agent.run("web", Trigger::Push, "ops", false);
            agent.run("db", Trigger::Pull, "", true);
            agent.shell("guest", ShellState::Opened);
            agent.shell("guest", ShellState::Closed);
            if query.contains("start_time") {
                *agent = Agent::start(&journal);
            }
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
        for mark in list(&dashboard["annotations"]["list"]) {
            finds(text(&mark["name"]), text(&mark["expr"]));
        }
        for variable in list(&dashboard["templating"]["list"]).iter().filter(|it| it["type"] == "query") {
            let definition = text(&variable["query"]["query"]);
            let inner = definition.strip_prefix("label_values(").and_then(|it| it.strip_suffix(')'));
            let (selector, label) = inner.unwrap().rsplit_once(',').unwrap();
            finds(definition, &format!("count by ({label}) ({selector})"));
        }
    }
    assert!(prometheus.process.terminate().success());
}

#[test]
fn no_panel_about_shells_is_empty_on_a_host_without_shells() {
    let Some(program) = program::find("prometheus") else { return };
    let (fleet, _) = Fleet::start(1);
    let (_socket, down) = refusing();
    let prometheus = Prometheus::remembering(&program, &fleet.prometheus_yml(&down, &[]), "");
    let host = dashboard("host");
    let mut about_shells = 0;
    for panel in panels(&host).filter(|panel| text(&panel["title"]).to_lowercase().contains("shell")) {
        for query in queries(panel) {
            let query = filled_in(query, &fleet.instance(0));
            wait_until(SOON, &query, || !prometheus.query(&query).samples.is_empty());
            about_shells += 1;
        }
    }
    assert_eq!(about_shells, 4);
}
