//! Bytes into lines: where a line ends, and what to do with bytes that are no line.
//!
//! A pure state machine over whatever bytes are at hand. It reads no file, keeps no buffer and decodes nothing, so
//! the tool's [`crate::Reader`] and the exporter's follower share it. All that it has to remember is one [`SplitState`],
//! which together with an offset says exactly how to go on after a restart.
//!
//! A raw NUL cannot stand in JSON. Where one turns up the file has a hole (a truncation under a writer that kept
//! its own offset, a crash of the file system), so a NUL ends what stands before it, as a torn line, and the line
//! after the run of NULs is read as if it began there.

use memchr::{memchr, memchr2};
use serde::{Deserialize, Serialize};

use crate::limits::MAX_LINE_BYTES;

/// Cuts a stream of bytes into [`Piece`]s.
///
/// It is offered one stream: what it did not consume comes again at the front of the next bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Splitter {
    state: SplitState,
    /// Bytes ahead that hold no NUL. They were looked through for many lines together, which costs less than to ask for each.
    clear: usize,
}

/// Where in the stream the splitter stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SplitState {
    /// At the first byte of a line.
    #[default]
    LineStart,
    /// Inside a line that is longer than the limit; it has been reported and is being passed over.
    InOverlong,
    /// Inside a run of NUL bytes; it has been reported and is being passed over.
    InPadding,
}

/// What the splitter found at the front of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'b> {
    /// A complete line, without its LF.
    Line(&'b [u8]),
    /// The start of a line that a NUL cut off.
    Torn,
    /// The first bytes of a run of NULs. Reported once a run.
    Padding,
    /// The first bytes of a line that is longer than [`MAX_LINE_BYTES`]. Reported once a line.
    Overlong,
    /// More of what was reported before.
    Skipped,
}

impl Splitter {
    /// A splitter that goes on from `state`.
    pub fn resume(state: SplitState) -> Splitter {
        Splitter { state, clear: 0 }
    }

    /// Where it stands after the bytes consumed so far.
    pub fn state(&self) -> SplitState {
        self.state
    }

    /// Looks at the front of `bytes`: how many of them it consumed (at least one) and what they are, or `None` if
    /// only more bytes can tell. Never asks for more than [`MAX_LINE_BYTES`] bytes at once.
    #[inline]
    pub fn next<'b>(&mut self, bytes: &'b [u8]) -> Option<(usize, Piece<'b>)> {
        // Nearly all of a journal: a line, and no NUL near it.
        if self.state == SplitState::LineStart
            && self.clear >= MAX_LINE_BYTES
            && let Some(window) = bytes.get(..MAX_LINE_BYTES)
            && let Some(end) = memchr(b'\n', window)
        {
            self.clear -= end + 1;
            return Some((end + 1, Piece::Line(&window[..end])));
        }
        let (used, piece) = self.piece(bytes)?;
        self.clear = self.clear.saturating_sub(used);
        Some((used, piece))
    }

    fn piece<'b>(&mut self, bytes: &'b [u8]) -> Option<(usize, Piece<'b>)> {
        let first = *bytes.first()?;
        match self.state {
            SplitState::LineStart if first == 0 => {
                self.state = SplitState::InPadding;
                Some((nul_run(bytes), Piece::Padding))
            }
            SplitState::LineStart => self.line(bytes),
            SplitState::InPadding if first == 0 => Some((nul_run(bytes), Piece::Skipped)),
            SplitState::InPadding => {
                self.state = SplitState::LineStart;
                self.line(bytes)
            }
            SplitState::InOverlong => Some((self.rest_of_overlong(bytes), Piece::Skipped)),
        }
    }

    fn line<'b>(&mut self, bytes: &'b [u8]) -> Option<(usize, Piece<'b>)> {
        let window = &bytes[..bytes.len().min(MAX_LINE_BYTES)];
        if let (true, Some(further)) = (self.clear < window.len(), bytes.get(self.clear..)) {
            self.clear += memchr(0, further).unwrap_or(further.len());
        }
        let text = &window[..window.len().min(self.clear)];
        match memchr(b'\n', text) {
            Some(end) => Some((end + 1, Piece::Line(&text[..end]))),
            None if text.len() < window.len() => Some((text.len(), Piece::Torn)),
            None if window.len() < MAX_LINE_BYTES => None,
            None => {
                self.state = SplitState::InOverlong;
                Some((window.len(), Piece::Overlong))
            }
        }
    }

    fn rest_of_overlong(&mut self, bytes: &[u8]) -> usize {
        match memchr2(b'\n', 0, bytes) {
            None => bytes.len(),
            Some(end) => {
                self.state = SplitState::LineStart;
                if bytes[end] == b'\n' {
                    end + 1
                } else {
                    // The NUL begins a run of its own. `end` may be 0 here, and progress is promised, so the run's
                    // first byte goes with the line and the rest is padding.
                    self.state = SplitState::InPadding;
                    end + 1
                }
            }
        }
    }
}

fn nul_run(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `bytes` in chunks that end at the given cuts, the way a follower does: what is not consumed is offered
    /// again with more behind it.
    fn pieces(bytes: &[u8], cuts: &[usize]) -> (Vec<String>, usize) {
        let mut splitter = Splitter::default();
        let (mut pieces, mut at) = (Vec::new(), 0);
        for &cut in cuts.iter().chain([&bytes.len()]) {
            let cut = cut.min(bytes.len());
            while at < cut {
                let Some((used, piece)) = splitter.next(&bytes[at..cut]) else { break };
                assert!(used > 0, "no progress at {at}");
                at += used;
                match piece {
                    Piece::Line(line) => pieces.push(format!("line {}", line.escape_ascii())),
                    Piece::Skipped => {}
                    other => pieces.push(format!("{other:?}")),
                }
            }
        }
        (pieces, at)
    }

    #[test]
    fn lines_end_at_lf_and_an_unended_one_waits() {
        assert_eq!(pieces(b"a\nbc\n\nd", &[]), (vec!["line a".into(), "line bc".into(), "line ".into()], 6));
    }

    #[test]
    fn a_line_that_follows_padding_is_whole() {
        let mut bytes = vec![0; 1 << 20];
        bytes.extend_from_slice(b"{}\n");
        assert_eq!(pieces(&bytes, &[1, 70_000]).0, ["Padding", "line {}"]);
    }

    #[test]
    fn a_nul_inside_a_line_tears_it_and_spares_the_next() {
        assert_eq!(pieces(b"{\"v\"\0\0{}\n", &[]).0, ["Torn", "Padding", "line {}"]);
    }

    #[test]
    fn the_longest_allowed_line_is_a_line_and_one_byte_more_is_not() {
        let mut bytes = vec![b'x'; MAX_LINE_BYTES - 1];
        bytes.push(b'\n');
        assert_eq!(pieces(&bytes, &[]).1, MAX_LINE_BYTES);
        assert!(pieces(&bytes, &[]).0[0].starts_with("line x"));
        bytes.insert(0, b'x');
        bytes.extend_from_slice(b"ok\n");
        assert_eq!(pieces(&bytes, &[]).0, ["Overlong", "line ok"]);
    }

    proptest! {
        #[test]
        fn the_cut_of_the_chunks_never_changes_the_pieces(
            parts in prop::collection::vec(prop_oneof![
                "[a-z]{0,9}\n".prop_map(String::into_bytes),
                (1usize..5).prop_map(|n| vec![0; n]),
                (65_530usize..65_545).prop_map(|n| vec![b'y'; n]),
                "[a-z]{1,9}".prop_map(String::into_bytes),
            ], 0..12),
            mut cuts in prop::collection::vec(0usize..200_000, 0..6),
        ) {
            let bytes = parts.concat();
            cuts.sort_unstable();
            prop_assert_eq!(pieces(&bytes, &cuts), pieces(&bytes, &[]));
        }

        #[test]
        fn a_splitter_that_resumes_goes_on_as_the_first_one_would_have(
            parts in prop::collection::vec(prop_oneof![
                Just(b"{}\n".to_vec()),
                (1usize..5).prop_map(|n| vec![0; n]),
                (65_530usize..65_545).prop_map(|n| vec![b'y'; n]),
            ], 0..12),
        ) {
            let bytes = parts.concat();
            let mut one = Splitter::default();
            let mut at = 0;
            while let Some((used, _)) = one.next(&bytes[at..]) {
                at += used;
                let mut other = Splitter::resume(one.state());
                prop_assert_eq!(other.next(&bytes[at..]), one.clone().next(&bytes[at..]));
            }
        }
    }
}
