//! Clients that mean no good, or are merely unlucky, against the built exporter over real sockets.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::harness::{
    exporter::{Exporter, Home, KEY, METRICS, SCRAPE, command, listening},
    exposition::Exposition,
    http, program,
    recording::Recording,
    wait::{SOON, wait_for, wait_until},
};

/// Within this much a gibibyte is replayed, by a build without optimisation on a machine with other work.
const REPLAYED: Duration = Duration::from_secs(180);

/// Streams that are opened and reset on one connection.
const STREAMS: u32 = 10_000;

/// Within this much a right scrape is answered, whatever others do.
const PROMPTLY: Duration = Duration::from_secs(1);

#[test]
fn five_hundred_silent_slow_and_half_connections_delay_no_right_scrape() {
    let home = Home::new();
    let exporter = home.start(&[]);
    let mut held = Vec::new();
    for n in 0..500 {
        let Ok(mut stream) = TcpStream::connect(exporter.address) else { continue };
        // A third says nothing, a third begins a handshake, a third speaks half a plain request.
        match n % 3 {
            0 => {}
            1 => stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00").unwrap_or_default(),
            _ => stream.write_all(b"GET /etcha").unwrap_or_default(),
        }
        held.push(stream);
    }
    // Some get through the handshake, and then send a header without end.
    for _ in 0..20 {
        let mut slow = http::secured(exporter.address, &exporter.certificate);
        if slow.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").is_ok() {
            held.push(slow.sock.try_clone().unwrap());
        }
    }
    for _ in 0..5 {
        let begin = Instant::now();
        assert_eq!(exporter.get(SCRAPE, &[]).status, 200);
        assert!(begin.elapsed() < PROMPTLY, "{:?}", begin.elapsed());
    }
}

#[test]
fn keys_are_decoded_exactly_and_a_megabyte_of_key_is_refused() {
    let home = Home::new();
    home.place("key", "a&b+c%d é=");
    let exporter = home.start(&["--log-level", "trace"]);
    for (query, status) in [
        ("key=a%26b%2Bc%25d+%C3%A9%3D", 200),
        ("key=a%26b%2bc%25d%20%c3%a9=", 200),
        ("key=a%26b+c%25d+%C3%A9%3D", 403),
        ("key=a&b+c%d", 403),
        ("key=%zz", 403),
        ("key=", 403),
        ("key=x&key=a%26b%2Bc%25d+%C3%A9%3D", 403),
    ] {
        assert_eq!(exporter.get(&format!("{METRICS}?{query}"), &[]).status, status, "{query}");
    }
    let mut stream = http::secured(exporter.address, &exporter.certificate);
    let request =
        format!("GET {METRICS}?key={} HTTP/1.1\r\nHost: localhost\r\n\r\n", "hunter2".repeat(150_000));
    let mut answer = Vec::new();
    // It may be closed before all is written, or read.
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    let log = exporter.process.log();
    for secret in ["a&b+c%d", "a%26b", "hunter2"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[test]
fn guessing_gets_429_and_a_right_key_works_from_the_same_and_from_another_client() {
    let Some(curl) = program::find("curl") else { return };
    let home = Home::new();
    let exporter = home.start(&[]);
    let statuses: Vec<_> = (0..12).map(|n| exporter.status(&format!("guess-{n}"))).collect();
    assert_eq!(statuses[..10], [403; 10]);
    assert_eq!(statuses[10..], [429; 2]);
    assert_eq!(exporter.status(KEY), 200);
    let code = |interface: &str, key: &str| {
        let mut command = Command::new(&curl);
        command.args(["--silent", "--noproxy", "*", "--interface", interface, "--write-out", "%{http_code}"]);
        command.args(["--output", "/dev/null", "--cacert"]).arg(&exporter.certificate);
        command.args(["--header", &format!("Authorization: Bearer {key}")]);
        // The other loopback address is another client.
        let output =
            command.arg(format!("https://localhost:{}{METRICS}", exporter.address.port())).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(code("127.0.0.1", "guess"), "429");
    assert_eq!(code("127.0.0.2", "guess"), "403");
    assert_eq!(code("127.0.0.2", KEY), "200");
}

#[test]
fn a_sigterm_during_a_scrape_lets_the_answer_end_and_writes_a_last_checkpoint() {
    let home = Home::new();
    home.append(twenty_thousand_long_ids());
    let mut exporter = home.start(&["--checkpoint-interval", "24h"]);
    exporter.wait_until_ready();
    // Counted after the first checkpoint, so only a last one can know it.
    home.append(
        r#"{"v":1,"writer":"late","seq":1,"time":"2026-01-01T00:00:00.000Z","event":"command","id":"late","mode":"check","error":false,"source":"s"}
"#,
    );
    wait_until(SOON, "the late line", || exporter.get(SCRAPE, &[]).text().contains("id=\"late\""));
    let mut stream = http::secured(exporter.address, &exporter.certificate);
    write!(stream, "GET {SCRAPE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = vec![0; 1];
    stream.read_exact(&mut answer).unwrap();
    exporter.process.signal(Signal::TERM);
    exporter.process.wait_for_log("that it stops", |line| line.contains("stopping").then_some(()));
    stream.read_to_end(&mut answer).unwrap();
    let response = http::parse(&answer);
    assert_eq!(response.header("content-length").unwrap(), response.body.len().to_string());
    assert!(response.body.len() > 16 << 20, "more than the buffers of two sockets hold");
    response.text().parse::<Exposition>().unwrap();
    assert!(exporter.process.wait().success());
    fs::remove_file(home.journal()).unwrap();
    let again = home.start(&[]);
    again.wait_until_ready();
    assert!(again.get(SCRAPE, &[]).text().contains("id=\"late\""), "out of the last checkpoint alone");
}

/// Commands whose series make a scrape of twenty megabytes.
fn twenty_thousand_long_ids() -> String {
    let long = "n".repeat(900);
    let mut lines = String::new();
    for seq in 1..=20_000 {
        writeln!(
            lines,
            r#"{{"v":1,"writer":"w","seq":{seq},"time":"2026-01-01T00:00:00.000Z","event":"command","id":"{long}{seq}","mode":"check","error":false,"source":"s"}}"#
        )
        .unwrap();
    }
    lines
}

#[test]
fn twenty_scrapes_at_once_during_a_replay_of_a_gibibyte_are_consistent_and_readiness_waits_for_its_end() {
    let home = Home::new();
    let lines = append_a_gibibyte(&home);
    let exporter = home.start(&[]);
    let ready = exporter.get("/-/ready", &[]).status;
    let scrape = || {
        let response = exporter.get(SCRAPE, &[("Accept", "text/plain")]);
        assert_eq!(response.status, 200);
        let exposition: Exposition = response.text().parse().unwrap();
        let sum: f64 =
            exposition.samples.iter().filter(|(s, _)| s.name == "etcha_commands_total").map(|(_, v)| v).sum();
        let counted = exposition.value("etcha_exporter_events_total", &[("event", "command")]);
        let caught_up = exposition.value("etcha_exporter_caught_up", &[]).unwrap() > 0.5;
        // Before it has caught up nothing is shown that would be too low.
        assert_eq!(counted.is_some(), caught_up);
        let counted = counted.unwrap_or_default();
        assert!((sum - counted).abs() < 0.5, "{sum} commands, {counted} lines: not of one moment");
        assert!(!caught_up || sum > lines - 0.5, "caught up at {sum}");
        sum
    };
    let sums = thread::scope(|scope| {
        let scrapers: Vec<_> = (0..20).map(|_| scope.spawn(|| [scrape(), scrape(), scrape()])).collect();
        scrapers.into_iter().map(|scraper| scraper.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(sums.iter().all(|sums| sums.is_sorted()), "{sums:?}");
    // On a slow machine the first look comes late; it must not have said yes too early.
    assert!(ready == 503 || scrape() > lines - 0.5);
    wait_until(REPLAYED, "the end of the replay", || exporter.get("/-/ready", &[]).status == 200);
    assert!(scrape() > lines - 0.5);
}

/// A gibibyte of commands with long names. How many lines that is.
fn append_a_gibibyte(home: &Home) -> f64 {
    let (mut seq, mut bytes, mut batch) = (0, 0, String::new());
    let long = "n".repeat(450);
    while bytes < 1 << 30 {
        batch.clear();
        while batch.len() < 1 << 20 {
            seq += 1;
            let (source, id) = (seq % 7, seq % 500);
            writeln!(
                batch,
                r#"{{"v":1,"writer":"w","seq":{seq},"time":"2026-01-01T00:00:00.000Z","event":"command","id":"{long}{id}","mode":"check","error":false,"parent_id":"{long}{source}","source":"{source}"}}"#
            )
            .unwrap();
        }
        bytes += batch.len();
        home.append(&batch);
    }
    f64::from(seq)
}

#[test]
fn ten_thousand_streams_reset_at_once_end_their_connection_and_delay_no_right_scrape() {
    let home = Home::new();
    let exporter = home.start(&[]);
    let memory = || exporter.scrape().value("process_resident_memory_bytes", &[]).unwrap();
    let before = memory();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for _ in 0..3 {
        assert!(runtime.block_on(is_ended_for_resets(&exporter)));
        let begin = Instant::now();
        assert_eq!(exporter.get(SCRAPE, &[]).status, 200);
        assert!(begin.elapsed() < PROMPTLY, "{:?}", begin.elapsed());
    }
    let grown = memory() - before;
    assert!(grown < f64::from(64 << 20), "{grown} bytes more");
}

/// Opens [`STREAMS`] streams of one connection, each with a right request, and resets each at once. Whether the other
/// side had enough of it before the last one.
async fn is_ended_for_resets(exporter: &Exporter) -> bool {
    let stream = http::secured_h2(exporter.address, &exporter.certificate).await;
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let flood = async {
        for _ in 0..STREAMS {
            client = client.ready().await?;
            let target = format!("https://localhost{SCRAPE}");
            let request = hyper::Request::get(target).body(()).unwrap();
            let (_, mut body) = client.send_request(request, false)?;
            body.send_reset(h2::Reason::CANCEL);
            // Lets the connection write, so that each stream is on its way before its reset.
            tokio::task::yield_now().await;
        }
        Ok::<_, h2::Error>(())
    };
    let refused = tokio::time::timeout(SOON, flood).await.unwrap().is_err();
    refused || tokio::time::timeout(SOON, connection).await.unwrap().unwrap().is_err()
}

#[test]
fn sockets_that_the_service_manager_opened_are_served_and_no_others() {
    let Some(python) = program::find("python3") else { return };
    let home = Home::new();
    let mut command = Command::new(python);
    // What systemd does: descriptors from 3 on, their number, and who is to take them.
    command.args(["-c", ACTIVATION]).arg(env!("CARGO_BIN_EXE_etcha-exporter"));
    let exporter = home.start_by(command, &[]);
    let second =
        wait_for(SOON, "the second socket", || exporter.process.log().lines().filter_map(listening).nth(1));
    let log = exporter.process.log();
    for address in [exporter.address, second] {
        assert_eq!(http::get(address, &exporter.certificate, SCRAPE, &[]).status, 200, "{address}");
    }
    let told: Vec<_> =
        log.lines().filter_map(|line| line.split_once("opened=")).map(|(_, port)| port).collect();
    assert_eq!(told.len(), 2);
    for (address, port) in [exporter.address, second].iter().zip(told) {
        assert_eq!(address.port().to_string(), port);
    }
}

/// Opens two sockets on free ports, says which, and becomes the program that is named by its first argument.
const ACTIVATION: &str = r#"
import os, socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
for place, opened in enumerate(sockets, 3):
    print(f"opened={opened.getsockname()[1]}", file=sys.stderr, flush=True)
    assert opened.fileno() == place, opened.fileno()
    os.set_inheritable(place, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2")
os.execv(sys.argv[1], sys.argv[1:])
"#;

#[test]
fn no_key_is_in_any_log_line_or_answer_of_a_lively_session() {
    let home = Home::new();
    home.append(&Recording::load("tour").journal);
    let mut exporter = home.start(&["--log-level", "trace"]);
    let mut seen = String::new();
    for (target, headers) in [
        (SCRAPE.to_owned(), vec![]),
        ("/".to_owned(), vec![("Authorization", format!("Bearer {KEY}"))]),
        (format!("/nothing?key={KEY}"), vec![]),
        (format!("{METRICS}?key=hunter2"), vec![]),
        (format!("{METRICS}?key=hunter2&key=hunter2"), vec![]),
        (METRICS.to_owned(), vec![("Authorization", format!("Bearer {KEY}"))]),
        (METRICS.to_owned(), vec![("Authorization", "Basic aHVudGVyMjpodW50ZXIy".to_owned())]),
        (format!("/etcha/v1/system/status?key={KEY}"), vec![]),
        ("/-/ready".to_owned(), vec![("Cookie", format!("etcha={KEY}"))]),
    ] {
        for _ in 0..3 {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let response = exporter.get(&target, &headers);
            seen.push_str(&format!("{:?}{}", response.headers, String::from_utf8_lossy(&response.body)));
        }
    }
    home.place("key", format!("{KEY}\nanother-secret"));
    wait_until(SOON, "the other key", || exporter.status("another-secret") == 200);
    exporter.process.signal(Signal::HUP);
    assert!(exporter.process.terminate().success());
    seen.push_str(&exporter.process.log());
    let config = home.place("c.json", format!(r#"{{"run": {{"systemMetricsKey": "{KEY}"}}}}"#));
    let mut check = command();
    check.args(["--check-config", "--config", &config]).stdin(Stdio::null());
    let output = check.output().unwrap();
    seen.push_str(&format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ));
    for secret in [KEY, "key%2Fof", "of%2Bthe", "hunter2", "aHVudGVy", "another-secret"] {
        assert!(!seen.contains(secret), "{secret}");
    }
}
