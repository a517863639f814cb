//! What the scenarios share: programs to start, text to parse, conditions to wait for. Knows no scenario.
//!
//! * [`program`]: finds a real program, or leaves the test out and says so.
//! * [`process`]: a started program whose log can be searched; ended with the test.
//! * [`exporter`]: the built exporter, started and scraped.
//! * [`http`]: as much of an HTTP client as a scrape needs, plain or over verified TLS.
//! * [`exposition`]: a strict parser of the text format.
//! * [`prometheus`]: the real Prometheus; [`stub`]: bodies for it to read; [`webhook`]: hears what Alertmanager
//!   sends; [`victoria`]: the real VictoriaMetrics; [`alerting`]: all that an alert goes through.
//! * [`shipped`]: files of `packaging`, put in place for a test; [`fleet`]: hosts that these scrape.
//! * [`line`]: the plainest line of a journal. [`appender`]: a writer at work; [`agent`]: one that writes what it is told.
//! * [`recording`]: what a real agent wrote, and what it said of itself.
//! * [`chromium`]: a real browser without a window.
//! * [`comparison`]: whether we say the same.
//! * [`secrets`]: the key stays out of logs and answers.
//! * [`wait`]: waits for a condition, never for a time.

pub(crate) mod agent;
pub(crate) mod alerting;
pub(crate) mod appender;
pub(crate) mod chromium;
pub(crate) mod comparison;
pub(crate) mod exporter;
pub(crate) mod exposition;
pub(crate) mod fleet;
pub(crate) mod http;
pub(crate) mod line;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod prometheus;
pub(crate) mod recording;
pub(crate) mod secrets;
pub(crate) mod shipped;
pub(crate) mod stub;
pub(crate) mod victoria;
pub(crate) mod wait;
pub(crate) mod webhook;
