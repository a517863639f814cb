//! The status page in a real browser: the password, the tables, without scripts, on a desk and in a hand, light and dark.

use std::{env, fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

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
{"v":1,"writer":"page","seq":6,"time":"2026-11-24T00:00:05.000Z","event":"command","id":"a-command-with-a-long-name-that-is-longer-than-its-column","mode":"changed","error":true,"source":"cache"}
{"v":1,"writer":"page","seq":7,"time":"2026-11-24T00:00:06.000Z","event":"command","id":"restart","mode":"remove","error":true,"source":"cache"}
{"v":1,"writer":"page","seq":8,"time":"2026-11-24T00:00:07.000Z","event":"source","name":"cache","trigger":"pull","error":true}
{"v":1,"writer":"page","seq":10,"time":"2026-11-24T00:00:09.000Z","event":"shell","name":"another-source-with-a-name-longer-than-its-column","session":"p3","state":"opened","public_key":"3f6a0c5d9b8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a","remote_addr":"2001:db8:1234:5678:9abc:def0:1234:5678"}
{"v":1,"writer":"page","seq":11,"time":"2026-11-24T00:00:10.000Z","event":"shell","name":"another-source-with-a-name-longer-than-its-column","session":"p3","state":"closed","reason":"the client went away without saying goodbye to anyone"}
{"v":1,"writer":"page","seq":9,"time":"2026-11-24T00:00:08.000Z","event":"refused","action":"push","reason":"signature","remote_addr":"2001:db8:1234:5678:9abc:def0:1234:5678"}
"#;

/// Rows of tables that take more than one line.
const TALL_ROWS: &str = "[...document.querySelectorAll('.wide tbody tr')].filter(row =>
    row.offsetHeight > 1.9 * parseFloat(getComputedStyle(row).lineHeight)).map(row => row.innerText)";

/// Tables that are wider than their place.
const WIDE_TABLES: &str = "[...document.querySelectorAll('.scroll')].filter(it =>
    it.scrollWidth > it.clientWidth + 1).map(it => it.innerText)";

/// What is wider than its place, so that a part of it is hidden.
const CUT: &str = "[...document.querySelectorAll('main *, header *')].filter(it =>
    it.scrollWidth > it.clientWidth + 1 && it.clientWidth > 1 && getComputedStyle(it).display != 'inline'
    && !it.closest('thead')).map(it => it.outerHTML.slice(0, 200))";

#[test]
fn a_person_opens_the_status_page_with_the_key_and_sees_all_of_it_on_every_screen() {
    let Some(program) = program::find("chromium") else { return };
    let home = Home::new();
    home.append(&Recording::load("tour").journal);
    // Of the last hour, so that they are of the last day.
    let minute = Timestamp::now() - SignedDuration::from_mins(20);
    home.append(LINES.replace("2026-11-24T00:00", &minute.strftime("%Y-%m-%dT%H:%M").to_string()));
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
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    assert_eq!(browser.evaluate("document.querySelector('h1').textContent"), format!("Status of {host}"));
    assert!(browser.evaluate("document.title").as_str().unwrap().starts_with(&format!("{host}: ")));
    let text = browser.evaluate("document.body.innerText");
    for part in ["web <b>servers</b>", "3f6a0c5d9b-admin@example", "2001:db8::17", "failed", "2026.01.0"] {
        assert!(text.as_str().unwrap().contains(part), "{part} in {text}");
    }

    // The page stays as it is for a reader who says so.
    browser.wait_for(r#"a[href="?refresh=off"]"#);
    browser.evaluate("document.querySelector(\"a[href='?refresh=off']\").click()");
    browser.wait_for(r#"a[href="?"]"#);
    let still = browser.evaluate("location.href").as_str().unwrap().to_owned();
    assert_eq!(still, format!("{url}?refresh=off"));

    // The refused key is a complaint; from here on there is nothing to complain about, and nothing is asked again.
    browser.complaints.clear();
    if let Some(axe) = env::var_os("ETCHA_TEST_AXE") {
        let axe = fs::read_to_string(axe).unwrap();
        for (width, dark) in [(1280, false), (1280, true), (768, false), (320, false), (320, true)] {
            browser.screen(width, 900, dark);
            browser.open(&still, "#checkpoint");
            assert_eq!(found_by(&axe, &mut browser), json!([]), "{width} px wide, dark: {dark}");
        }
    }
    // Without scripts everything is still there: there are none.
    browser.call("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut colours = Vec::new();
    for (name, width, height) in
        [("desktop", 1280, 900), ("between", 769, 900), ("tablet", 768, 1024), ("phone", 320, 640)]
    {
        for dark in [false, true] {
            browser.screen(width, height, dark);
            browser.open(&still, "#checkpoint");
            let wide = browser.evaluate("document.documentElement.scrollWidth");
            assert!(wide.as_u64().unwrap() <= u64::from(width), "{name}: {wide} wide");
            let plots = browser.evaluate("document.querySelectorAll('svg').length");
            assert_eq!(plots, 4, "{name}");
            for heading in ["#shells-day", "#pushes-day", "#failing"] {
                let rows = format!("document.querySelectorAll('.{} tbody tr').length", &heading[1..]);
                assert!(browser.evaluate(&rows).as_u64().unwrap() > 0, "{heading}");
            }
            if width == 1280 {
                assert_eq!(browser.evaluate(TALL_ROWS), json!([]), "rows of more than one line");
                assert_eq!(browser.evaluate(WIDE_TABLES), json!([]), "tables wider than the page");
            } else if width <= 768 {
                assert_eq!(browser.evaluate(CUT), json!([]), "cut at {width} px");
            }
            colours.push(browser.evaluate("getComputedStyle(document.body).color").to_string());
            let scheme = if dark { "dark" } else { "light" };
            fs::write(pictures.join(format!("status-{name}-{scheme}.png")), browser.picture()).unwrap();
        }
    }
    assert_ne!(colours[0], colours[1], "dark is another colour");
    browser.screen(1280, 900, false);
    browser.open(&still, "#checkpoint");
    let paper = browser.call("Page.printToPDF", &json!({"paperWidth": 8.27, "paperHeight": 11.69}));
    fs::write(pictures.join("status.pdf"), STANDARD.decode(paper["data"].as_str().unwrap()).unwrap())
        .unwrap();
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);

    assert!(!exporter.process.log().contains(KEY));
}

/// What axe-core finds wrong with the page for people who do not see it, or do not use a pointer.
/// `.ci/accessibility` fetches it and names it in `ETCHA_TEST_AXE`.
fn found_by(axe: &str, browser: &mut Chromium) -> Value {
    browser.evaluate(axe);
    // What it cannot judge is listed as well, but for text that a narrow column ends with an ellipsis.
    let run = "axe.run().then(found => [...found.violations, ...found.incomplete].flatMap(it => it.nodes
        .filter(node => !node.any.some(why => why.data?.messageKey == 'elmPartiallyObscuring'))
        .map(node => `${it.id}: ${node.html.slice(0, 200)} ${node.any.map(why => why.message)}`)))";
    let run = json!({"expression": run, "returnByValue": true, "awaitPromise": true});
    let result = browser.call("Runtime.evaluate", &run);
    assert!(result.get("exceptionDetails").is_none(), "{result}");
    result["result"]["value"].clone()
}
