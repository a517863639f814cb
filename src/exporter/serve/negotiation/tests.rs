//! Tables of headers and what they mean.

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
        (&["application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text"], Text),
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
        assert_eq!(content_type(&headers), *expected, "{values:?}");
    }
}

#[test]
fn the_coding_follows_the_weights() {
    use Encoding::{Gzip, Identity, Zstd};
    let table: &[(&[&str], Encoding)] = &[
        (&[], Identity),
        (&[""], Identity),
        (&["gzip"], Gzip),
        (&["GZIP"], Gzip),
        (&["x-gzip"], Gzip),
        (&["deflate, gzip;q=0.5, br"], Gzip),
        (&["br", "gzip"], Gzip),
        (&["*"], Gzip),
        (&["*;q=0"], Identity),
        (&["gzip;q=0"], Identity),
        (&["gzip; q=0.000"], Identity),
        (&["gzip;Q=0"], Identity),
        (&["gzip;q=0, *"], Identity),
        (&["gzip;q=0.001"], Gzip),
        (&["gzip ; q=1.000"], Gzip),
        (&["identity"], Identity),
        (&["identity, gzip"], Gzip),
        (&["identity;q=1, gzip;q=0.5"], Identity),
        (&["identity;q=0.5, gzip;q=1"], Gzip),
        (&["identity;q=0, gzip;q=0"], Identity),
        (&["gzip;q=2"], Identity),
        (&["gzip;q=1.001"], Identity),
        (&["gzip;q=-1"], Identity),
        (&["gzip;q="], Identity),
        (&["gzip;q=0.0001"], Identity),
        (&["gzipped"], Identity),
        (&["zstd"], Zstd),
        (&["gzip, zstd"], Zstd),
        (&["zstd;q=0.9, gzip"], Gzip),
        (&["zstd;q=0, gzip;q=0.1"], Gzip),
        (&["zstd;q=0.5, identity"], Identity),
        (&["zstd;q=0"], Identity),
        (&["identity;q=0"], Identity),
        (&["identity;q=0, *"], Gzip),
        (&["identity;q=0, zstd;q=0.1"], Zstd),
    ];
    for (values, expected) in table {
        let mut headers = HeaderMap::new();
        for value in *values {
            headers.append(ACCEPT_ENCODING, value.parse().unwrap());
        }
        assert_eq!(encoding(&headers), *expected, "{values:?}");
    }
}

#[test]
fn quoted_commas_and_semicolons_separate_nothing() {
    let all: Vec<_> = elements([r#"a;x="1,2;\"3"; q=0.5, b"#, "c"]).collect();
    assert_eq!(all, [r#"a;x="1,2;\"3"; q=0.5"#, "b", "c"]);
    assert_eq!(parts(all[0]).collect::<Vec<_>>(), ["a", r#"x="1,2;\"3""#, "q=0.5"]);
    assert_eq!([weight(all[0]), weight("b"), weight("b;q=2"), weight("b ; Q = 1.000")], [500, 1000, 0, 1000]);
}
