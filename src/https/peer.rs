//! What a route learns of its client, and what it may say about it. Knows nothing of keys.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The client at the other end of a connection; in the extensions of each request.
///
/// With warp: `warp::ext::get::<Peer>()`.
#[derive(Clone, Debug)]
pub struct Peer {
    address: SocketAddr,
    vouched: Arc<AtomicBool>,
}

impl Peer {
    /// A client at `address`. An IPv4 address that came in as IPv6 is turned back, so that a client has one
    /// address whatever socket it came through.
    pub fn new(address: SocketAddr) -> Self {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        Self { address, vouched: Arc::default() }
    }

    /// Address and port of the client.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says that this client has shown a right key: when room is needed, its connection is the last to be
    /// closed, and never while an answer is under way. Holds for the whole connection.
    pub fn vouch(&self) {
        self.vouched.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_vouched(&self) -> bool {
        self.vouched.load(Ordering::Relaxed)
    }
}

/// What counts as one client wherever clients are counted: an IPv4 address, or the 64-bit network of an IPv6 address,
/// whose other half a host chooses as it likes.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_client_has_one_address_whatever_socket_it_came_through() {
        let address = |text: &str| Peer::new(text.parse().unwrap()).address().to_string();
        assert_eq!(address("[::ffff:192.0.2.1]:7"), "192.0.2.1:7");
        assert_eq!(address("192.0.2.1:7"), "192.0.2.1:7");
        assert_eq!(address("[2001:db8::1]:7"), "[2001:db8::1]:7");
    }
}
