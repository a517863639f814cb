//! What a script wrote, within a limit: its head and its tail, because errors are mostly at the end. Bytes that are not
//! UTF-8 are shown as `\xNN`.

use std::collections::VecDeque;

/// Output that is kept of one script, in bytes. What does not fit is read and dropped, so that the script goes on.
pub(crate) const MAX_OUTPUT_BYTES: usize = 1024 * 1024;

/// Of that, what is kept of the beginning; the rest is kept of the end.
const HEAD_BYTES: usize = MAX_OUTPUT_BYTES / 2;

/// How far before a cut the begin of an escape sequence is looked for, in bytes. Longer ones are not cut out whole.
const MAX_ESCAPE_BYTES: usize = 4 * 1024;

/// What a script wrote to standard output and standard error, in the order in which it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Output {
    /// The text without white space around it. Each byte that is no UTF-8 is shown as `\xNN`. Where something was
    /// dropped, a line says so.
    pub text: String,
    /// The bytes as they were written, unless some were dropped.
    pub raw: Option<Vec<u8>>,
    /// Bytes that were dropped from the middle.
    pub cut_bytes: u64,
}

/// Output while it arrives.
#[derive(Debug)]
pub(super) struct Captured {
    head_bytes: usize,
    tail_bytes: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    cut_bytes: u64,
}

impl Captured {
    /// For people: head and tail, [`MAX_OUTPUT_BYTES`] together.
    pub(super) fn head_and_tail() -> Captured {
        Captured::new(HEAD_BYTES, MAX_OUTPUT_BYTES - HEAD_BYTES)
    }

    /// For a program: the beginning, and whether that is all.
    pub(super) fn head(bytes: usize) -> Captured {
        Captured::new(bytes, 0)
    }

    fn new(head_bytes: usize, tail_bytes: usize) -> Captured {
        Captured { head_bytes, tail_bytes, head: Vec::new(), tail: VecDeque::new(), cut_bytes: 0 }
    }

    pub(super) fn keep(&mut self, chunk: &[u8]) {
        let room = (self.head_bytes - self.head.len()).min(chunk.len());
        self.head.extend_from_slice(&chunk[..room]);
        let rest = &chunk[room..];
        // Of a chunk that is longer than the tail, only its end can stay.
        let begin = rest.len().saturating_sub(self.tail_bytes);
        self.cut_bytes += begin as u64;
        let rest = &rest[begin..];
        let over = (self.tail.len() + rest.len()).saturating_sub(self.tail_bytes);
        self.tail.drain(..over);
        self.cut_bytes += over as u64;
        self.tail.extend(rest);
    }

    /// The bytes of the beginning, or how many bytes are missing.
    pub(super) fn into_whole(self) -> Result<Vec<u8>, u64> {
        if self.cut_bytes == 0 { Ok(self.head) } else { Err(self.cut_bytes) }
    }

    pub(super) fn finish(mut self) -> Output {
        if self.cut_bytes == 0 {
            self.head.extend(self.tail);
            let text = shown(&self.head).trim().to_owned();
            return Output { text, raw: Some(self.head), cut_bytes: 0 };
        }
        let kept = self.head.len() + self.tail.len();
        tracing::warn!(kept, cut = self.cut_bytes, "a script wrote more than is kept of its output");
        let tail = self.tail.make_contiguous();
        let head = &self.head[..whole_end(&self.head)];
        let tail = &tail[whole_begin(tail)..];
        let cut = self.cut_bytes + (kept - head.len() - tail.len()) as u64;
        let text = format!("{}\n[… {cut} bytes left out …]\n{}", shown(head).trim(), shown(tail).trim());
        Output { text, raw: None, cut_bytes: cut }
    }
}

/// The bytes as text; each that is no UTF-8 as `\xNN`.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Where `head` ends without a part of a character or of an escape sequence.
fn whole_end(head: &[u8]) -> usize {
    let from = head.len().saturating_sub(MAX_ESCAPE_BYTES);
    if let Some(at) = head[from..].iter().rposition(|byte| *byte == ESCAPE).map(|at| from + at)
        && escape_length(&head[at..]).is_none()
    {
        return at;
    }
    // A character has at most three bytes after its first one.
    let begin = (1..=4).map_while(|back| head.len().checked_sub(back)).find(|at| !is_inner(head[*at]));
    match begin {
        Some(at) if std::str::from_utf8(&head[at..]).is_err_and(|error| error.error_len().is_none()) => at,
        _ => head.len(),
    }
}

/// Where `tail` begins without the rest of a character or of an escape sequence: after its first line, or where that is
/// too far away, a little later than it could, so that what came before is known.
fn whole_begin(tail: &[u8]) -> usize {
    let within = &tail[..tail.len().min(MAX_ESCAPE_BYTES)];
    if let Some(line) = within.iter().position(|byte| *byte == b'\n') {
        return line + 1;
    }
    let margin = within.len().min(512) / 8;
    let escape = within[..margin].iter().rposition(|byte| *byte == ESCAPE);
    let after = escape.and_then(|at| escape_length(&tail[at..]).map(|length| at + length));
    let from = after.unwrap_or(margin).max(margin);
    from + tail[from..].iter().take(3).take_while(|byte| is_inner(**byte)).count()
}

const ESCAPE: u8 = 0x1b;

/// Whether the byte continues a character of UTF-8.
fn is_inner(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Length of the escape sequence that `bytes` begins with; nothing if its end is missing.
fn escape_length(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        // CSI: parameters, then one letter.
        b'[' => bytes[2..].iter().position(|byte| (0x40..=0x7e).contains(byte)).map(|at| at + 3),
        // OSC, DCS, SOS, PM, APC: a string that BEL ends, or ESC and a backslash.
        b']' | b'P' | b'X' | b'^' | b'_' => {
            bytes[2..].iter().position(|byte| *byte == 0x07 || *byte == ESCAPE).map(|at| at + 3)
        }
        // Intermediate bytes, then a final one.
        0x20..=0x2f => bytes[2..].iter().position(|byte| !(0x20..=0x2f).contains(byte)).map(|at| at + 3),
        _ => Some(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(head: usize, tail: usize, chunks: &[&[u8]]) -> Output {
        let mut captured = Captured::new(head, tail);
        chunks.iter().for_each(|chunk| captured.keep(chunk));
        captured.finish()
    }

    #[test]
    fn what_fits_is_kept_as_it_is() {
        let output = captured(4, 4, &[b"ab", b"cdef", b"gh"]);
        assert_eq!(output, Output { text: "abcdefgh".into(), raw: Some(b"abcdefgh".into()), cut_bytes: 0 });
    }

    #[test]
    fn what_does_not_fit_loses_its_middle() {
        let expected =
            Output { text: "abcd\n[… 10 bytes left out …]\nwxyz".into(), raw: None, cut_bytes: 10 };
        assert_eq!(captured(4, 4, &[b"abcd0123456789wxyz"]), expected);
        let chunks: Vec<&[u8]> = b"abcd0123456789wxyz".chunks(1).collect();
        assert_eq!(captured(4, 4, &chunks), expected);
    }

    #[test]
    fn bytes_that_are_no_utf8_are_shown() {
        assert_eq!(captured(20, 0, &[b"a\xff\xfeb\xc3"]).text, "a\\xff\\xfeb\\xc3");
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        for head in 0..6 {
            for tail in 0..6 {
                let output = captured(head, tail, &["äöüäöüäöüäöü".as_bytes()]);
                assert!(!output.text.contains("\\x"), "{head} {tail}: {}", output.text);
                let kept: usize = output.text.matches(['ä', 'ö', 'ü']).count() * 2;
                assert_eq!(output.cut_bytes, 24 - kept as u64);
            }
        }
    }

    #[test]
    fn a_cut_never_splits_an_escape_sequence() {
        let text = b"red \x1b[38;5;196mtext and much more\nend";
        for head in 5..14 {
            let output = captured(head, 3, &[text]);
            assert!(output.text.starts_with("red\n["), "{head}: {:?}", output.text);
        }
        assert!(captured(15, 3, &[text]).text.starts_with("red \x1b[38;5;196m\n["));
        let title = b"a\x1b]0;title without an end of its own";
        assert!(captured(9, 3, &[title]).text.starts_with("a\n["));
    }

    #[test]
    fn a_tail_begins_with_a_line() {
        let output = captured(2, 12, &[b"ab \x1b[1;31m red\nthe error"]);
        assert!(output.text.ends_with("]\nthe error"), "{:?}", output.text);
    }

    #[test]
    fn for_a_program_it_is_whole_or_nothing() {
        let mut whole = Captured::head(4);
        whole.keep(b"abcd");
        assert_eq!(whole.into_whole(), Ok(b"abcd".to_vec()));
        let mut longer = Captured::head(4);
        longer.keep(b"abcde");
        assert_eq!(longer.into_whole(), Err(1));
    }
}
