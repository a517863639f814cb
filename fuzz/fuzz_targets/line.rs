//! Any bytes as a journal: the splitter makes progress, the decoder does not panic, and what it takes is the same
//! after it was encoded and decoded again. A glance at a line says what decoding it says.
#![no_main]

use journal_schema::event::Source;
use journal_schema::glance::Glancer;
use journal_schema::{Event, Piece, Splitter, decode, encode, limits::MAX_LINE_BYTES};
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
    glance(line);
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

/// The short way, where it leads through, leads where decoding does.
fn glance(line: &[u8]) {
    let mut scratch = Vec::new();
    let Some(glance) = Glancer::default().glance(line) else { return };
    let Some(event) = glance.event(&mut scratch) else { return };
    let decoded = decode(line).expect("what a glance takes can be decoded");
    assert_eq!(decoded.envelope.writer.as_bytes(), glance.writer);
    assert_eq!(decoded.envelope.seq, glance.seq);
    assert_eq!(decoded.envelope.time.as_millisecond(), glance.millisecond);
    assert_eq!(decoded.envelope.time.as_nanosecond(), i128::from(glance.nanosecond()));
    let labelled = match decoded.event {
        Event::Source(source) => {
            Event::Source(Source { token_id: "".into(), subject: "".into(), digest: "".into(), ..source })
        }
        other => other,
    };
    assert_eq!(labelled, event);
}
