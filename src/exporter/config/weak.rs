//! Keys that can be guessed: short ones, repetitions, and words of examples. They are taken, with a warning: refusing them
//! would end scrapes that work. Never shows a key.

/// Fewest characters of a key that cannot be tried out: 64 bits if they are random hexadecimal digits.
const FEW_CHARACTERS: usize = 16;

/// Fewest different characters; 16 random hexadecimal digits practically always have more.
const FEW_DIFFERENT: usize = 6;

/// What documentation, examples and lists of common passwords hold, in lower case and without what separates words.
const WELL_KNOWN: [&str; 24] = [
    "secret",
    "mysecret",
    "supersecret",
    "password",
    "passw0rd",
    "changeme",
    "pleasechangeme",
    "changethis",
    "replaceme",
    "yourkey",
    "yourkeyhere",
    "yoursecretkey",
    "admin",
    "test",
    "example",
    "key",
    "metrics",
    "metricskey",
    "systemmetricskey",
    "systemmetricssecret",
    "prometheus",
    "etcha",
    "etchaexporter",
    "correcthorsebatterystaple",
];

/// Why `key` can be guessed, and what to do; nothing if it looks as if it was made at random.
pub(super) fn why(key: &str) -> Option<&'static str> {
    let word: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
    let word = word.to_ascii_lowercase();
    let word = word.trim_end_matches(|end: char| end.is_ascii_digit());
    let mut different: Vec<_> = key.chars().collect();
    different.sort_unstable();
    different.dedup();
    let runs =
        |run: &str| run.len() >= FEW_CHARACTERS && run.repeat(key.len() / run.len() + 1).starts_with(key);
    if WELL_KNOWN.contains(&word) || runs("0123456789abcdef") || runs("01234567890123456789") {
        Some("a key that examples show, which others try first; make one with `openssl rand -hex 24`")
    } else if key.chars().count() < FEW_CHARACTERS {
        Some("a key of fewer than 16 characters can be guessed; make one with `openssl rand -hex 24`")
    } else if different.len() < FEW_DIFFERENT {
        Some(
            "a key of fewer than 6 different characters can be guessed; make one with `openssl rand -hex 24`",
        )
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::why;

    #[test]
    fn short_repeated_and_well_known_keys_are_weak_and_random_ones_are_not() {
        for (what, keys) in [
            (
                "that examples show",
                ["secret", "Change-Me", "PASSWORD123", "0123456789abcdef", "system_metrics_secret"]
                    .as_slice(),
            ),
            ("fewer than 16 characters", &["x", "9f86d081884c7d6", "äöüäöüäöüäöüäöü"]),
            ("fewer than 6 different", &["aaaaaaaaaaaaaaaaaaaa", "abcabcabcabcabcabcabc"]),
        ] {
            for key in keys {
                let said = why(key).unwrap_or_default();
                assert!(said.contains(what) && !said.contains(key) | (key.len() < 3), "{key}: {said}");
            }
        }
        for key in [
            "9f86d081884c7d65",
            "9f86d081884c7d659a2feaa0c55ad015",
            "key/of+the~tests",
            "lamp-otter-quartz-veil",
        ] {
            assert_eq!(why(key), None, "{key}");
        }
    }
}
