//! Foreign text made safe to show: text from a journal, a peer or a script cannot move the cursor, change colours, end
//! a line, turn the direction of writing around, or hide a character.
//!
//! Every string that did not come from this program goes through one of these before it reaches a terminal or a line
//! of a log: [`line()`] for a value inside a line, [`text`] for output of several lines, [`json`] for a line of JSON.
//! Knows nothing of widths or colours; what is quoted and how is decided by the caller.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Characters that show nothing by themselves, beside control characters: Unicode's `Cf`, `Zl`, `Zp` and
/// `Default_Ignorable_Code_Point`. Two names that differ only in these look the same, and some turn a line around.
const INVISIBLE: [(char, char); 28] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
    // Private use: a terminal's font decides what these show, and some show a prompt or an icon.
    ('\u{e000}', '\u{f8ff}'),
    ('\u{f0000}', '\u{ffffd}'),
    ('\u{100000}', '\u{10fffd}'),
];

/// Whether this character is shown by its number: it does something to a terminal, or shows nothing by itself.
pub(crate) fn is_hidden(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    character.is_control() || INVISIBLE.iter().any(|&(first, last)| (first..=last).contains(&character))
}

/// Text as a part of one line. Line feeds and tabs become `\n` and `\t`, what is hidden becomes `\u{…}`, and a
/// backslash is doubled, so that different texts stay different.
pub fn line(text: &str) -> Cow<'_, str> {
    escape(
        text,
        |character| character == '\\' || is_hidden(character),
        |character, out| match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            hidden => out.extend(hidden.escape_unicode()),
        },
    )
}

/// Text of several lines, such as the output of a script: line feeds and tabs stay, and CR LF becomes a line feed. The
/// rest of what is hidden becomes `\u{…}`. Backslashes stay as they are: this is for reading, not for telling two
/// texts apart.
pub fn text(text: &str) -> Cow<'_, str> {
    let text =
        if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
    let hides = |character| is_hidden(character) && !matches!(character, '\n' | '\t');
    if !text.chars().any(hides) {
        return text;
    }
    Cow::Owned(escape(&text, hides, |hidden, out| out.extend(hidden.escape_unicode())).into_owned())
}

/// A line of JSON: what is hidden becomes `\uXXXX`, so that it stays the same JSON.
pub fn json(text: &str) -> Cow<'_, str> {
    escape(text, is_hidden, |hidden, out| {
        for unit in hidden.encode_utf16(&mut [0; 2]) {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

/// Text as [`line()`] gives it, in at most `width` characters; what was cut off shows as `…`.
pub fn short(text: &str, width: usize) -> String {
    let text = line(text);
    match text.char_indices().nth(width) {
        None => text.into_owned(),
        Some(_) => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Replaces the characters that `hides` names; borrows where there are none, as nearly always.
fn escape(text: &str, hides: impl Fn(char) -> bool, show: impl Fn(char, &mut String)) -> Cow<'_, str> {
    let Some(first) = text.find(&hides) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for character in text[first..].chars() {
        if hides(character) {
            show(character, &mut out);
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_gets_into_a_line() {
        assert_eq!(line("a\u{1b}[31mb\u{9b}2J\r\n\u{202e}\\n"), r"a\u{1b}[31mb\u{9b}2J\r\n\u{202e}\\n");
        assert_eq!(line("日本 ключ \u{1f600}"), "日本 ключ \u{1f600}");
        assert!(matches!(line("plain é"), Cow::Borrowed(_)));
    }

    #[test]
    fn names_that_look_alike_are_shown_apart() {
        for hidden in [
            '\u{ad}',
            '\u{200b}',
            '\u{200d}',
            '\u{2028}',
            '\u{2029}',
            '\u{2060}',
            '\u{2066}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{e0041}',
            '\u{e000}',
            '\u{85}',
        ] {
            let shown = line(&format!("op{hidden}s")).into_owned();
            assert_eq!(shown, format!("op{}s", hidden.escape_unicode()));
        }
    }

    #[test]
    fn different_texts_stay_different_on_one_line() {
        let texts = ["a\nb", "a\\nb", "a\\\\nb", "a\u{1b}b", "a\\u{1b}b"];
        for (index, one) in texts.iter().enumerate() {
            assert!(texts[..index].iter().all(|other| line(other) != line(one)), "{one:?}");
        }
    }

    #[test]
    fn text_of_several_lines_keeps_its_lines_and_nothing_else() {
        assert_eq!(text("a\tb\r\nc\\d\n"), "a\tb\nc\\d\n");
        assert_eq!(text("50 %\r100 %\n\u{1b}[2Jx\u{2028}y"), "50 %\\u{d}100 %\n\\u{1b}[2Jx\\u{2028}y");
        assert!(matches!(text("a\nb"), Cow::Borrowed(_)));
    }

    #[test]
    fn escaped_json_means_the_same() {
        let escaped = json("{\"id\":\"a\u{7f}b\u{85}\u{202e}\u{e0041}\"}").into_owned();
        assert_eq!(escaped, r#"{"id":"a\u007fb\u0085\u202e\udb40\udc41"}"#);
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(short("abcdef", 6), "abcdef");
        assert_eq!(short("abcdefg", 6), "abcde…");
    }
}
