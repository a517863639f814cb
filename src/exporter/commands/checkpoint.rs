//! `etcha-exporter checkpoint show` and `reset`: what is saved, for people, and starting over.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::checkpoint::store::{StateDir, StateDirError, StateView};
use crate::checkpoint::{CURRENT, Checkpoint, DAMAGED, NEW, PREVIOUS, Store as _};
use crate::metrics::catalogue::FamilyId;
use terminal::printable;

/// Name under which a checkpoint is kept that somebody reset.
const RESET: &str = "checkpoint.reset";

/// Why there is nothing to see, or nothing was reset.
#[derive(Debug, thiserror::Error)]
pub(super) enum ViewError {
    /// A file cannot be read or renamed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The state directory is in use, or cannot be used.
    #[error("state directory {0}")]
    State(#[source] StateDirError),
    /// The output does not take it.
    #[error("cannot print: {0}")]
    Write(#[source] io::Error),
}

/// Prints what each checkpoint in `state_dir` holds. Does not disturb an exporter that runs.
///
/// # Errors
///
/// If a file is there and cannot be read, or the output does not take it.
pub(super) fn show(state_dir: &Path, out: &mut impl Write) -> Result<(), ViewError> {
    let view = StateView(state_dir.to_owned());
    let mut shown = false;
    for name in [CURRENT, NEW, PREVIOUS, DAMAGED, RESET] {
        let path = state_dir.join(name);
        let Some(bytes) = view.read(name).map_err(|source| ViewError::Io { path: path.clone(), source })?
        else {
            continue;
        };
        shown = true;
        writeln!(out, "{}, {} bytes", path.display(), bytes.len()).map_err(ViewError::Write)?;
        match Checkpoint::decode(&bytes) {
            Ok(checkpoint) => describe(&checkpoint, out).map_err(ViewError::Write)?,
            Err(reason) => writeln!(out, "  cannot be used  {reason}").map_err(ViewError::Write)?,
        }
    }
    if !shown {
        writeln!(out, "no checkpoint in {}", state_dir.display()).map_err(ViewError::Write)?;
    }
    Ok(())
}

/// Sets the checkpoints in `state_dir` aside, so that the next start reads the whole journal.
///
/// # Errors
///
/// If an exporter uses the directory, or a file cannot be renamed.
pub(super) fn reset(state_dir: &Path, out: &mut impl Write) -> Result<(), ViewError> {
    if !state_dir.exists() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        return Err(ViewError::Io { path: state_dir.to_owned(), source: missing });
    }
    let mut state = StateDir::open(state_dir).map_err(ViewError::State)?;
    let mut kept = false;
    // The current one last: it takes the name over, and is the one worth keeping. A new one that was left behind
    // would be loaded if it stayed.
    for name in [PREVIOUS, NEW, CURRENT] {
        match state.rename(name, RESET) {
            Ok(()) => kept = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ViewError::Io { path: state_dir.join(name), source }),
        }
    }
    state.sync().map_err(|source| ViewError::Io { path: state_dir.to_owned(), source })?;
    let said = if kept {
        writeln!(
            out,
            "set aside as {}; the next start counts again what the journal still holds",
            state_dir.join(RESET).display()
        )
    } else {
        writeln!(out, "no checkpoint in {}", state_dir.display())
    };
    said.map_err(ViewError::Write)
}

fn describe(checkpoint: &Checkpoint, out: &mut impl Write) -> io::Result<()> {
    let time = |milliseconds| {
        Timestamp::from_millisecond(milliseconds).map_or("?".to_owned(), |time| format!("{time:.0}"))
    };
    let tally = checkpoint.follow.tally();
    writeln!(out, "  journal         {}", printable::line(&checkpoint.journal.display().to_string()))?;
    writeln!(out, "  taken           {}", time(checkpoint.taken))?;
    if tally.last_event != 0 {
        writeln!(out, "  latest event    {}", time(tally.last_event))?;
    }
    let [commands, sources, shells, engine, runs, heartbeats, refused] = tally.events;
    writeln!(out, "  events counted  {commands} command, {sources} source, {shells} shell, {engine} engine")?;
    writeln!(out, "                  {runs} run, {heartbeats} heartbeat, {refused} refused")?;
    let rejected = tally.rejected.iter().sum::<u64>();
    writeln!(out, "  lines unusable  {rejected}, seen before {}", tally.duplicates)?;
    for (name, offset) in checkpoint.follow.positions() {
        writeln!(out, "  segment         {name} read to byte {offset}")?;
    }
    for family in FamilyId::GUIDE.into_iter().chain(FamilyId::FURTHER) {
        let (desc, values) = checkpoint.metrics.tables.family(family);
        writeln!(out, "  series          {:6} {}", values.len(), desc.name)?;
    }
    Ok(())
}
