//! Any bytes as a journal: the splitter makes progress, the decoder does not panic, and what it takes is the same
//! after it was encoded and decoded again.
#![no_main]

use journal_schema::{Piece, Splitter, decode, encode, limits::MAX_LINE_BYTES};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (mut splitter, mut rest) = (Splitter::default(), bytes);
    while let Some((used, piece)) = splitter.next(rest) {
        assert!(used > 0 && used <= rest.len());
        rest = &rest[used..];
        if let Piece::Line(line) = piece {
            judge(line);
        }
    }
    assert!(rest.len() < MAX_LINE_BYTES);
    judge(bytes);
});

fn judge(line: &[u8]) {
    match decode(line) {
        Ok(decoded) => {
            let mut again = Vec::new();
            // A line near the limit may grow beyond it when its times and numbers are written out.
            if encode(&decoded.envelope, &decoded.event, &mut again).is_ok() {
                let redecoded = decode(&again[..again.len() - 1]).expect("what was encoded can be decoded");
                assert_eq!(redecoded.event, decoded.event);
                assert_eq!(redecoded.envelope.seq, decoded.envelope.seq);
            }
        }
        Err(rejected) => assert!(rejected.detail.len() < 4096),
    }
}
