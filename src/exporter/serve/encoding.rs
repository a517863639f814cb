//! Which content coding a client wants, by the rules of `Accept-Encoding`. Encodes nothing.

use warp::http::header::ACCEPT_ENCODING;
use warp::http::{HeaderMap, HeaderValue};

use super::weight::{elements, parts, weight};

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

/// Chooses for the headers of a request: the heaviest coding, at equal weights zstd before gzip before plain bytes.
/// Plain bytes also where the client refuses everything, because an answer is worth more than the letter of its
/// wish.
pub(crate) fn negotiate(headers: &HeaderMap) -> Encoding {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

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
            assert_eq!(negotiate(&headers), *expected, "{values:?}");
        }
    }
}
