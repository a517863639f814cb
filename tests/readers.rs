//! Holders of a scrape key who ask and then read nothing, or almost nothing: memory stays bounded, and others get their
//! scrapes.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    time::{Duration, Instant},
};

use crate::harness::{
    exporter::{Home, SCRAPE},
    http,
    wait::{SOON, wait_until},
};

/// Connections that are held open: as many as one client may have, almost.
const READERS: usize = 240;

/// Answers of this size: more than the buffers of two sockets hold of one that is not read.
const IDS: usize = 5_000;

/// Bodies that may be in memory together: those under way (`ConnectionLimits::answers`), the one being made, and those of connections that
/// were closed a moment ago.
const BODIES: u64 = 24;

/// Within this much a right scrape is answered meanwhile.
const PROMPTLY: Duration = Duration::from_secs(5);

/// A command with an id of about a kilobyte, or with a short one.
fn line(seq: usize, id: &str) -> String {
    format!(
        r#"{{"v":1,"writer":"w","seq":{seq},"time":"2026-01-01T00:00:00.000Z","event":"command","id":"{id}","mode":"check","error":false,"source":"s"}}
"#
    )
}

#[test]
fn two_hundred_and_forty_clients_that_read_nothing_hold_a_few_bodies_and_delay_no_right_scrape() {
    let home = Home::new();
    let mut lines = String::new();
    for seq in 1..=IDS {
        write!(lines, "{}", line(seq, &format!("{}{seq}", "n".repeat(900)))).unwrap();
    }
    home.append(lines);
    let exporter = home.start(&[]);
    exporter.wait_until_ready();
    let body = u64::try_from(exporter.get(SCRAPE, &[]).body.len()).unwrap();
    assert!(body > 4 << 20, "{body} bytes");
    let resident = || exporter.process.status_number("VmRSS") * 1024;
    let before = resident();
    let mut held = Vec::new();
    for reader in 1..=READERS {
        // Each meets another generation, whose body nobody else shares.
        home.append(line(IDS + reader, "short"));
        let mut stream = http::secured(exporter.address, &exporter.certificate);
        write!(stream, "GET {SCRAPE} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        // Every third takes a part, to look alive.
        if reader % 3 == 0 {
            stream.read_exact(&mut [0; 1024]).unwrap();
        }
        held.push(stream);
        if reader % 40 == 0 {
            let begin = Instant::now();
            assert_eq!(exporter.get(SCRAPE, &[]).status, 200);
            assert!(begin.elapsed() < PROMPTLY, "{:?}", begin.elapsed());
            let grown = resident().saturating_sub(before);
            assert!(grown < BODIES * body, "{grown} bytes more after {reader} readers of {body} bytes");
        }
    }
    let peak = exporter.process.status_number("VmHWM") * 1024;
    let grown = peak.saturating_sub(before);
    assert!(grown < BODIES * body, "{grown} bytes more at most, of {body} bytes each");
    let last = format!("etcha_exporter_events_total{{event=\"command\"}} {}\n", IDS + READERS);
    wait_until(SOON, "all lines", || {
        exporter.get(SCRAPE, &[("Accept", "text/plain")]).text().contains(&last)
    });
}
