//! The front of a file: what its first usable line says, which names the segment that it holds. A file without such a line
//! is no segment, whatever it is called: a lock, a checksum, a note.

use std::io::{self, Read as _};

use journal_schema::{Envelope, Piece, SplitState, Splitter, decode, limits::MAX_LINE_BYTES};

use super::content::{Content, ask, is_shorter, is_zero};
use super::look::Found;
use super::segments::Front;

/// How far into a file its first usable line is looked for, runs of NULs not counted: two lines of the longest kind.
pub(super) const FRONT_BYTES: usize = 2 * MAX_LINE_BYTES;

/// What the front of the file says; `None` if another file stands under its name by now. `before` is what it
/// said at an earlier look, which spares a search through damage that stands before the first usable line. `stop` is
/// asked now and then.
pub(super) fn front_of(
    found: &Found,
    before: Option<&Front>,
    stop: &mut dyn FnMut() -> bool,
) -> io::Result<Option<Front>> {
    if let Some((before, mark)) = before.and_then(|before| Some((before, before.mark?))) {
        let Some(mut content) = found.open()? else { return Ok(None) };
        let is_compressed = content.is_compressed();
        if content.has_line(&mark, stop).or_else(is_shorter)? {
            return Ok(Some(Front { is_compressed, ..before.clone() }));
        }
    }
    let Some(content) = found.open()? else { return Ok(None) };
    let is_compressed = content.is_compressed();
    let front = search(content, stop)?;
    let front = front.unwrap_or_else(|| Front::of_file(found.stamp.device, found.stamp.inode));
    Ok(Some(Front { is_compressed, ..front }))
}

/// The first usable line, if there is one within the limit.
fn search(mut content: Content, stop: &mut dyn FnMut() -> bool) -> io::Result<Option<Front>> {
    let (mut splitter, mut bytes, mut passed, mut at) = (Splitter::default(), Vec::new(), 0, 0);
    let mut chunk = vec![0; 8192];
    while passed < FRONT_BYTES {
        if splitter.state() == SplitState::InPadding {
            // Of a compressed file there may be gigabytes of it.
            chunk.resize(64 * 1024, 0);
            ask(stop)?;
        }
        let read = match content.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // A compressed file that is still being written ends early; what is there may suffice.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            read => read?,
        };
        if read == 0 {
            break;
        }
        if bytes.is_empty() && splitter.state() == SplitState::InPadding && is_zero(&chunk[..read]) {
            at += read as u64 + content.pass_hole(u64::MAX)?;
            continue;
        }
        bytes.extend_from_slice(&chunk[..read]);
        let mut used = 0;
        while let Some((step, piece)) = splitter.next(&bytes[used..]) {
            if let Piece::Line(line) = piece
                && let Some(envelope) = envelope_of(line)
            {
                return Ok(Some(Front::of_line(line, at, &envelope)));
            }
            used += step;
            at += step as u64;
            if splitter.state() != SplitState::InPadding {
                passed += step;
            }
        }
        bytes.drain(..used);
    }
    Ok(None)
}

/// The envelope of a line, whether its event can be used or not.
fn envelope_of(line: &[u8]) -> Option<Envelope<'_>> {
    match decode(line) {
        Ok(line) => Some(line.envelope),
        Err(rejected) => rejected.envelope,
    }
}
