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

use jiff::Timestamp;

use crate::event::{Command, Event};
use crate::limits::{MAX_COUNT, MAX_WRITER_BYTES};
use crate::line::decode_event;

/// A line of a command, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance<'a> {
    /// Who wrote it.
    pub writer: &'a str,
    /// Its number.
    pub seq: u64,
    /// Its time in milliseconds since 1970.
    pub millisecond: i64,
    /// The members from `"event"` to the last label: the text of an object without its braces.
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

/// Digits of a number that is read here. Every such integer is exact and every such decimal finite.
const MAX_DIGITS: usize = 16;

impl Glancer {
    /// Takes a line apart, given without its LF; `None` if it is not written as the contract writes commands.
    pub fn glance<'a>(&mut self, line: &'a [u8]) -> Option<Glance<'a>> {
        if self.front.is_empty() || !line.starts_with(&self.front) {
            self.meet(line)?;
        }
        let (front, rest) = line.split_at_checked(self.front.len())?;
        let writer = std::str::from_utf8(&front[FRONT.len()..front.len() - SEQ.len()]).ok()?;
        let (seq, rest) = integer(rest)?;
        if !(1..=MAX_COUNT).contains(&seq) {
            return None;
        }
        let (millisecond, rest) = self.time(rest.strip_prefix(TIME)?)?;
        let labels = rest.strip_prefix(b"\",")?.strip_suffix(b"}")?;
        if !labels.starts_with(EVENT) {
            return None;
        }
        Some(Glance { writer, seq, millisecond, labels: without_duration(labels)? })
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
        let millisecond = number(fraction.first_chunk::<3>()?)?;
        let digits = fraction.iter().take(10).take_while(|byte| byte.is_ascii_digit()).count();
        let after = fraction[digits..].strip_prefix(b"Z")?;
        if digits > 9 {
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

/// What the labels of a glance say, if they say all that a command must and nothing that stands elsewhere in a line.
/// `scratch` is room to work in.
pub fn command<'s>(labels: &[u8], scratch: &'s mut Vec<u8>) -> Option<Command<'s>> {
    scratch.clear();
    scratch.push(b'{');
    scratch.extend_from_slice(labels);
    scratch.push(b'}');
    match decode_event(scratch) {
        Ok(Event::Command(command)) if command.duration_seconds.is_none() => Some(command),
        _ => None,
    }
}

/// The labels without a duration at their end; `None` if there is one that only a parser can judge.
fn without_duration(labels: &[u8]) -> Option<&[u8]> {
    // A duration is the only member at the end that can end in a digit, as the contract writes commands.
    if !labels.last()?.is_ascii_digit() {
        return Some(labels);
    }
    let digits =
        labels.iter().rev().take(MAX_DIGITS).take_while(|byte| matches!(byte, b'0'..=b'9' | b'.')).count();
    let (before, number) = labels.split_at(labels.len() - digits);
    let before = before.strip_suffix(DURATION)?;
    let (whole, fraction) = match memchr::memchr(b'.', number) {
        Some(point) => (&number[..point], &number[point + 1..]),
        None => (number, &b"0"[..]),
    };
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let is_plain = digits(whole) && digits(fraction) && (whole.len() == 1 || whole[0] != b'0');
    is_plain.then_some(before)
}

/// The integer at the front of `text`, without sign or leading zero, and what follows it.
fn integer(text: &[u8]) -> Option<(u64, &[u8])> {
    let (mut value, mut digits) = (0, 0);
    while let Some(digit) = text.get(digits).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        if digits == MAX_DIGITS {
            return None;
        }
        value = value * 10 + u64::from(digit);
        digits += 1;
    }
    (digits == 1 || (digits > 1 && text[0] != b'0')).then(|| (value, &text[digits..]))
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
        assert_eq!(decoded.envelope.writer, glance.writer);
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
            ("6091372b99281add", 15, 1_795_348_157_705)
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
