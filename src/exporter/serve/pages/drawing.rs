//! Pieces of the status page as HTML: text from a journal, moments and how long ago they were, and small plots. Colours
//! are the style sheet's.

use std::fmt::{self, Write as _};

use jiff::Timestamp;

use super::history::{SAMPLE_INTERVAL, SAMPLES};

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

/// Size of the drawing in its own units; the style sheet says how large it is shown.
const SIZE: (f64, f64) = (360.0, 60.0);

/// Draws `values`, the latest at the right end, under `title`. Fewer values than an hour has begin further right.
pub(super) fn plot(title: &str, values: &[f64], out: &mut String) {
    let latest = values.last().copied().unwrap_or(0.0);
    let top = values.iter().copied().fold(0.0, f64::max);
    let scale = if top > 0.0 { (SIZE.1 - 4.0) / top } else { 0.0 };
    let step = SIZE.0 / (count(SAMPLES) - 1.0);
    let values = &values[values.len().saturating_sub(SAMPLES)..];
    let begin = SIZE.0 - step * (count(values.len()) - 1.0).max(0.0);
    let mut points = String::new();
    for (at, value) in values.iter().enumerate() {
        let _ = write!(points, "{:.1},{:.1} ", begin + step * count(at), SIZE.1 - 2.0 - value * scale);
    }
    let minutes = SAMPLE_INTERVAL.as_secs() * SAMPLES as u64 / 60;
    // Writing to memory cannot fail.
    let _ = write!(
        out,
        "<figure><figcaption>{title}: <b>{latest:.0}</b> now, {top:.0} at most</figcaption>\
         <svg viewBox=\"0 0 {} {}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{title}, the last {minutes} minutes\">\
         <line x1=\"0\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\"/>",
        SIZE.0,
        SIZE.1,
        SIZE.0,
        y = SIZE.1 - 1.0,
    );
    if values.len() > 1 {
        let _ = write!(out, "<polyline points=\"{}\"/>", points.trim_end());
    }
    out.push_str("</svg></figure>\n");
}

/// What each sample adds to the one before it, as a number a minute.
pub(super) fn per_minute(totals: impl Iterator<Item = u64> + Clone) -> Vec<f64> {
    let factor = 60.0 / SAMPLE_INTERVAL.as_secs_f64();
    let pairs = totals.clone().zip(totals.skip(1));
    pairs.map(|(before, after)| whole(after.saturating_sub(before)) * factor).collect()
}

/// Numbers of this size are exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(super) fn whole(number: u64) -> f64 {
    number as f64
}

fn count(number: usize) -> f64 {
    whole(number as u64)
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

    #[test]
    fn totals_become_rates_and_never_fall_below_zero() {
        assert_eq!(per_minute([10, 11, 11, 5].into_iter()), [6.0, 0.0, 0.0]);
        assert!(per_minute([7].into_iter()).is_empty());
    }

    #[test]
    fn the_latest_value_is_at_the_right_end() {
        let mut out = String::new();
        plot("Things", &[0.0, 4.0], &mut out);
        assert!(out.contains("360.0,2.0\"/>"), "{out}");
        assert!(out.contains("<b>4</b> now, 4 at most"), "{out}");
        let mut empty = String::new();
        plot("Things", &[], &mut empty);
        assert!(!empty.contains("polyline") && empty.contains("<b>0</b>"), "{empty}");
    }
}
