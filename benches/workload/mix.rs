//! A journal as an agent writes it: runs of Sources, each some commands and then its own line; now and then a shell, and
//! an agent that starts again; a second writer beside it. The shares are those of `tests/recordings`; the table in
//! `benches/README.md` says from where each is.

use journal_schema::event::{Engine, EngineState, Shell, ShellState, Source, Trigger};
use journal_schema::{Command, Event, Mode};

use crate::labels::{Random, push};

/// Sources, each with as many series of commands as the others.
const SOURCES: u64 = 40;

/// Commands of a run: from so many, and so many different numbers of them. Nine lines in ten are commands then.
const LEAST_COMMANDS: u64 = 2;
const COMMANDS: u64 = 14;

/// One run in so many is followed by a shell, which is two lines; one is the second writer's.
const RUNS_A_SHELL: u64 = 30;
const RUNS_A_SCRIPT: u64 = 20;

/// Lines between two starts of the agent.
const LINES_A_START: u64 = 10_000;

/// Who writes a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    /// The agent, after so many starts.
    Agent(u64),
    /// A script beside it.
    Script,
}

/// What happens next, without end, the same each time.
#[derive(Debug)]
pub(crate) struct Mix {
    random: Random,
    /// Series of commands.
    series: u64,
    /// How many of them each Source has shown.
    shown: Vec<u64>,
    lines: u64,
    starts: u64,
    /// The run that goes on: its Source, its commands that are to come, and its author.
    source: u64,
    left: u64,
    author: Author,
    /// Lines of a shell that are to come.
    shell: u8,
    text: Text,
}

/// The label values of the latest event, kept for their room.
#[derive(Debug, Default)]
struct Text {
    id: String,
    parent_id: String,
    source: String,
    remote_addr: String,
    token_id: String,
    digest: String,
}

impl Mix {
    pub(crate) fn new(series: u64, seed: u64) -> Mix {
        let mut mix = Mix {
            random: Random(seed),
            series: series.max(SOURCES),
            shown: (0..SOURCES).map(|_| 0).collect(),
            lines: 0,
            starts: 0,
            source: 0,
            left: 0,
            author: Author::Agent(0),
            shell: 0,
            text: Text::default(),
        };
        mix.begin_run();
        mix
    }

    /// The next event, and who writes it.
    pub(crate) fn next(&mut self) -> (Author, Event<'_>) {
        self.lines += 1;
        if self.lines % LINES_A_START == 1 {
            self.starts += 1;
            self.author = Author::Agent(self.starts);
            let started = Engine { state: EngineState::Started, version: "v2026.04".into(), pid: Some(4242) };
            return (self.author, Event::Engine(started));
        }
        if self.shell > 0 {
            self.shell -= 1;
            let author = Author::Agent(self.starts);
            return (author, self.shell_line());
        }
        let author = self.author;
        if self.left > 0 {
            self.left -= 1;
            let any = self.random.next();
            return (author, self.command(any));
        }
        // Its line ends the run, so the next one begins first: the texts are of this one.
        let (source, any) = (self.source, self.random.next());
        self.begin_run();
        (author, self.text.run(source, any))
    }

    fn begin_run(&mut self) {
        let any = self.random.next();
        self.source = any % SOURCES;
        self.left = LEAST_COMMANDS + (any >> 8) % COMMANDS;
        self.author = if (any >> 16).is_multiple_of(RUNS_A_SCRIPT) {
            Author::Script
        } else {
            Author::Agent(self.starts)
        };
        if (any >> 32).is_multiple_of(RUNS_A_SHELL) {
            self.shell = 2;
        }
    }

    /// A command of the Source: one that it did not show yet, or else any.
    fn command(&mut self, any: u64) -> Event<'_> {
        let each = self.series / SOURCES;
        let shown = &mut self.shown[usize::try_from(self.source).unwrap_or(0)];
        let of_source = if *shown < each {
            *shown += 1;
            *shown - 1
        } else {
            any % each
        };
        self.text.command(self.source, of_source * SOURCES + self.source, any)
    }

    fn shell_line(&mut self) -> Event<'_> {
        self.text.clear();
        // The two lines of a shell come one after the other.
        push(&mut self.text.id, format_args!("{:036x}", self.lines - u64::from(self.shell == 0)));
        push(&mut self.text.source, format_args!("site-{:02}", self.source));
        let opened = self.shell == 1;
        Event::Shell(Shell {
            name: self.text.source.as_str().into(),
            session: self.text.id.as_str().into(),
            state: if opened { ShellState::Opened } else { ShellState::Closed },
            public_key: "ops-key".into(),
            remote_addr: "192.0.2.9".into(),
            reason: if opened { "" } else { "exit" }.into(),
        })
    }
}

impl Text {
    fn clear(&mut self) {
        let Text { id, parent_id, source, remote_addr, token_id, digest } = self;
        [id, parent_id, source, remote_addr, token_id, digest].into_iter().for_each(String::clear);
    }

    /// The labels of a Source: one in four is pushed, by a key from an address.
    fn name(&mut self, source: u64) -> &'static str {
        self.clear();
        push(&mut self.source, format_args!("site-{source:02}"));
        if !source.is_multiple_of(4) {
            return "";
        }
        push(&mut self.remote_addr, format_args!("192.0.2.{}", 100 + source));
        "deploy-key"
    }

    fn command(&mut self, source: u64, series: u64, any: u64) -> Event<'_> {
        let key = self.name(source);
        // What a series is like is decided once, in parts of a thousand.
        let chance = Random(series).next();
        let is_one_of = |place: u32, parts: u64| (chance >> place) % 1000 < parts;
        if is_one_of(0, 28) {
            push(&mut self.id, format_args!("write \"/etc/service/{series:07}.conf\""));
        } else {
            push(&mut self.id, format_args!("service {series:07}"));
        }
        if is_one_of(12, 38) {
            push(&mut self.parent_id, format_args!("{} > role-{:02}", self.source, series / SOURCES % 25));
        }
        Event::Command(Command {
            id: self.id.as_str().into(),
            mode: match (chance >> 24) % 1000 {
                0..4 => Mode::Remove,
                4..92 => Mode::Changed,
                _ => Mode::Check,
            },
            error: is_one_of(36, 115),
            parent_id: self.parent_id.as_str().into(),
            source: self.source.as_str().into(),
            public_key: key.into(),
            remote_addr: self.remote_addr.as_str().into(),
            duration_seconds: Some(duration(any, 10_000.0)),
        })
    }

    fn run(&mut self, source: u64, any: u64) -> Event<'_> {
        let key = self.name(source);
        if !key.is_empty() {
            push(&mut self.token_id, format_args!("{any:016x}"));
            push(&mut self.digest, format_args!("{:064x}", source * 7919 + any % 3));
        }
        let trigger = [Trigger::Push, Trigger::Pull, Trigger::Init, Trigger::Event];
        Event::Source(Source {
            name: self.source.as_str().into(),
            trigger: trigger[usize::try_from(source % 4).unwrap_or(0)],
            error: any.is_multiple_of(30),
            outcome: None,
            public_key: key.into(),
            remote_addr: self.remote_addr.as_str().into(),
            token_id: self.token_id.as_str().into(),
            subject: "".into(),
            digest: self.digest.as_str().into(),
            // Half of the runs change nothing.
            changed: Some(if any & 1 == 0 { 0 } else { (any >> 8) % 12 }),
            removed: Some(if any & 7 == 1 { (any >> 16) % 3 } else { 0 }),
            duration_seconds: Some(duration(any, 1_000.0)),
        })
    }
}

/// Up to 65,535 of so many parts of a second.
fn duration(any: u64, parts: f64) -> f64 {
    f64::from(u32::try_from(any >> 48).unwrap_or(0)) / parts
}
