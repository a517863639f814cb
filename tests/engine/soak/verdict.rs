//! The end: what is in the journal and in the files is compared with what was asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

use super::{
    clients::{Asked, Done},
    world::{Life, World},
};

/// What memory may grow by in the last life, beside a third of what it was: what the first requests of a life leave.
const GROWTH_KIB: u64 = 16 * 1024;

/// Stops the engine and judges.
pub(super) fn judge(world: &mut World, done: &[Done]) {
    world.calm_down();
    world.stop();
    let journal = Journal::read(world);
    journal.has_each_line_once(&world.lives);
    let all = |pick: fn(&Done) -> &Vec<Asked>| done.iter().flat_map(pick).collect::<Vec<_>>();
    let (pushes, hooks, shells) =
        (all(|done| &done.pushes), all(|done| &done.hooks), all(|done| &done.shells));
    let again: BTreeSet<_> = done.iter().flat_map(|done| &done.again).map(String::as_str).collect();
    journal.has_each_push_once(&pushes, &again);
    journal.has_each_call(&hooks);
    journal.closes_each_shell(&world.lives, &shells);
    for asked in pushes.iter().chain(&shells) {
        let left = fs::read_to_string(world.home().path(&format!("did/{}", asked.id))).unwrap_or_default();
        let is_once = left == "x\n" || left.is_empty() && !asked.is_sure;
        assert!(is_once || again.contains(asked.id.as_str()), "{}: done as {left:?}", asked.id);
    }
    nothing_half_written_is_left(world);
    memory_is_flat(world);
    let sure =
        |asked: &[&Asked]| format!("{} of {}", asked.iter().filter(|one| one.is_sure).count(), asked.len());
    println!(
        "{} lives, {} things happened; undisturbed: {} pushes, {} webhooks, {} shells; {} lines in the journal; longest \
         pause of a Source {:.1} s",
        world.lives.len(),
        world.happened,
        sure(&pushes),
        sure(&hooks),
        sure(&shells),
        journal.lines.len(),
        world.longest_pause.as_secs_f64(),
    );
}

fn nothing_half_written_is_left(world: &World) {
    let names = fs::read_dir(world.home().path("state")).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let is_half = |name: &&String| name.ends_with(".new") || name.contains(".staged-");
    assert_eq!(names.iter().find(is_half), None);
}

fn memory_is_flat(world: &World) {
    let memory = &world.memory;
    let early = memory[memory.len() / 4];
    let late = memory[memory.len() - 1];
    println!("resident memory of the last life: {early} KiB early, {late} KiB late");
    assert!(late < early + early / 3 + GROWTH_KIB, "{memory:?}");
}

struct Journal {
    lines: Vec<Value>,
    /// The place of each writer, which is its life, by name.
    writers: BTreeMap<String, usize>,
    torn: usize,
}

impl Journal {
    /// All segments, in order.
    fn read(world: &World) -> Journal {
        let directory = fs::read_dir(world.home().path("")).unwrap();
        let mut names: Vec<_> = directory
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("journal.jsonl."))
            .collect();
        names.sort();
        names.push("journal.jsonl".to_owned());
        let mut journal = Journal { lines: Vec::new(), writers: BTreeMap::new(), torn: 0 };
        for name in names {
            for line in fs::read(world.home().path(&name)).unwrap().split(|byte| *byte == b'\n') {
                match serde_json::from_slice::<Value>(line) {
                    Ok(line) => journal.lines.push(line),
                    Err(_) if line.is_empty() => {}
                    Err(_) => journal.torn += 1,
                }
            }
        }
        for line in &journal.lines {
            let next = journal.writers.len();
            journal.writers.entry(line["writer"].as_str().unwrap().to_owned()).or_insert(next);
        }
        journal
    }

    fn life<'l>(&self, lives: &'l [Life], line: &Value) -> &'l Life {
        &lives[self.writers[line["writer"].as_str().unwrap()]]
    }

    /// A line is missing or torn only where a disk was full.
    fn has_each_line_once(&self, lives: &[Life]) {
        assert_eq!(self.writers.len(), lives.len(), "a writer for each life");
        let mut last = BTreeMap::new();
        let mut missing = 0;
        for line in &self.lines {
            let seq = line["seq"].as_u64().unwrap();
            let before = last.insert(line["writer"].as_str().unwrap(), seq).unwrap_or(0);
            assert!(seq > before, "again: {line}");
            missing += seq - before - 1;
            assert!(seq == before + 1 || self.life(lives, line).disk_was_full, "a gap before {line}");
        }
        let was_full = lives.iter().any(|life| life.disk_was_full);
        assert!(self.torn == 0 || was_full, "{} torn lines", self.torn);
        println!("{missing} lines missing, {} torn, by a full disk", self.torn);
    }

    fn count(&self, event: &str, also: impl Fn(&Value) -> bool) -> usize {
        self.lines.iter().filter(|line| line["event"] == event && also(line)).count()
    }

    fn has_each_push_once(&self, pushes: &[&Asked], again: &BTreeSet<&str>) {
        let mut changed: BTreeMap<&str, usize> = BTreeMap::new();
        for line in self.lines.iter().filter(|line| line["event"] == "command" && line["mode"] == "changed") {
            *changed.entry(line["id"].as_str().unwrap()).or_default() += 1;
        }
        for push in pushes {
            let count = changed.get(push.id.as_str()).copied().unwrap_or(0);
            let is_once = count == 1 || count == 0 && !push.is_sure;
            assert!(is_once || again.contains(push.id.as_str()), "{}: {count} lines", push.id);
        }
        let (runs, sure) = (
            self.count("source", |line| line["trigger"] == "push"),
            pushes.iter().filter(|push| push.is_sure),
        );
        assert!((sure.count()..=pushes.len()).contains(&runs), "{runs} runs by a push");
    }

    fn has_each_call(&self, calls: &[&Asked]) {
        let runs = self.count("source", |line| line["trigger"] == "webhook");
        let sure = calls.iter().filter(|call| call.is_sure).count();
        assert!((sure..=calls.len()).contains(&runs), "{runs} runs by a webhook, {sure} to {}", calls.len());
    }

    /// Each session is opened once and closed once, unless the engine was killed or could not write.
    fn closes_each_shell(&self, lives: &[Life], shells: &[&Asked]) {
        let of_state = |state: &str| -> Vec<&Value> {
            let of = |line: &&Value| line["event"] == "shell" && line["state"] == state;
            self.lines.iter().filter(of).collect()
        };
        let (opened, closed) = (of_state("opened"), of_state("closed"));
        let sessions = |lines: &[&Value]| -> BTreeSet<String> {
            let set: BTreeSet<_> =
                lines.iter().map(|line| line["session"].as_str().unwrap().to_owned()).collect();
            assert_eq!(set.len(), lines.len(), "a session twice");
            set
        };
        let (_, closed) = (sessions(&opened), sessions(&closed));
        for line in &opened {
            let life = self.life(lives, line);
            let is_closed = closed.contains(line["session"].as_str().unwrap());
            assert!(is_closed || life.was_killed || life.disk_was_full, "never closed: {line}");
        }
        let sure = shells.iter().filter(|shell| shell.is_sure).count();
        assert!((sure..=shells.len()).contains(&opened.len()), "{} shells, {sure} sure", opened.len());
    }
}
