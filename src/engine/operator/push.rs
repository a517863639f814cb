//! Patterns pushed to other engines, for the person who asks: rendered and built here for each target, then sent to
//! several of them at once.

mod plan;
mod send;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use regex::Regex;
use terminal::{ending, printable};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::exec::process::RunLimits;
use crate::jsonnet::JsonnetError;
use crate::operator::build::BuildError;
use crate::operator::report;
use crate::run::Step;
use crate::wire::client::Client;
use crate::wire::push::PushResult;
use plan::Planned;
pub(crate) use plan::host;
use send::{Answered, send};

/// What is to be pushed, and where.
#[derive(Debug)]
pub(crate) struct PushOptions<'a> {
    /// Name of the Source.
    pub source: &'a str,
    /// A pattern file or a command; what each target says if absent.
    pub argument: Option<&'a str>,
    /// Only ask.
    pub check: bool,
    /// Only Commands whose parents this matches.
    pub filter: Option<&'a Regex>,
    /// Only targets whose names this matches.
    pub targets: Option<&'a Regex>,
    /// A host that need not be among the targets.
    pub host: Option<&'a str>,
    /// In place of what the configuration says.
    pub port: Option<u16>,
    /// In place of what the configuration says, without the Source.
    pub path: Option<&'a str>,
}

/// Why nothing was pushed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushError {
    /// No target has this Source.
    #[error("no target has the source `{0}` in its `sourcePatterns`; add it, or give --host")]
    NoTarget(String),
    /// No target of those that are meant has this Source.
    #[error("no target whose name matches has the source `{0}` in its `sourcePatterns`")]
    NoMatch(String),
    /// The target has no pattern for the Source, and none was given.
    #[error("target `{0}` names no pattern for this source; give a path or a command")]
    NoPattern(String),
    /// The program cannot be read.
    #[error(transparent)]
    Read(JsonnetError),
    /// A signed Pattern was named.
    #[error("{} is signed; name the pattern that it was built from, which is signed anew", .0.display())]
    Token(PathBuf),
    /// It cannot be built for this target.
    #[error("for target `{0}`: {1}")]
    Build(String, #[source] BuildError),
    /// What came of it cannot be written.
    #[error("output: {0}")]
    Output(#[source] io::Error),
    /// The end was asked for.
    #[error("interrupted; targets finish the pushes that they have received")]
    Stopped,
}

/// Builds for every target, then pushes to all of them and says on `out` what each answered, in the order in which they
/// do. Whether all went well.
///
/// # Errors
///
/// There is nothing to push, or nowhere; then nothing was pushed. Or the end was asked for.
pub(crate) async fn push(
    config: &Config,
    push: &PushOptions<'_>,
    limits: &RunLimits,
    out: &mut impl Write,
) -> Result<bool, PushError> {
    let mut report = |step: &Step<'_>| {
        // Whether anybody reads it does not matter to the build.
        let _ = report::step(out, step, false);
    };
    let planned = plan::plan(config, push, limits, &mut report, &mut |said| {
        // Beside the results, which a program may read.
        ending::say("etcha-engine", &printable::line(said));
    })?;
    let workers = config.build.push_max_workers;
    let workers = workers.or_else(|| thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    // As long as the other side may wait and run, if it is set up as this one is.
    let patience = config.timeout_push * 2 + Duration::from_secs(60);
    let client = Arc::new(Client::new(config.trust.clone()));
    tokio::select! {
        well = push_all(planned, client, workers, patience, push.check, out) => well,
        () = limits.stop.asked() => Err(PushError::Stopped),
    }
}

async fn push_all(
    planned: Vec<Planned>,
    client: Arc<Client>,
    workers: usize,
    patience: Duration,
    check: bool,
    out: &mut impl Write,
) -> Result<bool, PushError> {
    let free = Arc::new(Semaphore::new(workers));
    let mut sending = JoinSet::new();
    for one in planned {
        let (client, free) = (Arc::clone(&client), Arc::clone(&free));
        sending.spawn(async move {
            let _worker = free.acquire_owned().await;
            let answered = send(&client, &one, patience).await;
            (one.name, answered)
        });
    }
    let mut well = true;
    while let Some(sent) = sending.join_next().await {
        let Ok((name, answered)) = sent else { continue };
        well &= answered.result.as_ref().is_ok_and(|result| result.err.is_empty());
        say(out, &name, &answered, check).and_then(|()| out.flush()).map_err(PushError::Output)?;
    }
    Ok(well)
}

/// What a target answered, for a person: a line, and below it what each Command did and said.
fn say(out: &mut impl Write, name: &str, answered: &Answered, check: bool) -> io::Result<()> {
    let took = report::duration(answered.duration);
    let result = match &answered.result {
        Ok(result) => result,
        Err(why) => {
            return writeln!(out, "{name}: failed in {took}: {}", printable::line(&why.to_string()));
        }
    };
    let empty = Vec::new();
    let list = |list: &Option<Vec<String>>| list.as_ref().map_or(0, Vec::len);
    let (changed, removed) = (list(&result.changed_ids), list(&result.removed_ids));
    match (result.err.as_str(), check, changed + removed) {
        ("", true, needed) => writeln!(out, "{name}: {needed} to do, checked in {took}")?,
        ("", false, 0) => writeln!(out, "{name}: nothing to do, checked in {took}")?,
        ("", false, _) => writeln!(out, "{name}: {changed} changed, {removed} removed in {took}")?,
        (err, ..) => {
            let err = printable::line(err);
            writeln!(out, "{name}: {changed} changed, {removed} removed, then it failed in {took}: {err}")?;
        }
    }
    let PushResult { changed_ids, changed_outputs, removed_ids, removed_outputs, exit, .. } = result;
    let words = if check { ["needed", "removal"] } else { ["changed", "removed"] };
    for (word, ids, outputs) in
        [(words[0], changed_ids, changed_outputs), (words[1], removed_ids, removed_outputs)]
    {
        let outputs = outputs.as_ref().unwrap_or(&empty);
        for (at, id) in ids.iter().flatten().enumerate() {
            writeln!(out, "  {word:8} {}", printable::line(id))?;
            for line in printable::text(outputs.get(at).map_or("", String::as_str)).lines() {
                writeln!(out, "           | {line}")?;
            }
        }
    }
    if *exit { writeln!(out, "  the engine ends, as a command asked it to") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::send::SendError;
    use super::*;

    fn said(result: Result<PushResult, SendError>, check: bool) -> String {
        let mut out = Vec::new();
        say(&mut out, "web1", &Answered { result, duration: Duration::from_millis(1500) }, check).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn people_are_told_per_target_what_changed_and_how_long_it_took() {
        let list = |ids: &[&str]| Some(ids.iter().map(|id| (*id).to_owned()).collect());
        let result = PushResult {
            changed_ids: list(&["a", "b"]),
            changed_outputs: list(&["one\ntwo", ""]),
            removed_ids: list(&["old"]),
            removed_outputs: list(&["gone"]),
            ..PushResult::default()
        };
        assert_eq!(
            said(Ok(result.clone()), false),
            "web1: 2 changed, 1 removed in 1.50 s\n  changed  a\n           | one\n           | two\n  \
             changed  b\n  removed  old\n           | gone\n"
        );
        assert!(
            said(Ok(result.clone()), true).starts_with("web1: 3 to do, checked in 1.50 s\n  needed   a\n")
        );
        let failed = PushResult { err: "changing web > b: exit status 1".to_owned(), ..result };
        assert!(said(Ok(failed), false).starts_with(
            "web1: 2 changed, 1 removed, then it failed in 1.50 s: changing web > b: exit status 1\n"
        ));
        assert_eq!(said(Ok(PushResult::default()), false), "web1: nothing to do, checked in 1.50 s\n");
        let hostile = PushResult {
            changed_ids: list(&["evil\u{1b}]0;OWNED\u{7}\nweb2: 1 changed"]),
            changed_outputs: list(&["\u{1b}[2J\u{9b}1A\nred\tx"]),
            err: "\u{1b}]52;c;ZXZpbA==\u{7}\nweb2: fine".to_owned(),
            ..PushResult::default()
        };
        assert_eq!(
            said(Ok(hostile), false),
            "web1: 1 changed, 0 removed, then it failed in 1.50 s: \\u{1b}]52;c;ZXZpbA==\\u{7}\\nweb2: fine\n  \
             changed  evil\\u{1b}]0;OWNED\\u{7}\\nweb2: 1 changed\n           | \\u{1b}[2J\\u{9b}1A\n           | red\tx\n"
        );
        let late = SendError::TooSlow(Duration::from_secs(9));
        assert_eq!(
            said(Err(late), false),
            "web1: failed in 1.50 s: no answer within 9 s; the run may still go on there\n"
        );
    }
}
