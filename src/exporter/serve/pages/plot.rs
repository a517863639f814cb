//! Plots of the last hour: lines drawn as SVG, with axes in HTML beside them, so that letters keep their size however
//! wide the plot is. Colours are the style sheet's.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::history::{SAMPLE_INTERVAL, SAMPLES};

/// Size of the drawing in its own units; the style sheet says how large it is shown.
const SIZE: (f64, f64) = (360.0, 100.0);

/// Draws `values`, the latest at the right end, under `title`. Fewer values than an hour has begin further right.
pub(super) fn plot(title: &str, values: &[f64], now: Timestamp, out: &mut String) {
    let values = &values[values.len().saturating_sub(SAMPLES)..];
    let latest = values.last().copied().unwrap_or(0.0);
    let most = values.iter().copied().fold(0.0, f64::max);
    let top = scale_for(most);
    let minutes = i64::try_from(SAMPLE_INTERVAL.as_secs()).unwrap_or(0) * SAMPLES as i64 / 60;
    let (width, height) = SIZE;
    // Writing to memory cannot fail.
    let _ = write!(
        out,
        "<figure><figcaption>{title}: <b>{latest:.0}</b> now, {most:.0} at most</figcaption>\n\
         <div class=\"plot\"><div class=\"y\" aria-hidden=\"true\"><span>{top}</span><span>{}</span><span>0</span></div>\
         <svg viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{title}, the last {minutes} minutes, from 0 to {top}: {latest:.0} now, {most:.0} at most\">",
        top / 2.0,
    );
    for y in [0.5, height / 2.0, height - 0.5] {
        let _ = write!(out, "<line x1=\"0\" y1=\"{y}\" x2=\"{width}\" y2=\"{y}\"/>");
    }
    if values.len() > 1 {
        let _ = write!(out, "<polyline points=\"{}\"/>", points(values, top));
    }
    out.push_str("</svg><div class=\"x\" aria-hidden=\"true\">");
    for ago in [minutes, minutes / 2, 0] {
        let at = Timestamp::from_second(now.as_second().saturating_sub(ago * 60)).unwrap_or(now).to_string();
        // Hour and minute stand at these places of a year with four digits, as all years here have.
        let clock = at.get(11..16).unwrap_or_default();
        let _ = write!(out, "<span>{clock}{}</span>", if ago == 0 { " UTC" } else { "" });
    }
    out.push_str("</div></div></figure>\n");
}

fn points(values: &[f64], top: f64) -> String {
    let (width, height) = SIZE;
    let step = width / (count(SAMPLES) - 1.0);
    let begin = width - step * (count(values.len()) - 1.0);
    let mut points = String::new();
    for (at, value) in values.iter().enumerate() {
        let y = height - 0.5 - value / top * (height - 1.0);
        let _ = write!(points, "{:.1},{y:.1} ", begin + step * count(at));
    }
    points.truncate(points.trim_end().len());
    points
}

/// The top of an axis for values up to `most`: a round number, whose half is whole.
fn scale_for(most: f64) -> f64 {
    let mut power = 1.0;
    loop {
        for factor in [2.0, 4.0, 6.0, 10.0] {
            if most <= factor * power {
                return factor * power;
            }
        }
        power *= 10.0;
    }
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

    fn drawn(values: &[f64]) -> String {
        let mut out = String::new();
        plot("Things", values, "2026-01-01T01:05:00Z".parse().unwrap(), &mut out);
        out
    }

    #[test]
    fn totals_become_rates_and_never_fall_below_zero() {
        assert_eq!(per_minute([10, 11, 11, 5].into_iter()), [6.0, 0.0, 0.0]);
        assert!(per_minute([7].into_iter()).is_empty());
    }

    #[test]
    fn the_latest_value_is_at_the_right_end_and_the_axes_say_what_is_shown() {
        let out = drawn(&[0.0, 4.0]);
        assert!(out.contains("359.0,99.5 360.0,0.5\"/>"), "{out}");
        assert!(out.contains("<b>4</b> now, 4 at most"), "{out}");
        assert!(out.contains("<span>4</span><span>2</span><span>0</span>"), "{out}");
        assert!(out.contains("<span>00:05</span><span>00:35</span><span>01:05 UTC</span>"), "{out}");
        let empty = drawn(&[]);
        assert!(!empty.contains("polyline") && empty.contains("<b>0</b>"), "{empty}");
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        for (most, top) in [(0.0, 2.0), (2.0, 2.0), (3.0, 4.0), (7.0, 10.0), (42.0, 60.0), (1201.0, 2000.0)] {
            assert!((scale_for(most) - top).abs() < 1e-9, "{most}");
        }
    }
}
