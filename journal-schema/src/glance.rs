//! A glance at a line: the short way for the lines that make up nearly all of a journal.
//!
//! Commands, runs of Sources and shells written as the contract writes them, members in its order and no white space between,
//! begin alike and end alike. A [`Glancer`] takes such a line apart without parsing it: writer, number and time from
//! its front, the measurements from its end, and between them the labels, as raw bytes. A reader that has seen the same
//! label bytes before knows what they say. Anything else about a line, however slight, makes the glance fail, and
//! [`crate::decode`] judges. The few other events are left to it, too.
//!
//! The promise, held by a property test on arbitrary bytes: if a glance succeeds and [`Glance::event`] takes its labels,
//! then `decode` of the line gives this writer, number, time and event, but for the texts that `event` leaves out.

mod digits;

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;

use self::digits::{Decimal, integer, last_number, leading_digits, number};
use crate::event::{Command, Event, Mode, Outcome, Shell, ShellState, Source, Trigger};
use crate::limits::{MAX_COUNT, MAX_WRITER_BYTES};

/// A line, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance<'a> {
    /// Who wrote it: the bytes of a name as the contract allows them, which are ASCII.
    pub writer: &'a [u8],
    /// Its number.
    pub seq: u64,
    /// Its time in milliseconds since 1970.
    pub millisecond: i64,
    /// Digits of its time beyond the millisecond, six at most.
    finer: &'a [u8],
    /// Which event it is of.
    pub kind: Kind,
    /// The members behind `event`, to the last one that is a label of a metric: the text of an object without its braces.
    pub labels: &'a [u8],
    /// What follows them, each member with the comma before it.
    measurements: &'a [u8],
}

/// The events that a glance takes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is described by its event")]
pub enum Kind {
    Command,
    Source,
    /// Its labels never come again, because its session is among them. What a glance spares is the second look at the
    /// line that decoding takes.
    Shell,
}

/// What an event measured: the members that are no labels, as [`Source`] has them. A command has a duration only.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "described there")]
pub struct Measurements {
    pub changed: Option<u64>,
    pub removed: Option<u64>,
    pub duration_seconds: Option<f64>,
}

/// Takes lines apart. It remembers the writer and the minute of the line before, because the next one is mostly of the
/// same.
#[derive(Clone, Debug, Default)]
pub struct Glancer {
    /// What the line before began with, up to its number; empty before the first.
    front: Vec<u8>,
    /// `2026-01-31T09:30:`, or zeros.
    minute: [u8; 17],
    /// That minute in milliseconds since 1970.
    start: i64,
}

const FRONT: &[u8] = b"{\"v\":1,\"writer\":\"";
const SEQ: &[u8] = b"\",\"seq\":";
const TIME: &[u8] = b",\"time\":\"";
const EVENT: &[u8] = b"\",\"event\":\"";
const COMMAND: &[u8] = b"command\",";
const SOURCE: &[u8] = b"source\",";
const SHELL: &[u8] = b"shell\",";
const TOKEN_ID: &[u8] = b",\"token_id\":\"";
const SUBJECT: &[u8] = b",\"subject\":\"";
const DIGEST: &[u8] = b",\"digest\":\"";
const CHANGED: &[u8; 11] = b",\"changed\":";
const REMOVED: &[u8; 11] = b",\"removed\":";
const DURATION: &[u8; 20] = b",\"duration_seconds\":";

impl Glancer {
    /// Takes a line apart, given without its LF; `None` if it is not written as the contract writes these events.
    pub fn glance<'a>(&mut self, line: &'a [u8]) -> Option<Glance<'a>> {
        if self.front.is_empty() || !line.starts_with(&self.front) {
            self.meet(line)?;
        }
        let (front, rest) = line.split_at_checked(self.front.len())?;
        let writer = &front[FRONT.len()..front.len() - SEQ.len()];
        let (seq, rest) = integer(rest)?;
        if !(1..=MAX_COUNT).contains(&seq) {
            return None;
        }
        let (millisecond, finer, rest) = self.time(rest.strip_prefix(TIME)?)?;
        let members = rest.strip_prefix(EVENT)?.strip_suffix(b"}")?;
        let (kind, members) = if let Some(members) = members.strip_prefix(COMMAND) {
            (Kind::Command, members)
        } else if let Some(members) = members.strip_prefix(SOURCE) {
            (Kind::Source, members)
        } else {
            (Kind::Shell, members.strip_prefix(SHELL)?)
        };
        let (members, measurements) = members.split_at(start_of_measurements(members, kind)?);
        let labels = match kind {
            Kind::Command | Kind::Shell => members,
            Kind::Source => without_texts(members)?,
        };
        Some(Glance { writer, seq, millisecond, finer, kind, labels, measurements })
    }

    /// Remembers the front of a line whose writer is another one than before.
    fn meet(&mut self, line: &[u8]) -> Option<()> {
        let rest = line.strip_prefix(FRONT)?;
        let window = &rest[..rest.len().min(MAX_WRITER_BYTES + 1)];
        let writer = &rest[..memchr::memchr(b'"', window)?];
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if writer.is_empty() || !writer.iter().all(is_name) || !rest[writer.len()..].starts_with(SEQ) {
            return None;
        }
        self.front.clear();
        self.front.extend_from_slice(&line[..FRONT.len() + writer.len() + SEQ.len()]);
        Some(())
    }

    /// The time at the front of `text`, as the contract writes it: milliseconds since 1970, the digits beyond them, and
    /// what follows.
    fn time<'a>(&mut self, text: &'a [u8]) -> Option<(i64, &'a [u8], &'a [u8])> {
        let (minute, rest) = text.split_first_chunk::<17>()?;
        let (seconds, rest) = rest.split_first_chunk::<2>()?;
        let fraction = rest.strip_prefix(b".")?;
        let (millisecond, rest) = fraction.split_first_chunk::<3>()?;
        let millisecond = number(millisecond)?;
        // Down to nanoseconds.
        let digits = leading_digits(*rest.first_chunk::<8>()?);
        let (finer, rest) = rest.split_at(digits);
        let after = rest.strip_prefix(b"Z")?;
        if digits > 6 {
            return None;
        }
        // A leap second is for those who know the calendar.
        let second = number(seconds).filter(|second| *second < 60)?;
        if *minute != self.minute {
            let form = b"dddd-dd-ddTdd:dd:";
            let fits =
                |(byte, form): (&u8, &u8)| if *form == b'd' { byte.is_ascii_digit() } else { byte == form };
            if !minute.iter().zip(form).all(fits) {
                return None;
            }
            let text = format!("{}00Z", std::str::from_utf8(minute).ok()?);
            let start = text.parse::<Timestamp>().ok()?.as_millisecond();
            // Before 1970 milliseconds are cut off towards the other side.
            if start < 0 {
                return None;
            }
            (self.minute, self.start) = (*minute, start);
        }
        Some((self.start + second * 1000 + millisecond, finer, after))
    }
}

impl<'a> Glance<'a> {
    /// Its time in nanoseconds since 1970, as far as they reach.
    pub fn nanosecond(&self) -> i64 {
        let (finer, _) = Decimal::read(self.finer);
        let missing = 6_usize.saturating_sub(self.finer.len());
        let finer = (0..missing).fold(finer.digits, |finer, _| finer * 10);
        self.millisecond.saturating_mul(1_000_000).saturating_add_unsigned(finer)
    }

    /// What the event measured.
    pub fn measurements(&self) -> Measurements {
        let (changed, rest) = measurement(self.measurements, CHANGED);
        let (removed, rest) = measurement(rest, REMOVED);
        let (duration, _) = measurement(rest, DURATION);
        Measurements {
            changed: changed.map(|changed| changed.digits),
            removed: removed.map(|removed| removed.digits),
            duration_seconds: duration.map(Decimal::value),
        }
    }

    /// The event, if its labels are those of one and nothing else stands among them; without the token, subject and
    /// digest of a run, which are no labels. `scratch` is room to work in.
    pub fn event<'s>(&self, scratch: &'s mut Vec<u8>) -> Option<Event<'s>> {
        scratch.clear();
        scratch.push(b'{');
        scratch.extend_from_slice(self.labels);
        scratch.push(b'}');
        let Measurements { changed, removed, duration_seconds } = self.measurements();
        match self.kind {
            Kind::Command => {
                let CommandLabels { id, mode, error, parent_id, source, public_key, remote_addr } =
                    serde_json::from_slice(scratch).ok()?;
                Some(Event::Command(Command {
                    id,
                    mode,
                    error,
                    parent_id,
                    source,
                    public_key,
                    remote_addr,
                    duration_seconds,
                }))
            }
            Kind::Source => {
                let SourceLabels { name, trigger, error, outcome, public_key, remote_addr } =
                    serde_json::from_slice(scratch).ok()?;
                Some(Event::Source(Source {
                    name,
                    trigger,
                    error,
                    outcome,
                    public_key,
                    remote_addr,
                    token_id: "".into(),
                    subject: "".into(),
                    digest: "".into(),
                    changed,
                    removed,
                    duration_seconds,
                }))
            }
            Kind::Shell => {
                let ShellLabels { name, session, state, public_key, remote_addr, reason } =
                    serde_json::from_slice(scratch).ok()?;
                Some(Event::Shell(Shell { name, session, state, public_key, remote_addr, reason }))
            }
        }
    }
}

// The members of an event that are labels. Strict, unlike the event itself: a member of the envelope or a measurement that
// stands a second time spoils the line, and what else stands here is for a parser of the whole line to judge.

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandLabels<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    mode: Mode,
    error: bool,
    #[serde(default, borrow)]
    parent_id: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(default, borrow)]
    public_key: Cow<'a, str>,
    #[serde(default, borrow, deserialize_with = "crate::event::address")]
    remote_addr: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceLabels<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    trigger: Trigger,
    error: bool,
    #[serde(default, deserialize_with = "crate::event::given")]
    outcome: Option<Outcome>,
    #[serde(default, borrow)]
    public_key: Cow<'a, str>,
    #[serde(default, borrow, deserialize_with = "crate::event::address")]
    remote_addr: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShellLabels<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    session: Cow<'a, str>,
    state: ShellState,
    #[serde(default, borrow)]
    public_key: Cow<'a, str>,
    #[serde(default, borrow, deserialize_with = "crate::event::address")]
    remote_addr: Cow<'a, str>,
    #[serde(default, borrow)]
    reason: Cow<'a, str>,
}

/// Where the measurements begin that follow the other members; `None` if there is one that only a parser can judge.
#[inline(always)]
fn start_of_measurements(members: &[u8], kind: Kind) -> Option<usize> {
    if kind == Kind::Shell {
        return Some(members.len());
    }
    let (mut labels, _) = without(members, DURATION)?;
    if kind == Kind::Source {
        for name in [REMOVED, CHANGED] {
            let (before, is_whole) = without(labels, name)?;
            // Only a duration has a fraction.
            labels = is_whole.then_some(before)?;
        }
    }
    (!labels.last()?.is_ascii_digit()).then_some(labels.len())
}

/// What comes before the measurement of this name at the end of `text`, or all of `text` where there is none; and whether it
/// has no fraction. The length of the name is known to the compiler, which spares a call for each line.
#[inline]
fn without<'t, const N: usize>(text: &'t [u8], name: &[u8; N]) -> Option<(&'t [u8], bool)> {
    // Measurements are the only members that end in a digit, as the contract writes these events.
    if !text.last()?.is_ascii_digit() {
        return Some((text, true));
    }
    let (start, is_whole) = last_number(text)?;
    match text[..start].strip_suffix(name) {
        Some(before) => Some((before, is_whole)),
        None => Some((text, true)),
    }
}

/// What comes before the texts that another run of the same Source has others of, in their order; `None` if there is one that
/// only a parser can judge.
fn without_texts(mut members: &[u8]) -> Option<&[u8]> {
    let mut names = [DIGEST, SUBJECT, TOKEN_ID].into_iter();
    // Mostly there are none, and one look at the end says so.
    while let Some(inside) = members.strip_suffix(b"\"") {
        let start = memchr::memrchr(b'"', inside)? + 1;
        let Some(before) = names.find_map(|name| inside[..start].strip_suffix(name)) else { break };
        // A quote within would be escaped.
        if !inside[start..].iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'\\') {
            return None;
        }
        members = before;
    }
    Some(members)
}

/// The measurement of this name at the front of `text`, if there is one, and what follows it.
fn measurement<'t, const N: usize>(text: &'t [u8], name: &[u8; N]) -> (Option<Decimal>, &'t [u8]) {
    match text.strip_prefix(name) {
        None => (None, text),
        Some(rest) => {
            let (number, rest) = Decimal::read(rest);
            (Some(number), rest)
        }
    }
}

#[cfg(test)]
mod tests;
