//! What came of a run: what each Command that had to act did, and why the run ended early if it did.

use std::fmt;
use std::time::Duration;

use super::{Parents, Phase};
use crate::exec::process::{Ending, Finished};
use crate::pattern::command::Command;

/// Output of scripts that one run keeps, in bytes: ten thousand Commands that talk must not fill the memory.
pub(crate) const MAX_KEPT_BYTES: usize = 8 * 1024 * 1024;

/// Output in an error message, in bytes: its end, where scripts say what went wrong.
const MAX_MESSAGE_BYTES: usize = 4 * 1024;

/// What there is to do about a removal that fails before a new Pattern.
const WAY_OUT: &str = " (the new pattern waits for it; mend what it needs, or set `noRemove` of the source)";

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Summary {
    /// Commands that had to act, in the order in which they did. Those with nothing to do are left out.
    pub outputs: Vec<CommandResult>,
    /// Why it ended early.
    pub failure: Option<Failure>,
    /// How long it took, by a clock that never jumps.
    pub duration: Duration,
}

impl Summary {
    /// Commands that were changed. One whose change failed is among them: nobody knows how far it came.
    pub(crate) fn changed(&self) -> impl Iterator<Item = &CommandResult> {
        self.outputs.iter().filter(|output| output.changed)
    }

    /// Commands that were removed, in the same sense.
    pub(crate) fn removed(&self) -> impl Iterator<Item = &CommandResult> {
        self.outputs.iter().filter(|output| output.removed)
    }
}

/// The event whose output is the answer to a request to a webhook path.
pub(crate) const WEBHOOK_BODY: &str = "webhookBody";

/// What a Command did that had to act, or would have had to.
#[derive(Clone, Debug)]
pub(crate) struct CommandResult {
    /// Id of the Command.
    pub id: String,
    /// Its number in the Pattern.
    pub(super) number: usize,
    /// Whether it was to be made so or undone.
    pub phase: Phase,
    /// Source, groups and id, as people see them.
    pub display: String,
    /// Action was needed, or forced.
    pub needed: bool,
    /// The change script ran.
    pub changed: bool,
    /// The remove script ran.
    pub removed: bool,
    /// It ran and failed.
    pub failed: bool,
    /// What the check said.
    pub check_output: String,
    /// What the change or remove script said.
    pub output: String,
    /// The same with each of its bytes, where it is to be the answer to a request: see [`WEBHOOK_BODY`].
    pub body: Vec<u8>,
    /// Events that it fired, in order.
    pub events: Vec<String>,
}

impl CommandResult {
    pub(super) fn new(command: &Command, parents: &Parents, phase: Phase) -> CommandResult {
        CommandResult {
            id: command.id.clone(),
            number: command.number,
            phase,
            display: parents.display(&command.id),
            needed: false,
            changed: false,
            removed: false,
            failed: false,
            check_output: String::new(),
            output: String::new(),
            body: Vec::new(),
            events: Vec::new(),
        }
    }
}

/// Why a run ended early.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// What was being done, such as `changing`.
    doing: &'static str,
    /// Source, groups and id of the Command.
    display: String,
    /// How its script ended.
    pub ending: Ending,
    /// Whether a new Pattern waits for it.
    in_the_way: bool,
    /// What the script said.
    output: String,
}

impl Failure {
    pub(super) fn new(doing: &'static str, id: &str, parents: &Parents, finished: &Finished) -> Failure {
        let text = &finished.output.text;
        let begin = text.ceil_char_boundary(text.len().saturating_sub(MAX_MESSAGE_BYTES));
        let cut = if begin > 0 { "[…] " } else { "" };
        Failure {
            doing,
            display: parents.display(id),
            ending: finished.ending.clone(),
            in_the_way: false,
            output: format!("{cut}{}", &text[begin..]),
        }
    }

    /// It was in the way of a new Pattern, for whoever pushed that one and may not know the old one.
    pub(super) fn before_new_pattern(mut self) -> Failure {
        self.in_the_way = true;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { doing, display, ending, in_the_way, output } = self;
        write!(out, "{doing} {display}: {ending}")?;
        if *in_the_way {
            out.write_str(WAY_OUT)?;
        }
        if output.is_empty() { Ok(()) } else { write!(out, ": {output}") }
    }
}

impl std::error::Error for Failure {}
