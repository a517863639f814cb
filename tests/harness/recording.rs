//! Recordings of a real agent: its journal, and what the agent itself said at the same moment. Brings both into one
//! shape, as `tests/recordings/README.md` explains, and compares. Reads journals with `serde_json` alone, so that a
//! mistake in our own decoder cannot hide here.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use super::exposition::{Exposition, Samples, Series};

/// The four families of the guide: name, type, labels.
pub(crate) const FAMILIES: [(&str, &str, &[&str]); 4] = [
    (COMMANDS, "counter", &["error", "id", "mode", "parent_id", "public_key", "remote_addr", "source"]),
    (GAUGES, "gauge", &["mode", "name", "public_key", "remote_addr", "trigger"]),
    (SHELLS, "gauge", &["name", "public_key", "remote_addr"]),
    (SOURCES, "counter", &["error", "name", "public_key", "remote_addr", "trigger"]),
];

const COMMANDS: &str = "etcha_commands_total";
const GAUGES: &str = "etcha_sources_commands";
const SHELLS: &str = "etcha_sources_shells";
const SOURCES: &str = "etcha_sources_total";

/// Labels that the recorded agent does not have yet.
const YOUNGER_LABELS: [&str; 2] = ["public_key", "remote_addr"];

/// Differences that a message shows; the rest is counted.
const SHOWN: usize = 20;

/// One folder of `tests/recordings`.
pub(crate) struct Recording {
    directory: PathBuf,
    /// The journal, unpacked.
    pub(crate) journal: Vec<u8>,
    /// What each process of the agent said last, in our names.
    processes: Vec<Samples>,
    pub(crate) steps: Vec<Step>,
}

/// A moment at which the journal and the agent stood still.
pub(crate) struct Step {
    /// Bytes of the journal at that moment.
    pub(crate) journal_bytes: usize,
    pub(crate) what: String,
    /// What the agent said, in our names.
    pub(crate) said: Samples,
}

impl Recording {
    pub(crate) fn load(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(name);
        let journal = read(&directory.join("journal.jsonl")).expect("a recording has a journal");
        let processes = processes(&directory, &journal);
        let steps = steps(&directory.join("steps"));
        Self { directory, journal, processes, steps }
    }

    /// The journal as a file, packed if it is kept packed.
    pub(crate) fn journal_file(&self) -> PathBuf {
        let plain = self.directory.join("journal.jsonl");
        if plain.exists() { plain } else { packed(&plain) }
    }

    /// What the agent's processes said all together: counters add up, of a gauge the last word counts.
    pub(crate) fn said(&self) -> Samples {
        let mut all = Samples::new();
        for (series, value) in self.processes.iter().flatten() {
            let so_far = all.entry(series.clone()).or_default();
            *so_far = if series.name == GAUGES { *value } else { *so_far + value };
        }
        all
    }
}

/// A file, or the packed one beside it.
fn read(path: &Path) -> Option<Vec<u8>> {
    if let Ok(bytes) = fs::read(path) {
        return Some(bytes);
    }
    let mut bytes = Vec::new();
    MultiGzDecoder::new(fs::File::open(packed(path)).ok()?).read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

fn packed(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    name.into()
}

/// `metrics-1.prom`, `metrics-2.prom` … were taken before each kill, `metrics.prom` at the end: it is the last
/// process, which may have its number as well.
fn processes(directory: &Path, journal: &[u8]) -> Vec<Samples> {
    let started = events(journal).filter(|event| event["state"] == "started").count();
    let numbered = (1..started).map(|number| format!("metrics-{number}.prom"));
    numbered.chain(["metrics.prom".to_owned()]).map(|file| agent(&directory.join(file))).collect()
}

fn steps(directory: &Path) -> Vec<Step> {
    let Some(index) = read(&directory.join("index.tsv")) else { return Vec::new() };
    let step = |line: &str| {
        let [file, bytes, what] = line.splitn(3, '\t').collect::<Vec<_>>()[..] else {
            panic!("{line:?} is not file, bytes, what")
        };
        let (journal_bytes, what) = (bytes.parse().unwrap(), format!("{file} ({what})"));
        Step { journal_bytes, what, said: agent(&directory.join(file)) }
    };
    String::from_utf8(index).unwrap().lines().map(step).collect()
}

/// What the agent said of itself, in our names: it is older than the guide.
fn agent(file: &Path) -> Samples {
    let text = String::from_utf8(read(file).unwrap_or_else(|| panic!("no {}", file.display()))).unwrap();
    let exposition: Exposition = text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let rename = |(mut series, value): (Series, f64)| {
        if let Some(parent) = series.labels.remove("parentID") {
            series.labels.insert("parent_id".to_owned(), parent);
        }
        if let Some(mode) = series.labels.get_mut("mode").filter(|mode| *mode == "change") {
            "changed".clone_into(mode);
        }
        (series, value)
    };
    exposition.samples.into_iter().map(rename).collect()
}

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
    let reduced = reduced(journal, &ours.samples);
    found.extend(compare(&reduced, said));
    let shown_shells = ours.samples.iter().filter(|(series, _)| series.name == SHELLS);
    let shown_shells: Samples = shown_shells.map(|(series, value)| (series.clone(), *value)).collect();
    found.extend(compare(&shown_shells, &shells(journal)));
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
fn reduced(journal: &[u8], ours: &Samples) -> Samples {
    let last = last_written(journal);
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
fn last_written(journal: &[u8]) -> BTreeMap<Series, Series> {
    let mut last = BTreeMap::new();
    for event in events(journal).filter(|event| event["event"] == "source") {
        for (field, mode) in [("changed", "changed"), ("removed", "remove")] {
            if event[field].is_u64() {
                let mut labels = vec![("mode", mode)];
                let names = ["name", "public_key", "remote_addr", "trigger"];
                labels.extend(names.map(|name| (name, text(&event, name))));
                let full = Series::new(GAUGES, &labels);
                last.insert(without_younger_labels(&full), full);
            }
        }
    }
    last
}

/// What the shells gauge must show after `journal`: 1 while a session with these labels is open, 0 after the last
/// one. A session is known by its name alone, and an agent that starts or stops has none left.
fn shells(journal: &[u8]) -> Samples {
    let mut open: BTreeMap<String, Series> = BTreeMap::new();
    let mut gauges = Samples::new();
    for event in events(journal) {
        if event["event"] == "engine" {
            open.clear();
        }
        if event["event"] == "shell" {
            let labels = ["name", "public_key", "remote_addr"].map(|name| (name, text(&event, name)));
            let series = Series::new(SHELLS, &labels);
            gauges.insert(series.clone(), 0.0);
            let session = text(&event, "session").to_owned();
            if event["state"] == "opened" {
                open.insert(session, series)
            } else {
                open.remove(&session)
            };
        }
    }
    gauges.extend(open.into_values().map(|series| (series, 1.0)));
    gauges
}

/// The lines of a journal that was recorded whole: every one is an event.
fn events(journal: &[u8]) -> impl Iterator<Item = Value> {
    let lines = journal.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("a recording has no bad line"))
}

/// A string of an event; an absent one is empty.
fn text<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name].as_str().unwrap_or_default()
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
    use super::{Exposition, Recording, difference};

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

    #[test]
    fn processes_of_an_agent_add_up() {
        let restart = Recording::load("restart");
        assert_eq!(restart.processes.len(), 3);
        assert_eq!(restart.processes[2], super::agent(&restart.directory.join("metrics-3.prom")));
        let sum = |samples: &super::Samples| -> f64 {
            samples.iter().filter(|(series, _)| series.name == super::COMMANDS).map(|(_, value)| value).sum()
        };
        let lines = super::events(&restart.journal).filter(|event| event["event"] == "command").count();
        assert_eq!(sum(&restart.said()).to_string(), lines.to_string());
    }
}
