//! Any bytes as a journal, counted twice: as they are, and with a space behind the first brace of each line, which no glance
//! takes and every parser ignores. The short way leads where the long one does.
#![no_main]

use std::path::Path;

use exporter::exposition::{self, Format};
use exporter::follow::{Bounds, Follower};
use exporter::metrics::{Limits, Metrics};
use exporter::publish::Snapshot;
use journal_schema::limits::MAX_LINE_BYTES;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|journal: &[u8]| {
    let mut spaced = Vec::with_capacity(journal.len() + 100);
    for line in journal.split_inclusive(|byte| *byte == b'\n') {
        // One more byte may be one too many.
        if line.len() >= MAX_LINE_BYTES {
            return;
        }
        let rest = line.strip_prefix(b"{");
        spaced.extend_from_slice(if rest.is_some() { b"{ " } else { b"" });
        spaced.extend_from_slice(rest.unwrap_or(line));
    }
    // Few series, so that some overflow.
    for series in [3, 1000] {
        let limits = Limits { series, ..Limits::default() };
        assert_eq!(counted(journal, limits), counted(&spaced, limits));
    }
});

fn counted(mut journal: &[u8], limits: Limits) -> Vec<u8> {
    let mut follower = Follower::new(Path::new("journal.jsonl"), Metrics::new(limits), Bounds::default());
    follower.replay_stream(Path::new("-"), &mut journal).expect("memory can be read");
    // What the exporter says of itself counts bytes, of which one journal has more.
    let snapshot = Snapshot { tables: follower.metrics().tables().clone(), ..Snapshot::default() };
    let mut text = Vec::new();
    exposition::render(&snapshot, &[], Format::Text, &mut text);
    text
}
