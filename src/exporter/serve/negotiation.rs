//! Negotiation: which format and which content coding a client gets, by the rules of `Accept` and `Accept-Encoding`.
//! Renders and encodes nothing.
//!
//! Of the ranges that match a format the most specific one weighs it; the heaviest format wins. Among equals, the one
//! that was asked for more exactly wins; then OpenMetrics, protobuf, text, in this order, but text where nothing more
//! than `*/*` was asked for. If the client accepts none of our formats, it gets text: an answer is worth more than an
//! exact refusal.

use std::cmp::Reverse;

use warp::http::header::{ACCEPT, ACCEPT_ENCODING};
use warp::http::{HeaderMap, HeaderValue};

use crate::exposition::Format;

/// What is answered: a format under one of its names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Type {
    /// Text 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// The same under its older name, for who knows that one only.
    OlderOpenMetrics,
    /// Delimited protobuf.
    Protobuf,
}

impl Type {
    /// All types, the best first.
    const ALL: [Self; 4] = [Self::OpenMetrics, Self::Protobuf, Self::OlderOpenMetrics, Self::Text];

    /// The format of the body.
    pub(crate) fn format(self) -> Format {
        match self {
            Self::Text => Format::Text,
            Self::OpenMetrics | Self::OlderOpenMetrics => Format::OpenMetrics,
            Self::Protobuf => Format::Protobuf,
        }
    }

    /// The `Content-Type` of the answer.
    pub(crate) fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::OlderOpenMetrics => "application/openmetrics-text; version=0.0.1; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        })
    }

    fn media(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("text", "plain"),
            Self::OpenMetrics | Self::OlderOpenMetrics => ("application", "openmetrics-text"),
            Self::Protobuf => ("application", "vnd.google.protobuf"),
        }
    }

    /// Parameters that tell this type from its siblings: a range that gives one another value means a sibling.
    fn parameters(self) -> &'static [(&'static str, &'static str)] {
        const UTF_8: (&str, &str) = ("charset", "utf-8");
        match self {
            Self::Text => &[("version", "0.0.4"), UTF_8],
            Self::OpenMetrics => &[("version", "1.0.0"), UTF_8],
            Self::OlderOpenMetrics => &[("version", "0.0.1"), UTF_8],
            Self::Protobuf => &[("proto", "io.prometheus.client.MetricFamily"), ("encoding", "delimited")],
        }
    }

    /// How exactly `element` asks for this type, if it does: 0 for everything, 1 for a family of types, 2 for the
    /// type, more for each of its parameters.
    fn matched(self, element: &str) -> Option<usize> {
        let mut parts = parts(element);
        let (family, kind) = parts.next()?.split_once('/')?;
        let (own_family, own_kind) = self.media();
        match (family, kind) {
            ("*", "*") => return Some(0),
            (family, "*") if family.eq_ignore_ascii_case(own_family) => return Some(1),
            (family, kind)
                if family.eq_ignore_ascii_case(own_family) && kind.eq_ignore_ascii_case(own_kind) => {}
            _ => return None,
        }
        let mut exactness = 2;
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            let named = |(own, _): &&(&str, &str)| own.eq_ignore_ascii_case(name.trim());
            // Other parameters, such as how names are escaped, choose nothing among our types.
            if let Some((_, own)) = self.parameters().iter().find(named) {
                if !value.eq_ignore_ascii_case(own) {
                    return None;
                }
                exactness += 1;
            }
        }
        // Protobuf messages of another kind, or in another framing, are meant unless it says otherwise.
        (self != Self::Protobuf || exactness == 4).then_some(exactness)
    }
}

/// Chooses the format for the headers of a request.
pub(crate) fn content_type(headers: &HeaderMap) -> Type {
    let values = || headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let wish = |kind: Type| {
        let matches = elements(values()).filter_map(|range| Some((kind.matched(range)?, weight(range))));
        // The later of two that are equally exact says the same or contradicts it; the heavier one is meant.
        matches.max()
    };
    let wanted = Type::ALL.into_iter().enumerate().filter_map(|(rank, kind)| {
        let (exactness, weight) = wish(kind).filter(|(_, weight)| *weight > 0)?;
        let plain = exactness == 0 && kind == Type::Text;
        Some(((weight, exactness, plain, Reverse(rank)), kind))
    });
    wanted.max_by_key(|(order, _)| *order).map(|(_, kind)| kind).unwrap_or_default()
}

/// A content coding that we speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is.
    #[default]
    Identity,
    /// Gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Encoding {
    /// The `Content-Encoding` of the answer, if it has one.
    pub(crate) fn header(self) -> Option<HeaderValue> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some(HeaderValue::from_static("gzip")),
            Self::Zstd => Some(HeaderValue::from_static("zstd")),
        }
    }
}

/// Chooses the coding for the headers of a request: the heaviest coding, at equal weights zstd before gzip before plain
/// bytes. If the client refuses everything, it gets plain bytes: an answer is worth more than an exact refusal.
pub(crate) fn encoding(headers: &HeaderMap) -> Encoding {
    let (mut zstd, mut gzip, mut identity, mut any) = (None, None, None, None);
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    for element in elements(values) {
        let coding = parts(element).next().unwrap_or_default();
        let place = match coding.to_ascii_lowercase().as_str() {
            "zstd" => &mut zstd,
            "gzip" | "x-gzip" => &mut gzip,
            "identity" => &mut identity,
            "*" => &mut any,
            _ => continue,
        };
        *place = Some(weight(element));
    }
    // `*` speaks of what is not listed. Of it, gzip is what everybody can read.
    let zstd = zstd.unwrap_or(0);
    let gzip = gzip.or(any).unwrap_or(0);
    // Plain bytes that are not listed are acceptable, but nothing says that they are preferred.
    let identity = identity.unwrap_or(0);
    if zstd > 0 && zstd >= gzip && zstd >= identity {
        Encoding::Zstd
    } else if gzip > 0 && gzip >= identity {
        Encoding::Gzip
    } else {
        Encoding::Identity
    }
}

/// The elements of header values: commas separate them, quoted text is kept whole.
fn elements<'v>(values: impl IntoIterator<Item = &'v str>) -> impl Iterator<Item = &'v str> {
    values.into_iter().flat_map(|value| split(value, b','))
}

/// The parts of an element, which semicolons separate: what it is, then its parameters.
fn parts(element: &str) -> impl Iterator<Item = &str> {
    split(element, b';')
}

/// The weight of an element in thousandths; 1000 where none is written. One that cannot be read is 0: who says it
/// badly says no.
fn weight(element: &str) -> u16 {
    let parameter = |part: &str| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| thousandths(value.trim()).unwrap_or(0))
    };
    parts(element).skip(1).find_map(parameter).unwrap_or(1000)
}

fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |char: char| {
        let ends = char == char::from(separator) && !quoted;
        if char == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && char == '\\' && !escaped;
        ends
    })
    .map(str::trim)
}

/// Reads `0`, `1`, or either with up to three decimals, as thousandths up to 1000.
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    if !matches!(whole, "0" | "1") || decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u16 = format!("{whole}{decimals:0<3}").parse().ok()?;
    (value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests;
