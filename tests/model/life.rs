//! A follower beside the reference: what was completely there at a look counts once, and nothing else does.

use std::collections::{BTreeMap, BTreeSet};

use exporter::{
    checkpoint::Checkpoint,
    exposition,
    follow::{Bounds, Follower, Go},
    metrics::{Limits, Metrics},
    publish::Snapshot,
};

use super::{
    action::{Action, Start},
    journal::Journal,
};
use crate::harness::exposition::{Exposition, Samples, Series};

/// Rounds that may follow each other at once because files moved.
const ROUNDS: usize = 10;

/// Counters that the reference knows, too.
///
/// How shells ended, and how long they were open, it cannot know: if the end of an agent is read before a shell's own end, in a
/// segment that comes late or after lines that are lost, the shell counts as ended by its agent, and its own end as an oddity.
/// Which is read first is nothing that the lines say. Where no segment comes late, the property over ordinary scripts compares
/// these families with everything else.
const COUNTERS: [&str; 4] =
    ["etcha_commands_total", "etcha_sources_total", "etcha_shells_opened_total", "etcha_refusals_total"];

/// What the reference says of a follower.
#[derive(Clone, Debug, Default)]
struct Reference {
    /// Numbers seen, by writer.
    seen: BTreeMap<String, BTreeSet<u64>>,
    counts: Samples,
    /// Whether it read the journal from its beginning: only then is it known what is missing.
    complete: bool,
}

/// A journal, the follower that reads it, the reference, and the checkpoints taken.
pub(crate) struct World {
    pub(crate) journal: Journal,
    pub(crate) follower: Follower,
    reference: Reference,
    checkpoints: Vec<(Vec<u8>, Reference)>,
    /// The counters at the last look of this life.
    before: Samples,
}

impl World {
    pub(crate) fn new() -> World {
        let journal = Journal::new();
        let follower = fresh(&journal);
        let reference = Reference { complete: true, ..Reference::default() };
        let mut world =
            World { journal, follower, reference, checkpoints: Vec::new(), before: Samples::new() };
        // The first line ever read is its writer's first: nothing lies before the history.
        world.run(&[Action::Append(0, 1), Action::Look]);
        world
    }

    /// Does all that, and looks once more at the end.
    pub(crate) fn run(&mut self, script: &[Action]) {
        for action in script.iter().chain([&Action::Look]) {
            self.act(action);
        }
    }

    fn act(&mut self, action: &Action) {
        self.journal.act(action);
        match action {
            Action::Look => self.look(),
            Action::Glance => {
                self.follower.round(&mut |_| Go::On);
            }
            Action::LookInTwo => {
                self.follower.round(&mut |_| Go::Stop);
                let bytes = self.checkpoint();
                self.follower = restored(&self.journal, &bytes);
                self.look();
            }
            Action::Checkpoint => {
                let bytes = self.checkpoint();
                self.checkpoints.push((bytes, self.reference.clone()));
            }
            Action::Restart(start) => self.restart(*start),
            _ => {}
        }
    }

    fn checkpoint(&self) -> Vec<u8> {
        let checkpoint = Checkpoint {
            journal: self.journal.path(),
            taken: 0,
            metrics: self.follower.metrics().record(),
            follow: self.follower.record(),
        };
        checkpoint.encode()
    }

    fn restart(&mut self, start: Start) {
        let current = self.checkpoints.last();
        let chosen = match start {
            Start::Current => current,
            Start::Previous => {
                if let Some((bytes, _)) = current {
                    let mut damaged = bytes.clone();
                    damaged[bytes.len() / 2] ^= 1;
                    assert!(Checkpoint::decode(&damaged).is_err());
                }
                self.checkpoints.iter().rev().nth(1)
            }
            Start::Nothing => None,
        };
        (self.follower, self.reference) = match chosen {
            Some((bytes, reference)) => (restored(&self.journal, bytes), reference.clone()),
            None => (fresh(&self.journal), Reference::default()),
        };
        self.before = self.reference.counts.clone();
    }

    fn look(&mut self) {
        for line in self.journal.present() {
            if self.reference.seen.entry(line.writer.clone()).or_default().insert(line.seq) {
                for (series, by) in &line.counts {
                    *self.reference.counts.entry(series.clone()).or_default() += by;
                }
            }
        }
        let mut rounds = 0;
        while self.follower.round(&mut |_| Go::On).again {
            rounds += 1;
            assert!(rounds < ROUNDS, "the follower never comes to rest");
        }
        if self.journal.is_compressing() {
            // What stands beside the file it is made from is read when two looks find it unchanged.
            self.follower.round(&mut |_| Go::On);
        }
        self.compare();
    }

    fn compare(&mut self) {
        let counted = counters(&self.follower);
        for (series, before) in &self.before {
            assert!(counted.get(series) >= Some(before), "{series} fell from {before}");
        }
        assert_eq!(counted, self.reference.counts, "(ours left, the reference's right)");
        let missing = self.follower.state().missing;
        let expected: u128 = self.reference.seen.values().map(missing_of).sum();
        if self.reference.complete {
            assert_eq!(missing, expected, "lines missing (ours left): {:?}", self.reference.seen);
        } else {
            assert!(missing <= expected, "{missing} lines missing, at most {expected} can be");
        }
        self.before = counted;
    }
}

fn missing_of(seen: &BTreeSet<u64>) -> u128 {
    seen.last().map_or(0, |last| u128::from(last - seen.len() as u64))
}

pub(crate) fn fresh(journal: &Journal) -> Follower {
    Follower::new(&journal.path(), Metrics::new(Limits::default()), Bounds::default())
}

pub(crate) fn restored(journal: &Journal, bytes: &[u8]) -> Follower {
    let checkpoint = Checkpoint::decode(bytes).unwrap();
    let metrics = Metrics::restore(checkpoint.metrics, Limits::default()).unwrap();
    Follower::restore(&journal.path(), metrics, checkpoint.follow, Bounds::default())
}

/// All that events added up to, as a scrape would show it.
pub(crate) fn text(follower: &Follower) -> String {
    let snapshot =
        Snapshot { caught_up: true, tables: follower.metrics().tables().clone(), ..Snapshot::default() };
    let mut text = Vec::new();
    exposition::render(&snapshot, &[], exposition::Format::Text, &mut text);
    String::from_utf8(text).unwrap()
}

fn counters(follower: &Follower) -> Samples {
    let exposition: Exposition = text(follower).parse().unwrap_or_else(|error| panic!("{error}"));
    let known = |series: &Series| COUNTERS.contains(&series.name.as_str());
    exposition.samples.into_iter().filter(|(series, _)| known(series)).collect()
}
