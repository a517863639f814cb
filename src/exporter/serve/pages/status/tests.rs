//! What the page says of a journal, and what it never says.

#![allow(clippy::unwrap_used)]

use journal_schema::decode;

use super::*;
use crate::exposition;
use crate::metrics::{Limits, Metrics};

/// What is published after these events, given without envelope, each a minute after the one before from midnight on.
fn counted(events: &[String]) -> Snapshot {
    let mut metrics = Metrics::new(Limits::default());
    for (at, event) in events.iter().enumerate() {
        let time = format!("2026-01-01T00:{at:02}:00.000Z");
        let line = format!(r#"{{"v":1,"writer":"w","seq":{},"time":"{time}",{event}}}"#, at + 1);
        metrics.apply(&decode(line.as_bytes()).unwrap_or_else(|rejected| panic!("{line}: {rejected}")));
    }
    Snapshot {
        caught_up: true,
        tables: metrics.tables().clone(),
        open_shells: Arc::new(metrics.open_shells()),
        recent: metrics.recent(),
        ..Snapshot::default()
    }
}

fn shown(snapshot: &Snapshot) -> String {
    page(snapshot, &[], View::default(), "web-1", "2026-01-01T01:00:00Z".parse().unwrap())
}

/// The rows of the table under this heading, as text: cells apart, tags and titles gone.
fn rows(page: &str, heading: &str) -> Vec<String> {
    let from =
        page.find(&format!("<h2 id=\"{heading}\"")).or_else(|| page.find(&format!("<h3 id=\"{heading}\"")));
    let section = &page[from.unwrap_or_else(|| panic!("{heading} in {page}"))..];
    let body = section.split_once("<tbody role=\"rowgroup\">\n").unwrap().1.split_once("</tbody>").unwrap().0;
    let text = |row: &str| {
        let mut text = String::new();
        for part in row.replace("</th>", " | ").replace("</td>", " | ").split('<') {
            text.push_str(part.split_once('>').map_or(part, |(_, text)| text));
        }
        text.trim_end_matches(" | ").to_owned()
    };
    body.lines().map(text).collect()
}

#[test]
fn what_is_wrong_names_failing_sources_their_commands_and_since_when() {
    let run = |error: bool| format!(r#""event":"source","name":"web","trigger":"pull","error":{error}"#);
    let command = |id: &str| {
        format!(r#""event":"command","id":"{id}","mode":"change","error":true,"source":"web"#) + "\""
    };
    let events = [run(false), command("config"), run(true), command("config"), command("restart"), run(true)];
    let page = shown(&counted(&events));
    assert_eq!(rows(&page, "failing"), ["web | failed | 58 min ago | config (change), restart (change)"]);
    assert!(page.contains("<title>web-1: 1 problem - etcha-exporter</title>"), "{page}");
    assert!(page.contains("<h1>Status of web-1</h1>"), "{page}");
    assert_eq!(
        rows(&page, "events")[..2],
        [
            "Command failed: restart (change) | web | none | none | 56 min ago",
            "Command failed: config (change), 2 times | web | none | none | 57 min ago"
        ]
    );
    let page = shown(&counted(&[run(true), run(false)]));
    assert!(!page.contains("id=\"failing\"") && page.contains("Nothing: the journal is read"), "{page}");
    assert!(page.contains("<title>web-1: nothing wrong - "), "{page}");
}

#[test]
fn who_did_what_lately_is_listed_with_key_address_time_and_outcome() {
    let by = r#""public_key":"on-call","remote_addr":"192.0.2.17""#;
    let shell = |session: &str, state: &str, more: &str| {
        format!(r#""event":"shell","name":"db","session":"{session}","state":"{state}",{by}{more}"#)
    };
    let push = |error: bool| {
        format!(
            r#""event":"source","name":"web","trigger":"push","error":{error},{by},"changed":2,"removed":1"#
        )
    };
    let events = [
        shell("1", "opened", ""),
        shell("1", "closed", r#","reason":"exit""#),
        shell("2", "opened", ""),
        push(false),
        push(true),
        r#""event":"refused","action":"push","reason":"not_meant","remote_addr":"::1","count":3"#.to_owned(),
    ];
    let snapshot = counted(&events);
    let page = shown(&snapshot);
    assert_eq!(rows(&page, "shells"), ["db | on-call | 192.0.2.17 | 58 min ago | 58 min 0 s"]);
    assert_eq!(
        rows(&page, "shells-day"),
        [
            "db | on-call | 192.0.2.17 | 58 min ago | 58 min 0 s | still open",
            "db | on-call | 192.0.2.17 | 60 min ago | 60 s | exit",
        ]
    );
    assert_eq!(
        rows(&page, "pushes-day"),
        [
            "none | none | ::1 | 55 min ago | refused: not meant, 3 times",
            "web | on-call | 192.0.2.17 | 56 min ago | failed",
            "web | on-call | 192.0.2.17 | 57 min ago | succeeded, 2 changed, 1 removed",
        ]
    );
    // Two days later only what is still open is listed.
    let later = "2026-01-03T00:00:00Z".parse().unwrap();
    let later = super::page(&snapshot, &[], View::default(), "web-1", later);
    assert!(later.contains("Shells open now: 1") && later.contains("Shells of the last day: 0"), "{later}");
    assert!(later.contains("Pushes of the last day: 0"), "{later}");
}

#[test]
fn after_an_upgrade_the_lists_say_since_when_they_are_kept() {
    let since = "2026-01-01T00:30:00Z".parse::<Timestamp>().unwrap().as_millisecond();
    let recent = Arc::new(crate::metrics::Recent::since(since));
    let page = shown(&Snapshot { recent, ..counted(&[]) });
    let kept =
        "title=\"2026-01-01 00:30:00 UTC\">30 min ago</time>: the exporter before an upgrade kept none";
    assert_eq!(page.matches(kept).count(), 3, "{page}");
}

#[test]
fn the_view_in_the_address_stops_the_refresh_and_shows_exact_times() {
    let snapshot = counted(&[r#""event":"engine","state":"started""#.to_owned()]);
    let now = "2026-01-01T01:00:00Z".parse().unwrap();
    let shown = |query: &str| page(&snapshot, &[], View::parse(query), "web-1", now);
    let usual = shown("other=1&x");
    assert!(usual.contains("<a href=\"?refresh=off\">Stop refreshing</a>"), "{usual}");
    assert!(usual.contains("title=\"2026-01-01 00:00:00 UTC\">60 min ago</time>"), "{usual}");
    let still = shown("times=exact&refresh=off");
    assert!(still.contains("<a href=\"?times=exact\">Refresh every 30 s</a>"), "{still}");
    assert!(still.contains("<a href=\"?refresh=off\">Show how long ago</a>"), "{still}");
    assert!(still.contains("title=\"60 min ago\">2026-01-01 00:00:00 UTC</time>"), "{still}");
}

#[test]
fn what_a_journal_says_is_text_and_never_markup() {
    let evil = r#"<script>alert(1)</script>\u0000&\"'\u202e"#;
    let events = [
        format!(r#""event":"command","id":"{evil}","mode":"change","error":true,"source":"{evil}""#),
        format!(r#""event":"source","name":"{evil}","trigger":"push","error":true,"public_key":"{evil}""#),
        format!(r#""event":"shell","name":"{evil}","session":"1","state":"opened","public_key":"{evil}""#),
        format!(r#""event":"shell","name":"{evil}","session":"1","state":"closed","reason":"{evil}""#),
        format!(r#""event":"engine","state":"stopped","version":"{evil}""#),
        format!(r#""event":"engine","state":"started","version":"{evil}""#),
        format!(r#""event":"shell","name":"{evil}","session":"2","state":"opened","remote_addr":"::1""#),
    ];
    let page = shown(&counted(&events));
    assert!(!page.contains("<script") && !page.contains(['\0', '\u{202e}']), "{page}");
    let shown = "&lt;script&gt;alert(1)&lt;/script&gt;\\u{0}&amp;&quot;&#39;\\u{202e}</bdi>";
    // Failing, open, of the day, pushed, events, Sources.
    assert!(page.matches(shown).count() > 10, "{page}");
    assert!(page.contains("Shells open now: 1"), "{page}");
    assert!(page.contains("class=\"bad\">failed"), "{page}");
}

#[test]
fn the_page_says_of_the_agent_what_its_metric_says() {
    let started = r#""event":"engine","state":"started","version":"1""#.to_owned();
    // A killed agent leaves a started one in the journal, and its metric is 0.
    for (agent_up, value, said, wrong) in [
        (Some(true), Some("\netcha_engine_up 1\n"), "Agent: <span class=\"good\">running</span>", false),
        (Some(false), Some("\netcha_engine_up 0\n"), "Agent: <span class=\"bad\">stopped</span>", true),
        (None, None, ">not known: the journal has no line about its start</span>", false),
    ] {
        let snapshot = Snapshot { agent_up, ..counted(std::slice::from_ref(&started)) };
        let (page, mut text) = (shown(&snapshot), Vec::new());
        exposition::render(&snapshot, &[], exposition::Format::Text, &mut text);
        let text = String::from_utf8(text).unwrap();
        assert!(page.contains(said), "{page}");
        assert_eq!(page.contains("</span>. It wrote no last line"), wrong, "{page}");
        assert_eq!(page.contains("<title>web-1: 1 problem - "), wrong, "{page}");
        assert_eq!(text.contains("\netcha_engine_up "), value.is_some(), "{text}");
        assert!(value.is_none_or(|value| text.contains(value)), "{text}");
    }
}

#[test]
fn what_hangs_or_cannot_be_read_is_wrong() {
    let heartbeat = [r#""event":"heartbeat""#.to_owned()];
    let mut snapshot = Snapshot { agent_up: Some(true), ..counted(&heartbeat) };
    snapshot.looked = "2026-01-01T00:58:00Z".parse::<Timestamp>().unwrap().as_millisecond();
    snapshot.journal.trouble = Some("<denied>".to_owned());
    snapshot.journal.unreadable = 2;
    snapshot.checkpoint.failures = 3;
    let page = shown(&snapshot);
    for said in [
        "The agent is silent: its last heartbeat was",
        "The journal cannot be read: &lt;denied&gt;.",
        "2 files of the journal cannot be read",
        "The exporter hangs: it last looked at the journal",
        "Writing a checkpoint failed 3 times",
        "<title>web-1: 5 problems - ",
    ] {
        assert!(page.contains(said), "{said} in {page}");
    }
}

#[test]
fn before_the_journal_is_caught_up_with_the_page_says_nothing_of_the_agent() {
    let page = shown(&Snapshot::default());
    assert!(page.contains("the state of the agent is not known yet"), "{page}");
    for absent in
        ["running", "stopped", "shells", "id=\"sources\"", "id=\"history\"", "id=\"events\"", "Nothing"]
    {
        assert!(!page.contains(absent), "{absent} in {page}");
    }
}
