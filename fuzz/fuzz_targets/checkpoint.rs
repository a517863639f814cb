//! Any bytes as a checkpoint, as they are and with a right header before them: refused, or taken and gone on from.
#![no_main]

use std::path::Path;

use exporter::{
    checkpoint::Checkpoint,
    exposition,
    follow::{Bounds, Follower},
    metrics::{Limits, Metrics},
};
use libfuzzer_sys::fuzz_target;

const LINE: &[u8] = br#"{"v":1,"writer":"a","seq":2,"time":"2026-01-02T03:04:06.000Z","event":"shell","name":"s","session":"1","state":"opened"}
{"v":1,"writer":"a","seq":9,"time":"2026-01-02T03:04:07.000Z","event":"run","name":"s","trigger":"pull","run":"1","state":"ended"}
{"v":1,"writer":"a","seq":10,"time":"2026-01-02T03:04:08.000Z","event":"engine","state":"stopped"}
"#;

fuzz_target!(|bytes: &[u8]| {
    go_on(bytes);
    for version in 1..=3u32 {
        let mut sealed = b"etchackp".to_vec();
        sealed.extend_from_slice(&version.to_le_bytes());
        sealed.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        sealed.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
        sealed.extend_from_slice(bytes);
        go_on(&sealed);
    }
});

fn go_on(bytes: &[u8]) {
    let Ok(checkpoint) = Checkpoint::decode(bytes) else { return };
    // The same number may be written in several ways; one encoding later there is one way left.
    let encoded = checkpoint.encode();
    assert_eq!(Checkpoint::decode(&encoded).expect("what was encoded can be decoded").encode(), encoded);
    let Some(metrics) = Metrics::restore(checkpoint.metrics, Limits::default()) else { return };
    let mut follower =
        Follower::restore(Path::new("journal.jsonl"), metrics, checkpoint.follow, Bounds::default());
    follower.replay_stream(Path::new("-"), &mut &LINE[..]).expect("memory can be read");
    exposition::guide(follower.metrics().tables(), &mut Vec::new());
}
