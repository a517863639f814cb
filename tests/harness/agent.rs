//! An agent as far as its journal goes: writes the events that a test tells it to, as of now.

use std::path::Path;

use jiff::Timestamp;
use journal_schema::{
    Command, Engine, EngineState, Envelope, Event, Mode, Options, Shell, ShellState, Source, Trigger, Writer,
    encode,
};

/// A run of an agent, started in the journal when it is made.
pub(crate) struct Agent {
    writer: Writer,
}

impl Agent {
    /// One whose process is this test.
    pub(crate) fn start(journal: &Path) -> Self {
        let mut agent = Self { writer: Writer::open(journal, Options::default()).unwrap() };
        let (state, pid) = (EngineState::Started, Some(std::process::id()));
        agent.write(&Event::Engine(Engine { state, version: "1.2.3".into(), pid }));
        agent
    }

    /// Its end, in good order.
    pub(crate) fn stop(&mut self) {
        let (state, pid) = (EngineState::Stopped, None);
        self.write(&Event::Engine(Engine { state, version: "1.2.3".into(), pid }));
    }

    /// A shell of the Source `web`, whose session is named after its key.
    pub(crate) fn shell(&mut self, key: &str, state: ShellState) {
        self.write(&shell(key, state));
    }

    /// The lines of a shell that is over before anybody can look between them, if they are written at once: by a writer
    /// of their own.
    pub(crate) fn brief_shell(key: &str) -> Vec<u8> {
        let mut lines = Vec::new();
        for (seq, state) in [(1, ShellState::Opened), (2, ShellState::Closed)] {
            let envelope = Envelope { writer: "brief".into(), seq, time: Timestamp::now() };
            encode(&envelope, &shell(key, state), &mut lines).unwrap();
        }
        lines
    }

    /// A run of a Source that took half a second and changed one Command, which failed if the run did.
    pub(crate) fn run(&mut self, source: &str, trigger: Trigger, key: &str, error: bool) {
        let remote_addr = if trigger == Trigger::Push { "192.0.2.7" } else { "" };
        for (mode, error) in [(Mode::Check, true), (Mode::Changed, error)] {
            let command = Command {
                id: "nginx".into(),
                mode,
                error,
                parent_id: "".into(),
                source: source.into(),
                public_key: key.into(),
                remote_addr: remote_addr.into(),
                duration_seconds: Some(0.2),
            };
            self.write(&Event::Command(command));
        }
        let run = Source {
            name: source.into(),
            trigger,
            error,
            outcome: None,
            public_key: key.into(),
            remote_addr: remote_addr.into(),
            token_id: "".into(),
            subject: "".into(),
            digest: "".into(),
            changed: Some(1),
            removed: Some(0),
            duration_seconds: Some(0.5),
        };
        self.write(&Event::Source(run));
    }

    fn write(&mut self, event: &Event<'_>) {
        self.writer.append(event).unwrap();
    }
}

fn shell(key: &str, state: ShellState) -> Event<'_> {
    Event::Shell(Shell {
        name: "web".into(),
        session: format!("session-of-{key}").into(),
        state,
        public_key: key.into(),
        remote_addr: "192.0.2.7".into(),
        reason: "".into(),
    })
}
