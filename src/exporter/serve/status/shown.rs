//! Single values as HTML: text from a journal, moments and how long ago they were.

use std::fmt::{self, Write as _};

use jiff::Timestamp;

/// Text from outside, as HTML shows it: markup is none, and control characters are seen.
pub(super) struct Shown<'t>(pub(super) &'t str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other if other.is_control() => write!(f, "{}", other.escape_debug())?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A moment, with how long ago it was.
pub(super) struct Moment {
    /// Milliseconds since 1970; 0 stands for never.
    pub(super) at: i64,
    /// When it is shown.
    pub(super) now: Timestamp,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(at) = Timestamp::from_millisecond(self.at) else { return f.write_str("a time out of range") };
        if self.at == 0 {
            return f.write_str("<span class=\"none\">never</span>");
        }
        let seconds = at.as_second();
        let shown = Timestamp::from_second(seconds).unwrap_or(at).to_string();
        let day_and_time = shown.replace('T', " ").replace('Z', " UTC");
        let ago = Span(self.now.as_second() - seconds);
        write!(f, "<time datetime=\"{shown}\">{day_and_time}</time> <span class=\"ago\">({ago})</span>")
    }
}

/// How long ago something was, in seconds.
struct Span(i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ..-5 => f.write_str("in the future, by this host's clock"),
            -5..=1 => f.write_str("now"),
            seconds @ 2..=119 => write!(f, "{seconds} s ago"),
            seconds @ 120..=7199 => write!(f, "{} min ago", seconds / 60),
            seconds @ 7200..=172_799 => write!(f, "{} h ago", seconds / 3600),
            seconds => write!(f, "{} days ago", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_one_unit() {
        for (seconds, text) in [(0, "now"), (119, "119 s ago"), (120, "2 min ago"), (7200, "2 h ago")] {
            assert_eq!(Span(seconds).to_string(), text);
        }
        assert_eq!(Span(172_800).to_string(), "2 days ago");
        assert!(Span(-60).to_string().contains("future"));
    }
}
