//! Setting the active file aside, once whoever else writes to it, and removing the oldest segments.
//!
//! A lock that only writers can take decides which of several writers rotates. It is never waited for: another holder
//! is rotating, or was stopped while it did, and that must not stop an agent. Nothing here writes a line.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::active::{Active, follow_links};
use super::lock;
use crate::segments::directory_of;

/// Form of the time in a segment's name. As text it sorts like the time.
const TIME_FORM: &str = "%Y%m%dT%H%M%S.%9fZ";

/// What the form yields, for telling our segments from other files.
const TIME_SHAPE: &[u8] = b"ddddddddTdddddd.dddddddddZ";

/// Names tried before giving up, when every one is taken already.
const MAX_NAMES: usize = 64;

/// How an attempt to rotate ended.
pub(super) enum Rotated {
    /// The file has another name now, and its path is free.
    Done {
        /// Old segments could not be listed or removed.
        trouble: Option<io::Error>,
    },
    /// Another file lies under the path already.
    ByAnother,
    /// Somebody else holds the lock.
    Busy,
}

/// Renames the active file to a name with a time, and removes the oldest segments but `keep`. Where the lock cannot be
/// had it does nothing, or, if it must `insist`, it goes on without: a journal that grows for ever is worse than what
/// can come of it, one segment more than need be.
pub(super) fn rotate(
    path: &Path,
    active: &Active,
    keep: usize,
    now: Timestamp,
    insist: bool,
) -> io::Result<Rotated> {
    let real = follow_links(path)?;
    let lock_path = lock::beside(&real, "lock");
    // Held until the end of this function.
    let (_lock, refused) = match take(&lock_path, active) {
        Ok(Some(lock)) => (Some(lock), None),
        Ok(None) if !insist => return Ok(Rotated::Busy),
        Ok(None) => (None, Some("another process does not give it back".to_owned())),
        Err(error) if !insist => {
            return Err(io::Error::new(error.kind(), format!("{}: {error}", lock_path.display())));
        }
        Err(error) => (None, Some(error.to_string())),
    };
    let rotated = rotate_locked(&real, active, keep, now)?;
    Ok(match (rotated, refused) {
        (Rotated::Done { trouble: None }, Some(refused)) => {
            let lock = lock_path.display();
            Rotated::Done {
                trouble: Some(io::Error::other(format!("rotated without the lock {lock}: {refused}"))),
            }
        }
        (rotated, _) => rotated,
    })
}

/// The lock, if nobody holds it.
fn take(path: &Path, active: &Active) -> io::Result<Option<File>> {
    let file = lock::open(path, &active.file.metadata()?)?;
    Ok(lock::try_take(&file)?.then_some(file))
}

fn rotate_locked(real: &Path, active: &Active, keep: usize, now: Timestamp) -> io::Result<Rotated> {
    // Only a file that is still at the path may be moved, and only by a writer that has it open. So a fresh
    // file is never moved.
    let there = match fs::symlink_metadata(real) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Rotated::ByAnother),
        Err(error) => return Err(error),
    };
    let ours = active.file.metadata()?;
    if (there.dev(), there.ino()) != (ours.dev(), ours.ino()) {
        return Ok(Rotated::ByAnother);
    }
    // A list that cannot be read costs the order of names and the removal, not the rotation.
    let (older, mut trouble) = match segments(real) {
        Ok(older) => (older, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    match set_aside(real, older.last(), now) {
        // Without the lock another may have been faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Rotated::ByAnother),
        other => other?,
    }
    // The one just made is kept as well.
    let surplus = (older.len() + 1).saturating_sub(keep.max(1));
    for segment in &older[..surplus.min(older.len())] {
        match fs::remove_file(segment) {
            Ok(()) => {}
            // Somebody else removed it, which is as good.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => trouble = Some(error),
        }
    }
    Ok(Rotated::Done { trouble })
}

/// Rotated segments of the journal at `real`, oldest first: files in its directory with exactly the names that are
/// given here. What logrotate or a person put there is not ours to remove.
fn segments(real: &Path) -> io::Result<Vec<PathBuf>> {
    let name = real.file_name().unwrap_or_default();
    let mut found = Vec::new();
    for entry in fs::read_dir(directory_of(real))? {
        let entry = entry?;
        if time_text(&entry.file_name(), name).is_some() && entry.file_type()?.is_file() {
            found.push(entry.path());
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Renames without ever replacing a file. The time is the clock's, but later than the newest segment's: the order of
/// the names is the order of the rotations even when the clock is set back.
fn set_aside(real: &Path, newest: Option<&PathBuf>, now: Timestamp) -> io::Result<()> {
    let step = |time: Timestamp| time.saturating_add(SignedDuration::from_nanos(1)).unwrap_or(time);
    let newest = newest.and_then(|segment| time_of(segment, real)).map(step);
    let mut time = newest.map_or(now, |newest| newest.max(now));
    for _ in 0..MAX_NAMES {
        let mut name = real.as_os_str().to_owned();
        name.push(format!(".{}", time.strftime(TIME_FORM)));
        match rename_new(real, Path::new(&name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => time = step(time),
            other => return other,
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "every name for the segment is taken"))
}

fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some network file systems cannot; there, a second name that must be new does the same in two steps.
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        other => other.map_err(io::Error::from),
    }
}

/// The time in the name of a segment of the journal called `journal`, if it is one.
fn time_text<'a>(segment: &'a OsStr, journal: &OsStr) -> Option<&'a str> {
    let bytes = segment.as_encoded_bytes().strip_prefix(journal.as_encoded_bytes())?.strip_prefix(b".")?;
    let shaped = bytes.len() == TIME_SHAPE.len()
        && bytes.iter().zip(TIME_SHAPE).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            _ => byte == form,
        });
    if shaped { std::str::from_utf8(bytes).ok() } else { None }
}

fn time_of(segment: &Path, real: &Path) -> Option<Timestamp> {
    let text = time_text(segment.file_name()?, real.file_name()?)?;
    let time = civil::DateTime::strptime(TIME_FORM, text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_names_of_the_right_form_are_segments() {
        let journal = OsStr::new("journal.jsonl");
        let is = |name: &str| time_text(OsStr::new(name), journal).is_some();
        assert!(is("journal.jsonl.20260131T093000.123456789Z"));
        for other in [
            "journal.jsonl",
            "journal.jsonl.1",
            "journal.jsonl.20260131T093000.123456789Z.gz",
            "journal.jsonl.20260131T093000Z",
            "other.jsonl.20260131T093000.123456789Z",
            "journal.jsonl-20260131",
        ] {
            assert!(!is(other), "{other}");
        }
    }

    #[test]
    fn the_time_of_a_name_is_read_back() {
        let time: Timestamp = "2026-01-31T09:30:00.000000007Z".parse().unwrap();
        let path = PathBuf::from(format!("/d/j.{}", time.strftime(TIME_FORM)));
        assert_eq!(path.to_str().unwrap(), "/d/j.20260131T093000.000000007Z");
        assert_eq!(time_of(&path, Path::new("/d/j")), Some(time));
    }

    #[test]
    fn a_clock_set_back_does_not_make_the_newest_segment_the_oldest() {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("j");
        for now in ["2026-01-31T09:30:00.5Z", "2025-01-31T09:30:00Z", "2026-01-31T09:30:00.5Z"] {
            fs::write(&journal, now).unwrap();
            let older = segments(&journal).unwrap();
            set_aside(&journal, older.last(), now.parse().unwrap()).unwrap();
        }
        let names: Vec<_> =
            segments(&journal).unwrap().iter().map(|path| path.display().to_string()).collect();
        assert_eq!(names.len(), 3);
        for (name, nanos) in names.iter().zip(["500000000", "500000001", "500000002"]) {
            assert!(name.ends_with(&format!("j.20260131T093000.{nanos}Z")), "{name}");
        }
    }

    #[test]
    fn a_name_that_is_taken_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("j");
        fs::write(&journal, "new").unwrap();
        let taken = directory.path().join("j.20260131T093000.000000000Z");
        fs::create_dir(&taken).unwrap();
        set_aside(&journal, None, "2026-01-31T09:30:00Z".parse().unwrap()).unwrap();
        assert!(taken.is_dir());
        assert_eq!(fs::read(directory.path().join("j.20260131T093000.000000001Z")).unwrap(), b"new");
    }
}
