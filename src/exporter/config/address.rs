//! Where to listen by default. The listener defines what an address is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub use https::listener::ListenAddress;

/// Etcha's default, which the monitoring guide's URL has, too.
pub(crate) const DEFAULT_LISTEN: ListenAddress = ListenAddress::Every(4000);

/// Where the demonstration listens: on this host only.
pub(crate) const DEMO_LISTEN: ListenAddress =
    ListenAddress::One(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4000));
