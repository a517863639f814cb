//! The key of all tests, in each form that it may take. It is looked for in every line that a started program logs
//! and in every answer that the harness gets, so each test of the suite is a test that secrets stay secret.

use super::exporter::KEY;

/// Panics if `text` holds the key: as it is, percent-encoded, or as the password of basic credentials.
pub(crate) fn assert_none(text: &str) {
    // Base64 has three forms, by the length of the user's name before it.
    for form in
        [KEY, "key%2Fof%2Bthe~tests", "tleS9vZit0aGV+dGVzdH", "rZXkvb2YrdGhlfnRlc3R", "a2V5L29mK3RoZX50ZXN0c"]
    {
        assert!(!text.contains(form), "a secret is told: {text}");
    }
}
