//! The status page: what the agent on this host does, for a person with a browser. Shows a published state; loads
//! nothing, runs nothing; everything that came from a journal is escaped.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use journal_schema::Reason;
use warp::http::header::CONTENT_LENGTH;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode};
use warp::hyper::body::Bytes;
use warp::reply::Response;

use super::drawing::{Moment, Shown, per_minute, plot, whole};
use super::history::Sample;
use super::{html, plain, policy};
use crate::checkpoint::Origin;
use crate::metrics::{Table, Tables};
use crate::publish::Snapshot;
use crate::serve::access::{Audience, admit};
use crate::serve::site::Site;
use https::Peer;

/// Rows of a table; what is beyond is counted.
const MAX_ROWS: usize = 200;

/// How often a browser asks for the page again, in seconds.
const REFRESH_SECONDS: u32 = 30;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8886;--accent:#0b6bcb;--bad:#b3261e;--good:#1b6e3c;--soft:#8881}\
@media(prefers-color-scheme:dark){:root{--accent:#7cc0ff;--bad:#ff8a80;--good:#7ddc9c}}\
*{box-sizing:border-box}\
body{font:1rem/1.5 system-ui,sans-serif;margin:0 auto;padding:1rem 1.25rem 3rem;max-width:72rem}\
header{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:baseline;justify-content:space-between}\
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}\
p{margin:.25rem 0 .75rem}\
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:.5rem}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{text-align:left;vertical-align:top;padding:.4rem .75rem;border-bottom:1px solid var(--line)}\
tr:last-child>*{border-bottom:0}thead th{background:var(--soft);white-space:nowrap}\
th[scope=row]{font-weight:600}th[scope=row],.name{overflow-wrap:anywhere;min-width:8rem}\
time{white-space:nowrap}.ago{opacity:.75;white-space:nowrap}\
.bad{color:var(--bad);font-weight:600}.good{color:var(--good);font-weight:600}.none{opacity:.75}\
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));gap:1rem}\
figure{margin:0;padding:.75rem;border:1px solid var(--line);border-radius:.5rem}\
figcaption{font-size:.9rem;margin-bottom:.25rem}\
svg{display:block;width:100%;height:4rem}\
polyline{fill:none;stroke:var(--accent);stroke-width:1.5;vector-effect:non-scaling-stroke}\
svg line{stroke:var(--line);stroke-width:1;vector-effect:non-scaling-stroke}\
@media(max-width:40rem){thead{position:absolute;left:-100vw}\
.wide tr{display:block;padding:.5rem 0;border-bottom:1px solid var(--line)}.wide tr:last-child{border:0}\
.wide th,.wide td{display:block;border:0;padding:.1rem .75rem}\
.wide td::before{content:attr(data-label) \": \";opacity:.75}}";

/// Answers a request to see the page.
pub(in crate::serve) async fn show(
    site: Arc<Site>,
    method: Method,
    headers: HeaderMap,
    client: Option<Peer>,
) -> Response {
    // The query is not looked at: a key in a link ends up in histories and bookmarks.
    if let Err(refused) = admit(&site, Audience::Browser, "", &headers, client.as_ref()).await {
        return refused;
    }
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| policy(STYLE));
    let (latest, samples) = (site.published.latest(), site.history.samples());
    // Many series take a while: not where connections are served.
    match tokio::task::spawn_blocking(move || page(&latest, &samples, Timestamp::now())).await {
        Ok(page) if method == Method::HEAD => {
            let mut response = html(Bytes::new(), &POLICY);
            response.headers_mut().insert(CONTENT_LENGTH, page.len().into());
            response
        }
        Ok(page) => html(page.into(), &POLICY),
        Err(error) => {
            tracing::error!(%error, "the status page stopped early");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made\n")
        }
    }
}

/// The page.
fn page(snapshot: &Snapshot, samples: &[Sample], now: Timestamp) -> String {
    let mut out = head("etcha-exporter: status", Some(REFRESH_SECONDS));
    let at = Moment { at: now.as_millisecond(), now };
    let _ = writeln!(out, "<header><h1>Status of this host's agent</h1>\n<p>As of {at}</p>");
    out.push_str("</header>\n<main>\n");
    agent(snapshot, now, &mut out);
    if snapshot.caught_up {
        // Before that nothing is known of them, which is not the same as that there are none.
        shells(snapshot, now, &mut out);
        sources(&snapshot.tables, now, &mut out);
        history(snapshot, samples, &mut out);
    }
    journal(snapshot, now, &mut out);
    checkpoint(snapshot, now, &mut out);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn head(title: &str, refresh: Option<u32>) -> String {
    let refresh = refresh.map(|seconds| format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">\n"));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n{}\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        refresh.unwrap_or_default()
    )
}

/// Says of the agent what `etcha_engine_up` says, and so nothing before the journal has been caught up with.
fn agent(snapshot: &Snapshot, now: Timestamp, out: &mut String) {
    if !snapshot.caught_up {
        out.push_str(
            "<p class=\"bad\">Still reading the journal: the state of the agent is not known yet.</p>\n",
        );
        return;
    }
    let engine = &snapshot.tables.engine;
    let at = |at| Moment { at, now };
    let state = match snapshot.agent_up {
        Some(true) => "<span class=\"good\">running</span>, started",
        Some(false) if engine.started == Some(true) => {
            "<span class=\"bad\">stopped</span> without a last line, had started"
        }
        Some(false) => "<span class=\"bad\">stopped</span>, had started",
        None => "<span class=\"none\">not known: the journal does not say</span>",
    };
    let _ = write!(out, "<p>Agent");
    if !engine.version.is_empty() {
        let _ = write!(out, " <bdi>{}</bdi>", Shown(&engine.version));
    }
    let _ = write!(out, " {state}");
    if snapshot.agent_up.is_some() {
        let _ = write!(out, " {}", at(engine.start));
    }
    let _ = writeln!(out, ". Latest event {}.</p>", at(snapshot.tally.last_event));
}

fn shells(snapshot: &Snapshot, now: Timestamp, out: &mut String) {
    let open = &snapshot.open_shells;
    let _ = writeln!(out, "<h2 id=\"shells\">Shells open now: {}</h2>", open.count);
    if open.count == 0 {
        out.push_str("<p class=\"none\">None.</p>\n");
        return;
    }
    table_head(out, &["Source", "Key", "Address", "Open since"]);
    for &(series, opened) in &open.latest {
        let value = |name| snapshot.tables.sources_shells.label(series, name);
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\"><bdi>{}</bdi></th><td data-label=\"Key\" class=\"name\"><bdi>{}</bdi></td>\
             <td data-label=\"Address\"><bdi>{}</bdi></td><td data-label=\"Open since\">{}</td></tr>",
            Shown(&value("name")),
            Shown(&value("public_key")),
            Shown(&value("remote_addr")),
            Moment { at: opened, now },
        );
    }
    table_end(out, open.count - open.latest.len());
}

/// What is known of one Source. Times are milliseconds since 1970, 0 for never.
#[derive(Default)]
struct Row {
    run: i64,
    success: i64,
    change: i64,
    runs: u64,
    failed: u64,
}

fn rows(tables: &Tables) -> Vec<(String, Row)> {
    let mut rows = BTreeMap::<String, Row>::new();
    let times = |table: &Table<i64>, rows: &mut BTreeMap<String, Row>, set: fn(&mut Row) -> &mut i64| {
        for series in (0..).take(table.len()) {
            *set(rows.entry(table.label(series, "name").into_owned()).or_default()) = *table.value(series);
        }
    };
    times(&tables.source_last_run, &mut rows, |row| &mut row.run);
    times(&tables.source_last_success, &mut rows, |row| &mut row.success);
    times(&tables.source_last_change, &mut rows, |row| &mut row.change);
    let sources = &tables.sources;
    for series in (0..).take(sources.len()) {
        let row = rows.entry(sources.label(series, "name").into_owned()).or_default();
        row.runs += sources.value(series);
        if sources.label(series, "error") == "1" {
            row.failed += sources.value(series);
        }
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    // Those whose last run failed first, then the latest.
    rows.sort_by_key(|(_, row)| (row.success >= row.run, -row.run));
    rows
}

fn sources(tables: &Tables, now: Timestamp, out: &mut String) {
    let rows = rows(tables);
    let _ = writeln!(out, "<h2 id=\"sources\">Sources: {}</h2>", rows.len());
    if rows.is_empty() {
        out.push_str("<p class=\"none\">None has run yet.</p>\n");
        return;
    }
    table_head(out, &["Source", "Last run", "Last success", "Last change", "Runs", "Failed"]);
    for (name, row) in rows.iter().take(MAX_ROWS) {
        let at = |at| Moment { at, now };
        let verdict = if row.success >= row.run { ("good", "succeeded") } else { ("bad", "failed") };
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\"><bdi>{}</bdi></th>\
             <td data-label=\"Last run\"><span class=\"{}\">{}</span> {}</td>\
             <td data-label=\"Last success\">{}</td><td data-label=\"Last change\">{}</td>\
             <td data-label=\"Runs\">{}</td><td data-label=\"Failed\">{}</td></tr>",
            Shown(name),
            verdict.0,
            verdict.1,
            at(row.run),
            at(row.success),
            at(row.change),
            row.runs,
            row.failed,
        );
    }
    table_end(out, rows.len().saturating_sub(MAX_ROWS));
}

fn history(snapshot: &Snapshot, samples: &[Sample], out: &mut String) {
    out.push_str("<h2 id=\"history\">The last hour</h2>\n<div class=\"plots\">\n");
    let rate = |of: fn(&Sample) -> u64| per_minute(samples.iter().map(of));
    plot("Scripts of Commands a minute", &rate(|sample| sample.commands), out);
    plot("Runs of Sources a minute", &rate(|sample| sample.runs), out);
    plot("Failed runs a minute", &rate(|sample| sample.failed), out);
    let open = samples.iter().map(|sample| sample.shells).chain([snapshot.open_shells.count as u64]);
    plot("Shells open", &open.map(whole).collect::<Vec<_>>(), out);
    out.push_str("</div>\n");
}

fn journal(snapshot: &Snapshot, now: Timestamp, out: &mut String) {
    let (journal, tally) = (&snapshot.journal, &snapshot.tally);
    let state = match &journal.trouble {
        None => "<span class=\"good\">readable</span>".to_owned(),
        Some(trouble) => format!("<span class=\"bad\">cannot be read</span>: {}", Shown(trouble)),
    };
    let watched = if snapshot.watching { "told by the file system" } else { "found by polling" };
    let counted = format!("{} lines, {} bytes", tally.events.iter().sum::<u64>(), tally.bytes);
    let mut unusable = Reason::ALL
        .iter()
        .filter(|reason| tally.rejected[**reason as usize] > 0)
        .map(|reason| format!("{} {}", tally.rejected[*reason as usize], reason.as_str()))
        .collect::<Vec<_>>();
    if tally.duplicates > 0 {
        unusable.push(format!("{} seen before", tally.duplicates));
    }
    if journal.missing > 0 {
        unusable.push(format!("{} missing by their numbers", journal.missing));
    }
    let unusable = if unusable.is_empty() { "none".to_owned() } else { unusable.join(", ") };
    let mut files = format!("{}, {} rotations seen", journal.files, tally.rotations);
    if journal.unreadable > 0 {
        let _ = write!(files, ", <span class=\"bad\">{} cannot be read</span>", journal.unreadable);
    }
    facts(
        "journal",
        "Journal",
        out,
        &[
            ("State", state),
            ("Read", counted),
            ("Not read yet", format!("{} bytes", journal.behind)),
            ("Lines that did not count", unusable),
            ("Latest event", Moment { at: tally.last_event, now }.to_string()),
            ("Files", files),
            ("Changes are", watched.to_owned()),
        ],
    );
}

fn checkpoint(snapshot: &Snapshot, now: Timestamp, out: &mut String) {
    let written = &snapshot.checkpoint;
    #[expect(clippy::cast_possible_truncation, reason = "times of this era fit")]
    let at = (written.at * 1000.0) as i64;
    let began = match snapshot.restored {
        Some(Origin::Current) => "the latest one",
        Some(Origin::Previous) => "the one before the latest",
        None => "nothing, the whole journal was read",
    };
    let failures = if written.failures == 0 {
        "<span class=\"good\">none</span>".to_owned()
    } else {
        format!("<span class=\"bad\">{}</span>", written.failures)
    };
    facts(
        "checkpoint",
        "Checkpoint",
        out,
        &[
            ("Written", Moment { at, now }.to_string()),
            ("Size", format!("{} bytes, written in {:.3} s", written.bytes, written.seconds)),
            ("Failures", failures),
            ("This process began with", began.to_owned()),
        ],
    );
}

fn facts(id: &str, title: &str, out: &mut String, facts: &[(&str, String)]) {
    let _ = writeln!(out, "<h2 id=\"{id}\">{title}</h2>\n<div class=\"scroll\"><table>\n<tbody>");
    for (name, value) in facts {
        let _ = writeln!(out, "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>");
    }
    out.push_str("</tbody>\n</table></div>\n");
}

fn table_head(out: &mut String, names: &[&str]) {
    out.push_str("<div class=\"scroll\"><table class=\"wide\">\n<thead><tr>");
    for name in names {
        let _ = write!(out, "<th scope=\"col\">{name}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
}

fn table_end(out: &mut String, more: usize) {
    out.push_str("</tbody>\n</table></div>\n");
    if more > 0 {
        let _ = writeln!(out, "<p class=\"none\">And {more} more.</p>");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use journal_schema::decode;

    use super::*;
    use crate::exposition;
    use crate::metrics::{Limits, Metrics};

    #[test]
    fn what_a_journal_says_is_text_and_never_markup() {
        let evil = r#"<script>alert(1)</script>\u0000&\"'\u202e"#;
        let mut metrics = Metrics::new(Limits::default());
        for (seq, event) in [
            format!(r#""event":"source","name":"{evil}","trigger":"pull","error":true"#),
            format!(
                r#""event":"shell","name":"{evil}","session":"1","state":"opened","public_key":"{evil}""#
            ),
            format!(r#""event":"engine","state":"stopped","version":"{evil}""#),
            format!(r#""event":"shell","name":"{evil}","session":"2","state":"opened","remote_addr":"::1""#),
        ]
        .iter()
        .enumerate()
        {
            let line = format!(
                r#"{{"v":1,"writer":"w","seq":{},"time":"2026-01-01T00:00:0{seq}.000Z",{event}}}"#,
                seq + 1
            );
            metrics.apply(&decode(line.as_bytes()).unwrap());
        }
        let snapshot = Snapshot {
            caught_up: true,
            tables: metrics.tables().clone(),
            open_shells: std::sync::Arc::new(metrics.open_shells()),
            ..Snapshot::default()
        };
        let now = "2026-01-01T00:10:00Z".parse().unwrap();
        let page = super::page(&snapshot, &[], now);
        assert!(!page.contains("<script") && !page.contains('\0'), "{page}");
        assert!(
            page.contains("&lt;script&gt;alert(1)&lt;/script&gt;\\0&amp;&quot;&#39;\u{202e}</bdi>"),
            "{page}"
        );
        assert!(page.contains("Shells open now: 1"), "{page}");
        assert!(page.contains("2026-01-01 00:00:03 UTC</time> <span class=\"ago\">(9 min ago)"), "{page}");
        assert!(page.contains("class=\"bad\">failed"), "{page}");
    }

    #[test]
    fn the_page_says_of_the_agent_what_its_metric_says() {
        let mut metrics = Metrics::new(Limits::default());
        let line = r#"{"v":1,"writer":"w","seq":1,"time":"2026-01-01T00:00:00.000Z","event":"engine","state":"started","version":"1"}"#;
        metrics.apply(&decode(line.as_bytes()).unwrap());
        let now = "2026-01-01T00:10:00Z".parse().unwrap();
        // A killed agent leaves a started one in the journal, and its metric is 0.
        for (agent_up, value, said) in [
            (Some(true), Some("\netcha_engine_up 1\n"), ">running</span>, started"),
            (Some(false), Some("\netcha_engine_up 0\n"), ">stopped</span> without a last line, had started"),
            (None, None, ">not known: the journal does not say</span>"),
        ] {
            let snapshot = Snapshot {
                caught_up: true,
                tables: metrics.tables().clone(),
                agent_up,
                ..Snapshot::default()
            };
            let (page, mut text) = (super::page(&snapshot, &[], now), Vec::new());
            exposition::render(&snapshot, &[], exposition::Format::Text, &mut text);
            let text = String::from_utf8(text).unwrap();
            assert!(page.contains(said), "{page}");
            assert_eq!(text.contains("\netcha_engine_up "), value.is_some(), "{text}");
            assert!(value.is_none_or(|value| text.contains(value)), "{text}");
        }
    }

    #[test]
    fn before_the_journal_is_caught_up_with_the_page_says_nothing_of_the_agent() {
        let page = super::page(&Snapshot::default(), &[], "2026-01-01T00:10:00Z".parse().unwrap());
        assert!(page.contains("the state of the agent is not known yet"), "{page}");
        for absent in ["running", "stopped", "id=\"shells\"", "id=\"sources\"", "id=\"history\""] {
            assert!(!page.contains(absent), "{absent} in {page}");
        }
    }
}
