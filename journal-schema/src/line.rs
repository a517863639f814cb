//! The line codec: bytes to [`Line`] and back.
//!
//! Decoding judges the envelope first and the event after it, because a line whose event cannot be used still has
//! a place in its writer's sequence. It allocates only for labels that hold escapes. Where a line ends is
//! [`crate::split`]'s question; what an event does to a metric is the exporter's.

mod text;

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::{Envelope, Event, Integer, Line};
use crate::limits::{MAX_COUNT, MAX_LINE_BYTES, MAX_WRITER_BYTES};

/// The version of the contract that this crate reads and writes.
pub const VERSION: u64 = 1;

/// A line that cannot be used: why, and what of its envelope can be trusted.
#[derive(Debug)]
pub struct Rejected<'a> {
    /// The kind of trouble, for counting.
    pub reason: Reason,
    /// The envelope, if that much of the line is right: its place in the sequence is then taken, not missing.
    pub envelope: Option<Envelope<'a>>,
    /// What exactly is wrong, for people. Holds no more of the line than a field's name or a few characters.
    pub detail: String,
}

impl Rejected<'_> {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Rejected { reason, envelope: None, detail: detail.into() }
    }
}

impl From<WrongField> for Rejected<'_> {
    fn from(wrong: WrongField) -> Self {
        Rejected::new(Reason::Invalid, wrong.to_string())
    }
}

impl fmt::Display for Rejected<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.reason.as_str(), self.detail)
    }
}

/// Why bytes of a journal were not used. The names are label values of the exporter's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing, or white space alone.
    Blank,
    /// The line stops before its JSON does: a writer died, or a disk was full, in the middle of it.
    Torn,
    /// A run of NUL bytes.
    Padding,
    /// Longer than [`MAX_LINE_BYTES`].
    Overlong,
    /// Not UTF-8.
    Utf8,
    /// Not one JSON object.
    Malformed,
    /// JSON, but a field is missing, given twice, of the wrong type or out of its range.
    Invalid,
    /// A `v` above [`VERSION`]: written for a newer reader.
    Version,
    /// An `event` that this version does not know.
    UnknownEvent,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Reason; 9] = [
        Reason::Blank,
        Reason::Torn,
        Reason::Padding,
        Reason::Overlong,
        Reason::Utf8,
        Reason::Malformed,
        Reason::Invalid,
        Reason::Version,
        Reason::UnknownEvent,
    ];

    /// The reason as a label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Blank => "blank",
            Reason::Torn => "torn",
            Reason::Padding => "padding",
            Reason::Overlong => "overlong",
            Reason::Utf8 => "utf8",
            Reason::Malformed => "malformed",
            Reason::Invalid => "invalid",
            Reason::Version => "version",
            Reason::UnknownEvent => "unknown_event",
        }
    }
}

/// Decodes one line, without its LF. A CR before the LF is white space and does no harm.
///
/// # Errors
///
/// Says why the line cannot be used. Unknown fields are no reason; a field of the wrong type is.
pub fn decode(bytes: &[u8]) -> Result<Line<'_>, Rejected<'_>> {
    let (text, fields) = object(bytes)?;
    match fields.version()? {
        VERSION => {}
        newer if newer > VERSION => {
            let detail = format!("v is {newer}; this reader knows {VERSION}");
            // Where a later version names its lines as this one does, the line is there and not missing.
            return Err(Rejected {
                envelope: fields.envelope().ok(),
                ..Rejected::new(Reason::Version, detail)
            });
        }
        other => {
            let detail = format!("v is {other}; it starts at {VERSION}");
            return Err(Rejected::new(Reason::Invalid, detail));
        }
    }
    let envelope = fields.envelope()?;
    match event(&fields, text) {
        Ok(event) => Ok(Line { envelope, event }),
        Err(rejected) => Err(Rejected { envelope: Some(envelope), ..rejected }),
    }
}

/// Decodes an event that has no envelope yet, the way a program hands it to a writer; and when it happened, if a `time`
/// says so, in any form of RFC 3339.
///
/// # Errors
///
/// Says why it cannot be used. Another field of the envelope is a reason, too: the writer fills those in, and dropping
/// one that was given would hide a mistake.
pub fn decode_event(bytes: &[u8]) -> Result<(Event<'_>, Option<Timestamp>), Rejected<'_>> {
    let (text, fields) = object(bytes)?;
    if fields.v.or(fields.writer).or(fields.seq).is_some() {
        let detail = "v, writer and seq are the writer's; give `event` and its own fields";
        return Err(Rejected::new(Reason::Invalid, detail));
    }
    let time = match fields.time {
        None => None,
        Some(_) => {
            let time = string("time", fields.time)?.parse();
            let detail = "time is RFC 3339, such as 2026-01-31T09:30:00Z";
            Some(time.map_err(|_| Rejected::new(Reason::Invalid, detail))?)
        }
    };
    Ok((event(&fields, text)?, time))
}

/// Appends one line to `out`, its LF included. A measurement that no reader would take (not finite, below 0, above
/// [`MAX_COUNT`]) is left out.
///
/// # Errors
///
/// [`TooLong`] if the line would pass [`MAX_LINE_BYTES`]; `out` is then as it was.
pub fn encode(envelope: &Envelope<'_>, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), TooLong> {
    let start = out.len();
    text::envelope(out, envelope);
    text::event(out, event);
    out.push(b'\n');
    let bytes = out.len() - start;
    if bytes > MAX_LINE_BYTES {
        out.truncate(start);
        return Err(TooLong { bytes });
    }
    Ok(())
}

/// A line that would be longer than the contract allows. It was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the line would have {bytes} bytes; the journal allows {MAX_LINE_BYTES}")]
pub struct TooLong {
    /// Length of the line with its LF.
    pub bytes: usize,
}

/// The envelope's fields as they stand in the text, before anything is believed of them.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    v: Option<&'a RawValue>,
    #[serde(borrow)]
    writer: Option<&'a RawValue>,
    #[serde(borrow)]
    seq: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
}

/// A field of the envelope that is not as the contract says.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum WrongField {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is an integer, not below 0")]
    NoInteger(&'static str),
    #[error("{0} is a string")]
    NoString(&'static str),
    #[error("writer is 1 to {MAX_WRITER_BYTES} characters of 0-9 A-Z a-z _ -")]
    Writer,
    #[error("seq starts at 1 and ends at 2^53")]
    Seq,
    #[error("time is RFC 3339 in UTC with Z and at least milliseconds, such as 2026-01-31T09:30:00.000Z")]
    Time,
}

impl<'a> Fields<'a> {
    fn version(&self) -> Result<u64, WrongField> {
        integer("v", self.v)
    }

    fn envelope(&self) -> Result<Envelope<'a>, WrongField> {
        let writer = string("writer", self.writer)?;
        if !is_writer(&writer) {
            return Err(WrongField::Writer);
        }
        let seq = integer("seq", self.seq)?;
        if !(1..=MAX_COUNT).contains(&seq) {
            return Err(WrongField::Seq);
        }
        let time = timestamp(&string("time", self.time)?).ok_or(WrongField::Time)?;
        Ok(Envelope { writer, seq, time })
    }
}

/// The line as text and as an object, before anything is believed of it.
fn object(bytes: &[u8]) -> Result<(&str, Fields<'_>), Rejected<'_>> {
    if bytes.len() >= MAX_LINE_BYTES {
        let detail = format!("{} bytes; a line has at most {MAX_LINE_BYTES}", bytes.len() + 1);
        return Err(Rejected::new(Reason::Overlong, detail));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Rejected::new(Reason::Utf8, format!("not UTF-8 at byte {}", error.valid_up_to() + 1))
    })?;
    if text.trim_ascii().is_empty() {
        return Err(Rejected::new(Reason::Blank, "nothing on the line"));
    }
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Rejected::new(Reason::Malformed, "a line is one JSON object"));
    }
    let fields =
        serde_json::from_str(text).map_err(|error| Rejected::new(reason_of(&error), detail_of(&error)))?;
    Ok((text, fields))
}

/// The part of a line that depends on its `event`.
fn event<'a>(fields: &Fields<'a>, text: &'a str) -> Result<Event<'a>, Rejected<'a>> {
    let event = match &*string("event", fields.event)? {
        "command" => serde_json::from_str(text).map(Event::Command),
        "source" => serde_json::from_str(text).map(Event::Source),
        "shell" => serde_json::from_str(text).map(Event::Shell),
        "engine" => serde_json::from_str(text).map(Event::Engine),
        "run" => serde_json::from_str(text).map(Event::Run),
        "heartbeat" => serde_json::from_str(text).map(Event::Heartbeat),
        "refused" => serde_json::from_str(text).map(Event::Refused),
        _ => return Err(Rejected::new(Reason::UnknownEvent, "no event of this version")),
    };
    event.map_err(|error| {
        let reason = match reason_of(&error) {
            // The parser says so as well of a value of the wrong type, where it wants one of several words.
            Reason::Malformed if serde_json::from_str::<serde_json::Value>(text).is_ok() => Reason::Invalid,
            reason => reason,
        };
        Rejected::new(reason, detail_of(&error))
    })
}

/// Whether this is the name of a writer: [`MAX_WRITER_BYTES`] bytes at most of `[0-9A-Za-z_-]`, at least one.
pub fn is_writer(name: &str) -> bool {
    (1..=MAX_WRITER_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// A time as the contract writes it. `jiff` reads more forms than that, so the form is looked at first.
fn timestamp(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.strip_suffix('Z')?.split_at_checked("2026-01-31T09:30:00".len())?;
    let digits = fraction.strip_prefix('.')?;
    let right = digits.len() >= 3
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && seconds.bytes().zip(*b"dddd-dd-ddTdd:dd:dd").all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            _ => byte == form,
        });
    // Finer than a nanosecond is allowed and cut off.
    let kept = seconds.len() + 1 + digits.len().min(9);
    if right { format!("{}Z", text.get(..kept)?).parse().ok() } else { None }
}

fn integer(name: &'static str, raw: Option<&RawValue>) -> Result<u64, WrongField> {
    let raw = raw.ok_or(WrongField::Missing(name))?;
    let integer = serde_json::from_str::<Integer>(raw.get());
    integer.map(|integer| integer.0).map_err(|_| WrongField::NoInteger(name))
}

fn string<'a>(name: &'static str, raw: Option<&'a RawValue>) -> Result<Cow<'a, str>, WrongField> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    let raw = raw.ok_or(WrongField::Missing(name))?;
    let text: Text<'a> = serde_json::from_str(raw.get()).map_err(|_| WrongField::NoString(name))?;
    Ok(text.0)
}

fn reason_of(error: &serde_json::Error) -> Reason {
    match error.classify() {
        serde_json::error::Category::Eof => Reason::Torn,
        serde_json::error::Category::Data => Reason::Invalid,
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => Reason::Malformed,
    }
}

/// The parser's message without its position's line number, which is always 1, and without values of the line:
/// labels may be anything, also secret.
fn detail_of(error: &serde_json::Error) -> String {
    let message = error.to_string();
    // The position is the last thing said; a value before it may look just the same.
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let message = match error.classify() {
        serde_json::error::Category::Data => without_value(message),
        _ => message.to_owned(),
    };
    if error.column() == 0 { message } else { format!("{message} at byte {}", error.column()) }
}

/// Of `invalid type: string "…", expected …` and `unknown variant `…`, expected …` what stands around the value.
fn without_value(message: &str) -> String {
    let names_a_field =
        ["missing field `", "duplicate field `"].iter().any(|start| message.starts_with(start));
    match message.split_once(['"', '`']) {
        Some((head, tail)) if !names_a_field => {
            let expected = tail.rfind(", expected ").map_or("", |expected| &tail[expected..]);
            format!("{}{expected}", head.trim_end())
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests;
