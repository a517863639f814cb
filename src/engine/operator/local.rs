//! A Pattern run here and now, for the person who asks. Nothing is recorded in the journal: it is no run of the engine.

use std::collections::BTreeMap;
use std::io::{self, Write};

use regex::Regex;
use serde_json::Map;

use crate::config::Config;
use crate::exec::process::RunLimits;
use crate::jsonnet::JsonnetError;
use crate::operator::build;
use crate::operator::report;
use crate::program::{self, ProgramError, View};
use crate::run::{Failure, Pending, Phase, RunContext, Step, run};

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Local<'a> {
    /// A file, or Commands as Jsonnet text.
    pub argument: &'a str,
    /// Only Commands whose parents this matches.
    pub filter: Option<&'a Regex>,
    /// Undo instead of do.
    pub remove: bool,
    /// Name of the Source whose settings hold, if there are any.
    pub source: &'a str,
}

/// Why nothing ran, or not to the end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    /// The program cannot be read.
    #[error(transparent)]
    Read(JsonnetError),
    /// It is no Pattern.
    #[error(transparent)]
    Program(ProgramError),
    /// A build Command failed.
    #[error(transparent)]
    Build(Failure),
    /// What happens cannot be written.
    #[error("output: {0}")]
    Output(#[source] io::Error),
}

/// Runs the build Commands, then with what they found out the others, and says on `out` what happens. Whether all went
/// well.
///
/// # Errors
///
/// There is nothing that could run, or building it failed.
pub(crate) fn local(
    config: &Config,
    local: &Local<'_>,
    limits: &RunLimits,
    out: &mut impl Write,
) -> Result<bool, LocalError> {
    let imports = program::of_argument(local.argument).map_err(LocalError::Read)?;
    let check_only = config.sources.get(local.source).is_some_and(|source| source.check_only);
    let mut pattern =
        View::new(config, local.source, &Map::new()).render(&imports).map_err(LocalError::Program)?;
    if !pattern.build.is_empty() {
        let mut report = |step: &Step<'_>| say(out, step, false);
        let built = build::run_commands(config, &pattern, limits, &mut report).map_err(LocalError::Build)?;
        let view = View::new(config, local.source, &built.run_vars);
        pattern = view.render(&imports).map_err(LocalError::Program)?;
    }
    let exec = View::new(config, local.source, &Map::new()).exec().with(&pattern.run_exec);
    let context = RunContext { source: local.source, exec: &exec, filter: local.filter, check_only, limits };
    let phase = if local.remove { Phase::Remove } else { Phase::Change };
    let stages = [(phase, pattern.run.as_slice())];
    let summary = run(
        context,
        &stages,
        &BTreeMap::new(),
        &mut Pending::default(),
        &mut |step| say(out, step, check_only),
        &mut |_| {},
    );
    report::summary(out, &summary, check_only).map_err(LocalError::Output)?;
    Ok(summary.failure.is_none())
}

/// Somebody who does not listen any more is no reason to stop in the middle.
fn say(out: &mut impl Write, step: &Step<'_>, check_only: bool) {
    let _ = report::step(out, step, check_only).and_then(|()| out.flush());
}
