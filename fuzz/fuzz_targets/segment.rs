//! Any bytes as a compressed segment beside a good journal: it is read, or set aside with a reason, and costs neither memory nor
//! the lines beside it.
#![no_main]

use std::{fs, path::Path, path::PathBuf, sync::LazyLock};

use exporter::{
    follow::{Bounds, Follower, Go},
    metrics::{Limits, Metrics},
};
use libfuzzer_sys::fuzz_target;

const LINE: &[u8] = br#"{"v":1,"writer":"good","seq":1,"time":"2026-01-02T03:04:06.000Z","event":"command","id":"i","mode":"check","error":false,"source":"s"}
"#;

/// Rounds until whatever was found must have been read or set aside, unless it is as large as a limit.
const ROUNDS: usize = 3;

static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("etcha-fuzz-segment-{}", std::process::id()));
    fs::create_dir_all(&path).expect("there is a temporary directory");
    fs::write(path.join("journal.jsonl"), LINE).expect("it takes a line");
    path
});

/// What zstd files and gzip files begin with: without it nothing is decompressed.
const STARTS: [(&str, &[u8]); 2] = [("zst", &[0x28, 0xb5, 0x2f, 0xfd]), ("gz", &[0x1f, 0x8b, 8])];

fuzz_target!(|bytes: &[u8]| {
    for (ending, start) in STARTS {
        let segment = DIRECTORY.join(format!("journal.jsonl.1.{ending}"));
        for content in [bytes.to_vec(), [start, bytes].concat()] {
            fs::write(&segment, content).expect("it takes the segment");
            read(&DIRECTORY.join("journal.jsonl"));
        }
        fs::remove_file(&segment).expect("it was written");
    }
});

fn read(journal: &Path) {
    let mut follower = Follower::new(journal, Metrics::new(Limits::default()), Bounds::default());
    for _ in 0..ROUNDS {
        follower.round(&mut |_| Go::On);
    }
    assert!(follower.tally().events.iter().sum::<u64>() >= 1, "the good line is counted");
}
