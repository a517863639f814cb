//! Characters that break a line, made visible in label values.
//!
//! The formats allow these characters. But many scrapers split the exposition by Unicode's rules and not at line
//! feeds alone, for example with Python's `str.splitlines`, and one such character would make their whole scrape
//! fail. The line feed is not replaced, because the text formats escape it. Knows no family and no limit.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What a visible character looks like: `\u{d}`, with the number in hexadecimal digits.
const START: &str = "\\u{";

/// Most digits of a number that is ever written: four, of U+2028.
const MAX_DIGITS: usize = 4;

/// The value itself, or, with `\u{d}` for a carriage return and so on, its visible form.
///
/// Where the value already has such text, its backslash is written as `\u{5c}`. So each such text in the result is
/// an escape, and distinct values have distinct forms.
pub(super) fn visible(value: &str) -> Cow<'_, str> {
    // The first byte of each character that can matter. Most values have none of them.
    if !value.bytes().any(|byte| matches!(byte, 0x0b..=0x0d | 0x1c..=0x1e | b'\\' | 0xc2 | 0xe2)) {
        return Cow::Borrowed(value);
    }
    let mut out = String::new();
    let mut kept = 0;
    for (at, char) in value.char_indices() {
        if breaks_a_line(char) || (char == '\\' && is_an_escape(&value[at..])) {
            out.push_str(&value[kept..at]);
            let _ = write!(out, "{START}{:x}}}", u32::from(char));
            kept = at + char.len_utf8();
        }
    }
    if kept == 0 {
        return Cow::Borrowed(value);
    }
    out.push_str(&value[kept..]);
    Cow::Owned(out)
}

/// Where Python's `str.splitlines` splits, the line feed left out. Java, .NET and Unicode split at a part of these.
fn breaks_a_line(char: char) -> bool {
    matches!(char, '\u{b}'..='\u{d}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether `text` starts with what [`visible`] writes for a character.
fn is_an_escape(text: &str) -> bool {
    let Some(number) = text.strip_prefix(START) else { return false };
    let Some(digits) = number.bytes().take(MAX_DIGITS + 1).position(|byte| byte == b'}') else {
        return false;
    };
    let digits = &number[..digits];
    let is_ours = digits.bytes().all(|byte| matches!(byte, b'1'..=b'9' | b'a'..=b'f' | b'0'))
        && !digits.starts_with('0');
    let char = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
    is_ours && char.is_some_and(|char| char == '\\' || breaks_a_line(char))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_character_that_breaks_a_line_is_written_as_its_number() {
        assert_eq!(
            visible("a\rb\u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{85}\u{2028}\u{2029}é"),
            r"a\u{d}b\u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{85}\u{2028}\u{2029}é"
        );
    }

    #[test]
    fn other_values_stay_as_they_are() {
        for value in [
            "",
            "tab\t",
            "line\nfeed",
            "\0\u{1b}[31m\u{1f}\u{7f}",
            "C:\\users\\u",
            "â\u{a0}…",
            "\\u{e9}",
            "\\u{0d}",
        ] {
            assert!(matches!(visible(value), Cow::Borrowed(same) if same == value), "{value:?}");
        }
    }

    #[test]
    fn text_that_looks_like_an_escape_gets_one() {
        assert_eq!(visible(r"\u{d}"), r"\u{5c}u{d}");
        assert_eq!(visible(r"\u{5c}u{d}"), r"\u{5c}u{5c}u{d}");
        assert_eq!(visible("\\\r"), r"\\u{d}");
    }

    /// Undoes [`visible`].
    fn read(mut text: &str) -> String {
        let mut out = String::new();
        while let Some(char) = text.chars().next() {
            if is_an_escape(text) {
                let end = text.find('}').unwrap_or_default();
                let number = u32::from_str_radix(&text[START.len()..end], 16).unwrap_or_default();
                out.extend(char::from_u32(number));
                text = &text[end + 1..];
            } else {
                out.push(char);
                text = &text[char.len_utf8()..];
            }
        }
        out
    }

    proptest! {
        #[test]
        fn the_visible_form_reads_back_as_the_value_and_breaks_no_line(
            value in r"([\\u{}cd58\r\x0b\x1c\u{85}\u{2028}\n]|\\u\{5c\}|\\u\{d\}|\PC){0,12}"
        ) {
            let shown = visible(&value);
            prop_assert!(!shown.contains(breaks_a_line), "{shown:?}");
            prop_assert_eq!(read(&shown), value);
        }
    }
}
