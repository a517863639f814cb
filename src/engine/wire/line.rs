//! The lines in which a session comes back to its client: its id, then output, lines that only keep it alive, and how
//! it ended. What they stand for is Etcha's, but for the end, which only clients get that ask for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Bytes;

/// Bytes of output in one line at most.
pub(crate) const MAX_OUTPUT_BYTES: usize = 4096;

/// Random characters of a line that keeps alive are fewer than this.
const KEEP_ALIVE_CHARACTERS: u64 = 20;

/// How a session ended, as its client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The shell ended with this status; one that a signal ended has 128 and its number.
    Exit(i32),
    /// Its time was over.
    Timeout,
    /// The engine stopped.
    Stopped,
}

/// A line without its LF, as far as it is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Of the shell.
    Output(Vec<u8>),
    /// The last one.
    End(End),
    /// One that only keeps alive, or one that a later version may know.
    Other,
}

/// Why a line cannot be read. Continues a sentence that begins with who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Output that cannot be decoded.
    #[error("sent output that is no base64")]
    Output,
    /// An end that is not one of those that are known.
    #[error("sent an end that is none")]
    End,
}

/// The first line.
pub(crate) fn id(session: &str) -> Bytes {
    Bytes::from(format!("{session}\n"))
}

/// A line of output.
pub(crate) fn output(bytes: &[u8]) -> Bytes {
    Bytes::from(format!("o{}\n", STANDARD.encode(bytes)))
}

/// A line that only keeps alive, of a length and a content that `random` decides.
pub(crate) fn keep_alive(random: u64) -> Bytes {
    let length = usize::try_from(random % KEEP_ALIVE_CHARACTERS).unwrap_or_default();
    let mut characters = format!("{random:016x}{:016x}", random.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    characters.truncate(length);
    Bytes::from(format!("k{characters}\n"))
}

/// The last line.
pub(crate) fn end(end: End) -> Bytes {
    Bytes::from(match end {
        End::Exit(status) => format!("eexit {status}\n"),
        End::Timeout => "etimeout\n".to_owned(),
        End::Stopped => "estopped\n".to_owned(),
    })
}

/// Reads a line without its LF.
///
/// # Errors
///
/// It is output, or an end, that cannot be read.
pub fn read(line: &[u8]) -> Result<Line, LineError> {
    match line.split_first() {
        Some((b'o', text)) => match STANDARD.decode(text.trim_ascii_end()) {
            Ok(bytes) => Ok(Line::Output(bytes)),
            Err(_) => Err(LineError::Output),
        },
        Some((b'e', text)) => match read_end(text.trim_ascii_end()) {
            Some(end) => Ok(Line::End(end)),
            None => Err(LineError::End),
        },
        _ => Ok(Line::Other),
    }
}

fn read_end(text: &[u8]) -> Option<End> {
    match str::from_utf8(text).ok()? {
        "timeout" => Some(End::Timeout),
        "stopped" => Some(End::Stopped),
        text => text.strip_prefix("exit ")?.parse().ok().map(End::Exit),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn back(line: &Bytes) -> Line {
        read(line.strip_suffix(b"\n").unwrap()).unwrap()
    }

    #[test]
    fn any_bytes_come_back_as_they_went() {
        let bytes: Vec<u8> = (0..=255).cycle().take(MAX_OUTPUT_BYTES).collect();
        for length in [0, 1, 2, 3, MAX_OUTPUT_BYTES] {
            assert_eq!(back(&output(&bytes[..length])), Line::Output(bytes[..length].to_vec()));
        }
        for wanted in [End::Exit(0), End::Exit(143), End::Timeout, End::Stopped] {
            assert_eq!(back(&end(wanted)), Line::End(wanted));
        }
    }

    #[test]
    fn lines_that_keep_alive_say_nothing_and_differ_in_length() {
        let lengths: std::collections::BTreeSet<_> =
            (0..1000).map(|random| keep_alive(random).len()).collect();
        assert_eq!((lengths.first(), lengths.last()), (Some(&2), Some(&21)));
        assert_eq!(back(&keep_alive(7)), Line::Other);
    }

    #[test]
    fn what_is_not_known_is_passed_over_and_what_is_broken_is_told() {
        for line in [&b""[..], b"x1", b"data: y"] {
            assert_eq!(read(line), Ok(Line::Other));
        }
        for line in [&b"o?"[..], b"eexit", b"eexit x", b"e\xff"] {
            assert!(read(line).is_err(), "{line:?}");
        }
        assert_eq!(read(b"oYQ==\r"), Ok(Line::Output(b"a".to_vec())));
    }
}
