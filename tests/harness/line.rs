//! The plainest line of a journal, and the series that it counts in.

/// The labels of the series in `etcha_commands_total` that [`line`] and [`line_of`] count in.
pub(crate) const LABELS: &[(&str, &str)] = &[
    ("error", "0"),
    ("id", "a"),
    ("mode", "check"),
    ("parent_id", ""),
    ("public_key", ""),
    ("remote_addr", ""),
    ("source", "s"),
];

/// The line with that number, and its LF.
pub(crate) fn line(seq: u64) -> String {
    line_of("w", seq)
}

/// The same of another writer.
pub(crate) fn line_of(writer: &str, seq: u64) -> String {
    format!(
        "{{\"v\":1,\"writer\":\"{writer}\",\"seq\":{seq},\"time\":\"2026-01-01T00:00:00.000Z\",\
         \"event\":\"command\",\"id\":\"a\",\"mode\":\"check\",\"error\":false,\"source\":\"s\"}}\n"
    )
}
