//! Logs on standard error: aligned lines for people, logfmt or JSON for machines. Decides how an event becomes a
//! line; what is logged, and that no secret is among it, is decided where it is logged.
//!
//! One event is one line, whatever is in it: text from outside cannot end a line and forge the next one, nor move a
//! terminal's cursor. Spans are not shown; events carry what they need as fields.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::OnceLock;

use clap::ValueEnum;
use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Filter, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer as _, Registry, reload};

/// Whose events are logged at the chosen level: ours.
const OURS: [&str; 3] = ["exporter", "https", "journal_schema"];

/// Level of everybody else's events, at most: at finer levels a library may write down a request with the key in it.
const OTHERS: LevelFilter = LevelFilter::WARN;

/// The filter of the log that [`start`] set up.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: time, level, message, then fields
    Human,
    /// For machines and people: `key=value` pairs
    Logfmt,
    /// For machines: one object a line
    Json,
}

impl Format {
    /// What suits standard error: people sit before a terminal, machines behind everything else.
    pub(crate) fn suited(terminal: bool) -> Self {
        if terminal { Self::Human } else { Self::Logfmt }
    }
}

/// The least important events that are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// What needs someone to act
    Error,
    /// What may need someone to act
    Warn,
    /// What changes
    #[default]
    Info,
    /// Each step of note, refused scrapes among them
    Debug,
    /// Everything
    Trace,
}

impl Level {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

/// Changes the level of the log that [`start`] set up, at once and for the whole process.
pub(crate) fn set_level(level: Level) {
    if let Some(filter) = FILTER.get() {
        // Fails when the subscriber is gone, and then nobody logs.
        let _ = filter.reload(targets(level));
    }
}

/// Logs to standard error from now on, for the whole process. Later calls change nothing.
pub(crate) fn start(format: Format, level: Level) {
    let (filter, handle) = reload::Layer::new(targets(level));
    let subscriber = filtered(format, filter, terminal::colour::has_colour(&io::stderr()), io::stderr);
    // Fails when a subscriber is set already, and then that one goes on.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        let _ = FILTER.set(handle);
    }
}

/// The subscriber behind [`start`], with another place to write to.
#[cfg(test)]
pub(super) fn subscriber<W>(
    format: Format,
    level: Level,
    colour: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    filtered(format, targets(level), colour, writer)
}

/// What is heard at a level.
fn targets(level: Level) -> Targets {
    Targets::new()
        .with_targets(OURS.map(|target| (target, level.filter())))
        .with_default(level.filter().min(OTHERS))
}

fn filtered<W, F>(format: Format, filter: F, colour: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    F: Filter<Registry> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colour);
    let layer = match format {
        Format::Human => layer.event_format(Line::Human).boxed(),
        Format::Logfmt => layer.event_format(Line::Logfmt).boxed(),
        Format::Json => {
            layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    };
    Box::new(Registry::default().with(layer.with_filter(filter)))
}

/// The formats of our own making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Human,
    Logfmt,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let now = Timestamp::now();
        let level = *event.metadata().level();
        match self {
            Self::Human => {
                let (on, off) = if out.has_ansi_escapes() { (colour(level), "\x1b[0m") } else { ("", "") };
                write!(out, "{now:.3}  {on}{:<5}{off} ", level.as_str())?;
            }
            Self::Logfmt => {
                let target = event.metadata().target();
                write!(out, "time={now:.3} level={} target={target}", level.as_str().to_ascii_lowercase())?;
            }
        }
        let mut fields = Fields { line: *self, out: out.by_ref(), result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        writeln!(out)
    }
}

/// The escape sequence of the colour for a level.
fn colour(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::ERROR => "\x1b[1;31m",
        tracing::Level::WARN => "\x1b[33m",
        tracing::Level::INFO => "\x1b[32m",
        _ => "\x1b[2m",
    }
}

/// Writes the fields of one event.
struct Fields<'w> {
    line: Line,
    out: Writer<'w>,
    result: fmt::Result,
}

impl Fields<'_> {
    fn pair(&mut self, field: &Field, value: &str) -> fmt::Result {
        let name = field.name();
        match (name, self.line) {
            ("message", Line::Human) => {
                self.out.write_char(' ')?;
                escape(&mut self.out, value, false)
            }
            ("message", Line::Logfmt) => {
                self.out.write_str(" msg=")?;
                quote(&mut self.out, value)
            }
            _ => {
                write!(self.out, " {}=", name.trim_start_matches("r#"))?;
                quote(&mut self.out, value)
            }
        }
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if self.result.is_ok() {
            self.result = self.pair(field, value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record_str(field, &value.to_string());
    }
}

/// Writes a value, in quotes where it would not be one word without them.
fn quote(out: &mut Writer<'_>, value: &str) -> fmt::Result {
    let word = |c: char| !c.is_whitespace() && !matches!(c, '"' | '=' | '\\') && !dangerous(c);
    if !value.is_empty() && value.chars().all(word) {
        return out.write_str(value);
    }
    out.write_char('"')?;
    escape(out, value, true)?;
    out.write_char('"')
}

/// Writes text with its dangerous characters, and between quotes also quotes and backslashes, escaped.
fn escape(out: &mut Writer<'_>, text: &str, quoted: bool) -> fmt::Result {
    for c in text.chars() {
        match c {
            '"' | '\\' if quoted => write!(out, "\\{c}")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            c if dangerous(c) => write!(out, "\\u{{{:x}}}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    Ok(())
}

/// Whether a character could end the line, command the terminal, or show text in another order than it has.
fn dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Where tests log to.
#[cfg(test)]
#[derive(Clone, Default)]
pub(super) struct Page(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(test)]
impl Page {
    /// What has been logged.
    pub(super) fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// What `events` log in the given format; times are replaced by `T`.
    fn logged(format: Format, level: Level, colour: bool, events: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = subscriber(format, level, colour, move || writer.clone());
        tracing::subscriber::with_default(subscriber, events);
        let text = page.text();
        let year = format!("{}", Timestamp::now());
        let year = &year[..4];
        text.lines()
            .map(|line| match line.find(year) {
                Some(at) => {
                    let end = at + line[at..].find('Z').unwrap() + 1;
                    format!("{}T{}\n", &line[..at], &line[end..])
                }
                None => format!("{line}\n"),
            })
            .collect()
    }

    fn events() {
        tracing::info!(
            path = "/var/lib/etcha/journal.jsonl",
            lines = 3_u64,
            ratio = 0.5,
            new = true,
            "caught up"
        );
        tracing::warn!(error = %"no space left", text = ?"a\"b", "");
        tracing::debug!("not at this level");
    }

    #[test]
    fn people_read_aligned_lines() {
        assert_eq!(
            logged(Format::Human, Level::Info, false, events),
            "T  INFO   caught up path=/var/lib/etcha/journal.jsonl lines=3 ratio=0.5 new=true\n\
             T  WARN    error=\"no space left\" text=\"\\\"a\\\\\\\"b\\\"\"\n"
        );
        assert!(logged(Format::Human, Level::Info, true, events).contains("\x1b[32mINFO \x1b[0m  caught up"));
    }

    #[test]
    fn machines_read_pairs() {
        assert_eq!(
            logged(Format::Logfmt, Level::Info, true, events),
            "time=T level=info target=exporter::log::tests msg=\"caught up\" \
             path=/var/lib/etcha/journal.jsonl lines=3 ratio=0.5 new=true\n\
             time=T level=warn target=exporter::log::tests msg=\"\" error=\"no space left\" \
             text=\"\\\"a\\\\\\\"b\\\"\"\n"
        );
    }

    #[test]
    fn machines_read_objects() {
        let text = logged(Format::Json, Level::Info, false, events);
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["message"], "caught up");
        assert_eq!(first["level"], "INFO");
        assert_eq!(first["lines"], 3);
    }

    #[test]
    fn hostile_text_stays_on_its_line_and_in_its_field() {
        let hostile = "x\nlevel=error msg=forged\r\t\u{1b}[2J\u{9b}31m\u{7f}\u{2028}\u{202e}\" a=b \\";
        let events = || {
            tracing::info!(name = hostile, "{hostile}");
            tracing::info!("{}", io::Error::other(hostile));
        };
        for format in [Format::Human, Format::Logfmt, Format::Json] {
            let text = logged(format, Level::Info, false, events);
            assert_eq!(text.lines().count(), 2, "{format:?}: {text}");
            assert!(
                !text.chars().any(|c| c != '\n' && c.is_ascii_control() && c != '\u{7f}'),
                "{format:?}: {text:?}"
            );
        }
        for format in [Format::Human, Format::Logfmt] {
            let text = logged(format, Level::Info, false, events);
            assert!(!text.chars().any(|c| c != '\n' && dangerous(c)), "{format:?}: {text:?}");
        }
        let text = logged(Format::Logfmt, Level::Info, false, events);
        assert!(text.contains(
            r#"name="x\nlevel=error msg=forged\r\t\u{1b}[2J\u{9b}31m\u{7f}\u{2028}\u{202e}\" a=b \\""#
        ));
    }

    #[test]
    fn libraries_are_heard_from_warnings_up_at_every_level() {
        let text = logged(Format::Logfmt, Level::Trace, false, || {
            tracing::trace!("ours");
            tracing::debug!(target: "hyper::proto", "GET /?key=secret");
            tracing::warn!(target: "hyper::proto", "theirs");
        });
        assert!(text.contains("ours") && text.contains("theirs") && !text.contains("secret"), "{text}");
        let text = logged(Format::Logfmt, Level::Error, false, || tracing::warn!(target: "hyper", "theirs"));
        assert_eq!(text, "");
    }
}
