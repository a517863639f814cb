//! How many values a JSON text has, found before it becomes values: each may take three hundred times the memory of its
//! text. Knows nothing of what they mean.

/// Most values that are read of a rendering, or of a token: as many as ten thousand Commands have. In memory they take less
/// than 64 MiB.
pub(crate) const MAX_VALUES: usize = 100_000;

/// Whether `json` has at most [`MAX_VALUES`]. Counts what comes before a value or a key in a list or an object; of a text
/// that is no JSON the answer means nothing.
pub(crate) fn are_few(json: &[u8]) -> bool {
    let (mut count, mut in_string, mut escaped) = (0, false, false);
    for byte in json {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[' | b',') => count += 1,
            _ => {}
        }
        if count > MAX_VALUES {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_and_what_stands_in_strings_is_none() {
        let list = |text: &str, count: usize| format!("[{}]", vec![text; count].join(","));
        assert!(are_few(list("0", MAX_VALUES).as_bytes()));
        assert!(!are_few(list("0", MAX_VALUES + 1).as_bytes()));
        assert!(!are_few(list("{\"a\":0}", MAX_VALUES / 2 + 1).as_bytes()));
        assert!(!are_few("[".repeat(MAX_VALUES + 1).as_bytes()));
        let commas = ",{[".repeat(MAX_VALUES);
        assert!(are_few(format!("{{\"change\":\"a\\\"{commas}\\\\\"}}").as_bytes()));
        assert!(!are_few(format!("{{\"a\":\"\\\\\"{commas}").as_bytes()));
    }
}
