//! The engine's own program, started once more between the engine and what it runs.
//!
//! Between `fork` and `exec` a process would have to leave its session, change its groups and its user, and set limits.
//! Rust has no safe way to do that there. So the engine starts `/proc/self/exe` with one argument, `ARGUMENT`; that new
//! process has one thread and nothing of the engine in its memory, does these steps with safe calls, and then becomes
//! the script, or renders a Jsonnet program. This costs about a millisecond, and has two more advantages over a `fork`:
//! name services are asked in the child, and a process that the script's user owns never has the engine's secrets in
//! its memory. `/proc/self/exe` is the running program itself, also after an upgrade replaced its file.
//!
//! What the child has to do comes in its environment, which only root can read, never on its command line. Variables of
//! the script have a prefix until the child becomes the script, so that `LD_PRELOAD` of a script never applies to a
//! process of root.
//!
//! Standard error is what the script writes to. Standard output is a pipe that closes when the script starts, and tells
//! why if it does not. Standard input is the script's.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader, Read as _};
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use close_fds::CloseFdsBuilder;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Gid, Mode, Uid, fchown};
use rustix::io::{fcntl_dupfd_cloexec, retry_on_intr};
use rustix::process::{setsid, umask};
use rustix::stdio::{dup2_stdout, stderr, stdin, stdout};
use serde::{Deserialize, Serialize};

use super::account::{Account, PERSONAL};

/// The argument that makes the program a child. Not meant for people, who get an error.
pub(crate) const ARGUMENT: &str = "engine-child";

/// The variable that holds a [`Task`].
const TASK: &str = "ETCHA_ENGINE_CHILD";

/// What begins the name of a variable that holds a word of the command line; its index follows.
const WORD: &str = "W";

/// What begins the name of a variable that becomes one of the script.
const VARIABLE: &str = "V";

/// Begins a message about a script that could not start. What comes before it on the pipe is not ours.
const MESSAGE: char = '\x01';

/// Longest such message that is read, in bytes.
const MAX_MESSAGE_BYTES: u64 = 16 * 1024;

/// What scripts create is readable by all and writable by its owner, whatever the engine was started with.
const SCRIPT_UMASK: u32 = 0o022;

/// Why a script with such words and variables does not start.
pub(super) const TOO_MUCH: &str = "script and variables are together more than the system takes";

/// Status of a child that could not do its task. The message matters; this is for people who try it.
const FAILED: u8 = 125;

/// What a child has to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    /// Name or number of the user.
    pub user: Option<String>,
    /// Name or number of the group.
    pub group: Option<String>,
    /// What follows.
    pub then: Then,
}

/// What a child does once it is its user.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Then {
    /// Becomes a script.
    Script {
        /// Where it runs.
        work_dir: Option<PathBuf>,
        /// Whether standard input is the terminal of a session that it leads already.
        terminal: bool,
    },
    /// Renders a Jsonnet program.
    Render,
}

/// A command that starts a child with this task. Its environment holds nothing else.
pub(crate) fn command(task: &Task) -> io::Result<Command> {
    let mut command = Command::new("/proc/self/exe");
    command.args(ARGUMENTS).env_clear().env(TASK, serde_json::to_string(task)?);
    Ok(command)
}

#[cfg(not(test))]
const ARGUMENTS: [&str; 1] = [ARGUMENT];

/// The program of unit tests is this library with a harness around it, so one of its tests is the entry.
#[cfg(test)]
const ARGUMENTS: [&str; 3] = ["exec::child::tests::entry", "--exact", "--nocapture"];

/// Adds what becomes the command line and the environment of the script.
pub(crate) fn add_script(command: &mut Command, words: &[String], variables: &BTreeMap<OsString, OsString>) {
    for (index, word) in words.iter().enumerate() {
        command.env(format!("{WORD}{index}"), word);
    }
    for (name, value) in variables {
        let mut prefixed = OsString::from(VARIABLE);
        prefixed.push(name);
        command.env(prefixed, value);
    }
}

/// What the variable of a child stands for, in words.
pub(crate) fn described(name: &OsStr) -> String {
    let name = name.to_string_lossy();
    match (name.strip_prefix(VARIABLE), name.strip_prefix(WORD)) {
        (Some(variable), _) => format!("the variable `{variable}`"),
        (None, Some(_)) => "the script, or another word of its command line,".to_owned(),
        (None, None) => "the task".to_owned(),
    }
}

/// Why the script did not start; nothing if it did. `status` is the pipe that was the child's standard output. Waits
/// until the script has started, unless the pipe does not block.
pub(crate) fn refusal(status: &mut PipeReader) -> Option<String> {
    let mut text = Vec::new();
    // A pipe that does not block may end with an error, which changes nothing about what was read.
    let _ = status.take(MAX_MESSAGE_BYTES).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    text.rsplit_once(MESSAGE).map(|(_, message)| message.to_owned())
}

/// As [`refusal`], but a child that is not done in time is a reason, too.
pub(crate) fn refusal_within(status: &mut PipeReader, time: Duration) -> Option<String> {
    let mut wanted = [PollFd::new(status, PollFlags::IN)];
    let time_out = Timespec::try_from(time).ok();
    match retry_on_intr(|| poll(&mut wanted, time_out.as_ref())) {
        Ok(0) => Some(format!("not started within {} s", time.as_secs())),
        _ => refusal(status),
    }
}

/// Does the task of a child, if this process is one; `main` asks this before anything else. `render` renders.
pub(crate) fn enter(render: fn(&Task) -> ExitCode) -> Option<ExitCode> {
    // Whatever this process was started with is not for its children, and whatever the engine was started with, and a
    // library forgot, not for a script.
    CloseFdsBuilder::new().cloexecfrom(3);
    let is_child = std::env::args_os().nth(1).is_some_and(|argument| argument == ARGUMENT);
    is_child.then(|| perform(render))
}

fn perform(render: fn(&Task) -> ExitCode) -> ExitCode {
    let task = std::env::var(TASK).ok().and_then(|text| serde_json::from_str::<Task>(&text).ok());
    let Some(task) = task else {
        eprintln!("etcha-engine: `{ARGUMENT}` is for the engine alone, which starts scripts with it");
        return ExitCode::from(FAILED);
    };
    // Not only in `enter`, which unit tests do not go through.
    CloseFdsBuilder::new().cloexecfrom(3);
    match &task.then {
        Then::Render => render(&task),
        Then::Script { work_dir, terminal } => {
            let (status, why) = match own_stdio(*terminal) {
                Ok(status) => {
                    let why = become_script(&task, work_dir.as_ref(), *terminal);
                    (Some(status), why)
                }
                Err(error) => (None, format!("its input and output cannot be set up: {error}")),
            };
            if let Some(status) = status {
                // Nobody else can be told.
                let _ = rustix::io::write(&status, format!("{MESSAGE}{why}").as_bytes());
            }
            ExitCode::from(FAILED)
        }
    }
}

/// Puts standard output where it belongs; what was there is returned, and closes when the script starts.
fn own_stdio(terminal: bool) -> io::Result<OwnedFd> {
    let status = fcntl_dupfd_cloexec(stdout(), 3)?;
    let written = if terminal { stdin() } else { stderr() };
    dup2_stdout(written.as_fd())?;
    Ok(status)
}

/// Does not return if all goes well. Says why it did not.
fn become_script(task: &Task, work_dir: Option<&PathBuf>, terminal: bool) -> String {
    // Not in the session of a terminal, a script can neither wait for it nor type into it.
    if !terminal && let Err(error) = setsid() {
        return format!("no session for it: {error}");
    }
    umask(Mode::from_raw_mode(SCRIPT_UMASK));
    let account = match Account::find(task.user.as_deref(), task.group.as_deref()) {
        Ok(account) => account,
        Err(error) => return error.to_string(),
    };
    if terminal && let Some(user) = account.user() {
        // Else it could not open its own terminal by name.
        let _ = fchown(stdin(), Some(Uid::from_raw(user)), None::<Gid>);
    }
    if let Err(error) = account.assume() {
        return format!("{error}; only root may run scripts as another `user` or `group`");
    }
    if let Some(directory) = work_dir
        && let Err(error) = std::env::set_current_dir(directory)
    {
        return match directory.is_dir() {
            true => format!("`workDir` {}: {error}", directory.display()),
            false => format!("`workDir` {} is no directory", directory.display()),
        };
    }
    let variables = variables(&account);
    let words = words();
    let Some((program, arguments)) = words.split_first() else { return "the script is empty".to_owned() };
    // This also resets the signal mask.
    let error = Command::new(program).args(arguments).env_clear().envs(variables).exec();
    match error.kind() {
        io::ErrorKind::ArgumentListTooLong => TOO_MUCH.to_owned(),
        _ => format!("{}: {error}", program.display()),
    }
}

fn words() -> Vec<OsString> {
    (0..).map_while(|index| std::env::var_os(format!("{WORD}{index}"))).collect()
}

/// The variables of the script, and those of its account where nothing else says so.
fn variables(account: &Account) -> BTreeMap<OsString, OsString> {
    let prefixed = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_vec();
        let name = name.strip_prefix(VARIABLE.as_bytes()).map(OsStr::from_bytes)?.to_owned();
        Some((name, value))
    });
    let mut all: BTreeMap<OsString, OsString> = prefixed.collect();
    for (name, value) in &account.personal {
        debug_assert!(PERSONAL.contains(name));
        all.entry(OsString::from(name)).or_insert_with(|| value.clone());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The child of unit tests; does nothing as a test.
    #[test]
    fn entry() {
        if std::env::var_os(TASK).is_some() {
            perform(crate::jsonnet::child::perform);
        }
    }
}
