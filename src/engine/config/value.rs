//! What values of the configuration may be that have a form of their own, each read from text.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use regex::Regex;
use settings::value::Parsed;

use crate::wire::key::{SigningKey, VerifyKey};

/// Paths that are the engine's own.
const OWN_PATHS: &str = "/etcha";

/// Makes a type a value of the configuration that is read from text by a function, which says what is wrong with it.
/// It is never shown: it may be a secret, or has no default to show.
macro_rules! read_from_text {
    ($type:ty, $read:expr) => {
        impl settings::Value for $type {
            type Bounds = ();

            const SHAPE: settings::Shape = settings::Shape::Text;

            fn read(
                text: &std::ffi::OsStr,
                (): &(),
                _: &std::path::Path,
            ) -> Result<$type, settings::Invalid> {
                let text = text.to_str().ok_or(settings::Invalid::NotUtf8)?;
                $read(text).map_err(|why| settings::Invalid::Other(why.to_string()))
            }

            fn show(&self) -> String {
                String::new()
            }
        }
    };
}

pub(super) use read_from_text;

read_from_text!(VerifyKey, VerifyKey::read);
read_from_text!(SigningKey, SigningKey::read);

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RequestKind {
    Push,
    Shell,
}

/// A path of requests that run a Source.
pub(super) struct WebhookPath(pub(super) String);

/// Events of a Source that others may receive.
pub(super) struct EventFilter(pub(super) Regex);

/// Why a text cannot be used here.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("holds `{0}`; {OWN_PATHS}… is the engine's own")]
    OwnPath(String),
    #[error("holds `{0}`, but a path begins with / and has no ?")]
    Path(String),
    #[error("is `{0}`, which is no regular expression")]
    Regex(String),
}

read_from_text!(WebhookPath, |text: &str| match text {
    own if own.starts_with(OWN_PATHS) => Err(Unusable::OwnPath(own.to_owned())),
    path if path.starts_with('/') && !path.contains(['?', '#']) => Ok(WebhookPath(path.to_owned())),
    other => Err(Unusable::Path(other.to_owned())),
});

read_from_text!(EventFilter, |text: &str| Regex::new(text)
    .map(EventFilter)
    .map_err(|_| Unusable::Regex(text.to_owned())));

/// A path of requests, without the name of the Source that follows it and the `/` before that.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RequestPath(pub(super) String);

impl RequestPath {
    /// A path that is known to be one.
    pub(super) fn of(path: &str) -> Parsed<RequestPath> {
        Parsed(RequestPath(path.to_owned()))
    }
}

/// A text that is no such path.
#[derive(Debug, thiserror::Error)]
#[error("has to begin with / and have no ?, # or space")]
pub(super) struct NoPath;

impl FromStr for RequestPath {
    type Err = NoPath;

    fn from_str(path: &str) -> Result<RequestPath, NoPath> {
        if !path.starts_with('/') || path.contains(['?', '#', ' ']) {
            return Err(NoPath);
        }
        Ok(RequestPath(path.trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for RequestPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
