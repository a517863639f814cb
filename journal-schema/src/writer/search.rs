//! Where the numbers of a writer are, as the journal itself says: its last line, looked for from the end.
//!
//! Only for when nothing else tells. It reads plain files, the newest first, up to a limit.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memchr::memmem::Finder;
use rustix::fs::OFlags;

use crate::limits::MAX_LINE_BYTES;
use crate::line::decode;
use crate::segments::{directory_of, may_be_segment};

/// Bytes read at a time.
const BLOCK_BYTES: usize = 1024 * 1024;

/// Bytes that are looked through: the default size of a few segments, a matter of a second. A writer that wrote nothing
/// in so many is taken for a new one.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// The name and the number of the last line in the active file, at `real`, whose writer's name begins with `prefix`.
pub(super) fn last_in_active(real: &Path, prefix: &str) -> io::Result<Option<(String, u64)>> {
    last_in(&File::open(real)?, prefix, &Finder::new(prefix.as_bytes()), &mut MAX_BYTES.clone())
}

/// The number of the last line of this writer in the journal at `real`.
pub(super) fn last_number(real: &Path, name: &str) -> io::Result<Option<u64>> {
    Ok(last_line(real, name)?.map(|(_, seq)| seq))
}

fn last_line(real: &Path, name: &str) -> io::Result<Option<(String, u64)>> {
    let finder = Finder::new(name.as_bytes());
    let mut left = MAX_BYTES;
    for path in newest_first(real)? {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        // Rotated, compressed or removed meanwhile, or not for us to read: the others may tell.
        let Ok(file) = File::options().read(true).custom_flags(flags).open(&path) else { continue };
        let found = last_in(&file, name, &finder, &mut left)?;
        if found.is_some() || left == 0 {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The active file, and what may be its segments, by the time of their last change.
fn newest_first(real: &Path) -> io::Result<Vec<PathBuf>> {
    let mut others: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(directory_of(real))? {
        let entry = entry?;
        if may_be_segment(real, &entry.file_name())
            && let Ok(metadata) = entry.metadata()
            && metadata.is_file()
        {
            others.push((metadata.modified()?, entry.path()));
        }
    }
    others.sort();
    let others = others.into_iter().rev().map(|(_, path)| path);
    Ok(std::iter::once(real.to_owned()).chain(others).collect())
}

fn last_in(
    file: &File,
    name: &str,
    finder: &Finder<'_>,
    left: &mut u64,
) -> io::Result<Option<(String, u64)>> {
    let mut end = file.metadata()?.len();
    // The end of a line whose beginning lies before `end`.
    let mut rest = Vec::new();
    while end > 0 && *left > 0 {
        let start = end.saturating_sub(BLOCK_BYTES as u64);
        let mut block = vec![0; usize::try_from(end - start).unwrap_or(BLOCK_BYTES)];
        match file.read_exact_at(&mut block, start) {
            Ok(()) => {}
            // It was cut meanwhile.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        *left = left.saturating_sub(block.len() as u64);
        block.append(&mut rest);
        let whole = match start {
            0 => 0,
            _ => memchr::memchr(b'\n', &block).map_or(block.len(), |at| at + 1),
        };
        for line in block[whole..].split(|byte| *byte == b'\n').rev() {
            if let Some(found) = named(line, name, finder) {
                return Ok(Some(found));
            }
        }
        block.truncate(whole);
        // Longer than any line: it is none.
        block.truncate(MAX_LINE_BYTES);
        rest = block;
        end = start;
    }
    Ok(None)
}

/// Name and number of a line whose envelope can be read and whose writer's name begins with `name`.
fn named(line: &[u8], name: &str, finder: &Finder<'_>) -> Option<(String, u64)> {
    finder.find(line)?;
    let envelope = match decode(line) {
        Ok(line) => line.envelope,
        Err(rejected) => rejected.envelope?,
    };
    envelope.writer.starts_with(name).then(|| (envelope.writer.into_owned(), envelope.seq))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn line(writer: &str, seq: u64) -> String {
        format!(
            r#"{{"v":1,"writer":"{writer}","seq":{seq},"time":"2026-01-31T09:30:00.000Z","event":"engine","state":"started"}}"#
        ) + "\n"
    }

    #[test]
    fn the_last_line_is_found_behind_other_lines_in_older_files_and_across_blocks() {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("j");
        let found = || last_line(&journal, "append-").unwrap();
        fs::write(&journal, line("other", 7)).unwrap();
        assert_eq!(found(), None);
        fs::write(directory.path().join("j.1"), line("append-a", 7) + &line("append-a", 8)).unwrap();
        fs::write(directory.path().join("j2"), line("append-b", 99)).unwrap();
        assert_eq!(found(), Some(("append-a".to_owned(), 8)));
        // So many other lines that the one looked for begins in one block and ends in another, somewhere.
        let after = line("other", 1);
        for extra in 0..line("append-c", 9).len() {
            let lines = line("append-c", 9) + &after.repeat(BLOCK_BYTES / after.len()) + &"x".repeat(extra);
            if extra % 16 == 0 {
                fs::write(&journal, lines).unwrap();
                assert_eq!(found(), Some(("append-c".to_owned(), 9)), "{extra}");
            }
        }
    }
}
