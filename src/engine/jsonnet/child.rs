//! Rendering in a process of its own: as the user of the Source that a program is for, and with limits that the system
//! keeps. What goes wrong there ends that process; the engine reads an answer or how the process ended.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit, setsid};
use serde_json::Value;

use super::protocol::{MAX_ANSWER_BYTES, MAX_REQUEST_BYTES, RenderAnswer, RenderRequest};
use super::{Imports, JsonnetError, Natives, evaluate};
use crate::exec::account::{Account, AccountError};
use crate::exec::child::{Task, Then};
use crate::exec::process::{Ending, run_child};

/// Memory of a rendering, in bytes, its program included. Programs of hundreds of Commands need a tenth of it.
pub(crate) const MEMORY_BYTES: u64 = 512 * 1024 * 1024;

/// Stack of the thread that evaluates, in bytes. It keeps most of its depth elsewhere.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Files that may be open: three, and the one that `getFile` reads, with some to spare for name services.
const FILES: u64 = 16;

/// Renders in a child, within `time`.
pub(super) fn render(imports: &Imports, natives: &Natives, time: Duration) -> Result<Value, JsonnetError> {
    let failed = |why: String| JsonnetError(format!("{}: {why}", imports.entrypoint));
    let request = RenderRequest {
        imports: imports.clone(),
        directory: imports.directory.clone(),
        config: natives.config.clone(),
        env: natives.env.clone(),
    };
    let request = request.encode().map_err(|error| failed(error.to_string()))?;
    let (user, group) = natives.account.clone();
    let task = Task { user, group, then: Then::Render };
    let (ending, output) = run_child(&task, request, MAX_ANSWER_BYTES, Instant::now() + time)
        .map_err(|error| failed(format!("not rendered: {error}")))?;
    let output = output.map_err(|more| {
        let limit = MAX_ANSWER_BYTES / 1024 / 1024;
        failed(format!("renders to more than {limit} MiB ({more} bytes more)"))
    });
    if ending != Ending::Exit(0) {
        return Err(failed(explained(&ending, &output.unwrap_or_default(), time)));
    }
    let (traces, rendered) = RenderAnswer::decode(&output?).map_err(|error| failed(error.to_string()))?;
    for message in traces {
        tracing::info!(file = imports.entrypoint, "trace: {}", terminal::printable::line(&message));
    }
    // What is wrong with the program has its place already.
    rendered
}

/// Why a child ended without an answer.
fn explained(ending: &Ending, output: &[u8], time: Duration) -> String {
    const ABORT: i32 = Signal::ABORT.as_raw();
    const SEGV: i32 = Signal::SEGV.as_raw();
    const KILL: i32 = Signal::KILL.as_raw();
    let said = String::from_utf8_lossy(output);
    match ending {
        Ending::TimedOut => format!("not rendered within {} s; it may never end", time.as_secs_f32()),
        Ending::Signal(ABORT) if said.contains("memory allocation") => out_of_memory(),
        Ending::Signal(KILL) => out_of_memory(),
        Ending::Signal(SEGV | ABORT) if said.contains("overflow") || said.is_empty() => {
            "not rendered: values are nested too deep".to_owned()
        }
        other => format!("not rendered: {other}; {}", super::protocol::cut(said.trim())),
    }
}

fn out_of_memory() -> String {
    format!("not rendered: it needs more than {} MiB of memory", MEMORY_BYTES / 1024 / 1024)
}

/// Why the child does not come to evaluate.
#[derive(Debug, thiserror::Error)]
enum ChildError {
    /// The Source's user or group is not there.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// It may not become this user or group.
    #[error("{0}; only root may render a Pattern as the Source's `user` or `group`")]
    Rights(#[source] Errno),
    /// The system does not set a limit.
    #[error(transparent)]
    Limit(#[from] Errno),
    /// The request does not come, or the system gives no thread.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The request cannot be understood.
    #[error(transparent)]
    RenderRequest(#[from] serde_json::Error),
    /// The thread that evaluates ended early.
    #[error("the evaluation broke off")]
    Broken,
}

/// The child's part: reads a request from standard input and writes the answer to standard error.
pub(crate) fn perform(task: &Task) -> ExitCode {
    let answer = limited(task).and_then(|account| answer(&account));
    let answer = answer.unwrap_or_else(|error| {
        RenderAnswer::new(Vec::new(), Err(JsonnetError(format!("not rendered: {error}"))))
    });
    let written = answer.encode().map(|bytes| std::io::stderr().write_all(&bytes));
    match written {
        Ok(Ok(())) => ExitCode::SUCCESS,
        // Nobody reads it any more.
        _ => ExitCode::FAILURE,
    }
}

/// Becomes the user, and gives up everything that rendering does not need.
fn limited(task: &Task) -> Result<Account, ChildError> {
    setsid()?;
    let account = Account::find(task.user.as_deref(), task.group.as_deref())?;
    // When memory runs out, this is what should go first. Not every system lets it.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    account.assume().map_err(ChildError::Rights)?;
    // After it: it would be forgotten with a change of user.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let seconds = super::DEADLINE.as_secs() + 1;
    let limits = [
        (Resource::As, MEMORY_BYTES),
        (Resource::Core, 0),
        (Resource::Cpu, seconds),
        (Resource::Fsize, 0),
        (Resource::Nofile, FILES),
    ];
    for (resource, limit) in limits {
        let both = Rlimit { current: Some(limit), maximum: Some(limit) };
        setrlimit(resource, both)?;
    }
    Ok(account)
}

fn answer(account: &Account) -> Result<RenderAnswer, ChildError> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(MAX_REQUEST_BYTES).read_to_end(&mut bytes)?;
    let mut request = RenderRequest::decode(&bytes)?;
    drop(bytes);
    for (name, value) in &account.personal {
        let value = value.to_string_lossy().into_owned();
        request.env.entry((*name).to_owned()).or_insert(value);
    }
    let RenderRequest { mut imports, directory, config, env } = request;
    imports.directory = directory;
    let natives = Natives { config, env, account: (None, None) };
    let evaluating = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let mut traces = Vec::new();
        let rendered = evaluate(&imports, &natives, &mut traces);
        RenderAnswer::new(traces, rendered)
    });
    evaluating?.join().map_err(|_| ChildError::Broken)
}
