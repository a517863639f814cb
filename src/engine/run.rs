//! A run: lists of Commands, one after the other, each asked by its check whether it has to act. What is to run is
//! decided by then; who is told about it, and how, is the caller's matter.

mod parents;
mod summary;
mod variables;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use regex::Regex;
use terminal::printable;

use crate::exec::Exec;
use crate::exec::output::Output;
use crate::exec::process::{self, Ending, Finished, RunLimits};
use crate::pattern::command::{Body, Command, Scripts, Target};
pub(crate) use parents::Parents;
#[cfg(test)]
pub(crate) use summary::MAX_KEPT_BYTES;
pub(crate) use summary::{CommandResult, Failure, Summary, WEBHOOK_BODY};
#[cfg(test)]
pub(crate) use variables::MAX_VALUE_BYTES;
use variables::Variables;

/// Time for everything that is set off by a failure, when the run itself has no more.
const ON_FAIL_TIME: Duration = Duration::from_secs(60);

/// Whether Commands are made so or undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Forwards, with the change scripts.
    Change,
    /// Backwards, with the remove scripts.
    Remove,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It asked whether there is something to do.
    Check,
    /// It changed.
    Change,
    /// It removed.
    Remove,
}

/// What holds for a whole run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunContext<'a> {
    /// Name of the Source.
    pub source: &'a str,
    /// How scripts run, where a Command says nothing else.
    pub exec: &'a Exec,
    /// Only Commands whose parents this matches anywhere; others are passed over in silence.
    pub filter: Option<&'a Regex>,
    /// Ask, but do not act.
    pub check_only: bool,
    /// How long it may take.
    pub limits: &'a RunLimits,
}

/// Something that counts: a Command was asked, or has acted. One row of the decision table.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    /// Id of the Command.
    pub id: &'a str,
    /// The groups around it.
    pub parents: &'a Parents,
    /// What it did.
    pub mode: Mode,
    /// For a check: action is needed. Otherwise: the script failed.
    pub error: bool,
    /// The script's process; nothing if none was needed to know.
    pub finished: Option<&'a Finished>,
    /// Ids of the Commands that set this one off, if any did.
    pub via: &'a [String],
}

/// Commands that were set off by others and have not run with success since. They keep their turn when a run ends early or
/// they fail: what was changed then will not be changed, and set them off, once more.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    changed: Via,
    removed: Via,
}

/// By the number of the Command that is set off: ids of those that did.
type Via = HashMap<usize, Vec<String>>;

impl Pending {
    /// Sets off the Command with this number in the next run.
    pub(crate) fn set_off(&mut self, phase: Phase, number: usize, by: &str) {
        let known = self.of(phase).entry(number).or_default();
        if !known.iter().any(|known| known == by) {
            known.push(by.to_owned());
        }
    }

    /// The Commands that set off the change of the Command with this number.
    pub(crate) fn set_off_by(&self, number: usize) -> &[String] {
        self.changed.get(&number).map(Vec::as_slice).unwrap_or_default()
    }

    fn of(&mut self, phase: Phase) -> &mut Via {
        match phase {
            Phase::Change => &mut self.changed,
            Phase::Remove => &mut self.removed,
        }
    }
}

/// What is known before a check is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beforehand {
    /// There is nothing to do, and nothing to ask.
    Skip,
    /// Act, whatever a check would say.
    Act,
    /// The check decides.
    Ask,
}

/// What is known about a Command before its check is asked.
pub(crate) fn beforehand(scripts: &Scripts, set_off: bool) -> Beforehand {
    if scripts.always || set_off {
        Beforehand::Act
    } else if scripts.check.is_empty() {
        Beforehand::Skip
    } else {
        Beforehand::Ask
    }
}

/// Whether a check that succeeded, or did not, asks for action: what is not there has to be changed, what is there
/// can be removed.
pub(crate) fn is_needed(phase: Phase, succeeded: bool) -> bool {
    match phase {
        Phase::Change => !succeeded,
        Phase::Remove => succeeded,
    }
}

/// Runs `stages` in order until one fails. `report` hears of every step as it is done, and `set_off` of what is still to be
/// done whenever a Command has set off another one.
pub(crate) fn run(
    context: RunContext<'_>,
    stages: &[(Phase, &[Command])],
    variables: &BTreeMap<String, String>,
    pending: &mut Pending,
    report: &mut dyn FnMut(&Step<'_>),
    set_off: &mut dyn FnMut(&Pending),
) -> Summary {
    let begin = Instant::now();
    let mut run =
        Run { context, variables: Variables::new(variables), outputs: Vec::new(), kept: 0, report, set_off };
    let top = Parents::top(context.source);
    let failure = stages.iter().enumerate().find_map(|(at, (phase, commands))| {
        let failure = run.list(commands, *phase, &top, pending).err()?;
        let is_before =
            *phase == Phase::Remove && stages[at..].iter().any(|(phase, _)| *phase == Phase::Change);
        Some(if is_before { Box::new(failure.before_new_pattern()) } else { failure })
    });
    // What is removed does not come back: nothing of it is left for the next run.
    pending.removed.clear();
    Summary { outputs: run.outputs, failure: failure.map(|failure| *failure), duration: begin.elapsed() }
}

struct Run<'a> {
    context: RunContext<'a>,
    /// Shared by all Commands of the run.
    variables: Variables,
    outputs: Vec<CommandResult>,
    /// Bytes of output that are kept in `outputs`.
    kept: usize,
    report: &'a mut dyn FnMut(&Step<'_>),
    set_off: &'a mut dyn FnMut(&Pending),
}

impl Run<'_> {
    /// Whether any Command of the list acted.
    fn list(
        &mut self,
        commands: &[Command],
        phase: Phase,
        parents: &Parents,
        pending: &mut Pending,
    ) -> Result<bool, Box<Failure>> {
        let mut any = false;
        for turn in 0..commands.len() {
            let index = if phase == Phase::Change { turn } else { commands.len() - 1 - turn };
            let command = &commands[index];
            let acted = match &command.body {
                Body::Group(children) => self.list(children, phase, &parents.inside(&command.id), pending)?,
                Body::Scripts(scripts) => {
                    let done = self.command(command, scripts, phase, parents, pending);
                    if let Err(failure) = &done
                        && phase == Phase::Change
                    {
                        self.after_failure(commands, index, scripts, failure, parents);
                    }
                    done?
                }
            };
            if acted {
                self.set_off(commands, index, phase, parents, pending);
            }
            any |= acted;
        }
        Ok(any)
    }

    /// Whether the Command acted, and did so with success.
    fn command(
        &mut self,
        command: &Command,
        scripts: &Scripts,
        phase: Phase,
        parents: &Parents,
        pending: &mut Pending,
    ) -> Result<bool, Box<Failure>> {
        if self.context.filter.is_some_and(|filter| !filter.is_match(parents.path())) {
            return Ok(false);
        }
        let via = pending.of(phase).get(&command.number).cloned().unwrap_or_default();
        let mut check_output = String::new();
        match beforehand(scripts, !via.is_empty()) {
            Beforehand::Skip => {
                self.variables.set(scripts, "_CHECK", "0");
                self.step(command, parents, Mode::Check, false, None, &via);
                return Ok(false);
            }
            Beforehand::Act => self.step(command, parents, Mode::Check, true, None, &via),
            Beforehand::Ask => {
                let finished = self.script(scripts, &scripts.check, self.context.limits);
                if !finished.ending.is_answer() {
                    // Neither "there" nor "not there", so it counts as neither. To act on it would be a guess.
                    return Err(Box::new(Failure::new("checking", &command.id, parents, &finished)));
                }
                let needed = is_needed(phase, finished.ending.is_success());
                self.variables.set(scripts, "_CHECK", if needed { "1" } else { "0" });
                self.variables.set_checked(scripts, &finished.output.text);
                self.step(command, parents, Mode::Check, needed, Some(&finished), &via);
                if !needed {
                    return Ok(false);
                }
                check_output = self.keep(&finished);
            }
        }
        self.variables.set(scripts, "_CHECK", "1");
        let output =
            CommandResult { needed: true, check_output, ..CommandResult::new(command, parents, phase) };
        if self.context.check_only {
            self.outputs.push(output);
            return Ok(false);
        }
        let acted = self.act(command, scripts, phase, parents, output, &via)?;
        pending.of(phase).remove(&command.number);
        Ok(acted)
    }

    fn act(
        &mut self,
        command: &Command,
        scripts: &Scripts,
        phase: Phase,
        parents: &Parents,
        mut output: CommandResult,
        via: &[String],
    ) -> Result<bool, Box<Failure>> {
        let (script, mode, doing) = match phase {
            Phase::Change => (&scripts.change, Mode::Change, "changing"),
            Phase::Remove => (&scripts.remove, Mode::Remove, "removing"),
        };
        if script.is_empty() {
            self.outputs.push(output);
            return Ok(false);
        }
        let finished = self.script(scripts, script, self.context.limits);
        let failed = !finished.ending.is_success();
        self.variables.set_acted(scripts, phase, failed, &finished.output.text);
        self.step(command, parents, mode, failed, Some(&finished), via);
        output.output = self.keep(&finished);
        output.body = self.keep_body(command, scripts, &finished);
        (output.changed, output.removed) = (phase == Phase::Change, phase == Phase::Remove);
        output.failed = failed;
        self.outputs.push(output);
        if failed {
            return Err(Box::new(Failure::new(doing, &command.id, parents, &finished)));
        }
        Ok(true)
    }

    /// What a success sets off: events, and Commands of the same list. Never the Command itself: it would act again in
    /// every run from now on.
    fn set_off(
        &mut self,
        commands: &[Command],
        index: usize,
        phase: Phase,
        parents: &Parents,
        pending: &mut Pending,
    ) {
        let (command, mut any) = (&commands[index], false);
        let targets = match phase {
            Phase::Change => &command.on_change,
            Phase::Remove => &command.on_remove,
        };
        for target in targets {
            match target {
                Target::Event(name) => self.event(command, parents, phase, name),
                Target::Commands(regex) => {
                    let others = commands.iter().enumerate().filter(|(at, _)| *at != index);
                    // A group has no scripts of its own to run: setting it off would only be remembered for ever.
                    for (_, other) in others.filter(|(_, other)| other.scripts().is_some()) {
                        if regex.is_match(&other.id) {
                            pending.set_off(phase, other.number, &command.id);
                            any = phase == Phase::Change;
                        }
                    }
                }
            }
        }
        if any {
            (self.set_off)(pending);
        }
    }

    /// Events of the failed Command, and the change scripts of later Commands in its list: those that are set off,
    /// and those that run always. They are not counted, and what fails among them is only logged.
    fn after_failure(
        &mut self,
        commands: &[Command],
        index: usize,
        scripts: &Scripts,
        failure: &Failure,
        parents: &Parents,
    ) {
        if self.context.check_only || failure.ending == Ending::Stopped {
            return;
        }
        for target in &scripts.on_fail {
            if let Target::Event(name) = target {
                self.event(&commands[index], parents, Phase::Change, name);
            }
        }
        let mut limits = self.context.limits.clone();
        if limits.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            limits.deadline = Some(Instant::now() + ON_FAIL_TIME);
        }
        for later in &commands[index + 1..] {
            let Some(later_scripts) = later.scripts() else { continue };
            let is_set_off = later_scripts.always
                || scripts
                    .on_fail
                    .iter()
                    .any(|target| matches!(target, Target::Commands(regex) if regex.is_match(&later.id)));
            if is_set_off && !later_scripts.change.is_empty() {
                self.change_after_failure(later, later_scripts, parents, &limits);
            }
        }
    }

    fn change_after_failure(
        &mut self,
        command: &Command,
        scripts: &Scripts,
        parents: &Parents,
        limits: &RunLimits,
    ) {
        let finished = self.script(scripts, &scripts.change, limits);
        let failed = !finished.ending.is_success();
        self.variables.set_acted(scripts, Phase::Change, failed, &finished.output.text);
        if failed {
            let failure = Failure::new("changing", &command.id, parents, &finished);
            tracing::error!(source = self.context.source, "after a failure: {failure}");
        }
        let mut output = CommandResult::new(command, parents, Phase::Change);
        output.output = self.keep(&finished);
        output.body = self.keep_body(command, scripts, &finished);
        (output.changed, output.failed) = (true, failed);
        self.outputs.push(output);
    }

    /// Notes an event on the Command's output; a group gets one for it. Two events also print it.
    fn event(&mut self, command: &Command, parents: &Parents, phase: Phase, name: &str) {
        let own = self.outputs.iter().rposition(|output| output.number == command.number);
        let at = own.unwrap_or_else(|| {
            self.outputs.push(CommandResult::new(command, parents, phase));
            self.outputs.len() - 1
        });
        let output = &mut self.outputs[at];
        output.events.push(name.to_owned());
        // Who reads it may have gone, which is no reason to stop.
        let _ = match name {
            "stdout" => print(&mut std::io::stdout().lock(), &output.output),
            "stderr" => print(&mut std::io::stderr().lock(), &output.output),
            _ => Ok(()),
        };
    }

    fn script(&self, scripts: &Scripts, script: &str, limits: &RunLimits) -> Finished {
        if self.context.exec.refuses(&scripts.exec) {
            tracing::warn!(source = self.context.source, "`exec` of a command is not allowed to override");
        }
        let exec = self.context.exec.with(&scripts.exec);
        process::run(&exec, script, scripts.stdin.as_deref(), self.variables.all(), limits)
    }

    fn step(
        &mut self,
        command: &Command,
        parents: &Parents,
        mode: Mode,
        error: bool,
        finished: Option<&Finished>,
        via: &[String],
    ) {
        (self.report)(&Step { id: &command.id, parents, mode, error, finished, via });
    }

    /// The output of a script, as long as a run has not kept too much already.
    fn keep(&mut self, finished: &Finished) -> String {
        let text = &finished.output.text;
        if self.kept + text.len() > summary::MAX_KEPT_BYTES {
            tracing::warn!(source = self.context.source, "a run keeps no more output; the rest is left out");
            return String::new();
        }
        self.kept += text.len();
        text.clone()
    }

    /// The bytes that a script wrote, if they are to be the answer to a request. Of a script that wrote too much, it is
    /// what people see.
    fn keep_body(&mut self, command: &Command, scripts: &Scripts, finished: &Finished) -> Vec<u8> {
        let mut targets = command.on_change.iter().chain(&command.on_remove).chain(&scripts.on_fail);
        let is_answer = targets.any(|target| matches!(target, Target::Event(name) if name == WEBHOOK_BODY));
        if !is_answer {
            return Vec::new();
        }
        let Output { text, raw, .. } = &finished.output;
        let body = raw.as_deref().unwrap_or(text.as_bytes());
        if self.kept + body.len() > summary::MAX_KEPT_BYTES {
            return Vec::new();
        }
        self.kept += body.len();
        body.to_vec()
    }
}

/// Prints what a script wrote: as it is for a program that reads it, and for a person so that it does not act on the
/// terminal.
fn print(out: &mut (impl Write + IsTerminal), text: &str) -> std::io::Result<()> {
    let text = if out.is_terminal() { printable::text(text) } else { Cow::Borrowed(text) };
    writeln!(out, "{text}")
}

#[cfg(test)]
mod tests;
