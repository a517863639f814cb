//! Text from a journal as it may be shown: whatever a label holds, it cannot move the cursor, change colours, or turn the line around.

use std::fmt::Write as _;

/// Whether a terminal may do something with this character other than show it.
fn is_active(character: char) -> bool {
    character.is_control()
        // Line and paragraph separators, and the marks that change the direction of writing.
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A label on one line of a terminal. A backslash is doubled, so different labels stay different.
pub(crate) fn label(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            active if is_active(active) => out.extend(active.escape_unicode()),
            other => out.push(other),
        }
    }
    out
}

/// The same for a line of JSON: it stays the same JSON.
pub(crate) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut units = [0; 2];
    for character in text.chars() {
        if is_active(character) {
            for unit in character.encode_utf16(&mut units) {
                // Writing to a `String` cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
    }
    out
}

/// A label of at most `width` characters; what was cut off shows as `…`.
pub(crate) fn short(text: &str, width: usize) -> String {
    let text = label(text);
    match text.char_indices().nth(width) {
        None => text,
        Some(_) => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// `1 line`, `2 lines`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A duration for people: three digits and a unit.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        _ if seconds < 0.000_999_5 => format!("{:.0} µs", seconds * 1e6),
        _ if seconds < 0.009_995 => format!("{:.2} ms", seconds * 1e3),
        _ if seconds < 0.999_5 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 9.995 => format!("{seconds:.2} s"),
        _ if seconds < 59.95 => format!("{seconds:.1} s"),
        _ if seconds < 599.7 => format!("{:.1} min", seconds / 60.0),
        _ if seconds < 5_940.0 => format!("{:.0} min", seconds / 60.0),
        _ if seconds < 172_800.0 => format!("{:.1} h", seconds / 3_600.0),
        _ => format!("{:.1} d", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_gets_through() {
        assert_eq!(label("a\u{1b}[31mb\u{9b}2J\r\n\u{202e}\\n"), r"a\u{1b}[31mb\u{9b}2J\r\n\u{202e}\\n");
        assert_eq!(label("日本 ключ \u{1f600}"), "日本 ключ \u{1f600}");
    }

    #[test]
    fn escaped_json_means_the_same() {
        let text = "{\"id\":\"a\u{7f}b\u{85}\u{202e}\"}";
        let escaped = json(text);
        assert_eq!(escaped, r#"{"id":"a\u007fb\u0085\u202e"}"#);
        let values = [text, &escaped].map(|text| serde_json::from_str::<serde_json::Value>(text).ok());
        assert_eq!(values[0], values[1]);
    }

    #[test]
    fn a_long_label_is_cut_and_says_so() {
        assert_eq!(short("abcdef", 6), "abcdef");
        assert_eq!(short("abcdefg", 6), "abcde…");
    }

    #[test]
    fn durations_have_a_unit_that_fits() {
        for (value, text) in [
            (0.0, "0 µs"),
            (0.000_25, "250 µs"),
            (0.0015, "1.50 ms"),
            (0.25, "250 ms"),
            (0.9999, "1.00 s"),
            (3.25, "3.25 s"),
            (59.94, "59.9 s"),
            (90.0, "1.5 min"),
            (600.0, "10 min"),
            (7_200.0, "2.0 h"),
            (864_000.0, "10.0 d"),
        ] {
            assert_eq!(seconds(value), text);
        }
    }
}
