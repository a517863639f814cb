//! What a glance promises, on lines as they are written and on lines that are not.

use proptest::prelude::*;

use super::digits::MAX_DIGITS;
use super::*;
use crate::line::{decode, encode};
use crate::{Envelope, Event};

const LINE: &str = r#"{"v":1,"writer":"6091372b99281add","seq":15,"time":"2026-11-22T11:49:17.705136Z","event":"command","id":"a \"b\"","mode":"changed","error":true,"parent_id":"s > g","source":"s","public_key":"k","remote_addr":"::1","duration_seconds":0.25}"#;

const SOURCE_LINE: &str = r#"{"v":1,"writer":"6091372b99281add","seq":16,"time":"2026-11-22T11:49:18.7051Z","event":"source","name":"s \"1\"","trigger":"push","error":false,"public_key":"k","remote_addr":"::1","changed":12,"removed":0,"duration_seconds":10.75}"#;

const SHELL_LINE: &str = r#"{"v":1,"writer":"6091372b99281add","seq":17,"time":"2026-11-22T11:49:19.700Z","event":"shell","name":"s","session":"59157f9e","state":"closed","public_key":"k","remote_addr":"::1","reason":"exit"}"#;

/// What a glance that succeeds promises.
fn check(line: &[u8]) -> bool {
    let (mut scratch, mut seasoned) = (Vec::new(), Glancer::default());
    let glanced = Glancer::default().glance(line);
    for before in [LINE, SOURCE_LINE, &LINE.replace("6091372b", "7")] {
        seasoned.glance(before.as_bytes());
        assert_eq!(seasoned.glance(line), glanced, "what came before decides nothing");
    }
    let Some(glance) = glanced else { return false };
    let Some(event) = glance.event(&mut scratch) else { return false };
    let decoded = decode(line).unwrap_or_else(|error| panic!("{}: {error}", line.escape_ascii()));
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
    assert!(check(SHELL_LINE.as_bytes()));
    assert!(!check(SHELL_LINE.replace("closed", "ajar").as_bytes()));
}

#[test]
fn a_run_of_a_source_is_taken_apart_with_what_it_measured() {
    let glance = Glancer::default().glance(SOURCE_LINE.as_bytes()).unwrap();
    assert_eq!((glance.kind, glance.nanosecond()), (Kind::Source, 1_795_348_158_705_100_000));
    assert!(glance.labels.ends_with(br#""remote_addr":"::1""#));
    let measured = Measurements { changed: Some(12), removed: Some(0), duration_seconds: Some(10.75) };
    assert_eq!(glance.measurements(), measured);
    for absent in [r#","changed":12"#, r#","removed":0"#, r#","duration_seconds":10.75"#] {
        assert!(check(SOURCE_LINE.replace(absent, "").as_bytes()), "{absent}");
    }
    assert!(check(SOURCE_LINE.replace(r#"false,"#, r#"true,"outcome":"unknown","#).as_bytes()));
}

#[test]
fn what_names_one_run_alone_is_no_label() {
    let texts = r#","token_id":"a7-b","subject":"deploy to web, all","digest":"00ff""#;
    let with = |texts: &str| SOURCE_LINE.replace(r#","changed""#, &format!(r#"{texts},"changed""#));
    let (line, plain) = (with(texts), Glancer::default().glance(SOURCE_LINE.as_bytes()).unwrap());
    assert!(check(line.as_bytes()));
    let glance = Glancer::default().glance(line.as_bytes()).unwrap();
    assert_eq!((glance.labels, glance.measurements()), (plain.labels, plain.measurements()));
    for other in [
        r#","token_id":"\""#,
        r#","subject":"é""#,
        r#","digest":"a","token_id":"b""#,
        r#","digest":"a","digest":"b""#,
    ] {
        assert!(!check(with(other).as_bytes()), "{other}");
    }
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
        ("\"event\":\"command\"", "\"event\":\"shell\""),
    ] {
        let line = LINE.replace(from, to);
        assert_ne!(line, LINE);
        assert!(!check(line.as_bytes()), "{line}");
    }
    // A member that stands twice: the labels alone say nothing of it.
    for twice in [r#""v":1"#, r#""writer":"x""#, r#""duration_seconds":1"#, r#""id":"again""#] {
        assert!(!check(LINE.replace(r#","mode""#, &format!(",{twice},\"mode\"")).as_bytes()), "{twice}");
    }
    for (from, to) in [
        // Out of their order, given twice, or no counts.
        (r#""changed":12,"removed":0"#, r#""removed":0,"changed":12"#),
        (r#""changed":12"#, r#""changed":12,"changed":12"#),
        (r#""trigger":"push""#, r#""trigger":"push","changed":1"#),
        (r#""changed":12"#, r#""changed":1.5"#),
        (r#""changed":12"#, r#""changed":12.0"#),
        (r#""changed":12"#, r#""changed":9007199254740993"#),
        (r#""removed":0"#, r#""removed":-1"#),
        (r#""removed":0"#, r#""removed":01"#),
        (r#""trigger":"push""#, r#""trigger":"cron""#),
    ] {
        let line = SOURCE_LINE.replace(from, to);
        assert_ne!(line, SOURCE_LINE);
        assert!(!check(line.as_bytes()), "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_glance_that_succeeds_says_what_decoding_says(
        of in prop::sample::select(vec![LINE, SOURCE_LINE, SHELL_LINE]),
        edits in prop::collection::vec((0..LINE.len(), prop_oneof![
            any::<u8>().prop_map(|byte| vec![byte]),
            Just(Vec::new()),
            prop::sample::select(vec![
                r#""duration_seconds":1"#, r#","error":true"#, "\"", ",", "\\", "{}", "0", ":", "}", r#","v":1"#,
                r#","event":"command""#, r#","x":[1,2]"#, "é", "\\ud800", r#","writer":"w""#, " ", r#","changed":3"#,
                r#","removed":7"#, r#""event":"source""#, r#","trigger":"pull""#, r#","outcome":"unknown""#, "1", ".5",
                r#","token_id":"7""#, r#","digest":"x""#, r#","subject":"x y""#, r#","subject":"\\n""#,
            ]).prop_map(|text| text.as_bytes().to_vec()),
        ], any::<bool>()), 0..4),
    ) {
        let mut line = of.as_bytes().to_vec();
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
        let envelope = Envelope { writer: "w".into(), seq, time: "2026-01-31T09:30:00.123456Z".parse().unwrap() };
        let mut line = Vec::new();
        encode(&envelope, &Event::Command(command), &mut line).unwrap();
        line.pop();
        let plain = duration.is_none_or(|duration| duration.to_string().len() <= MAX_DIGITS);
        let canonical = seq < 10u64.pow(16);
        prop_assert_eq!(check(&line) || !plain || !canonical, true, "{}", line.escape_ascii());
    }

    #[test]
    fn any_run_of_a_source_is_taken_apart_as_it_was_written(
        name in ".{0,20}", error in any::<bool>(), second in 0i64..4_000_000_000, nanosecond in 0i32..1_000_000_000,
        changed in prop::option::of(0u64..1 << 49), removed in prop::option::of(0u64..1000),
        whole in 0u32..100_000, digits in "[0-9]{0,12}",
    ) {
        let duration = format!("{whole}.{digits}").trim_end_matches('.').to_owned();
        let source = Source {
            name: name.into(), trigger: Trigger::Pull, error, outcome: None, public_key: "".into(),
            remote_addr: "".into(), token_id: "".into(), subject: "".into(), digest: "".into(), changed, removed, duration_seconds: None,
        };
        let time = Timestamp::new(second, nanosecond).unwrap();
        let mut line = Vec::new();
        encode(&Envelope { writer: "w".into(), seq: 1, time }, &Event::Source(source), &mut line).unwrap();
        line.truncate(line.len() - 2);
        line.extend_from_slice(format!(",\"duration_seconds\":{duration}}}").as_bytes());
        prop_assert_eq!(check(&line), duration.len() <= MAX_DIGITS, "{}", line.escape_ascii());
    }
}
