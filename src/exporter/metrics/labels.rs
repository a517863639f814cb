//! Label values into label text, `id="a",mode="check"`: escaped as the text format wants it, and kept short.
//!
//! A value longer than the limit keeps its beginning and gets a digest of the whole, so that distinct values stay
//! distinct series. Characters that break a line are made visible first. Knows no family.

use std::borrow::Cow;
use std::fmt::Write as _;

use memchr::{memchr2, memchr3};
use sha2::{Digest as _, Sha256};

use super::breaks::visible;

/// Default of `--max-label-bytes`: well above any honest name, and 100,000 series at the limit still fit a small
/// host.
pub(crate) const DEFAULT_MAX_LABEL_BYTES: usize = 1024;

/// Least `--max-label-bytes`: below it nothing but the digest would be left of a value.
pub(crate) const MIN_MAX_LABEL_BYTES: usize = 64;

/// `--max-label-bytes` from which values are kept as they are, byte by byte: no value fills a line of the journal.
pub(crate) const WHOLE_LABEL_BYTES: usize = 65_536;

/// Stands between the beginning of a shortened value and its digest.
const MARK: &str = "…#";

/// Characters of the digest: 128 bits, so that no two values meet by accident or by design.
const DIGEST_CHARS: usize = 32;

/// How long a label value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelLimit(usize);

impl LabelLimit {
    /// A limit in bytes; raised to [`MIN_MAX_LABEL_BYTES`] if it is below.
    pub(crate) fn new(bytes: usize) -> LabelLimit {
        LabelLimit(bytes.max(MIN_MAX_LABEL_BYTES))
    }

    /// How the value is shown, and whether it was shortened: the value itself, its form without line breaks, or its
    /// shortened form.
    ///
    /// A value that looks like a shortened one is shortened, too: otherwise it could be made to meet another
    /// value's short form.
    pub(crate) fn apply<'v>(&self, value: &'v str) -> (Cow<'v, str>, bool) {
        let shown = if self.0 < WHOLE_LABEL_BYTES { visible(value) } else { Cow::Borrowed(value) };
        if shown.len() <= self.0 && !looks_shortened(&shown) {
            return (shown, false);
        }
        let keep = shown.floor_char_boundary(self.0 - MARK.len() - DIGEST_CHARS);
        let mut short = String::with_capacity(keep + MARK.len() + DIGEST_CHARS);
        short.push_str(&shown[..keep]);
        short.push_str(MARK);
        for byte in &Sha256::digest(value.as_bytes())[..DIGEST_CHARS / 2] {
            let _ = write!(short, "{byte:02x}");
        }
        (Cow::Owned(short), true)
    }
}

impl Default for LabelLimit {
    fn default() -> LabelLimit {
        LabelLimit(DEFAULT_MAX_LABEL_BYTES)
    }
}

fn looks_shortened(value: &str) -> bool {
    let Some(mark) = value.len().checked_sub(DIGEST_CHARS + MARK.len()) else { return false };
    let bytes = value.as_bytes();
    bytes[mark..].starts_with(MARK.as_bytes())
        && bytes[mark + MARK.len()..].iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Appends `name="value"`, and a comma before it unless `out` is empty.
pub(crate) fn push_label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    out.push_str(name);
    out.push_str("=\"");
    let mut rest = value;
    while let Some(at) = memchr3(b'\\', b'"', b'\n', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'\\' => "\\\\",
            b'"' => "\\\"",
            _ => "\\n",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// The labels in label text, copied only where a value is escaped: what [`push_label`] made.
pub(crate) fn labels(text: &str) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (name, quoted) = rest.split_once("=\"")?;
        let (mut end, mut is_escaped) = (0, false);
        while let Some(at) = memchr2(b'\\', b'"', &quoted.as_bytes()[end..]) {
            end += at;
            if quoted.as_bytes()[end] == b'"' {
                break;
            }
            // What is escaped is never an end.
            end = (end + 2).min(quoted.len());
            is_escaped = true;
        }
        let value = &quoted[..end];
        rest = quoted.get(end + 1..).map_or("", |rest| rest.trim_start_matches(','));
        Some((name, if is_escaped { Cow::Owned(unescaped(value)) } else { Cow::Borrowed(value) }))
    })
}

fn unescaped(value: &str) -> String {
    let (mut out, mut chars) = (String::with_capacity(value.len()), value.chars());
    while let Some(char) = chars.next() {
        out.push(match char {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some(other) => other,
                None => break,
            },
            other => other,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_backslash_quote_and_newline_are_escaped() {
        let mut out = String::new();
        push_label(&mut out, "id", "a\\b\"c\nd\te é\u{2028}");
        push_label(&mut out, "mode", "");
        assert_eq!(out, "id=\"a\\\\b\\\"c\\nd\te é\u{2028}\",mode=\"\"");
    }

    #[test]
    fn long_values_are_cut_at_the_limit_and_stay_distinct() {
        let limit = LabelLimit::new(100);
        let (a, b) = ("é".repeat(400_000), format!("{}x", "é".repeat(399_999)));
        let ((short_a, a_is_short), (short_b, b_is_short)) = (limit.apply(&a), limit.apply(&b));
        assert!(a_is_short && b_is_short);
        assert!(short_a.len() <= 100 && short_a.len() > 90, "{}", short_a.len());
        assert_ne!(short_a, short_b);
        assert!(short_a.starts_with("éé"));
        // The short form of a value cannot be written by hand: that text gets a digest of its own.
        assert_ne!(limit.apply(&short_a).0, short_a);
    }

    #[test]
    fn line_breaks_are_visible_unless_the_limit_is_lifted() {
        let value = "cr\rlf\r\n\u{2028}";
        let shown = (r"cr\u{d}lf\u{d}".to_owned() + "\n" + r"\u{2028}").into();
        assert_eq!(LabelLimit::default().apply(value), (shown, false));
        assert_eq!(LabelLimit::new(WHOLE_LABEL_BYTES).apply(value), (value.into(), false));
        // What is seen counts for the limit: 20 characters of which each takes five bytes or more.
        let (short, is_short) = LabelLimit::new(64).apply("\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r");
        assert!(is_short && short.len() <= 64 && short.starts_with(r"\u{d}\u{d}"), "{short}");
    }

    proptest! {
        #[test]
        fn label_text_reads_back_as_what_it_was_made_of(a in ".{0,20}", b in "[\\\\\"\n,={}a]{0,20}") {
            let mut text = String::new();
            push_label(&mut text, "a", &a);
            push_label(&mut text, "b", &b);
            let read: Vec<_> = labels(&text).collect();
            prop_assert_eq!(read, [("a", Cow::from(a)), ("b", Cow::from(b))]);
        }

        #[test]
        fn distinct_values_have_distinct_forms(a in "(.|\r|\u{2028}){0,120}", b in "(.|\r|\u{2028}){0,120}") {
            let limit = LabelLimit::new(64);
            prop_assert_eq!(a == b, limit.apply(&a) == limit.apply(&b));
            prop_assert!(limit.apply(&a).0.len() <= 64);
        }
    }
}
