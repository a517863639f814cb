//! Recordings of a real agent: its journal, and what the agent itself said at the same moment, in our names, as
//! `tests/recordings/README.md` explains. Reads journals with `serde_json` alone, so that a mistake in our own decoder
//! cannot hide here. Compares nothing: that is [`super::comparison`].

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;

use super::{
    comparison::GAUGES,
    exposition::{Exposition, Samples, Series},
};

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
    let started = events(journal).iter().filter(|event| event.state == "started").count();
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

/// What a comparison needs to know of a line, whatever else it says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    pub(crate) event: String,
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) session: String,
    pub(crate) trigger: String,
    pub(crate) public_key: String,
    pub(crate) remote_addr: String,
    pub(crate) changed: Option<u64>,
    pub(crate) removed: Option<u64>,
}

impl Event {
    /// The labels that sources and shells have in common.
    pub(crate) fn labels(&self) -> [(&'static str, &str); 3] {
        [("name", &self.name), ("public_key", &self.public_key), ("remote_addr", &self.remote_addr)]
    }
}

/// The lines of a journal that was recorded whole: every one is an event.
pub(crate) fn events(journal: &[u8]) -> Vec<Event> {
    let lines = journal.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("a recording has no bad line")).collect()
}

#[cfg(test)]
mod tests {
    use super::{Recording, Samples, agent, events};
    use crate::harness::comparison::COMMANDS;

    #[test]
    fn processes_of_an_agent_add_up() {
        let restart = Recording::load("restart");
        assert_eq!(restart.processes.len(), 3);
        assert_eq!(restart.processes[2], agent(&restart.directory.join("metrics-3.prom")));
        let sum = |samples: &Samples| -> f64 {
            samples.iter().filter(|(series, _)| series.name == COMMANDS).map(|(_, value)| value).sum()
        };
        let lines = events(&restart.journal).iter().filter(|event| event.event == "command").count();
        assert_eq!(sum(&restart.said()).to_string(), lines.to_string());
    }
}
