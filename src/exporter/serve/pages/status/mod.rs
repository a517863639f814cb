//! The status page: what the agent on this host does, for a person with a browser. It answers what is wrong now, who did
//! what lately, and whether the pipeline is healthy. Shows a published state; loads nothing, runs nothing; everything
//! that came from a journal is escaped.
//!
//! # Layout
//!
//! * `now`: what is wrong. `activity`: shells, pushes, events worth a look. `sources`, `pipeline`: what their names say.
//! * `table`: rows and cards; `style`: the style sheet.
//! * this file: the request, what its address asks for, and the frame of the page.

mod activity;
mod now;
mod pipeline;
mod sources;
mod style;
mod table;

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use rustix::system::uname;
use warp::http::header::{CONTENT_LENGTH, REFRESH};
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode};
use warp::hyper::body::Bytes;
use warp::reply::Response;

use self::style::STYLE;
use super::history::Sample;
use super::plot::{per_minute, plot, whole};
use super::values::{Clock, Whole};
use super::{html, plain, policy};
use crate::publish::Snapshot;
use crate::serve::access::{Audience, admit};
use crate::serve::site::Site;
use https::Peer;

/// Rows of a table; what is beyond is counted.
const MAX_ROWS: usize = 200;

/// How often a browser asks for the page again, in seconds. Told by a header, which only a browser on the page itself
/// follows, and which the page's first link stops.
const REFRESH_SECONDS: HeaderValue = HeaderValue::from_static("30");

/// What the address of the page asks for, behind the `?`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct View {
    /// The page stays as it is.
    still: bool,
    /// Times are shown exactly.
    exact: bool,
}

impl View {
    /// What is not known is passed over: other pages may add to the address what they like.
    fn parse(query: &str) -> View {
        let has = |wanted| query.split('&').any(|part| part == wanted);
        View { still: has("refresh=off"), exact: has("times=exact") }
    }

    /// The address of the page in this view.
    fn link(self) -> &'static str {
        match (self.still, self.exact) {
            (false, false) => "?",
            (true, false) => "?refresh=off",
            (false, true) => "?times=exact",
            (true, true) => "?refresh=off&amp;times=exact",
        }
    }
}

/// What the page shows: a published state, as seen now.
struct State<'a> {
    snapshot: &'a Snapshot,
    clock: Clock,
}

/// Answers a request to see the page.
pub(in crate::serve) async fn show(
    site: Arc<Site>,
    method: Method,
    headers: HeaderMap,
    query: String,
    client: Option<Peer>,
) -> Response {
    // No key in the address: it would stay in histories and bookmarks.
    if let Err(refused) = admit(&site, Audience::Browser, "", &headers, client.as_ref()).await {
        return refused;
    }
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| policy(STYLE));
    let (latest, samples, view) = (site.published.latest(), site.history.samples(), View::parse(&query));
    // Many series take a while: not where connections are served.
    let made = tokio::task::spawn_blocking(move || {
        page(&latest, &samples, view, &uname().nodename().to_string_lossy(), Timestamp::now())
    });
    let Ok(page) = made.await.inspect_err(|error| tracing::error!(%error, "the status page stopped early"))
    else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made\n");
    };
    let length = page.len();
    let body = if method == Method::HEAD { Bytes::new() } else { page.into() };
    let mut response = html(body, &POLICY);
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    if !view.still {
        response.headers_mut().insert(REFRESH, REFRESH_SECONDS);
    }
    response
}

/// The page of the host with this name.
fn page(snapshot: &Snapshot, samples: &[Sample], view: View, host: &str, now: Timestamp) -> String {
    let state = State { snapshot, clock: Clock { now, exact: view.exact } };
    let rows =
        if snapshot.caught_up { sources::rows(&snapshot.tables, &snapshot.recent) } else { Vec::new() };
    let problems = now::problems(&state);
    let mut out = head(host, &verdict(snapshot.caught_up, problems.len() + sources::failing(&rows)));
    navigation(&state, view, host, &mut out);
    now::show(&state, &problems, &rows, &mut out);
    if snapshot.caught_up {
        // Before that nothing is known of them, which is not the same as that there are none.
        activity::open_shells(&state, &mut out);
        activity::shells(&state, &mut out);
        activity::pushes(&state, &mut out);
        activity::events(&state, &mut out);
        sources::show(&rows, &state, &mut out);
        history(snapshot, samples, now, &mut out);
    }
    out.push_str("<h2 id=\"pipeline\">Is the pipeline healthy?</h2>\n");
    pipeline::journal(snapshot, state.clock, &mut out);
    pipeline::checkpoint(snapshot, state.clock, &mut out);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

/// The page in two words, for its title.
fn verdict(caught_up: bool, wrong: usize) -> String {
    match wrong {
        0 if caught_up => "nothing wrong".to_owned(),
        0 => "still reading the journal".to_owned(),
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    }
}

fn head(host: &str, verdict: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}: {verdict} - etcha-exporter</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        Whole(host)
    )
}

/// Heading, what can be done with the page, and the way to its sections.
fn navigation(state: &State<'_>, view: View, host: &str, out: &mut String) {
    let still = View { still: !view.still, ..view }.link();
    let refresh = if view.still {
        format!("This page does not refresh. <a href=\"{still}\">Refresh every 30 s</a>")
    } else {
        format!("Refreshes every 30 s. <a href=\"{still}\">Stop refreshing</a>")
    };
    let exact = View { exact: !view.exact, ..view }.link();
    let times = if view.exact { "Show how long ago" } else { "Show exact times" };
    // Writing to memory cannot fail.
    let _ = writeln!(
        out,
        "<header>\n<h1>Status of {}</h1>\n<p>As of {}.</p>\n<nav aria-label=\"This page\"><span>{refresh}</span> \
         <a href=\"{exact}\">{times}</a></nav>",
        Whole(host),
        Clock { exact: true, ..state.clock }.at(state.clock.now.as_millisecond()),
    );
    if state.snapshot.caught_up {
        out.push_str("<nav aria-label=\"Sections\">");
        for (id, title) in [
            ("now", "Wrong now"),
            ("shells", "Open shells"),
            ("shells-day", "Shells"),
            ("pushes-day", "Pushes"),
            ("events", "Events"),
            ("sources", "Sources"),
            ("history", "Last hour"),
            ("pipeline", "Pipeline"),
        ] {
            let _ = write!(out, "<a href=\"#{id}\">{title}</a>");
        }
        out.push_str("</nav>\n");
    }
    out.push_str("</header>\n<main>\n");
}

fn history(snapshot: &Snapshot, samples: &[Sample], now: Timestamp, out: &mut String) {
    out.push_str("<h2 id=\"history\">The last hour</h2>\n<div class=\"plots\">\n");
    let rate = |of: fn(&Sample) -> u64| per_minute(samples.iter().map(of));
    plot("Scripts of Commands a minute", &rate(|sample| sample.commands), now, out);
    plot("Runs of Sources a minute", &rate(|sample| sample.runs), now, out);
    plot("Failed runs a minute", &rate(|sample| sample.failed), now, out);
    let open = samples.iter().map(|sample| sample.shells).chain([snapshot.open_shells.count as u64]);
    plot("Shells open", &open.map(whole).collect::<Vec<_>>(), now, out);
    out.push_str("</div>\n");
}

#[cfg(test)]
mod tests;
