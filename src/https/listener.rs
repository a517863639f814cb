//! Addresses to listen on, and the sockets bound to them. Knows nothing of TLS or HTTP.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpListener;

use super::occupant::Occupant;

/// Connections that the kernel holds ready while the accept loop is busy. Linux caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// Where to listen. Written `:4000`, `127.0.0.1:4000`, `[::1]:4000` or `localhost:4000`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenAddress {
    /// `:4000`: all interfaces, IPv6 and IPv4 on one socket; IPv4 alone where the kernel has no IPv6.
    Every(u16),
    /// One address. `[::]:4000` takes IPv6 only, `0.0.0.0:4000` IPv4 only.
    One(SocketAddr),
    /// A host name: every address that it stands for when binding.
    Name(String, u16),
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Self::One(address));
        }
        let wrong = || ListenAddressError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        // `u16::from_str` would take `+4000`, too.
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let port = port.parse().map_err(|_| wrong())?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        match host {
            "" => Ok(Self::Every(port)),
            // Digits and dots alone are an address that did not parse, not a name.
            _ if host.bytes().all(is_name) && host.bytes().any(|byte| byte.is_ascii_alphabetic()) => {
                Ok(Self::Name(host.to_owned(), port))
            }
            _ => Err(wrong()),
        }
    }
}

impl ListenAddress {
    fn port(&self) -> u16 {
        match self {
            Self::Every(port) | Self::Name(_, port) => *port,
            Self::One(address) => address.port(),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(port) => write!(f, ":{port}"),
            Self::One(address) => write!(f, "{address}"),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// A text that is no [`ListenAddress`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddressError(String);

impl fmt::Display for ListenAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.0;
        write!(
            f,
            "{text:?} is not an address and port; write :4000 for every address of this host, or as in \
             127.0.0.1:4000, [::1]:4000, localhost:4000"
        )
    }
}

impl std::error::Error for ListenAddressError {}

/// Binds `address` and listens. More than one socket only for a name that stands for several addresses.
///
/// Must be called within a tokio runtime. A name is looked up here, which may take as long as the resolver takes.
///
/// # Errors
/// The address is in use, not of this host or not allowed, or the name is not known; the error says what to do.
pub fn bind(address: &ListenAddress) -> Result<Vec<TcpListener>, BindError> {
    let error = |source| BindError {
        address: address.to_string(),
        occupant: Occupant::of_error(&source, address.port()),
        source,
    };
    match address {
        ListenAddress::Every(port) => Ok(vec![every(*port).map_err(error)?]),
        ListenAddress::One(address) => Ok(vec![socket(*address, true).map_err(error)?]),
        ListenAddress::Name(host, port) => (host.as_str(), *port)
            .to_socket_addrs()
            .and_then(|addresses| addresses.map(|address| socket(address, true)).collect())
            .map_err(error),
    }
}

/// Sockets that systemd opened for this process (`LISTEN_FDS`); empty when there are none.
///
/// Call it once, from `main`, before other threads run: it removes the variables, so that no child takes the
/// sockets for its own. Must be called within a tokio runtime.
///
/// # Errors
/// A descriptor that systemd passed is no listening TCP socket.
pub fn activated() -> Result<Vec<TcpListener>, BindError> {
    let mut passed = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..passed.len() {
        let error =
            |source| BindError { address: format!("socket {index} from systemd"), occupant: None, source };
        if let Some(listener) = passed.take_tcp_listener(index).map_err(error)? {
            listeners.push(listening(listener).map_err(error)?);
        }
    }
    Ok(listeners)
}

/// A socket that somebody else opened, if it listens: accepting from another one fails for ever.
fn listening(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    if !SockRef::from(&listener).is_listener()? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket does not listen"));
    }
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// A listening socket could not be had.
#[derive(Debug)]
pub struct BindError {
    /// The address as it was given.
    address: String,
    /// Who has it, if it is taken.
    occupant: Option<Occupant>,
    /// Why not.
    source: io::Error,
}

impl BindError {
    /// Whether another process listens there.
    pub fn is_taken(&self) -> bool {
        self.occupant.is_some()
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = match self.source.kind() {
            io::ErrorKind::AddrInUse => "; stop it (`ss -ltnp` shows it to root) or choose another port",
            io::ErrorKind::AddrNotAvailable => {
                "; no interface of this host has it: choose one that `ip address` shows"
            }
            io::ErrorKind::PermissionDenied => {
                "; choose a port of 1024 or above, or give the process CAP_NET_BIND_SERVICE"
            }
            io::ErrorKind::InvalidInput => {
                "; systemd has to pass stream sockets that listen (ListenStream=, Accept=no)"
            }
            _ => "",
        };
        write!(f, "cannot listen on {}: {}", self.address, self.source)?;
        if let Some(occupant) = &self.occupant {
            write!(f, "; {occupant}")?;
        }
        f.write_str(hint)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// All interfaces. Kernels without IPv6 refuse the family or the address, then IPv4 has to do.
fn every(port: u16) -> io::Result<TcpListener> {
    match socket(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), false) {
        Err(error) if is_without_ipv6(&error) => {
            socket(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), false)
        }
        result => result,
    }
}

/// The kernel was built or started without IPv6.
fn is_without_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].iter().any(|errno| code == Some(errno.raw_os_error()))
}

fn socket(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Said outright: the default is a setting of the system (`net.ipv6.bindv6only`).
        socket.set_only_v6(only_v6)?;
    }
    // A restart must not wait until old connections have left TIME_WAIT. It lets nobody share a live port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::net::TcpStream;

    #[test]
    fn addresses_are_read_in_every_form() {
        let read = |text: &str| text.parse::<ListenAddress>().unwrap();
        assert_eq!(read(":4000"), ListenAddress::Every(4000));
        assert_eq!(read("127.0.0.1:4000"), ListenAddress::One("127.0.0.1:4000".parse().unwrap()));
        assert_eq!(read("[::1]:4000"), ListenAddress::One("[::1]:4000".parse().unwrap()));
        assert_eq!(read("localhost:0"), ListenAddress::Name("localhost".to_owned(), 0));
        for text in [":4000", "127.0.0.1:4000", "[::1]:4000", "localhost:0"] {
            assert_eq!(read(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for text in
            ["", "4000", ":", ":+4000", ":65536", "::1:4000", "127.0.0.1", "1.2.3.400:1", "a b:1", "a/b:1"]
        {
            let error = text.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(error.contains(":4000") && error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[tokio::test]
    async fn every_interface_takes_both_protocols() {
        let listeners = bind(&ListenAddress::Every(0)).unwrap();
        let bound = listeners[0].local_addr().unwrap();
        TcpStream::connect((Ipv4Addr::LOCALHOST, bound.port())).await.unwrap();
        if bound.is_ipv6() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, bound.port())).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error_that_names_it_and_says_what_to_do() {
        let first = bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let taken = first[0].local_addr().unwrap().to_string();
        let error = bind(&taken.parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains(&taken) && error.contains("choose another port"), "{error}");
        assert!(error.contains(&format!("process id {}, listens there", std::process::id())), "{error}");
    }

    #[tokio::test]
    async fn a_socket_that_does_not_listen_is_refused() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        socket.bind(&address.into()).unwrap();
        let error = listening(socket.into()).unwrap_err();
        assert_eq!(error.to_string(), "the socket does not listen");
        assert!(listening(std::net::TcpListener::bind(address).unwrap()).is_ok());
    }
}
