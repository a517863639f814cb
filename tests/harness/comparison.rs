//! Compares what the exporter counted with what a real agent said of itself: every series and value equal, none
//! missing, none extra. Brings ours into the agent's older shape first; the agent's into our names: [`super::recording`].

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    exposition::{Exposition, Samples, Series},
    recording::{Event, events},
};

/// The four families of the guide: name, type, labels.
pub(crate) const FAMILIES: [(&str, &str, &[&str]); 4] = [
    (COMMANDS, "counter", &["error", "id", "mode", "parent_id", "public_key", "remote_addr", "source"]),
    (GAUGES, "gauge", &["mode", "name", "public_key", "remote_addr", "trigger"]),
    (SHELLS, "gauge", &["name", "public_key", "remote_addr"]),
    (SOURCES, "counter", &["error", "name", "public_key", "remote_addr", "trigger"]),
];

pub(crate) const COMMANDS: &str = "etcha_commands_total";
pub(crate) const GAUGES: &str = "etcha_sources_commands";
const SHELLS: &str = "etcha_sources_shells";
const SOURCES: &str = "etcha_sources_total";

/// Labels that the recorded agent does not have yet.
const YOUNGER_LABELS: [&str; 2] = ["public_key", "remote_addr"];

/// Differences that a message shows; the rest is counted.
const SHOWN: usize = 20;

/// Panics unless `ours`, counted from `journal`, says what the agent `said`, and of shells what the journal says.
pub(crate) fn assert_same(what: &str, journal: &[u8], ours: &Exposition, said: &Samples) {
    if let Some(difference) = difference(journal, ours, said) {
        panic!("{what}: {difference}");
    }
}

/// How `ours` differs from what the agent `said`, in words; `None` when every series and value is equal, none is
/// missing and none extra. Families beside the guide's four are not looked at.
pub(crate) fn difference(journal: &[u8], ours: &Exposition, said: &Samples) -> Option<String> {
    let mut found = misshapen(ours);
    let events = events(journal);
    found.extend(compare(&reduced(&events, &ours.samples), said));
    let shown_shells = ours.samples.iter().filter(|(series, _)| series.name == SHELLS);
    let shown_shells: Samples = shown_shells.map(|(series, value)| (series.clone(), *value)).collect();
    found.extend(compare(&shown_shells, &shells(&events)));
    if found.is_empty() {
        return None;
    }
    let mut text = format!("{} differences", found.len());
    for line in found.iter().take(SHOWN) {
        write!(text, "\n  {line}").unwrap();
    }
    Some(text)
}

/// Series of the four families whose type or labels are not the guide's.
fn misshapen(ours: &Exposition) -> Vec<String> {
    let mut found = Vec::new();
    for (name, kind, labels) in FAMILIES {
        if let Some(other) = ours.types.get(name).filter(|found| *found != kind) {
            found.push(format!("type: {name} is a {other}, not a {kind}"));
        }
        let of_family = ours.samples.keys().filter(|series| series.name == name);
        let wrong = of_family.filter(|series| !series.labels.keys().eq(labels.iter()));
        found.extend(wrong.map(|series| format!("labels: {series}")));
    }
    found
}

/// Our samples without the labels and without the family that the agent does not have: counters added up over what
/// the labels told apart, of gauges the one that was written last.
fn reduced(events: &[Event], ours: &Samples) -> Samples {
    let last = last_written(events);
    let mut reduced = Samples::new();
    for (full, value) in ours {
        let series = without_younger_labels(full);
        match full.name.as_str() {
            COMMANDS | SOURCES => *reduced.entry(series).or_default() += value,
            GAUGES if last.get(&series).is_none_or(|last| last == full) => {
                reduced.insert(series, *value);
            }
            _ => {}
        }
    }
    reduced
}

fn without_younger_labels(series: &Series) -> Series {
    let mut series = series.clone();
    series.labels.retain(|name, _| !YOUNGER_LABELS.contains(&name.as_str()));
    series
}

/// For each gauge of the agent, the series of ours that the journal sets last.
fn last_written(events: &[Event]) -> BTreeMap<Series, Series> {
    let mut last = BTreeMap::new();
    for event in events.iter().filter(|event| event.event == "source") {
        for (count, mode) in [(event.changed, "changed"), (event.removed, "remove")] {
            if count.is_some() {
                let mut labels = event.labels().to_vec();
                labels.extend([("mode", mode), ("trigger", &event.trigger)]);
                let full = Series::new(GAUGES, &labels);
                last.insert(without_younger_labels(&full), full);
            }
        }
    }
    last
}

/// What the shells gauge must show after these events: 1 while a session with these labels is open, 0 after the last
/// one. A session is known by its name alone, and an agent that starts or stops has none left.
fn shells(events: &[Event]) -> Samples {
    let mut open: BTreeMap<&str, Series> = BTreeMap::new();
    let mut gauges = Samples::new();
    for event in events {
        if event.event == "engine" {
            open.clear();
        }
        if event.event == "shell" {
            let series = Series::new(SHELLS, &event.labels());
            gauges.insert(series.clone(), 0.0);
            if event.state == "opened" {
                open.insert(&event.session, series);
            } else {
                open.remove(event.session.as_str());
            }
        }
    }
    gauges.extend(open.into_values().map(|series| (series, 1.0)));
    gauges
}

fn compare(ours: &Samples, said: &Samples) -> Vec<String> {
    let mut found = Vec::new();
    for (series, value) in ours {
        match said.get(series) {
            // Ours is born at 0 together with its sibling, the agent's with its first run.
            None if series.name == SOURCES && *value == 0.0 => {}
            None => found.push(format!("extra: {series} {value}")),
            Some(said) if said == value => {}
            Some(said) => found.push(format!("differs: {series} {value}, not {said}")),
        }
    }
    let missing = said.iter().filter(|(series, _)| !ours.contains_key(series));
    found.extend(missing.map(|(series, value)| format!("missing: {series} {value}")));
    found
}

#[cfg(test)]
mod tests {
    use super::{Exposition, difference};

    const JOURNAL: &[u8] =
        br#"{"event":"source","name":"a","trigger":"push","changed":1,"removed":0,"public_key":"k"}
{"event":"source","name":"a","trigger":"push","changed":2,"public_key":"l"}
{"event":"shell","name":"a","session":"1","state":"opened"}
{"event":"shell","name":"a","session":"2","state":"opened"}
{"event":"shell","name":"a","session":"1","state":"closed"}
"#;
    const OURS: &str = r#"# TYPE etcha_sources_commands gauge
etcha_sources_commands{mode="changed",name="a",public_key="k",remote_addr="",trigger="push"} 1
etcha_sources_commands{mode="changed",name="a",public_key="l",remote_addr="",trigger="push"} 2
etcha_sources_commands{mode="remove",name="a",public_key="k",remote_addr="",trigger="push"} 0
# TYPE etcha_sources_shells gauge
etcha_sources_shells{name="a",public_key="",remote_addr=""} 1
# TYPE etcha_sources_total counter
etcha_sources_total{error="0",name="a",public_key="k",remote_addr="",trigger="push"} 1
etcha_sources_total{error="0",name="a",public_key="l",remote_addr="",trigger="push"} 1
etcha_sources_total{error="1",name="a",public_key="k",remote_addr="",trigger="push"} 0
"#;
    const SAID: &str = r#"# TYPE etcha_sources_commands gauge
etcha_sources_commands{mode="changed",name="a",trigger="push"} 2
etcha_sources_commands{mode="remove",name="a",trigger="push"} 0
# TYPE etcha_sources_total counter
etcha_sources_total{error="0",name="a",trigger="push"} 2
"#;

    fn differences(ours: &str) -> String {
        let said: Exposition = SAID.parse().unwrap();
        difference(JOURNAL, &ours.parse().unwrap(), &said.samples).unwrap_or_default()
    }

    #[test]
    fn counters_are_added_up_and_of_gauges_the_last_counts() {
        assert_eq!(differences(OURS), "");
    }

    #[test]
    fn each_kind_of_difference_is_named() {
        for (from, to, expected) in [
            ("trigger=\"push\"} 2", "trigger=\"push\"} 3", "differs"),
            ("error=\"0\",name=\"a\"", "error=\"0\",name=\"b\"", "missing"),
            (
                "error=\"1\",name=\"a\",public_key=\"k\",remote_addr=\"\",trigger=\"push\"} 0",
                "error=\"1\",name=\"a\",public_key=\"k\",remote_addr=\"\",trigger=\"push\"} 1",
                "extra",
            ),
            ("remote_addr=\"\"} 1", "remote_addr=\"\"} 0", "differs"),
            ("etcha_sources_shells gauge", "etcha_sources_shells counter", "type"),
            ("{name=\"a\",public_key=\"\",", "{name=\"a\",", "labels"),
        ] {
            assert!(OURS.contains(from), "{from}");
            let found = differences(&OURS.replace(from, to));
            assert!(found.contains(&format!("\n  {expected}: ")), "{from} → {to}: {found:?}");
        }
    }
}
