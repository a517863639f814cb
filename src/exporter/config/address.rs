//! An address to listen on, as it is written: `127.0.0.1:4000`, `[::1]:4000`, or `:4000` for every address.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenAddress {
    /// A port on every address of this host, IPv4 and IPv6.
    Every(u16),
    /// One address and port.
    One(SocketAddr),
}

/// Etcha's default, which the monitoring guide's URL has, too.
pub const DEFAULT_LISTEN: ListenAddress = ListenAddress::Every(4000);

/// Where the demonstration listens: on this host only.
pub const DEMO_LISTEN: ListenAddress =
    ListenAddress::One(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4000));

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = text.strip_prefix(':').and_then(|port| port.parse().ok());
        // `u16` takes a plus sign, which no address has.
        if let Some(port) = port.filter(|_| !text.contains('+')) {
            return Ok(Self::Every(port));
        }
        text.parse().map(Self::One).map_err(|_| {
            "not an address and port; write `:4000` for every address of this host, or an IP address as in \
             `127.0.0.1:4000` and `[::1]:4000`"
                .to_owned()
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(port) => write!(f, ":{port}"),
            Self::One(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn addresses_are_read_and_shown_in_the_same_form() {
        for text in [":4000", ":0", "127.0.0.1:4000", "0.0.0.0:80", "[::1]:4000", "[::]:0"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            ":",
            "4000",
            ":+1",
            ":65536",
            "localhost:4000",
            "127.0.0.1",
            "::1:4000",
            "[::1]",
            " :1",
            "a\n:1",
        ] {
            assert!(bad.parse::<ListenAddress>().is_err(), "{bad:?}");
        }
    }
}
