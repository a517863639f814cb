//! Which format a client wants, by the rules of `Accept`. Renders nothing.
//!
//! Of the ranges that match a format the most specific one weighs it; the heaviest format wins. Among equals, the one
//! that was asked for more exactly wins; then OpenMetrics, protobuf, text, in this order, but text where nothing more
//! than `*/*` was asked for. Who takes nothing that we have gets text: an answer is worth more than the letter of
//! its wish.

use std::cmp::Reverse;

use warp::http::header::ACCEPT;
use warp::http::{HeaderMap, HeaderValue};

use super::weight::{elements, parts, weight};
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
    pub(crate) fn content_type(self) -> HeaderValue {
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

/// Chooses for the headers of a request.
pub(crate) fn negotiate(headers: &HeaderMap) -> Type {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_type_follows_the_weights() {
        use Type::{OlderOpenMetrics, OpenMetrics, Protobuf, Text};
        const PROTOBUF: &str =
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        let prometheus = "application/openmetrics-text;version=1.0.0,\
                          application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let newer = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                     application/openmetrics-text;version=0.0.1;q=0.4,\
                     text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,/;q=0.1";
        let protobuf_first = format!("{PROTOBUF},application/openmetrics-text;version=1.0.0;q=0.8,*/*;q=0.1");
        let quoted = "application/vnd.google.protobuf; encoding=\"delimited\"; \
                      proto=\"io.prometheus.client.MetricFamily\"";
        let table: &[(&[&str], Type)] = &[
            (&[], Text),
            (&[""], Text),
            (&["*/*"], Text),
            (&["*/*;q=0"], Text),
            (&["*/*", PROTOBUF], Protobuf),
            (&["text/plain"], Text),
            (&["text/*"], Text),
            (&["TEXT/PLAIN; VERSION=0.0.4"], Text),
            (&["text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0"], OpenMetrics),
            (&["text/plain, application/openmetrics-text;q=0.9"], Text),
            (&["text/plain;q=0.5", "application/openmetrics-text;q=0.6"], OpenMetrics),
            (&["text/plain;q=0, application/openmetrics-text;q=0.001"], OpenMetrics),
            (&["application/openmetrics-text"], OpenMetrics),
            (&["application/openmetrics-text;version=1.0.0;charset=UTF-8"], OpenMetrics),
            (&["application/openmetrics-text;version=0.0.1"], OlderOpenMetrics),
            (&["application/openmetrics-text;version=2.0.0"], Text),
            (&["application/openmetrics-text;charset=latin-1"], Text),
            (&["application/openmetrics-text;q=0"], Text),
            (&["application/openmetrics-text;q=0, */*"], Text),
            (&["application/openmetrics-text;q=high"], Text),
            (&["application/*"], OpenMetrics),
            (&["application/*, application/openmetrics-text;q=0"], Protobuf),
            (&["*/*, text/plain;q=0"], OpenMetrics),
            (&[PROTOBUF], Protobuf),
            (&[quoted], Protobuf),
            (&[&protobuf_first], Protobuf),
            (&["application/vnd.google.protobuf"], Text),
            (
                &["application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text"],
                Text,
            ),
            (&["application/json"], Text),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"], Text),
            (&[prometheus], OpenMetrics),
            (&[newer], OpenMetrics),
            (&["nonsense;;==,,/"], Text),
        ];
        for (values, expected) in table {
            let mut headers = HeaderMap::new();
            for value in *values {
                headers.append(ACCEPT, value.parse().unwrap());
            }
            assert_eq!(negotiate(&headers), *expected, "{values:?}");
        }
    }
}
