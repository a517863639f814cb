//! Times as people type them: absolute, or how long ago.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, civil};

use crate::Expected;

/// `2026-01-31T09:30:00Z`, `2026-01-31` (its start, in UTC), or `2d` ago. A time of day without its zone is none of them:
/// a reader of the audit trail could take it for another time than was meant.
pub(crate) fn when(text: &str) -> Result<Timestamp, Expected> {
    let expected = Expected(
        "a time such as 2026-01-31T09:30:00Z or 2026-01-31, or how long ago, such as 90m, 24h or 7d",
    );
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    if let Ok(time) = text.parse::<civil::DateTime>() {
        let is_day = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        if !is_day {
            return Err(Expected(
                "a time with its zone, such as 2026-01-31T09:30:00Z or 2026-01-31 10:30+01:00",
            ));
        }
        return time.to_zoned(TimeZone::UTC).map(|time| time.timestamp()).map_err(|_| expected);
    }
    let ago = text.parse::<Span>().ok().and_then(|span| {
        let now = Timestamp::now().to_zoned(TimeZone::UTC);
        now.checked_sub(span.abs()).ok()
    });
    ago.map(|time| time.timestamp()).ok_or(expected)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_are_absolute_or_ago() {
        let time = |text: &str| when(text).unwrap();
        assert_eq!(time("2026-01-31T09:30:00Z").as_second(), 1_769_851_800);
        assert_eq!(time("2026-01-31T10:30:00+01:00"), time("2026-01-31T09:30:00Z"));
        assert_eq!(time("2026-01-31"), time("2026-01-31T00:00:00Z"));
        let ago = Timestamp::now().duration_since(time("2d")).as_secs();
        assert!((172_740..=172_800).contains(&ago), "{ago}");
        assert_eq!(time("2026-01-31 10:30+01:00"), time("2026-01-31T09:30:00Z"));
        for text in [
            "2026-01-31 09:30",
            "2026-01-31T09:30",
            "2026-01-31 09:30:00",
            "2026-01-31T09:30:00.5",
            "2026-01-31T09",
        ] {
            assert!(when(text).is_err_and(|Expected(what)| what.contains("zone")), "{text}");
        }
        for text in ["", "yesterday", "2026-02-30", "5"] {
            assert!(when(text).is_err(), "{text}");
        }
    }
}
