//! Under which name and number the next line stands: those of a writer by itself, or those of one writer that many
//! short processes continue one after the other.
//!
//! The shared numbers are in a small file beside the journal, `.journal.jsonl.append`, and the process that holds its
//! lock may write. The number is saved before the line is written. So a process that dies in between leaves a gap,
//! which readers see, and never a number twice. If the file is from before a reboot, the journal may have a higher
//! number. If it is missing or damaged, the last line of this writer in the active file gives the number; if there is
//! none, a new writer begins.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::active::{Active, follow_links};
use super::{lock, search};

/// What the names of shared writers begin with: they are found again by it.
pub(super) const PREFIX: &str = "append-";

/// How long to wait for the turn. Each takes well below a millisecond; beyond this a holder was stopped or hangs, and
/// the line is worth more than its place in the shared numbers.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Between two looks whether it is our turn.
const PAUSE: Duration = Duration::from_millis(1);

/// The state file's first word and version. A file of another form is as good as none.
const FORM: &str = "etcha-append-1";

/// Largest state file that is read, in bytes. It has about a hundred.
const MAX_BYTES: usize = 512;

/// Where a writer's name and numbers come from.
pub(super) enum Numbers {
    /// A name for this writer alone.
    Own {
        name: String,
        /// The last one used.
        seq: u64,
    },
    /// The name of one writer that many processes continue.
    Shared { name: String },
}

/// The right to write one line, with its number. Others wait while it is there.
pub(super) struct Turn {
    pub(super) seq: u64,
    /// Holds the lock.
    _state: Option<File>,
}

/// The shared numbers as they are kept.
#[derive(Debug, PartialEq, Eq)]
struct State {
    name: String,
    /// The last number used.
    seq: u64,
    /// What names this boot of the host: what was written before another one may not have reached the disk.
    boot: String,
}

impl Numbers {
    /// A fresh, random name.
    pub(super) fn own() -> Result<Numbers, getrandom::Error> {
        Ok(Numbers::Own { name: format!("{:016x}", getrandom::u64()?), seq: 0 })
    }

    /// The shared name of the journal at `path`.
    pub(super) fn shared(path: &Path, active: &Active) -> io::Result<Numbers> {
        let (state, _, file) = take(path, active)?;
        state.write(&file)?;
        Ok(Numbers::Shared { name: state.name })
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Numbers::Own { name, .. } | Numbers::Shared { name } => name,
        }
    }

    /// The next number. It is used up, whatever becomes of the line.
    pub(super) fn next(&mut self, path: &Path, active: &Active) -> io::Result<Turn> {
        match self {
            Numbers::Own { seq, .. } => {
                *seq += 1;
                Ok(Turn { seq: *seq, _state: None })
            }
            Numbers::Shared { name } => {
                let (mut state, path, file) = take(path, active)?;
                state.seq += 1;
                state.write(&file).map_err(|error| at(&path, &error))?;
                name.clone_from(&state.name);
                Ok(Turn { seq: state.seq, _state: Some(file) })
            }
        }
    }
}

impl State {
    fn fresh(boot: String) -> io::Result<State> {
        let number = getrandom::u64().map_err(io::Error::other)?;
        Ok(State { name: format!("{PREFIX}{number:016x}"), seq: 0, boot })
    }

    fn parse(text: &[u8]) -> Option<State> {
        let text = std::str::from_utf8(text).ok()?.strip_suffix('\n')?;
        let mut words = text.split(' ');
        let mut next = || words.next();
        let (form, name, seq, boot) = (next()?, next()?, next()?, next()?);
        let right =
            form == FORM && crate::line::is_writer(name) && name.starts_with(PREFIX) && next().is_none();
        right.then_some(State { name: name.to_owned(), seq: seq.parse().ok()?, boot: boot.to_owned() })
    }

    /// Always as long as before, for the same name and boot: a number does not leave the rest of a longer one behind.
    fn text(&self) -> String {
        format!("{FORM} {} {:020} {}\n", self.name, self.seq, self.boot)
    }

    fn write(&self, file: &File) -> io::Result<()> {
        let text = self.text();
        file.write_all_at(text.as_bytes(), 0)?;
        if file.metadata()?.len() != text.len() as u64 {
            file.set_len(text.len() as u64)?;
        }
        Ok(())
    }

    fn read(file: &File) -> io::Result<Option<State>> {
        let mut bytes = [0; MAX_BYTES];
        let mut filled = 0;
        loop {
            match file.read_at(&mut bytes[filled..], filled as u64)? {
                0 => return Ok(State::parse(&bytes[..filled])),
                read => filled += read,
            }
        }
    }
}

/// Waits for the turn, and finds out where the numbers are. The file stays locked for as long as it is open.
fn take(path: &Path, active: &Active) -> io::Result<(State, PathBuf, File)> {
    let real = follow_links(path)?;
    let state_path = lock::beside(&real, "append");
    let journal = active.file.metadata()?;
    let file = turn(&state_path, &journal).map_err(|error| at(&state_path, &error))?;
    let boot = boot();
    let known = State::read(&file).map_err(|error| at(&state_path, &error))?;
    let state = match known {
        Some(state) if state.boot == boot => state,
        Some(state) => {
            // The journal is synced and this file is not: whichever has the larger number is right.
            let last = search::last_number(&real, &state.name)?.unwrap_or(0);
            State { seq: state.seq.max(last), boot, ..state }
        }
        // An older segment would not do: what came after it may be gone, and a number twice is a line lost.
        None => match search::last_in_active(&real, PREFIX)? {
            Some((name, seq)) => State { name, seq, boot },
            None => State::fresh(boot)?,
        },
    };
    Ok((state, state_path, file))
}

/// The locked state file that is under its name at that moment.
#[expect(
    clippy::disallowed_methods,
    reason = "the lock of another process gives no sign, and there is a deadline"
)]
fn turn(path: &Path, journal: &fs::Metadata) -> io::Result<File> {
    let deadline = Instant::now() + MAX_WAIT;
    loop {
        let file = lock::open(path, journal)?;
        let mut is_ours = lock::try_take(&file)?;
        while !is_ours && Instant::now() < deadline {
            thread::sleep(PAUSE);
            is_ours = lock::try_take(&file)?;
        }
        if !is_ours {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "another process does not give the lock back",
            ));
        }
        // It may have been removed meanwhile, and then others would lock another file.
        let (held, there) = (file.metadata()?, fs::symlink_metadata(path));
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino())) {
            return Ok(file);
        }
    }
}

/// What names this boot of the host; a word that is always the same where the system does not say.
fn boot() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot: String = boot.chars().filter(|one| one.is_ascii_alphanumeric() || *one == '-').collect();
    if boot.is_empty() { "unknown".to_owned() } else { boot }
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_state_is_read_back_and_anything_else_is_none() {
        let state = State { name: format!("{PREFIX}7"), seq: 42, boot: "b-1".to_owned() };
        assert_eq!(State::parse(state.text().as_bytes()), Some(State { ..state }));
        for damaged in [
            "",
            "\n",
            "etcha-append-1 append-7 42\n",
            "etcha-append-1 append-7 42 b",
            "etcha-append-1 w 1 b\n",
        ] {
            assert_eq!(State::parse(damaged.as_bytes()), None, "{damaged:?}");
        }
        assert_eq!(State::parse(&[0; 70]), None);
    }
}
