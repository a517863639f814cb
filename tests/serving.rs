//! The exporter's surface as a client and a writer see it: the key, a hand-written line, start and end.

use std::process::{Command, Stdio};

use crate::harness::{
    exporter::{Home, KEY, SCRAPE},
    line::{LABELS, line},
    program,
    wait::{SOON, wait_until},
};

#[test]
fn a_line_written_by_hand_is_counted() {
    let home = Home::new();
    let exporter = home.start(&[]);
    // The journal appears after the exporter; the line arrives in two pieces.
    let line = line(1);
    let (first, second) = line.split_at(40);
    home.append(first);
    home.append(second);
    wait_until(SOON, "the line to be counted", || {
        exporter.scrape().value("etcha_commands_total", LABELS) == Some(1.0)
    });
}

#[test]
fn a_wrong_empty_or_missing_key_gets_403_and_nothing_else() {
    let home = Home::new();
    let exporter = home.start(&[]);
    let path = "/etcha/v1/system/metrics";
    for target in [path.to_owned(), format!("{path}?key="), format!("{path}?key=wrong")] {
        let response = exporter.get(&target, &[]);
        assert_eq!((response.status, response.text()), (403, ""), "{target}");
    }
    let response = exporter.get(path, &[("Authorization", "Bearer wrong")]);
    assert_eq!((response.status, response.text()), (403, ""));
}

#[test]
fn the_key_is_taken_as_a_bearer_token_too_and_never_logged() {
    let home = Home::new();
    let mut exporter = home.start(&[]);
    let response = exporter.get("/etcha/v1/system/metrics", &[("Authorization", &format!("Bearer {KEY}"))]);
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(exporter.get(SCRAPE, &[]).status, 200);
    assert!(exporter.process.terminate().success());
    assert!(!exporter.process.log().contains(KEY), "{}", exporter.process.log());
}

#[test]
fn bad_lines_are_counted_by_reason_at_the_endpoint_and_cost_no_other_line() {
    let home = Home::new();
    let bad: [(&str, Vec<u8>); 9] = [
        ("blank", b"  \n".to_vec()),
        ("torn", format!("{}\n", &line(1)[..70]).into_bytes()),
        ("padding", vec![0; 1 << 20]),
        ("overlong", [&[b'x'; 70_000][..], b"\n"].concat()),
        ("utf8", [b"{\"v\":1,\"x\":\"\xff\"}", &b"\n"[..]].concat()),
        ("malformed", b"\xef\xbb\xbf{}\n".to_vec()),
        ("invalid", b"{\"v\":1,\"writer\":\"w\",\"seq\":\"7\"}\n".to_vec()),
        ("version", b"{\"v\":2}\n".to_vec()),
        ("unknown_event", line(100).replace("\"command\"", "\"future\"").into_bytes()),
    ];
    for (seq, (_, bytes)) in (1..).zip(&bad) {
        home.append(line(seq));
        home.append(bytes);
    }
    home.append(line(10));
    let exporter = home.start(&[]);
    exporter.wait_until_ready();
    let scrape = exporter.scrape();
    assert_eq!(scrape.value("etcha_commands_total", LABELS), Some(10.0));
    for (reason, _) in bad {
        let counted = scrape.value("etcha_exporter_lines_rejected_total", &[("reason", reason)]);
        assert_eq!(counted, Some(1.0), "{reason}");
    }
}

#[test]
fn lines_may_be_given_a_lower_limit_than_the_contract_has() {
    let home = Home::new();
    let of_bytes = |seq: u64, bytes: usize| {
        let line = line(seq);
        format!("{}{}\n", line.trim_end(), " ".repeat(bytes - line.len()))
    };
    for (seq, bytes) in (1..).zip([1024, 1025, 2048, 400]) {
        home.append(of_bytes(seq, bytes));
    }
    let exporter = home.start(&["--max-line-bytes", "1024"]);
    exporter.wait_until_ready();
    let scrape = exporter.scrape();
    assert_eq!(scrape.value("etcha_commands_total", LABELS), Some(2.0));
    let rejected = scrape.value("etcha_exporter_lines_rejected_total", &[("reason", "overlong")]);
    assert_eq!(rejected, Some(2.0));
    assert_eq!(scrape.value("etcha_exporter_lines_missing", &[]), Some(2.0));
}

#[test]
fn odd_and_long_labels_never_make_a_scrape_invalid() {
    let home = Home::new();
    let ids =
        ["a \\\"quoted\\\" id", "two\\nlines", "päckage ✓ \\u0000", &"x".repeat(5_000), &"x".repeat(5_001)];
    for (seq, id) in (1..).zip(ids) {
        home.append(line(seq).replace("\"a\"", &format!("\"{id}\"")));
    }
    let exporter = home.start(&[]);
    exporter.wait_until_ready();
    // The harness takes nothing but a valid exposition.
    let scrape = exporter.scrape();
    let found = scrape.samples.keys().filter(|series| series.name == "etcha_commands_total");
    let found: Vec<_> = found.map(|series| series.labels["id"].as_str()).collect();
    assert_eq!(found.len(), ids.len());
    assert!(found.contains(&"a \"quoted\" id") && found.contains(&"two\nlines"), "{found:?}");
    assert!(found.iter().all(|id| id.len() <= 1024));
    assert_eq!(scrape.value("etcha_exporter_labels_shortened_total", &[]), Some(2.0));
}

#[test]
fn openssl_verifies_the_certificate_and_is_spoken_to_from_tls_1_2_on() {
    let Some(openssl) = program::find("openssl") else { return };
    let home = Home::new();
    let exporter = home.start(&[]);
    for (version, expected) in [("-tls1_1", None), ("-tls1_2", Some("TLSv1.2")), ("-tls1_3", Some("TLSv1.3"))]
    {
        let mut command = Command::new(&openssl);
        command.args([
            "s_client",
            "-verify_return_error",
            "-verify_hostname",
            "localhost",
            "-alpn",
            "h2",
            version,
        ]);
        command.arg("-CAfile").arg(home.certificate()).arg("-connect").arg(exporter.address.to_string());
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        match expected {
            Some(protocol) => {
                assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
                for part in [protocol, "Verify return code: 0 (ok)", "ALPN protocol: h2"] {
                    assert!(said.contains(part), "{part} in {said}");
                }
            }
            None => assert!(!output.status.success(), "{said}"),
        }
    }
}
