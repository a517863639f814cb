//! The codec: round trips of arbitrary events, and a table of what is refused and why.
//!
//! Whole files with one kind of line each stand in `tests/fixtures`; here are the cases that need code.

#![allow(clippy::unwrap_used)]

use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::event::{
    Action, Command, Engine, EngineState, Heartbeat, Mode, Refusal, Refused, Run, RunState, Shell,
    ShellState, Source, Trigger,
};

const HEAD: &str = r#"{"v":1,"writer":"w","seq":1,"time":"2026-01-31T09:30:00.000Z","event":"#;

fn reason(line: &str) -> Reason {
    decode(line.as_bytes()).unwrap_err().reason
}

fn detail(line: &str) -> String {
    decode(line.as_bytes()).unwrap_err().detail
}

fn label() -> BoxedStrategy<Cow<'static, str>> {
    prop_oneof![
        Just(String::new()),
        "[a-z0-9-]{1,12}",
        any::<String>(),
        Just("quote \" back\\slash \n \r \t \u{0} \u{7f} \u{85} \u{2028} 日本 \u{202e}".to_owned()),
    ]
    .prop_map(Cow::from)
    .boxed()
}

/// Durations that the fast parser of numbers reads back to the last bit.
fn seconds() -> BoxedStrategy<Option<f64>> {
    option::of((0u32..4_000_000).prop_map(|quarters| f64::from(quarters) / 4.0)).boxed()
}

fn any_trigger() -> BoxedStrategy<Trigger> {
    let all = [Trigger::Event, Trigger::Pull, Trigger::Push, Trigger::Webhook, Trigger::Init];
    prop::sample::select(all.to_vec()).boxed()
}

fn any_live_event() -> BoxedStrategy<Event<'static>> {
    let run = (label(), any_trigger(), label(), any::<bool>(), label(), label(), seconds()).prop_map(
        |(name, trigger, run, started, public_key, remote_addr, duration_seconds)| {
            let state = if started { RunState::Started } else { RunState::Ended };
            Event::Run(Run { name, trigger, run, state, public_key, remote_addr, duration_seconds })
        },
    );
    let actions = [Action::Push, Action::Shell, Action::Webhook, Action::Other];
    let reasons = [
        Refusal::Unknown,
        Refusal::NotAllowed,
        Refusal::Malformed,
        Refusal::Signature,
        Refusal::Expired,
        Refusal::NotMeant,
        Refusal::Repeated,
        Refusal::Limit,
        Refusal::Other,
    ];
    let asked = (prop::sample::select(actions.to_vec()), prop::sample::select(reasons.to_vec()));
    let refused = (asked, label(), label(), label(), option::of(0..=MAX_COUNT)).prop_map(
        |((action, reason), name, public_key, remote_addr, count)| {
            Event::Refused(Refused { action, reason, name, public_key, remote_addr, count })
        },
    );
    prop_oneof![run, refused, Just(Event::Heartbeat(Heartbeat {}))].boxed()
}

fn any_event() -> BoxedStrategy<Event<'static>> {
    let mode = prop_oneof![Just(Mode::Check), Just(Mode::Changed), Just(Mode::Remove)];
    let trigger = any_trigger();
    let command = (label(), mode, any::<bool>(), label(), label(), label(), label(), seconds()).prop_map(
        |(id, mode, error, parent_id, source, public_key, remote_addr, duration_seconds)| {
            Event::Command(Command {
                id,
                mode,
                error,
                parent_id,
                source,
                public_key,
                remote_addr,
                duration_seconds,
            })
        },
    );
    let count = || option::of(0..=MAX_COUNT);
    let token = (label(), label(), label());
    let source = (label(), trigger, any::<bool>(), label(), label(), token, count(), count(), seconds());
    let source = source.prop_map(
        |(name, trigger, error, public_key, remote_addr, token, changed, removed, duration_seconds)| {
            let (token_id, subject, digest) = token;
            Event::Source(Source {
                name,
                trigger,
                error,
                outcome: None,
                public_key,
                remote_addr,
                token_id,
                subject,
                digest,
                changed,
                removed,
                duration_seconds,
            })
        },
    );
    let shell = (label(), label(), any::<bool>(), label(), label(), label()).prop_map(
        |(name, session, opened, public_key, remote_addr, reason)| {
            let state = if opened { ShellState::Opened } else { ShellState::Closed };
            Event::Shell(Shell { name, session, state, public_key, remote_addr, reason })
        },
    );
    let engine = (any::<bool>(), label(), option::of(any::<u32>())).prop_map(|(started, version, pid)| {
        let state = if started { EngineState::Started } else { EngineState::Stopped };
        Event::Engine(Engine { state, version, pid })
    });
    prop_oneof![command, source, shell, engine, any_live_event()].boxed()
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        event in any_event(),
        writer in "[0-9A-Za-z_-]{1,64}",
        seq in 1..=MAX_COUNT,
        micros in 0i64..4_000_000_000_000_000,
    ) {
        let time = Timestamp::from_microsecond(micros).unwrap();
        let line = Line { envelope: Envelope { writer: writer.into(), seq, time }, event };
        let mut out = b"before".to_vec();
        encode(&line.envelope, &line.event, &mut out).unwrap();
        let text = out.strip_prefix(b"before").unwrap().strip_suffix(b"\n").unwrap();
        prop_assert!(!text.contains(&b'\n'));
        prop_assert_eq!(&decode(text).unwrap(), &line);
    }

    #[test]
    fn what_is_encoded_is_what_serde_makes_of_the_types(
        event in any_event(),
        seq in any::<u64>(),
        seconds in any::<f64>(),
        nanos in prop_oneof![any::<i64>().prop_map(i128::from), -377_705_023_201_000_000_000i128..253_402_207_200_000_000_000],
    ) {
        let time = Timestamp::from_nanosecond(nanos).unwrap();
        let mut event = event;
        if let Event::Command(command) = &mut event {
            command.duration_seconds = Some(seconds);
        }
        let mut out = Vec::new();
        encode(&Envelope { writer: "w".into(), seq, time }, &event, &mut out).unwrap();
        let event = serde_json::to_string(&event).unwrap();
        let expected = format!("{{\"v\":1,\"writer\":\"w\",\"seq\":{seq},\"time\":\"{time:.6}\",{}\n", &event[1..]);
        prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
        let _ = decode_event(&bytes);
    }

    #[test]
    fn a_line_that_is_cut_or_changed_never_panics(
        event in any_event(), cut in any::<prop::sample::Index>(), byte in any::<u8>(), keep in any::<bool>(),
    ) {
        let envelope = Envelope { writer: "w".into(), seq: 1, time: Timestamp::UNIX_EPOCH };
        let mut out = Vec::new();
        encode(&envelope, &event, &mut out).unwrap();
        let at = cut.index(out.len() - 1);
        out[at] = byte;
        out.truncate(if keep { out.len() - 1 } else { at });
        if let Err(rejected) = decode(&out) {
            prop_assert!(rejected.detail.len() < 200, "{}", rejected.detail);
        }
    }
}

#[test]
fn each_kind_of_bad_line_has_its_reason() {
    for (line, expected) in [
        ("", Reason::Blank),
        (" \t\r", Reason::Blank),
        ("{", Reason::Torn),
        (&HEAD[..40], Reason::Torn),
        (&format!("{HEAD}\"engine\",\"state\":\"star"), Reason::Torn),
        ("null", Reason::Malformed),
        ("[]", Reason::Malformed),
        ("\u{feff}{}", Reason::Malformed),
        ("{}{}", Reason::Malformed),
        (&format!("{HEAD}\"engine\",\"state\":\"started\"}} x"), Reason::Malformed),
        (&format!("{HEAD}\"engine\",\"state\":\"started\",\"version\":\"\\ud800\"}}"), Reason::Malformed),
        (&format!("{HEAD}\"command\",\"duration_seconds\":NaN}}"), Reason::Malformed),
        ("{}", Reason::Invalid),
        (&format!("{HEAD}\"engine\",\"state\":\"paused\"}}"), Reason::Invalid),
        (&format!("{HEAD}\"engine\",\"state\":\"started\",\"state\":\"started\"}}"), Reason::Invalid),
        (&format!("{HEAD}\"engine\",\"state\":\"started\",\"v\":1}}"), Reason::Invalid),
        (&format!("{HEAD}\"engine\",\"state\":\"started\",\"version\":null}}"), Reason::Invalid),
        (&format!("{HEAD}\"engine\",\"state\":\"started\",\"pid\":\"7\"}}"), Reason::Invalid),
        (r#"{"v":2,"event":"engine","state":"started"}"#, Reason::Version),
        (&format!("{HEAD}\"reboot\"}}"), Reason::UnknownEvent),
    ] {
        assert_eq!(reason(line), expected, "{line}");
    }
    assert_eq!(decode(b"{\"v\":1,\"writer\":\"\xff\"}").unwrap_err().reason, Reason::Utf8);
    assert_eq!(reason(&" ".repeat(MAX_LINE_BYTES)), Reason::Overlong);
    assert_eq!(reason(&" ".repeat(MAX_LINE_BYTES - 1)), Reason::Blank);
}

#[test]
fn a_number_too_large_for_a_float_is_refused_and_keeps_its_place_in_the_sequence() {
    let line = format!(
        r#"{HEAD}"command","id":"a","mode":"check","error":false,"source":"s","duration_seconds":1e999}}"#
    );
    let rejected = decode(line.as_bytes()).unwrap_err();
    assert_eq!(rejected.reason, Reason::Malformed);
    assert_eq!(rejected.envelope.unwrap().seq, 1);
}

#[test]
fn deep_nesting_in_an_unknown_field_costs_no_stack() {
    let line =
        format!(r#"{HEAD}"engine","state":"started","new":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    assert!(decode(line.as_bytes()).is_ok());
    let line = format!(r#"{HEAD}"engine","state":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(reason(&line), Reason::Malformed);
}

#[test]
fn a_carriage_return_and_any_order_of_members_are_accepted() {
    let line = r#" {"state":"started","event":"engine","time":"2026-01-31T09:30:00.000Z","seq":1,"writer":"w","v":1} "#;
    assert!(decode(format!("{line}\r").as_bytes()).is_ok());
}

#[test]
fn times_that_are_not_the_contracts_are_refused() {
    for (time, right) in [
        ("2026-01-31T09:30:00.000Z", true),
        ("2026-01-31T09:30:00.123456789123Z", true),
        ("2026-01-31T09:30:00Z", false),
        ("2026-01-31T09:30:00.00Z", false),
        ("2026-01-31T09:30:00.000+00:00", false),
        ("2026-01-31t09:30:00.000z", false),
        ("2026-01-31 09:30:00.000Z", false),
        ("2026-02-30T09:30:00.000Z", false),
        ("2026-01-31T09:30:00,000Z", false),
        ("2026-01-31T09:30:00.000[UTC]Z", false),
        ("é026-01-31T09:30:00.000Z", false),
        ("", false),
    ] {
        assert_eq!(timestamp(time).is_some(), right, "{time}");
    }
}

#[test]
fn no_detail_shows_a_value_of_the_line() {
    let secrets = [
        r#""hunter2""#,
        r#""hunter2 at line 1 column 1""#,
        r#""hunter2\", expected `hunter2`""#,
        r#""a, expected hunter2""#,
        r#""hunter2`""#,
        r#"{"hunter2":"hunter2"}"#,
        r#"["hunter2"]"#,
    ];
    for secret in secrets {
        for field in ["mode", "error", "id", "duration_seconds", "source"] {
            let others = [("id", r#""a""#), ("mode", r#""check""#), ("error", "false"), ("source", r#""s""#)];
            let mut line = format!(r#"{HEAD}"command","{field}":{secret}"#);
            for (name, value) in others.iter().filter(|(name, _)| *name != field) {
                line += &format!(r#","{name}":{value}"#);
            }
            line.push('}');
            if let Err(rejected) = decode(line.as_bytes()) {
                assert!(!rejected.to_string().contains("hunter2"), "{line}: {rejected}");
            }
        }
        for line in [
            format!(r#"{{"v":{secret}}}"#),
            format!(r#"{{"v":1,"writer":{secret}}}"#),
            format!(r#"{{"v":1,"writer":"w","seq":{secret}}}"#),
            format!(r#"{{"v":1,"writer":"w","seq":1,"time":{secret}}}"#),
            format!(r#"{HEAD}{secret}}}"#),
            format!(r#"{HEAD}{secret}"#),
        ] {
            assert!(!detail(&line).contains("hunter2"), "{line}: {}", detail(&line));
        }
    }
}

#[test]
fn details_say_which_field_and_where() {
    let line = format!(r#"{HEAD}"command","id":"a","mode":"check","error":false}}"#);
    assert_eq!(detail(&line), format!("missing field `source` at byte {}", line.len()));
    let line = format!(r#"{HEAD}"engine","state":"paused"}}"#);
    assert!(
        detail(&line).starts_with("unknown variant, expected `started` or `stopped` at byte"),
        "{}",
        detail(&line)
    );
}

#[test]
fn an_event_without_envelope_is_decoded_and_one_with_is_refused() {
    let (event, time) = decode_event(br#"{"event":"engine","state":"stopped"}"#).unwrap();
    assert_eq!(time, None);
    let late = br#"{"event":"engine","state":"stopped","time":"2026-01-31T10:30:00+01:00"}"#;
    assert_eq!(decode_event(late).unwrap().1, Some("2026-01-31T09:30:00Z".parse().unwrap()));
    assert!(decode_event(br#"{"event":"engine","state":"stopped","time":7}"#).is_err());
    assert_eq!(event, Event::Engine(Engine { state: EngineState::Stopped, version: "".into(), pid: None }));
    let rejected = decode_event(br#"{"event":"engine","state":"stopped","seq":4}"#).unwrap_err();
    assert_eq!(rejected.reason, Reason::Invalid);
    assert_eq!(decode_event(br#"{"state":"stopped"}"#).unwrap_err().detail, "event is missing");
}

#[test]
fn a_measurement_that_nobody_would_read_is_left_out() {
    let envelope = Envelope { writer: "w".into(), seq: 1, time: Timestamp::UNIX_EPOCH };
    for seconds in [f64::NAN, f64::INFINITY, -1.0] {
        let source = Source {
            name: "s".into(),
            trigger: Trigger::Pull,
            error: false,
            outcome: None,
            public_key: "".into(),
            remote_addr: "".into(),
            token_id: "".into(),
            subject: "".into(),
            digest: "".into(),
            changed: Some(MAX_COUNT + 1),
            removed: Some(MAX_COUNT),
            duration_seconds: Some(seconds),
        };
        let mut out = Vec::new();
        encode(&envelope, &Event::Source(source), &mut out).unwrap();
        let Event::Source(read) = decode(&out).unwrap().event else { panic!("a source") };
        assert_eq!((read.changed, read.removed, read.duration_seconds), (None, Some(MAX_COUNT), None));
    }
}

#[test]
fn a_line_that_would_be_too_long_leaves_the_output_as_it_was() {
    let envelope = Envelope { writer: "w".into(), seq: 1, time: Timestamp::UNIX_EPOCH };
    let engine = |length| {
        Event::Engine(Engine { state: EngineState::Started, version: "x".repeat(length).into(), pid: None })
    };
    let mut out = Vec::new();
    encode(&envelope, &engine(1), &mut out).unwrap();
    let longest = MAX_LINE_BYTES - out.len() + 1;
    out.clear();
    encode(&envelope, &engine(longest), &mut out).unwrap();
    assert_eq!(out.len(), MAX_LINE_BYTES);
    assert!(decode(&out[..out.len() - 1]).is_ok());
    let error = encode(&envelope, &engine(longest + 1), &mut out).unwrap_err();
    assert_eq!((error.bytes, out.len()), (MAX_LINE_BYTES + 1, MAX_LINE_BYTES));
}
