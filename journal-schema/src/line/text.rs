//! The text of a line, written straight into a buffer.
//!
//! An agent pays for this at every step it runs, so it is written by hand: field names are constants, labels are copied
//! in runs. What comes out is byte for byte what `serde_json` makes of the same types; a property test holds the two
//! together, and the types' own `Serialize` stays the definition.

use jiff::Timestamp;
use jiff::tz::Offset;

use crate::event::{
    Command, Engine, EngineState, Envelope, Event, Refused, Run, RunState, Shell, ShellState, Source,
};
use crate::limits::MAX_COUNT;
use crate::line::VERSION;

/// Appends the envelope, from the opening brace up to the comma before `event`.
pub(super) fn envelope(out: &mut Vec<u8>, envelope: &Envelope<'_>) {
    out.extend_from_slice(b"{\"v\":");
    number(out, VERSION);
    // A writer's name holds nothing that needs an escape, if it is one; if not, a reader has to see the same name.
    member(out, b",\"writer\":", &envelope.writer);
    out.extend_from_slice(b",\"seq\":");
    number(out, envelope.seq);
    out.extend_from_slice(b",\"time\":\"");
    time(out, envelope.time);
    out.extend_from_slice(b"\",");
}

/// Appends the event, up to the closing brace.
pub(super) fn event(out: &mut Vec<u8>, event: &Event<'_>) {
    match event {
        Event::Command(event) => command(out, event),
        Event::Source(event) => source(out, event),
        Event::Shell(event) => shell(out, event),
        Event::Engine(event) => engine(out, event),
        Event::Run(event) => run(out, event),
        Event::Heartbeat(_) => out.extend_from_slice(b"\"event\":\"heartbeat\""),
        Event::Refused(event) => refused(out, event),
    }
    out.push(b'}');
}

fn command(out: &mut Vec<u8>, command: &Command<'_>) {
    let Command { id, mode, error, parent_id, source, public_key, remote_addr, duration_seconds } = command;
    out.extend_from_slice(b"\"event\":\"command\"");
    member(out, b",\"id\":", id);
    member(out, b",\"mode\":", mode.as_str());
    flag(out, *error);
    optional(out, b",\"parent_id\":", parent_id);
    member(out, b",\"source\":", source);
    optional(out, b",\"public_key\":", public_key);
    optional(out, b",\"remote_addr\":", remote_addr);
    seconds(out, *duration_seconds);
}

fn source(out: &mut Vec<u8>, source: &Source<'_>) {
    let Source {
        name,
        trigger,
        error,
        outcome,
        public_key,
        remote_addr,
        token_id,
        subject,
        digest,
        changed,
        removed,
        duration_seconds,
    } = source;
    out.extend_from_slice(b"\"event\":\"source\"");
    member(out, b",\"name\":", name);
    member(out, b",\"trigger\":", trigger.as_str());
    flag(out, *error);
    if outcome.is_some() {
        out.extend_from_slice(b",\"outcome\":\"unknown\"");
    }
    optional(out, b",\"public_key\":", public_key);
    optional(out, b",\"remote_addr\":", remote_addr);
    optional(out, b",\"token_id\":", token_id);
    optional(out, b",\"subject\":", subject);
    optional(out, b",\"digest\":", digest);
    count(out, b",\"changed\":", *changed);
    count(out, b",\"removed\":", *removed);
    seconds(out, *duration_seconds);
}

fn shell(out: &mut Vec<u8>, shell: &Shell<'_>) {
    let Shell { name, session, state, public_key, remote_addr, reason } = shell;
    out.extend_from_slice(b"\"event\":\"shell\"");
    member(out, b",\"name\":", name);
    member(out, b",\"session\":", session);
    out.extend_from_slice(match state {
        ShellState::Opened => b",\"state\":\"opened\"",
        ShellState::Closed => b",\"state\":\"closed\"",
    });
    optional(out, b",\"public_key\":", public_key);
    optional(out, b",\"remote_addr\":", remote_addr);
    optional(out, b",\"reason\":", reason);
}

fn engine(out: &mut Vec<u8>, engine: &Engine<'_>) {
    let Engine { state, version, pid } = engine;
    out.extend_from_slice(b"\"event\":\"engine\"");
    out.extend_from_slice(match state {
        EngineState::Started => b",\"state\":\"started\"",
        EngineState::Stopped => b",\"state\":\"stopped\"",
    });
    optional(out, b",\"version\":", version);
    count(out, b",\"pid\":", pid.map(u64::from));
}

fn run(out: &mut Vec<u8>, event: &Run<'_>) {
    let Run { name, trigger, run, state, public_key, remote_addr, duration_seconds } = event;
    out.extend_from_slice(b"\"event\":\"run\"");
    member(out, b",\"name\":", name);
    member(out, b",\"trigger\":", trigger.as_str());
    member(out, b",\"run\":", run);
    out.extend_from_slice(match state {
        RunState::Started => b",\"state\":\"started\"",
        RunState::Ended => b",\"state\":\"ended\"",
    });
    optional(out, b",\"public_key\":", public_key);
    optional(out, b",\"remote_addr\":", remote_addr);
    seconds(out, *duration_seconds);
}

fn refused(out: &mut Vec<u8>, refused: &Refused<'_>) {
    let Refused { action, reason, name, public_key, remote_addr, count: number } = refused;
    out.extend_from_slice(b"\"event\":\"refused\"");
    member(out, b",\"action\":", action.as_str());
    member(out, b",\"reason\":", reason.as_str());
    optional(out, b",\"name\":", name);
    optional(out, b",\"public_key\":", public_key);
    optional(out, b",\"remote_addr\":", remote_addr);
    count(out, b",\"count\":", *number);
}

fn member(out: &mut Vec<u8>, name: &[u8], text: &str) {
    out.extend_from_slice(name);
    string(out, text);
}

fn optional(out: &mut Vec<u8>, name: &[u8], text: &str) {
    if !text.is_empty() {
        member(out, name, text);
    }
}

fn flag(out: &mut Vec<u8>, error: bool) {
    out.extend_from_slice(if error { b",\"error\":true" } else { b",\"error\":false" });
}

/// A count above the limit is left out: that loses a measurement, not the event.
fn count(out: &mut Vec<u8>, name: &[u8], count: Option<u64>) {
    if let Some(count) = count.filter(|&count| count <= MAX_COUNT) {
        out.extend_from_slice(name);
        number(out, count);
    }
}

/// A duration that is none is left out as well.
fn seconds(out: &mut Vec<u8>, seconds: Option<f64>) {
    if let Some(seconds) = seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0) {
        out.extend_from_slice(b",\"duration_seconds\":");
        // The shortest text that reads back to the same number is an art of its own. Memory takes every write.
        let _ = serde_json::to_writer(&mut *out, &seconds);
    }
}

/// A JSON string: only what JSON demands is escaped, everything else is copied in runs.
fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    // Nearly all texts are plain. To ask that of all bytes at once takes no longer than to ask it of a few one by one.
    if rest.iter().fold(false, |found, &byte| found | needs_escape(byte)) {
        while let Some(at) = rest.iter().position(|&byte| needs_escape(byte)) {
            out.extend_from_slice(&rest[..at]);
            escape(out, rest[at]);
            rest = &rest[at + 1..];
        }
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn needs_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        b'"' | b'\\' => byte,
        control => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(DIGITS[usize::from(control >> 4)]);
            out.push(DIGITS[usize::from(control & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// RFC 3339 in UTC with microseconds; what is finer is cut off.
fn time(out: &mut Vec<u8>, time: Timestamp) {
    let civil = Offset::UTC.to_datetime(time);
    if !(0..=9999).contains(&civil.year()) || time.subsec_nanosecond() < 0 {
        // Far from any clock that works; slow is good enough.
        out.extend_from_slice(format!("{time:.6}").as_bytes());
        return;
    }
    padded::<4>(out, civil.year().unsigned_abs().into());
    for (before, part) in
        [(b'-', civil.month()), (b'-', civil.day()), (b'T', civil.hour()), (b':', civil.minute())]
    {
        out.push(before);
        padded::<2>(out, part.unsigned_abs().into());
    }
    out.push(b':');
    padded::<2>(out, civil.second().unsigned_abs().into());
    out.push(b'.');
    padded::<6>(out, civil.subsec_nanosecond().unsigned_abs() / 1_000);
    out.push(b'Z');
}

/// The last `WIDTH` digits.
fn padded<const WIDTH: usize>(out: &mut Vec<u8>, mut value: u32) {
    let mut digits = [b'0'; WIDTH];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits);
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}
