//! Jsonnet to JSON. A program sees its own files ([`imports`]) and a few native functions: `getConfig()`, `getArch()`,
//! `getOS()`, `getEnv(key, fallback)`, `getFile(path, fallback)` and `regexMatch(regex, string)`. The two with a fallback
//! fail where there is neither a value nor a fallback (`null`).
//!
//! Each rendering has a thread of its own with a deadline, because nothing else ends a program that never does: the
//! thread is then left alone, and when [`MAX_ABANDONED`] are, nothing is rendered any more.

pub mod imports;
mod natives;
mod problem;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use rsjsonnet_lang::arena::Arena;
use rsjsonnet_lang::interner::InternedStr;
use rsjsonnet_lang::program::{
    Callbacks, EvalStackTraceItem, ImportError, NativeError, Program, Thunk, Value as JsonnetValue,
};
use rsjsonnet_lang::span::SpanId;
use serde_json::Value;

pub use imports::Imports;
pub use natives::Natives;
use problem::Sources;

/// Longest rendering.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Threads that may be busy for ever with programs that did not end in time.
pub const MAX_ABANDONED: usize = 4;

/// Nested calls that a program may have open: the customary limit of Jsonnet.
const MAX_CALLS: usize = 500;

/// Stack of a rendering thread, in bytes. Evaluation itself keeps its depth on the heap.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// Threads that did not end in time and have not ended since.
static ABANDONED: AtomicUsize = AtomicUsize::new(0);

/// Why there is no JSON: where in which file, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonnetError(String);

impl std::fmt::Display for JsonnetError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for JsonnetError {}

/// Renders the entry point of `imports`.
///
/// # Errors
///
/// Anything that is wrong with the program, or that it takes too long.
pub fn render(imports: &Imports, natives: &Natives) -> Result<Value, JsonnetError> {
    render_within(imports, natives, DEADLINE)
}

fn render_within(imports: &Imports, natives: &Natives, deadline: Duration) -> Result<Value, JsonnetError> {
    if ABANDONED.load(Ordering::Relaxed) >= MAX_ABANDONED {
        return Err(JsonnetError(format!(
            "{}: not rendered: {MAX_ABANDONED} renderings did not end in time and still run; restart the engine",
            imports.entrypoint
        )));
    }
    let (imports_of_thread, natives) = (imports.clone(), natives.clone());
    // Whoever comes first, the thread with its result or the deadline, turns it.
    let decided = Arc::new(AtomicBool::new(false));
    let decided_by_thread = Arc::clone(&decided);
    let (send, receive) = sync_channel(1);
    let thread = thread::Builder::new().name("jsonnet".to_owned()).stack_size(STACK_BYTES).spawn(move || {
        let rendered = evaluate(&imports_of_thread, &natives);
        if decided_by_thread.swap(true, Ordering::Relaxed) {
            ABANDONED.fetch_sub(1, Ordering::Relaxed);
        }
        // Nobody may want it any more.
        let _ = send.send(rendered);
    });
    let failed = |what: &str| JsonnetError(format!("{}: {what}", imports.entrypoint));
    thread.map_err(|error| failed(&format!("no thread to render it: {error}")))?;
    match receive.recv_timeout(deadline) {
        Ok(rendered) => rendered,
        Err(RecvTimeoutError::Timeout) => {
            ABANDONED.fetch_add(1, Ordering::Relaxed);
            if decided.swap(true, Ordering::Relaxed) {
                // It came to its end just now.
                ABANDONED.fetch_sub(1, Ordering::Relaxed);
            }
            Err(failed(&format!("not rendered within {} s; it may never end", deadline.as_secs_f32())))
        }
        Err(RecvTimeoutError::Disconnected) => Err(failed("rendering it ended early")),
    }
}

fn evaluate(imports: &Imports, natives: &Natives) -> Result<Value, JsonnetError> {
    let arena = Arena::new();
    let mut program = Program::new(&arena);
    program.set_max_stack(MAX_CALLS);
    natives::register(&mut program);
    let mut session = Session { imports, natives, sources: Sources::default(), failure: Cell::new(None) };
    let name = imports.entrypoint.as_str();
    let Some(text) = imports.files.get(name) else {
        return Err(JsonnetError(format!("{name}: is not among the files of the program")));
    };
    let entry = session.load(&mut program, name, text).map_err(JsonnetError)?;
    let value = program.eval_value(&entry, &mut session);
    let value = value.map_err(|error| session.explain(&program, &error))?;
    let json = program.manifest_json(&value, false).map_err(|error| session.explain(&program, &error))?;
    serde_json::from_str(&json).map_err(|error| JsonnetError(format!("{name}: {error}")))
}

/// What the evaluator asks for.
struct Session<'a> {
    imports: &'a Imports,
    natives: &'a Natives,
    sources: Sources<'a>,
    /// Why the last callback failed: its error type carries nothing.
    failure: Cell<Option<String>>,
}

impl<'a> Session<'a> {
    fn load<'p>(
        &mut self,
        program: &mut Program<'p>,
        name: &'a str,
        text: &'a str,
    ) -> Result<Thunk<'p>, String> {
        let (context, source) = program.span_manager_mut().insert_source_context(text.len());
        self.sources.add(source, name, text);
        let loaded = program.load_source(context, text.as_bytes(), true, name);
        loaded.map_err(|error| self.sources.load_error(program.span_manager(), &error))
    }

    fn explain(&self, program: &Program<'_>, error: &rsjsonnet_lang::program::EvalError) -> JsonnetError {
        JsonnetError(self.sources.eval_error(program.span_manager(), error, self.failure.take()))
    }

    /// The file that is meant by `path` in the file that holds `from`.
    fn find(
        &self,
        program: &Program<'_>,
        from: SpanId,
        path: &str,
    ) -> Result<(&'a str, &'a str), ImportError> {
        let importer = self.sources.name(program.span_manager(), from);
        self.imports.resolve(importer, path).ok_or_else(|| {
            self.failure.set(Some(format!("`{path}` is not among the files of the program")));
            ImportError
        })
    }
}

impl<'p> Callbacks<'p> for Session<'_> {
    fn import(
        &mut self,
        program: &mut Program<'p>,
        from: SpanId,
        path: &str,
    ) -> Result<Thunk<'p>, ImportError> {
        let (name, text) = self.find(program, from, path)?;
        self.load(program, name, text).map_err(|why| {
            self.failure.set(Some(why));
            ImportError
        })
    }

    fn import_str(
        &mut self,
        program: &mut Program<'p>,
        from: SpanId,
        path: &str,
    ) -> Result<String, ImportError> {
        self.find(program, from, path).map(|(_, text)| text.to_owned())
    }

    fn import_bin(
        &mut self,
        program: &mut Program<'p>,
        from: SpanId,
        path: &str,
    ) -> Result<Vec<u8>, ImportError> {
        self.find(program, from, path).map(|(_, text)| text.as_bytes().to_vec())
    }

    fn trace(&mut self, _program: &mut Program<'p>, message: &str, _stack: &[EvalStackTraceItem]) {
        tracing::info!(file = self.imports.entrypoint, "trace: {message}");
    }

    fn native_call(
        &mut self,
        program: &mut Program<'p>,
        name: InternedStr<'p>,
        args: &[JsonnetValue<'p>],
    ) -> Result<JsonnetValue<'p>, NativeError> {
        self.natives.call(program, name.value(), args).map_err(|why| {
            self.failure.set(Some(format!("{}: {why}", name.value())));
            NativeError
        })
    }
}

#[cfg(test)]
mod tests;
