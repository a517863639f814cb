//! From a program to a signed token: the build Commands run here, and what they found out travels along.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use terminal::replace;

use crate::config::Config;
use crate::config::signing::KeyError;
use crate::exec::process::RunLimits;
use crate::jsonnet::{Imports, JsonnetError};
use crate::pattern::Pattern;
use crate::program::{self, ProgramError, View};
use crate::run::{Failure, Pending, Phase, RunContext, Step, Summary, run};
use crate::wire::token::{self, SignError};

/// Mode of a token: it carries variables, and those may be secrets.
const MODE: u32 = 0o600;

/// What build Commands belong to, in place of a Source.
const SOURCE: &str = "build";

/// Events of build Commands: the rest of the name is a variable, and the output its value.
const RUN_VAR: &str = "runVar_";

/// Event of build Commands whose output describes what was built.
const MANIFEST: &str = "buildManifest";

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The program cannot be read.
    #[error(transparent)]
    Read(JsonnetError),
    /// It is no Pattern.
    #[error(transparent)]
    Program(ProgramError),
    /// A build Command failed.
    #[error(transparent)]
    Failed(Failure),
    /// There is no key to sign with.
    #[error(transparent)]
    Key(KeyError),
    /// Signing failed.
    #[error("signing: {0}")]
    Sign(#[source] SignError),
    /// The token cannot be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// Where it was to go.
        path: PathBuf,
        /// Why it did not.
        source: std::io::Error,
    },
}

/// What the build Commands of a Pattern left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Built {
    /// Variables for the receiving instance: those of the Pattern, and over them those that Commands found out.
    pub run_vars: Map<String, Value>,
    /// What Commands said about the build.
    pub manifest: String,
}

/// Runs the build Commands of `pattern`.
///
/// # Errors
///
/// The first Command that fails.
pub(crate) fn run_commands(
    config: &Config,
    pattern: &Pattern,
    limits: &RunLimits,
    report: &mut dyn FnMut(&Step<'_>),
) -> Result<Built, Failure> {
    let exec = config.exec.with(&pattern.build_exec);
    let context = RunContext { source: SOURCE, exec: &exec, filter: None, check_only: false, limits };
    let stages = [(Phase::Change, pattern.build.as_slice())];
    let summary = run(context, &stages, &BTreeMap::new(), &mut Pending::default(), report, &mut |_| {});
    let built = collect(pattern, &summary);
    match summary.failure {
        Some(failure) => Err(failure),
        None => Ok(built),
    }
}

/// Builds the program in the file `path` and writes the token to `destination`, or where the Pattern says. Says where.
///
/// # Errors
///
/// Anything on the way; then nothing was written.
pub(crate) fn build(
    config: &Config,
    path: &Path,
    destination: Option<&Path>,
    limits: &RunLimits,
    report: &mut dyn FnMut(&Step<'_>),
) -> Result<PathBuf, BuildError> {
    let key = config.build.signing.key().map_err(BuildError::Key)?;
    let imports = Imports::of_path(path).map_err(BuildError::Read)?;
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let directory = absolute.parent().map(|directory| directory.to_string_lossy().into_owned());
    let view = View::new(config, SOURCE, &Map::new())
        .with("srcDir", directory.unwrap_or_default())
        .with("srcPath", absolute.to_string_lossy().into_owned());
    let pattern = view.render(&imports).map_err(BuildError::Program)?;
    let built = run_commands(config, &pattern, limits, report).map_err(BuildError::Failed)?;
    let token = token::sign(&claims(&pattern, imports, built), key).map_err(BuildError::Sign)?;
    let destination = destination.map_or_else(|| PathBuf::from(&pattern.build_output), Path::to_owned);
    match replace::file(&destination, MODE, token.as_bytes()) {
        Ok(()) => Ok(destination),
        Err(source) => Err(BuildError::Write { path: destination, source }),
    }
}

fn collect(pattern: &Pattern, summary: &Summary) -> Built {
    let mut built = Built { run_vars: pattern.run_vars.clone(), manifest: String::new() };
    for output in &summary.outputs {
        for event in &output.events {
            if let Some(name) = event.strip_prefix(RUN_VAR) {
                built.run_vars.insert(name.to_owned(), output.output.clone().into());
            } else if event == MANIFEST {
                built.manifest.push_str(&output.output);
                built.manifest.push('\n');
            }
        }
    }
    built
}

/// What a token for `pattern` says.
pub(super) fn claims(pattern: &Pattern, imports: Imports, built: Built) -> token::Claims {
    let now = program::now();
    let lasting = |expires_in: std::time::Duration| i64::try_from(expires_in.as_secs()).unwrap_or(i64::MAX);
    token::Claims {
        build_manifest: built.manifest,
        pattern: Some(imports),
        run_vars: Some(built.run_vars),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        audience: pattern.audience.clone(),
        bound: None,
        expires: pattern.expires_in.map(|expires_in| now.saturating_add(lasting(expires_in))),
        issued: Some(now),
        not_before: Some(now),
        id: pattern.id.clone(),
        issuer: pattern.issuer.clone(),
        subject: pattern.subject.clone(),
    }
}
