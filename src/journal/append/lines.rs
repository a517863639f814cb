//! Lines of standard input, for `append --stdin`: within the journal's limit, and numbered for the report.

use std::io::{self, Read};

use journal_schema::{Piece, Splitter};

/// Lines of standard input. Other than in a journal, the last one counts without its LF, too.
#[derive(Default)]
pub(super) struct Lines {
    splitter: Splitter,
    bytes: Vec<u8>,
    used: usize,
    /// Number of the line given last.
    pub(super) number: u64,
}

impl Lines {
    /// Reads more, and says whether there is no more.
    pub(super) fn fill(&mut self, input: &mut impl Read) -> io::Result<bool> {
        self.bytes.drain(..self.used);
        self.used = 0;
        let before = self.bytes.len();
        self.bytes.resize(before + 65_536, 0);
        let read = loop {
            match input.read(&mut self.bytes[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.bytes.truncate(before + read.as_ref().copied().unwrap_or(0));
        let end = read? == 0;
        if end && !matches!(self.bytes.last(), None | Some(b'\n')) {
            self.bytes.push(b'\n');
        }
        Ok(end)
    }

    /// The next line, or what is wrong with the bytes.
    pub(super) fn next(&mut self) -> Option<Result<Vec<u8>, &'static str>> {
        loop {
            let (used, piece) = self.splitter.next(&self.bytes[self.used..])?;
            self.used += used;
            let line = match piece {
                Piece::Line(line) if line.trim_ascii().is_empty() => {
                    self.number += 1;
                    continue;
                }
                Piece::Line(line) => Ok(line.to_vec()),
                Piece::Overlong => Err("longer than any line may be"),
                Piece::Torn | Piece::Padding => Err("NUL bytes"),
                Piece::Skipped => continue,
            };
            self.number += 1;
            return Some(line);
        }
    }
}
