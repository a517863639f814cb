//! The guard: a process of its own that records how a shell or a run ended, whatever dies.
//!
//! It is this program again, in a session of its own, at the other end of a pipe. It records that a shell is opened,
//! before the shell starts, so that no recorded shell is ever left without an end. At the end, the wrapper says how its
//! command ended. If the pipe closes before that, the wrapper was killed, and the guard records it: it hangs up a
//! shell, as a terminal would, and records the outcome of a run as unknown. Signals that end everything on a terminal
//! or in a service do not end it before that.

use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use journal_schema::{Event, Options, Outcome, Shell, ShellState, Source, Trigger, Writer};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::command::{self, Ending};
use crate::{ToolError, say};

/// Signals that are ignored stay so over `exec`, and nothing but a shell can ask for that without unsafe code.
const START: &str = "trap '' HUP INT QUIT TERM; exec \"$0\" guard";

/// Why a shell is closed whose wrapper was killed.
const WRAPPER_DIED: &str = "wrapper died";

/// Record the end of a shell or a run (started by `shell` and `run`)
#[derive(clap::Args)]
#[command(hide = true)]
pub(crate) struct Arguments {}

/// Variable that names its session to a shell. The guard finds the shell by it if the wrapper was killed after it had
/// started the shell and before it could say so.
const SESSION: &str = "ETCHA_SESSION";

/// What is to be recorded, and where.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) journal: PathBuf,
    pub(crate) what: What,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum What {
    Shell { name: String, session: String, public_key: String, remote_addr: String },
    Run { name: String, trigger: Trigger, public_key: String, remote_addr: String },
}

/// How it ended, as far as the journal is concerned.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    failed: bool,
    seconds: Option<f64>,
    reason: String,
}

#[derive(Serialize, Deserialize)]
enum Message {
    Task(Task),
    /// Process id of the command.
    Started(u32),
    Ended(End),
}

/// The wrapper's end of the pipe.
struct Guard {
    child: Child,
    pipe: ChildStdin,
}

impl Task {
    /// Appends an event to the task's journal. A journal that cannot be written is no reason to stop work.
    fn record(&self, event: &Event<'_>) {
        if let Err(error) = append(&self.journal, event) {
            say(error);
        }
    }

    /// What is to be said at the beginning, if anything is.
    fn opened(&self) -> Option<Event<'_>> {
        match self.end(None) {
            Event::Shell(shell) => {
                Some(Event::Shell(Shell { state: ShellState::Opened, reason: "".into(), ..shell }))
            }
            _ => None,
        }
    }

    /// The variable that the command gets.
    fn variable(&self) -> Option<(&str, &str)> {
        match &self.what {
            What::Shell { session, .. } => Some((SESSION, session)),
            What::Run { .. } => None,
        }
    }

    fn end<'a>(&'a self, end: Option<&'a End>) -> Event<'a> {
        match &self.what {
            What::Run { name, trigger, public_key, remote_addr } => Event::Source(Source {
                name: name.into(),
                trigger: *trigger,
                error: end.is_none_or(|end| end.failed),
                outcome: end.is_none().then_some(Outcome::Unknown),
                public_key: public_key.into(),
                remote_addr: remote_addr.into(),
                token_id: "".into(),
                subject: "".into(),
                digest: "".into(),
                changed: None,
                removed: None,
                duration_seconds: end.and_then(|end| end.seconds),
            }),
            What::Shell { name, session, public_key, remote_addr } => Event::Shell(Shell {
                name: name.into(),
                session: session.into(),
                state: ShellState::Closed,
                public_key: public_key.into(),
                remote_addr: remote_addr.into(),
                reason: end.map_or(WRAPPER_DIED, |end| &end.reason).into(),
            }),
        }
    }
}

impl Guard {
    /// A guard, or a word about why there is none: then a kill of this process leaves no trace of the end.
    fn start_or_warn(task: &Task) -> Option<Guard> {
        let guard = Guard::start(task);
        guard.inspect_err(|error| say(format_args!("cannot start the guard: {error}"))).ok()
    }

    fn start(task: &Task) -> io::Result<Guard> {
        let program = std::env::current_exe()?;
        let started = Guard::spawn(Command::new("/bin/sh").args(["-c", START]).arg(&program));
        let mut child = match started {
            // A container without a shell: this guard ends with all else that a service manager ends.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Guard::spawn(Command::new(&program).arg("guard"))?
            }
            started => started?,
        };
        let pipe = child.stdin.take().ok_or_else(|| io::Error::other("no pipe"))?;
        let mut guard = Guard { child, pipe };
        guard.say(&Message::Task(task.clone()))?;
        Ok(guard)
    }

    fn spawn(command: &mut Command) -> io::Result<Child> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    }

    /// Waits until the guard has recorded that the shell is opened; `None` if it ended before it said so. What went wrong
    /// with the journal is the text.
    #[expect(clippy::disallowed_methods, reason = "the guard is this program, and its line is short")]
    fn opened(&mut self) -> Option<String> {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take()?).read_line(&mut line).ok()?;
        line.ends_with('\n').then(|| line.trim().to_owned())
    }

    /// Says which process it is.
    fn started(&mut self, pid: u32) {
        // A guard that is gone says so at the end.
        let _ = self.say(&Message::Started(pid));
    }

    /// Says how it ended, and waits until that is recorded.
    fn ended(mut self, end: End) -> io::Result<()> {
        self.say(&Message::Ended(end))?;
        drop(self.pipe);
        let output = self.child.wait_with_output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(terminal::printable::line(said.trim()).into_owned()))
    }

    fn say(&mut self, message: &Message) -> io::Result<()> {
        let mut text = serde_json::to_vec(message)?;
        text.push(b'\n');
        self.pipe.write_all(&text)
    }
}

/// Runs a command under guard, and hands its exit status on.
pub(crate) fn wrap(task: &Task, command: &[OsString]) -> ExitCode {
    let mut guard = Guard::start_or_warn(task);
    if let Some(opened) = task.opened() {
        match guard.as_mut().and_then(Guard::opened) {
            Some(error) if error.is_empty() => {}
            Some(error) => anstream::eprintln!("etcha-journal: {}", terminal::printable::line(&error)),
            None => task.record(&opened),
        }
    }
    let ending = command::run(command, task.variable(), |pid| {
        if let Some(guard) = &mut guard {
            guard.started(pid);
        }
    });
    record_end(task, guard, &ending);
    if let Ending::NotStarted(error) = &ending {
        let program = command.first().map_or_else(Default::default, |program| program.to_string_lossy());
        say(format_args!("{}: {error}", terminal::printable::line(&program)));
    }
    ending.exit_code()
}

/// Has the end recorded: by the guard, or here if there is none.
fn record_end(task: &Task, guard: Option<Guard>, ending: &Ending) {
    let end = || End {
        failed: !ending.succeeded(),
        seconds: ending.took().map(|took| took.as_secs_f64()),
        reason: ending.reason(),
    };
    match guard.map(|guard| guard.ended(end())) {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            say(format_args!("the end was not recorded by the guard: {error}"));
            task.record(&task.end(Some(&end())));
        }
        None => task.record(&task.end(Some(&end()))),
    }
}

/// The journal's path, wherever the guard runs.
pub(crate) fn absolute(journal: &Path) -> Result<PathBuf, ToolError> {
    std::path::absolute(journal).map_err(|source| ToolError::Path { path: journal.to_owned(), source })
}

/// The guard itself.
pub(crate) fn run(_: &Arguments) -> Result<ExitCode, ToolError> {
    // Away from the terminal: its end is not ours. This cannot fail for a process that was just started.
    let _ = rustix::process::setsid();
    let (mut task, mut command, mut end) = (None, None, None);
    let messages = serde_json::Deserializer::from_reader(io::stdin()).into_iter::<Message>();
    // A message that was cut off is none: its writer was killed.
    for message in messages.map_while(Result::ok) {
        match message {
            Message::Task(given) => {
                record_opened(&given);
                task = Some(given);
            }
            Message::Started(pid) => {
                let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
                command = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
            }
            Message::Ended(given) => end = Some(given),
        }
    }
    let Some(task) = task else {
        return Err(ToolError::usage("guard: to be started by `shell` and `run` alone"));
    };
    if let (None, Some(variable)) = (&end, task.variable()) {
        // Its terminal's other end is gone, or soon will be; a shell that goes on would be one that nobody sees.
        for shell in command.map_or_else(|| find_processes(variable), |shell| vec![shell]) {
            let _ = pidfd_send_signal(&shell, Signal::HUP);
        }
    }
    append(&task.journal, &task.end(end.as_ref()))?;
    Ok(ExitCode::SUCCESS)
}

/// Records that a shell is opened, if it is one, and says so to the wrapper in a line, with what went wrong.
fn record_opened(task: &Task) {
    if let Some(opened) = task.opened() {
        let error = append(&task.journal, &opened).err().map(|error| error.to_string());
        // A wrapper that is gone shows at the end of the pipe.
        let _ = writeln!(io::stdout(), "{}", error.unwrap_or_default().replace('\n', " "));
    }
}

/// [`processes_with`], looked for again and again for a while: a process that is just replacing itself by another program has
/// no variables at that moment.
#[expect(clippy::disallowed_methods, reason = "nothing says when a process has replaced itself")]
fn find_processes(variable: (&str, &str)) -> Vec<OwnedFd> {
    const LOOKS: u32 = 10;
    const PAUSE: Duration = Duration::from_millis(20);
    for _ in 0..LOOKS {
        let found = processes_with(variable);
        if !found.is_empty() {
            return found;
        }
        thread::sleep(PAUSE);
    }
    Vec::new()
}

/// The processes, as far as this user may look at them, that were started with a variable.
fn processes_with((name, value): (&str, &str)) -> Vec<OwnedFd> {
    let wanted = format!("{name}={value}");
    let is_wanted = |process: &Path| {
        std::fs::read(process.join("environ"))
            .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes()))
    };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let open = |process: PathBuf| {
        let pid = Pid::from_raw(process.file_name()?.to_str()?.parse().ok()?)?;
        // The descriptor first: the number may go to another process in between.
        let process_itself = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        is_wanted(&process).then_some(process_itself)
    };
    processes.filter_map(|entry| open(entry.path())).collect()
}

fn append(journal: &Path, event: &Event<'_>) -> Result<(), ToolError> {
    let mut writer = Writer::open_continued(journal, Options { max_bytes: 0, ..Options::default() })?;
    let appended = writer.append(event);
    if let Some(warning) = writer.take_warning() {
        say(warning);
    }
    appended?;
    Ok(writer.close()?)
}

/// A name for a session that was never used before.
pub(crate) fn session_name() -> Result<String, ToolError> {
    Ok(format!("{:016x}", getrandom::u64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_by_the_variable_that_it_was_started_with() {
        let value = format!("test of {}", std::process::id());
        let mut child = Command::new("sleep").arg("1000").env(SESSION, &value).spawn().unwrap();
        assert_eq!(processes_with((SESSION, &value[1..])).len(), 0);
        let found = find_processes((SESSION, &value));
        assert_eq!(found.len(), 1);
        // No hang-up: it is ignored in all that is started below `nohup`.
        pidfd_send_signal(&found[0], Signal::TERM).unwrap();
        let ended_by = std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap());
        assert_eq!(ended_by, Some(Signal::TERM.as_raw()));
    }
}
