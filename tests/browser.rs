//! The status page in a real browser: the password, the tables, without scripts, on a desk and in a hand, light and dark.

use std::{fs, path::Path};

use serde_json::json;

use crate::harness::{
    chromium::Chromium,
    exporter::{Home, KEY},
    program,
    recording::Recording,
};

const STATUS: &str = "/etcha/v1/system/status";

/// Lines that make a page worth looking at: a failed Source, two shells, odd names. All are later than the recording
/// before them, whose agent would have ended the shells.
const LINES: &str = r#"{"v":1,"writer":"page","seq":1,"time":"2026-11-24T00:00:00.000Z","event":"engine","state":"started","version":"2026.01.0"}
{"v":1,"writer":"page","seq":2,"time":"2026-11-24T00:00:01.000Z","event":"source","name":"web <b>servers</b>","trigger":"pull","error":true}
{"v":1,"writer":"page","seq":3,"time":"2026-11-24T00:00:02.000Z","event":"source","name":"a-source-with-a-name-that-is-longer-than-any-phone-is-wide-and-has-no-place-to-break-it","trigger":"push","error":false,"changed":2}
{"v":1,"writer":"page","seq":4,"time":"2026-11-24T00:00:03.000Z","event":"shell","name":"db","session":"p1","state":"opened","public_key":"3f6a0c5d9b-admin@example","remote_addr":"192.0.2.17"}
{"v":1,"writer":"page","seq":5,"time":"2026-11-24T00:00:04.000Z","event":"shell","name":"db","session":"p2","state":"opened","public_key":"on-call","remote_addr":"2001:db8::17"}
"#;

#[test]
fn a_person_opens_the_status_page_with_the_key_and_sees_all_of_it_on_every_screen() {
    let Some(program) = program::find("chromium") else { return };
    let home = Home::new();
    home.append(&Recording::load("tour").journal);
    home.append(LINES);
    let exporter = home.start(&[]);
    exporter.wait_until_ready();
    let url = format!("https://localhost:{}{STATUS}", exporter.address.port());
    let mut browser = Chromium::start(&program);

    // The browser asks its user again after a wrong key; a key is the password of any user name.
    browser.passwords = vec![("anybody", KEY), ("anybody", "wrong")];
    browser.open(&url, "#shells");
    assert!(browser.passwords.is_empty(), "asked twice");
    assert_eq!(browser.evaluate("location.href"), url.as_str(), "no key in the link");
    assert_eq!(browser.evaluate("document.cookie"), "");
    assert_eq!(browser.evaluate("document.querySelector('#shells').textContent"), "Shells open now: 2");
    let text = browser.evaluate("document.body.innerText");
    for part in ["web <b>servers</b>", "3f6a0c5d9b-admin@example", "2001:db8::17", "failed", "2026.01.0"] {
        assert!(text.as_str().unwrap().contains(part), "{part} in {text}");
    }

    // The refused key is a complaint; from here on there is nothing to complain about, and nothing is asked again.
    browser.complaints.clear();
    // Without scripts everything is still there: there are none.
    browser.call("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut colours = Vec::new();
    for (name, width, height) in [("desktop", 1280, 900), ("phone", 390, 844)] {
        for dark in [false, true] {
            browser.screen(width, height, dark);
            browser.open(&url, "#checkpoint");
            let wide = browser.evaluate("document.documentElement.scrollWidth");
            assert!(wide.as_u64().unwrap() <= u64::from(width), "{name}: {wide} wide");
            let plots = browser.evaluate("document.querySelectorAll('svg').length");
            assert_eq!(plots, 4, "{name}");
            colours.push(browser.evaluate("getComputedStyle(document.body).color").to_string());
            let scheme = if dark { "dark" } else { "light" };
            fs::write(pictures.join(format!("status-{name}-{scheme}.png")), browser.picture()).unwrap();
        }
    }
    assert_ne!(colours[0], colours[1], "dark is another colour");
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);

    assert!(!exporter.process.log().contains(KEY));
}
