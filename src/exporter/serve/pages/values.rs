//! Single values of the status page as HTML: text from a journal, moments, spans of time, sizes.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use terminal::printable;

/// Characters of a text that the page shows. The whole text is shown on hover.
const MAX_SHOWN: usize = 80;

/// Characters from which on a text may be wider than its column, so that the pointer shows it whole.
const MAY_BE_CUT: usize = 20;

/// Text as HTML: without markup. Control characters, invisible ones and those that turn the direction are shown by
/// their number.
struct Escaped<'t>(&'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// Text from outside, whole.
pub(super) struct Whole<'t>(pub(super) &'t str);

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&printable::line(self.0)).fmt(f)
    }
}

/// Text from outside in a table, shortened if it is long. Where there is none, `none` says so.
pub(super) struct Text<'t>(pub(super) &'t str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("<span class=\"none\">none</span>");
        }
        let shown = printable::short(self.0, MAX_SHOWN);
        if shown.chars().nth(MAY_BE_CUT).is_some() {
            return write!(f, "<bdi title=\"{}\">{}</bdi>", Whole(self.0), Escaped(&shown));
        }
        write!(f, "<bdi>{}</bdi>", Escaped(&shown))
    }
}

/// How the page shows times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// When the page is made.
    pub(super) now: Timestamp,
    /// Whether times are shown exactly rather than by how long ago they were.
    pub(super) exact: bool,
}

impl Clock {
    /// A moment, in milliseconds since 1970; 0 stands for never.
    pub(super) fn at(self, at: i64) -> Moment {
        Moment { at, clock: self }
    }

    /// How long ago a moment was, in seconds; negative if it is to come.
    pub(super) fn seconds_since(self, at: i64) -> i64 {
        self.now.as_millisecond().saturating_sub(at).div_euclid(1000)
    }
}

/// A moment: how long ago it was, with the exact time beneath the pointer, for programs and on paper; or the exact time.
pub(super) struct Moment {
    at: i64,
    clock: Clock,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(at) = Timestamp::from_millisecond(self.at) else { return f.write_str("a time out of range") };
        if self.at == 0 {
            return f.write_str("<span class=\"none\">never</span>");
        }
        let machine = Timestamp::from_second(at.as_second()).unwrap_or(at).to_string();
        let exact = machine.replace('T', " ").replace('Z', " UTC");
        let ago = Ago(self.clock.seconds_since(self.at));
        if self.clock.exact {
            write!(f, "<time datetime=\"{machine}\" title=\"{ago}\">{exact}</time>")
        } else {
            write!(f, "<time class=\"ago\" datetime=\"{machine}\" title=\"{exact}\">{ago}</time>")
        }
    }
}

/// How long ago something was, in seconds.
struct Ago(i64);

impl fmt::Display for Ago {
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

/// How long something took, in milliseconds.
pub(super) struct Span(pub(super) i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.max(0) / 1000;
        match seconds {
            0 => f.write_str("under 1 s"),
            1..=119 => write!(f, "{seconds} s"),
            120..=7199 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            7200..=172_799 => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
            _ => write!(f, "{} days {} h", seconds / 86_400, seconds / 3600 % 24),
        }
    }
}

/// A size in bytes, shown in megabytes (millions of bytes); the pointer shows the bytes.
pub(super) struct Size(pub(super) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<span title=\"{} bytes\">", self.0)?;
        let thousands = self.0.div_ceil(1000);
        match self.0 {
            0 => f.write_str("0 MB")?,
            // Rounded up, so that a size above zero never shows as 0.
            1..=99_999 => write!(f, "0.{thousands:03} MB")?,
            bytes @ 100_000..=9_999_999 => write!(f, "{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)?,
            bytes => write!(f, "{} MB", bytes / 1_000_000)?,
        }
        f.write_str("</span>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_one_unit_or_two() {
        for (seconds, text) in [(0, "now"), (119, "119 s ago"), (120, "2 min ago"), (7200, "2 h ago")] {
            assert_eq!(Ago(seconds).to_string(), text);
        }
        assert_eq!(Ago(172_800).to_string(), "2 days ago");
        assert!(Ago(-60).to_string().contains("future"));
        for (seconds, text) in [(0, "under 1 s"), (90, "90 s"), (125, "2 min 5 s"), (7260, "2 h 1 min")] {
            assert_eq!(Span(seconds * 1000).to_string(), text);
        }
        assert_eq!(Span(180_000_000).to_string(), "2 days 2 h");
        assert_eq!(Span(-5).to_string(), "under 1 s");
    }

    #[test]
    fn sizes_are_megabytes_with_the_bytes_beneath() {
        for (bytes, text) in
            [(0, "0 MB"), (1, "0.001 MB"), (12_345, "0.013 MB"), (1_250_000, "1.2 MB"), (64_000_000, "64 MB")]
        {
            assert_eq!(Size(bytes).to_string(), format!("<span title=\"{bytes} bytes\">{text}</span>"));
        }
    }

    #[test]
    fn text_is_never_markup_and_hides_nothing() {
        assert_eq!(Text("a<b>&\"'").to_string(), "<bdi>a&lt;b&gt;&amp;&quot;&#39;</bdi>");
        assert_eq!(Text("\0\u{202e}\n").to_string(), "<bdi>\\u{0}\\u{202e}\\n</bdi>");
        let long = "<".repeat(5000);
        let shown = Text(&long).to_string();
        assert!(shown.starts_with(&format!("<bdi title=\"{}\">", "&lt;".repeat(5000))), "whole beneath");
        assert!(shown.ends_with("&lt;…</bdi>"), "{shown}");
        assert!(Text("").to_string().contains(">none<"));
    }

    #[test]
    fn a_moment_has_its_exact_time_beneath_or_in_its_place() {
        let now = "2026-01-01T00:10:00Z".parse().unwrap();
        let at = "2026-01-01T00:00:03.9Z".parse::<Timestamp>().unwrap().as_millisecond();
        let ago = Clock { now, exact: false }.at(at).to_string();
        let machine = "datetime=\"2026-01-01T00:00:03Z\"";
        assert_eq!(
            ago,
            format!("<time class=\"ago\" {machine} title=\"2026-01-01 00:00:03 UTC\">9 min ago</time>")
        );
        let exact = Clock { now, exact: true }.at(at).to_string();
        assert_eq!(exact, format!("<time {machine} title=\"9 min ago\">2026-01-01 00:00:03 UTC</time>"));
        assert!(Clock { now, exact: false }.at(0).to_string().contains("never"));
    }
}
