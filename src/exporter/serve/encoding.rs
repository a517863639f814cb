//! Which content coding a client wants, by the rules of `Accept-Encoding`. Encodes nothing.

use warp::http::HeaderMap;
use warp::http::header::ACCEPT_ENCODING;

/// A content coding that we speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    #[default]
    Identity,
    /// Gzip.
    Gzip,
}

/// Chooses for the headers of a request: gzip where the client takes it at least as gladly as plain bytes, plain
/// bytes otherwise, also where it refuses both, because an answer is worth more than the letter of its wish.
pub fn negotiate(headers: &HeaderMap) -> Encoding {
    let mut gzip = None;
    let mut identity = None;
    let mut any = None;
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    for element in values.flat_map(|value| value.split(',')) {
        let (coding, quality) = weigh(element);
        if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            gzip = Some(quality);
        } else if coding.eq_ignore_ascii_case("identity") {
            identity = Some(quality);
        } else if coding == "*" {
            any = Some(quality);
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    // Plain bytes that are not listed are acceptable, but nothing says that they are preferred.
    let identity = identity.unwrap_or(0);
    if gzip > 0 && gzip >= identity { Encoding::Gzip } else { Encoding::Identity }
}

/// A coding and its weight in thousandths. A weight that cannot be read is 0: who says it badly gets plain bytes.
fn weigh(element: &str) -> (&str, u16) {
    let mut parts = element.split(';').map(str::trim);
    let coding = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (coding, weight.map_or(1000, |weight| thousandths(weight).unwrap_or(0)))
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
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_coding_follows_the_weights() {
        use Encoding::{Gzip, Identity};
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
            (&["zstd"], Identity),
        ];
        for (values, expected) in table {
            let mut headers = HeaderMap::new();
            for value in *values {
                headers.append(ACCEPT_ENCODING, value.parse().unwrap());
            }
            assert_eq!(negotiate(&headers), *expected, "{values:?}");
        }
    }
}
