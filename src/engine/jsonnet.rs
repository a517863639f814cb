//! Jsonnet to JSON. A program sees its own files (`imports`), the standard library, and the native functions of
//! `natives`; `etcha.libsonnet` gives these their optional parameters.
//!
//! `render` evaluates in a child process (`child`), which has the rights of the Source's user and limits of memory,
//! time and files: what a program does wrong ends that child. [`protocol`] is what both say to each other. [`evaluate`]
//! does it in this process, for programs that are trusted.

pub(crate) mod child;
pub(crate) mod imports;
mod natives;
mod problem;
pub mod protocol;
pub(crate) mod sysinfo;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use rsjsonnet_lang::arena::Arena;
use rsjsonnet_lang::interner::InternedStr;
use rsjsonnet_lang::program::{
    Callbacks, EvalStackTraceItem, ImportError, NativeError, Program, Thunk, Value as JsonnetValue,
};
use rsjsonnet_lang::span::SpanId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use imports::Imports;
use natives::NativeFailure;
pub use natives::{FUNCTIONS, Natives};
use problem::Sources;
use protocol::{MAX_TRACES, cut};

/// Longest rendering.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Nested calls that a program may have open: the customary limit of Jsonnet.
const MAX_CALLS: usize = 500;

/// What stands before each file of a program, in its first line: the standard library with the engine's part over it.
const PRELUDE: &str = "local etchaStd = std; local std = etchaStd + (import 'etcha:std'); ";

/// The name of the engine's part, and its text.
const LIBRARY: (&str, &str) = ("etcha:std", include_str!("jsonnet/etcha.libsonnet"));

/// Why there is no JSON: where in which file, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
pub struct JsonnetError(pub String);

/// Renders the entry point of `imports`, in a child process.
///
/// # Errors
///
/// Anything that is wrong with the program, or that it needs too much of something.
pub(crate) fn render(imports: &Imports, natives: &Natives) -> Result<Value, JsonnetError> {
    child::render(imports, natives, DEADLINE)
}

/// Renders in this process, without limits. `traces` gets what the program prints with `std.trace`.
///
/// # Errors
///
/// Anything that is wrong with the program.
pub fn evaluate(
    imports: &Imports,
    natives: &Natives,
    traces: &mut Vec<String>,
) -> Result<String, JsonnetError> {
    let arena = Arena::new();
    let mut program = Program::new(&arena);
    program.set_max_stack(MAX_CALLS);
    natives::register(&mut program);
    let mut evaluation =
        Evaluation { imports, natives, traces, sources: Sources::default(), failure: Cell::new(None) };
    let name = imports.entrypoint.as_str();
    let Some(text) = imports.files.get(name) else {
        return Err(JsonnetError(format!("{name}: is not among the files of the program")));
    };
    let entry = evaluation.load(&mut program, name, text)?;
    let value = evaluation.value(&mut program, &entry);
    let value = value.map_err(|error| evaluation.explain(&program, &error))?;
    let json = program.manifest_json(&value, false);
    json.map_err(|error| evaluation.explain(&program, &error))
}

/// Why a callback of the evaluator failed.
#[derive(Debug, thiserror::Error)]
enum CallbackError {
    /// A program imports what did not come with it.
    #[error("`{0}` is not among the files of the program")]
    NoFile(String),
    /// A file that is imported cannot be loaded.
    #[error(transparent)]
    Import(JsonnetError),
    /// A native function, by its name, failed.
    #[error("{name}: {source}")]
    Native {
        /// Its name.
        name: String,
        /// Why it failed.
        source: NativeFailure,
    },
}

/// What the evaluator asks for.
struct Evaluation<'a> {
    imports: &'a Imports,
    natives: &'a Natives,
    traces: &'a mut Vec<String>,
    sources: Sources,
    /// Why the last callback failed: its error type carries nothing.
    failure: Cell<Option<CallbackError>>,
}

impl<'a> Evaluation<'a> {
    fn load<'p>(
        &mut self,
        program: &mut Program<'p>,
        name: &str,
        text: &str,
    ) -> Result<Thunk<'p>, JsonnetError> {
        let text = format!("{PRELUDE}{text}");
        self.load_as_it_is(program, name, &text, PRELUDE.len())
    }

    /// `skipped`: how many bytes at the begin of `text` are not the program's.
    fn load_as_it_is<'p>(
        &mut self,
        program: &mut Program<'p>,
        name: &str,
        text: &str,
        skipped: usize,
    ) -> Result<Thunk<'p>, JsonnetError> {
        let (context, source) = program.span_manager_mut().insert_source_context(text.len());
        self.sources.add(source, Rc::from(name), Rc::from(text), skipped);
        let loaded = program.load_source(context, text.as_bytes(), true, name);
        loaded.map_err(|error| self.sources.load_error(program.span_manager(), &error))
    }

    /// The value of a file. A function stands for what it returns when it is called without arguments.
    fn value<'p>(
        &mut self,
        program: &mut Program<'p>,
        file: &Thunk<'p>,
    ) -> Result<JsonnetValue<'p>, Box<rsjsonnet_lang::program::EvalError>> {
        let value = program.eval_value(file, self).map_err(Box::new)?;
        match value.is_function() {
            true => program.eval_call(file, &[], &[], self).map_err(Box::new),
            false => Ok(value),
        }
    }

    fn explain(&self, program: &Program<'_>, error: &rsjsonnet_lang::program::EvalError) -> JsonnetError {
        self.sources.eval_error(program.span_manager(), error, self.failure.take())
    }

    /// What the text of a program, rendered by another one, comes to.
    fn rendered<'p>(
        &mut self,
        program: &mut Program<'p>,
        text: &str,
    ) -> Result<JsonnetValue<'p>, JsonnetError> {
        let loaded = self.load(program, "/render", text)?;
        self.value(program, &loaded).map_err(|error| self.explain(program, &error))
    }

    /// The file that is meant by `path` in the file that holds `from`.
    fn find(
        &self,
        program: &Program<'_>,
        from: SpanId,
        path: &str,
    ) -> Result<(&'a str, &'a str), ImportError> {
        let importer = self.sources.name(program.span_manager(), from);
        self.imports.resolve(&importer, path).ok_or_else(|| {
            self.failure.set(Some(CallbackError::NoFile(path.to_owned())));
            ImportError
        })
    }
}

impl<'p> Callbacks<'p> for Evaluation<'_> {
    fn import(
        &mut self,
        program: &mut Program<'p>,
        from: SpanId,
        path: &str,
    ) -> Result<Thunk<'p>, ImportError> {
        let loaded = if path == LIBRARY.0 {
            self.load_as_it_is(program, LIBRARY.0, LIBRARY.1, 0)
        } else {
            let (name, text) = self.find(program, from, path)?;
            self.load(program, name, text)
        };
        loaded.map_err(|why| {
            self.failure.set(Some(CallbackError::Import(why)));
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
        if self.traces.len() < MAX_TRACES {
            self.traces.push(cut(message));
        }
    }

    fn native_call(
        &mut self,
        program: &mut Program<'p>,
        name: InternedStr<'p>,
        args: &[JsonnetValue<'p>],
    ) -> Result<JsonnetValue<'p>, NativeError> {
        let called = match name.value() {
            "render" => natives::text(args, 0, "string")
                .and_then(|text| self.rendered(program, &text).map_err(NativeFailure::Rendered)),
            "getPath" => Ok(JsonnetValue::string(&self.imports.directory())),
            other => self.natives.call(program, other, args),
        };
        called.map_err(|source| {
            self.failure.set(Some(CallbackError::Native { name: name.value().to_owned(), source }));
            NativeError
        })
    }
}

#[cfg(test)]
mod tests;
