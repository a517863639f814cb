//! Numbers as people read them: counts with their noun, durations with a unit that fits.

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
