//! The site: what all routes answer from, and the two paths that others link to. Answers nothing itself.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use prometheus::Registry;
use warp::http::{HeaderName, HeaderValue};

use super::access::{Gate, Passwords};
use super::body::Bodies;
use super::counts::Counts;
use super::pages::history::History;
use super::rate::{Rate, RateLimit};
use crate::publish::Published;
use https::attempts::Attempts;

/// Path of the metrics, as in Etcha's monitoring guide.
pub(crate) const METRICS_PATH: &str = "/etcha/v1/system/metrics";

/// Path of the status page.
pub(crate) const STATUS_PATH: &str = "/etcha/v1/system/status";

/// What is settled at start about the answers.
#[derive(Clone, Debug, Default)]
pub struct Surface {
    /// A second path of the metrics.
    pub telemetry_path: TelemetryPath,
    /// Whether the metrics about the exporter and its process are left out.
    pub without_own: bool,
    /// Headers of each answer, over those that it has by itself.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How many requests are answered; all if absent.
    pub rate_limit: Option<RateLimit>,
}

/// A path of the metrics beside that of the guide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryPath(String);

impl Default for TelemetryPath {
    fn default() -> Self {
        Self("/metrics".to_owned())
    }
}

impl TelemetryPath {
    /// The path.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TelemetryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no [`TelemetryPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelemetryPathError;

impl fmt::Display for TelemetryPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a usable path: it has to begin with `/` and go on after that, must not contain `?`, `#` or a space, \
             and must not be the path of another page",
        )
    }
}

impl FromStr for TelemetryPath {
    type Err = TelemetryPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_path =
            text.len() > 1 && text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
        let is_taken = ["/-/healthy", "/-/ready", STATUS_PATH].contains(&text);
        if is_path && !is_taken && !text.contains(['?', '#']) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TelemetryPathError)
        }
    }
}

/// What the routes answer from.
#[derive(Debug)]
pub(crate) struct Site {
    pub(super) gate: Gate,
    pub(super) attempts: Attempts,
    pub(super) passwords: Passwords,
    pub(super) bodies: Bodies,
    pub(super) published: Published,
    pub(super) history: Arc<History>,
    pub(super) counts: Counts,
    pub(super) surface: Surface,
    pub(super) rate: Option<Rate>,
}

impl Site {
    /// A site that shows `published` and the families in `registry`, where it registers its own, to whom
    /// `gate` lets in.
    ///
    /// # Errors
    ///
    /// When the families of this module are registered already.
    pub(crate) fn new(
        gate: Gate,
        published: Published,
        registry: &Registry,
        surface: Surface,
    ) -> Result<Self, prometheus::Error> {
        let counts = Counts::register(registry)?;
        let bodies = Bodies::new(published.clone(), registry.clone(), counts.clone(), surface.without_own);
        Ok(Self {
            gate,
            attempts: Attempts::new(Instant::now()),
            passwords: Passwords::default(),
            bodies,
            published,
            history: Arc::default(),
            counts,
            rate: surface.rate_limit.map(|limit| Rate::new(limit, Instant::now())),
            surface,
        })
    }

    /// The history that the status page shows, for who fills it.
    pub(crate) fn history(&self) -> Arc<History> {
        Arc::clone(&self.history)
    }
}
