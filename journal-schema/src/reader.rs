//! The lines of one segment, one after the other, with what is wrong with those that cannot be used.
//!
//! For tools that read a file from its beginning; the exporter's follower, which has many files and a checkpoint,
//! stands on [`Splitter`] itself. Memory is one buffer whatever the file holds.

use std::io::{self, Read};
use std::ops::Range;

use crate::event::Line;
use crate::limits::MAX_LINE_BYTES;
use crate::line::{Reason, Rejected, decode};
use crate::split::{Piece, SplitState, Splitter};

/// Bytes of the buffer: room for several of the longest lines, so that what is left over is seldom moved.
const BUFFER_BYTES: usize = 4 * MAX_LINE_BYTES;

/// Reads records from the beginning of a journal, a rotated segment, or a pipe.
///
/// ```
/// let journal = b"{\"v\":1,\"writer\":\"w\",\"seq\":1,\"time\":\"2026-01-31T09:30:00.000Z\",\
///     \"event\":\"engine\",\"state\":\"started\"}\nhello\n";
/// let mut reader = journal_schema::Reader::new(&journal[..]);
/// while let Some(record) = reader.next()? {
///     match record.content {
///         Ok(line) => println!("{} {:?}", line.envelope.time, line.event),
///         Err(rejected) => eprintln!("line {}: {rejected}", record.line),
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Reader<R> {
    input: R,
    buffer: Box<[u8]>,
    /// What of the buffer was read and not consumed yet.
    filled: Range<usize>,
    /// Position in the input of the first byte not consumed yet.
    offset: u64,
    /// Number of the line at that position.
    line: u64,
    splitter: Splitter,
}

/// One line, or one stretch of bytes that is none.
#[derive(Debug)]
pub struct Record<'a> {
    /// Number of its line, from 1, as `sed -n` counts. Damage may leave several records with the same number.
    pub line: u64,
    /// Position of its first byte in the input, from 0.
    pub offset: u64,
    /// Its length in bytes, with its LF if it has one.
    pub bytes: u64,
    /// The line as it stands there, without its LF. Empty for what is no line.
    pub text: &'a [u8],
    /// What it says, or why it cannot be used.
    pub content: Result<Line<'a>, Rejected<'a>>,
}

/// What [`Reader::next`] found, before it lends the bytes out.
enum Found {
    Line(Range<usize>),
    Damage(Reason, &'static str),
}

impl<R: Read> Reader<R> {
    /// A reader of whatever `input` gives.
    pub fn new(input: R) -> Reader<R> {
        Reader {
            input,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            filled: 0..0,
            offset: 0,
            line: 1,
            splitter: Splitter::default(),
        }
    }

    /// The next record, or `None` at the end of the input. The end is not final: when the input gives more later, as
    /// a file that grows does, so does the next call.
    ///
    /// # Errors
    ///
    /// What the input reports. The reader stays usable.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend from its own buffer")]
    pub fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        let (line, offset, found) = loop {
            let (line, offset) = (self.line, self.offset);
            let at = self.filled.start;
            let Some((used, piece)) = self.splitter.next(&self.buffer[self.filled.clone()]) else {
                if self.fill()? == 0 {
                    return Ok(None);
                }
                continue;
            };
            let found = match piece {
                Piece::Line(text) => Some(Found::Line(at..at + text.len())),
                Piece::Torn => Some(Found::Damage(Reason::Torn, "NUL bytes cut the line off")),
                Piece::Padding => Some(Found::Damage(Reason::Padding, "a run of NUL bytes")),
                Piece::Overlong => Some(Found::Damage(Reason::Overlong, "longer than any line may be")),
                // What is left of damage told before an error or the end of the input.
                Piece::Skipped => None,
            };
            self.consume(used);
            if let Some(found) = found {
                break (line, offset, found);
            }
        };
        if !matches!(found, Found::Line(_)) {
            self.skip_damage()?;
        }
        let bytes = self.offset - offset;
        let (text, content) = match found {
            Found::Line(range) => (&self.buffer[range.clone()], decode(&self.buffer[range])),
            Found::Damage(reason, detail) => (
                &[][..],
                Err(Rejected { reason, envelope: None, detail: format!("{detail}, {bytes} bytes") }),
            ),
        };
        Ok(Some(Record { line, offset, bytes, text, content }))
    }

    /// How many bytes stand after the last LF: a line that is not there yet, or never will be.
    pub fn unfinished(&self) -> usize {
        self.filled.len()
    }

    /// The input.
    pub fn get_ref(&self) -> &R {
        &self.input
    }

    /// Goes over the rest of a run of NULs or of a line that is too long, as far as the input reaches.
    fn skip_damage(&mut self) -> io::Result<()> {
        loop {
            if self.filled.is_empty() && self.splitter.state() != SplitState::LineStart && self.fill()? == 0 {
                return Ok(());
            }
            let more = match self.splitter.state() {
                SplitState::LineStart => false,
                SplitState::InOverlong => true,
                SplitState::InPadding => self.buffer[self.filled.start] == 0,
            };
            if !more {
                return Ok(());
            }
            let Some((used, _)) = self.splitter.next(&self.buffer[self.filled.clone()]) else {
                return Ok(());
            };
            self.consume(used);
        }
    }

    /// Takes the first `used` bytes off. None of them but the last can be an LF.
    fn consume(&mut self, used: usize) {
        let last = self.filled.start + used - 1;
        self.line += u64::from(self.buffer[last] == b'\n');
        self.filled.start += used;
        self.offset += used as u64;
    }

    /// Reads more behind what is there, and says how much. The splitter never asks with a full buffer.
    fn fill(&mut self) -> io::Result<usize> {
        if self.buffer.len() - self.filled.end < MAX_LINE_BYTES {
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        loop {
            match self.input.read(&mut self.buffer[self.filled.end..]) {
                Ok(read) => {
                    self.filled.end += read;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = r#"{"v":1,"writer":"w","seq":7,"time":"2026-01-31T09:30:00.000Z","event":"engine","state":"started"}"#;

    /// Gives its bytes in chunks of at most `chunk`.
    struct Chunks<'a> {
        bytes: &'a [u8],
        chunk: usize,
    }

    impl Read for Chunks<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let take = self.bytes.len().min(self.chunk).min(out.len());
            let (now, later) = self.bytes.split_at(take);
            out[..take].copy_from_slice(now);
            self.bytes = later;
            Ok(take)
        }
    }

    fn told(bytes: &[u8], chunk: usize) -> (Vec<String>, usize) {
        let mut reader = Reader::new(Chunks { bytes, chunk });
        let mut told = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            let Record { line, offset, bytes, content, .. } = record;
            let what = content.map_or_else(|bad| bad.reason.as_str(), |_| "good");
            told.push(format!("{line} {offset}+{bytes} {what}"));
        }
        (told, reader.unfinished())
    }

    #[test]
    fn every_byte_belongs_to_one_record_or_to_the_unfinished_rest() {
        let bytes = format!("{GOOD}\n\nx\n{GOOD}\r\n{{\"v\"\0\0{GOOD}\n{}\nend", "y".repeat(200_000));
        let good = GOOD.len();
        let mut at = 0;
        let mut expect = |line: u64, bytes: usize, what: &str| {
            let text = format!("{line} {at}+{bytes} {what}");
            at += bytes;
            text
        };
        let records = vec![
            expect(1, good + 1, "good"),
            expect(2, 1, "blank"),
            expect(3, 2, "malformed"),
            expect(4, good + 2, "good"),
            expect(5, 4, "torn"),
            expect(5, 2, "padding"),
            expect(5, good + 1, "good"),
            expect(6, 200_001, "overlong"),
        ];
        for chunk in [1 << 20, 70_000, 97] {
            assert_eq!(told(bytes.as_bytes(), chunk), (records.clone(), 3));
        }
    }

    #[test]
    fn an_input_that_grows_is_read_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("j");
        std::fs::write(&path, &GOOD[..10]).unwrap();
        let mut reader = Reader::new(std::fs::File::open(&path).unwrap());
        assert!(reader.next().unwrap().is_none());
        assert_eq!(reader.unfinished(), 10);
        std::fs::write(&path, format!("{GOOD}\n")).unwrap();
        assert!(reader.next().unwrap().unwrap().content.is_ok());
        assert_eq!(reader.unfinished(), 0);
    }

    proptest! {
        #[test]
        fn the_size_of_the_chunks_changes_nothing_and_no_byte_is_lost(
            parts in prop::collection::vec(prop_oneof![
                Just(format!("{GOOD}\n").into_bytes()),
                "[a-z{}]{0,9}\n".prop_map(String::into_bytes),
                (1usize..5).prop_map(|n| vec![0; n]),
                (65_530usize..65_545).prop_map(|n| vec![b'y'; n]),
                prop::collection::vec(any::<u8>(), 0..9),
            ], 0..10),
            chunk in 1usize..100_000,
        ) {
            let bytes = parts.concat();
            let whole = told(&bytes, usize::MAX);
            prop_assert_eq!(&told(&bytes, chunk), &whole);
            let mut reader = Reader::new(&bytes[..]);
            let mut sum = 0;
            while let Some(record) = reader.next().unwrap() {
                prop_assert_eq!(record.offset, sum);
                sum += record.bytes;
            }
            prop_assert_eq!(sum + reader.unfinished() as u64, bytes.len() as u64);
        }
    }
}
