//! A glance at a line: the short way for the lines that make up nearly all of a journal.
//!
//! Commands written as the contract writes them, members in its order and no white space between, begin alike and
//! end alike. A [`Glancer`] takes such a line apart without parsing it: writer, number and time from its front, the
//! duration from its end, and between them the labels, as raw bytes. A reader that has seen the same label bytes
//! before knows what they say. Anything else about a line, however slight, makes the glance fail, and
//! [`crate::decode`] judges.
//!
//! The promise, held by a property test on arbitrary bytes: if a glance succeeds and [`command`] takes its labels,
//! then `decode` of the line gives this writer, number and time, and a command with these labels.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;

use crate::event::{Command, Mode};
use crate::limits::{MAX_COUNT, MAX_WRITER_BYTES};

/// A line of a command, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance<'a> {
    /// Who wrote it: the bytes of a name as the contract allows them, which are ASCII.
    pub writer: &'a [u8],
    /// Its number.
    pub seq: u64,
    /// Its time in milliseconds since 1970.
    pub millisecond: i64,
    /// The members behind `"event":"command"`, to the last label: the text of an object without its braces.
    pub labels: &'a [u8],
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
const EVENT: &[u8] = b"\"event\":\"command\",";
const DURATION: &[u8] = b",\"duration_seconds\":";

/// Characters of a number that is read here. Every such integer is exact and every such decimal finite.
const MAX_DIGITS: usize = 16;

impl Glancer {
    /// Takes a line apart, given without its LF; `None` if it is not written as the contract writes commands.
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
        let (millisecond, rest) = self.time(rest.strip_prefix(TIME)?)?;
        let labels = rest.strip_prefix(b"\",")?.strip_suffix(b"}")?;
        let labels = without_duration(labels.strip_prefix(EVENT)?)?;
        Some(Glance { writer, seq, millisecond, labels })
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

    /// The time at the front of `text`, as the contract writes it, in milliseconds since 1970; and what follows it.
    fn time<'a>(&mut self, text: &'a [u8]) -> Option<(i64, &'a [u8])> {
        let (minute, rest) = text.split_first_chunk::<17>()?;
        let (seconds, rest) = rest.split_first_chunk::<2>()?;
        let fraction = rest.strip_prefix(b".")?;
        let (millisecond, finer) = fraction.split_first_chunk::<3>()?;
        let millisecond = number(millisecond)?;
        // Down to nanoseconds.
        let digits = leading_digits(*finer.first_chunk::<8>()?);
        let after = finer[digits..].strip_prefix(b"Z")?;
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
        Some((self.start + second * 1000 + millisecond, after))
    }
}

/// What the labels of a glance say, if they are those of a command and nothing else stands among them. `scratch` is
/// room to work in.
pub fn command<'s>(labels: &[u8], scratch: &'s mut Vec<u8>) -> Option<Command<'s>> {
    scratch.clear();
    scratch.push(b'{');
    scratch.extend_from_slice(labels);
    scratch.push(b'}');
    let labels: Labels<'s> = serde_json::from_slice(scratch).ok()?;
    let Labels { id, mode, error, parent_id, source, public_key, remote_addr } = labels;
    Some(Command { id, mode, error, parent_id, source, public_key, remote_addr, duration_seconds: None })
}

/// The members of a [`Command`] that are labels. Strict, unlike it: a member of the envelope that stands a second time
/// spoils the line, and what else stands here is for a parser of the whole line to judge.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels<'a> {
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

/// The labels without a duration at their end; `None` if there is one that only a parser can judge.
fn without_duration(labels: &[u8]) -> Option<&[u8]> {
    // A duration is the only member at the end that can end in a digit, as the contract writes commands.
    if !labels.last()?.is_ascii_digit() {
        return Some(labels);
    }
    let mut start = before_digits(labels, labels.len())?;
    let mut whole = labels.len() - start;
    if labels.get(start.wrapping_sub(1)) == Some(&b'.') {
        let end = start - 1;
        start = before_digits(labels, end)?;
        whole = end - start;
    }
    let is_plain = whole == 1 || (whole > 1 && labels[start] != b'0');
    if is_plain && labels.len() - start <= MAX_DIGITS { labels[..start].strip_suffix(DURATION) } else { None }
}

/// The integer at the front of `text`, without sign or leading zero, and what follows it.
fn integer(text: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = text.split_first_chunk::<8>()?;
    let mut digits = leading_digits(first);
    let mut value = value(first, digits);
    if digits == 8 {
        let next = *rest.first_chunk::<8>()?;
        let more = leading_digits(next);
        value = value * 10_u64.pow(u32::try_from(more).ok()?) + self::value(next, more);
        digits += more;
    }
    (digits == 1 || (digits > 1 && text[0] != b'0')).then(|| (value, &text[digits..]))
}

/// Where the digits begin that end at `end`; `None` where that lies too far from it, or too near to the start, to be a
/// duration.
fn before_digits(text: &[u8], end: usize) -> Option<usize> {
    let last = trailing_digits(*text.get(..end)?.last_chunk::<8>()?);
    if last < 8 {
        return Some(end - last);
    }
    let more = trailing_digits(*text.get(..end - 8)?.last_chunk::<8>()?);
    Some(end - 8 - more)
}

// Eight characters at once, as one number, the first in its lowest byte.

/// How many digits these begin with.
fn leading_digits(text: [u8; 8]) -> usize {
    others(text).trailing_zeros() as usize / 8
}

/// How many digits these end with.
fn trailing_digits(text: [u8; 8]) -> usize {
    others(text).leading_zeros() as usize / 8
}

/// The highest bit of each byte that is no digit.
fn others(text: [u8; 8]) -> u64 {
    // A digit becomes its value, and everything else more than 9.
    let values = u64::from_le_bytes(text) ^ 0x3030_3030_3030_3030;
    (((values & 0x7f7f_7f7f_7f7f_7f7f) + 0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080
}

/// The number that the first `digits` of these are.
fn value(text: [u8; 8], digits: usize) -> u64 {
    if digits == 0 {
        return 0;
    }
    // The others are moved out, and zeros in before the first; then pairs, fours, all.
    let digits = (u64::from_le_bytes(text) << (64 - 8 * digits)) & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (digits.wrapping_mul(10 << 8 | 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000 << 32 | 1) >> 32
}

/// A few digits as a number.
fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::line::decode;
    use proptest::prelude::*;

    const LINE: &str = r#"{"v":1,"writer":"6091372b99281add","seq":15,"time":"2026-11-22T11:49:17.705136Z","event":"command","id":"a \"b\"","mode":"changed","error":true,"parent_id":"s > g","source":"s","public_key":"k","remote_addr":"::1","duration_seconds":0.25}"#;

    /// What a glance that succeeds promises.
    fn check(line: &[u8]) -> bool {
        let (mut scratch, mut seasoned) = (Vec::new(), Glancer::default());
        let glanced = Glancer::default().glance(line);
        for before in [LINE, &LINE.replace("6091372b", "7")] {
            seasoned.glance(before.as_bytes());
            assert_eq!(seasoned.glance(line), glanced, "what came before decides nothing");
        }
        let Some(glance) = glanced else { return false };
        let Some(command) = command(glance.labels, &mut scratch) else { return false };
        let decoded = decode(line).unwrap_or_else(|error| panic!("{}: {error}", line.escape_ascii()));
        assert_eq!(decoded.envelope.writer.as_bytes(), glance.writer);
        assert_eq!(decoded.envelope.seq, glance.seq);
        assert_eq!(decoded.envelope.time.as_millisecond(), glance.millisecond);
        let Event::Command(whole) = decoded.event else { panic!("{}", line.escape_ascii()) };
        assert_eq!(Command { duration_seconds: None, ..whole }, command);
        true
    }

    #[test]
    fn a_command_as_the_contract_writes_it_is_taken_apart() {
        let glance = Glancer::default().glance(LINE.as_bytes()).unwrap();
        assert_eq!(
            (glance.writer, glance.seq, glance.millisecond),
            (&b"6091372b99281add"[..], 15, 1_795_348_157_705)
        );
        assert!(glance.labels.ends_with(br#""remote_addr":"::1""#));
        assert!(check(LINE.as_bytes()));
        assert!(check(LINE.replace(r#","duration_seconds":0.25"#, "").as_bytes()));
    }

    #[test]
    fn what_only_a_parser_can_judge_is_left_to_it() {
        for (from, to) in [
            ("\"v\":1", "\"v\":2"),
            ("\"v\":1", "\"v\": 1"),
            ("\"seq\":15", "\"seq\":0"),
            ("\"seq\":15", "\"seq\":015"),
            ("\"seq\":15", "\"seq\":99999999999999999"),
            ("11:49:17", "11:49:60"),
            ("2026-11-22", "2026-13-22"),
            ("2026-11-22", "1969-11-22"),
            (".705136Z", ".70Z"),
            ("0.25", "1e999"),
            ("0.25", "-1"),
            ("0.25", "00.25"),
            ("0.25", "0."),
            ("\"event\":\"command\"", "\"event\":\"source\""),
        ] {
            let line = LINE.replace(from, to);
            assert_ne!(line, LINE);
            assert!(!check(line.as_bytes()), "{line}");
        }
        // A member that stands twice: the labels alone say nothing of it.
        for twice in [r#""v":1"#, r#""writer":"x""#, r#""duration_seconds":1"#, r#""id":"again""#] {
            assert!(!check(LINE.replace(r#","mode""#, &format!(",{twice},\"mode\"")).as_bytes()), "{twice}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn a_glance_that_succeeds_says_what_decoding_says(
            edits in prop::collection::vec((0..LINE.len(), prop_oneof![
                any::<u8>().prop_map(|byte| vec![byte]),
                Just(Vec::new()),
                prop::sample::select(vec![
                    r#""duration_seconds":1"#, r#","error":true"#, "\"", ",", "\\", "{}", "0", ":", "}", r#","v":1"#,
                    r#","event":"command""#, r#","x":[1,2]"#, "é", "\\ud800", r#","writer":"w""#, " ", r#","changed":3"#,
                ]).prop_map(|text| text.as_bytes().to_vec()),
            ], any::<bool>()), 0..4),
        ) {
            let mut line = LINE.as_bytes().to_vec();
            for (at, with, replace) in edits {
                let at = at.min(line.len());
                let end = if replace { (at + with.len().max(1)).min(line.len()) } else { at };
                line.splice(at..end, with);
            }
            check(&line);
        }

        #[test]
        fn any_labels_and_durations_are_taken_apart_as_they_were_written(
            id in ".{0,30}", source in "[a-z\",:}{\\\\]{0,12}", seq in 1u64..=MAX_COUNT,
            duration in prop::option::of(0.0f64..1e6), error in any::<bool>(),
        ) {
            let command = Command {
                id: id.into(), mode: crate::Mode::Check, error, parent_id: "".into(), source: source.into(),
                public_key: "".into(), remote_addr: "".into(), duration_seconds: duration,
            };
            let envelope = crate::Envelope { writer: "w".into(), seq, time: "2026-01-31T09:30:00.123456Z".parse().unwrap() };
            let mut line = Vec::new();
            crate::encode(&envelope, &Event::Command(command), &mut line).unwrap();
            line.pop();
            let plain = duration.is_none_or(|duration| duration.to_string().len() <= MAX_DIGITS);
            let canonical = seq < 10u64.pow(16);
            prop_assert_eq!(check(&line) || !plain || !canonical, true, "{}", line.escape_ascii());
        }
    }
}
