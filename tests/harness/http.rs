//! As much of an HTTP/1.1 client as a scrape or a push needs: one request per connection. Verifies TLS by one certificate,
//! never skips verification. Knows no redirects, no compression and no keep-alive.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
};

use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{secrets, wait::SOON};

/// An answer, its body decoded from whatever transfer coding it came in.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case, in the order of arrival.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The value of the first header called `name` (lower case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body, which must be UTF-8.
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("the body is UTF-8")
    }
}

/// `GET target` from `address` without TLS.
pub(crate) fn get_plain(address: SocketAddr, target: &str) -> Response {
    exchange(connect(address), &head("GET", target, &[]))
}

/// `method target` with `body`, over TLS as with [`get`], from this loopback address of the client.
pub(crate) fn send(
    (address, certificate): (SocketAddr, &Path),
    from: IpAddr,
    (method, target): (&str, &str),
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None);
    let socket = socket.unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.connect_timeout(&address.into(), SOON).unwrap();
    let stream = patient(socket.into());
    let length = body.len().to_string();
    let headers = [headers, &[("Content-Length", &length)]].concat();
    let mut stream = over_tls(stream, certificate);
    stream.write_all(head(method, target, &headers).as_bytes()).unwrap();
    // A client that is refused by the head alone may find the rest unread.
    let _ = stream.write_all(body).and_then(|()| stream.flush());
    let mut answer = Vec::new();
    if stream.read_to_end(&mut answer).is_err() {
        // The stream wants to send the rest of the request first. The answer is there.
        while let Ok(1..) = stream.conn.read_tls(&mut stream.sock) {
            stream.conn.process_new_packets().unwrap();
        }
        let _ = stream.conn.reader().read_to_end(&mut answer);
    }
    let response = parse(&answer);
    secrets::assert_none(&String::from_utf8_lossy(&response.body));
    response
}

/// `GET target` from `address` over TLS, as `localhost`, trusting nothing but the certificate in the PEM file
/// `certificate`. An error of any kind panics.
pub(crate) fn get(
    address: SocketAddr,
    certificate: &Path,
    target: &str,
    headers: &[(&str, &str)],
) -> Response {
    let response = exchange(secured(address, certificate), &head("GET", target, headers));
    // Whatever speaks TLS in the tests is ours.
    let told: Vec<_> = response.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    secrets::assert_none(&told.join("\n"));
    secrets::assert_none(&String::from_utf8_lossy(&response.body));
    response
}

/// A connection over TLS on which nothing was asked yet.
pub(crate) fn secured(address: SocketAddr, certificate: &Path) -> StreamOwned<ClientConnection, TcpStream> {
    over_tls(connect(address), certificate)
}

pub(crate) fn over_tls(stream: TcpStream, certificate: &Path) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(trusting(certificate), name).unwrap();
    StreamOwned::new(connection, stream)
}

/// The same for HTTP/2, without blocking.
pub(crate) async fn secured_h2(address: SocketAddr, certificate: &Path) -> TlsStream<tokio::net::TcpStream> {
    let mut trusting = Arc::unwrap_or_clone(trusting(certificate));
    trusting.alpn_protocols = vec![b"h2".to_vec()];
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(trusting)).connect(name, stream).await.unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    patient(TcpStream::connect_timeout(&address, SOON).unwrap())
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream
}

pub(crate) fn trusting(certificate: &Path) -> Arc<ClientConfig> {
    let certificate = CertificateDer::from_pem_file(certificate)
        .unwrap_or_else(|error| panic!("{}: {error}", certificate.display()));
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> String {
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request + "\r\n"
}

fn exchange(mut stream: impl Read + Write, head: &str) -> Response {
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    parse(&answer)
}

pub(crate) fn parse(answer: &[u8]) -> Response {
    let (head, rest) = cut(answer, b"\r\n\r\n");
    let head = str::from_utf8(head).unwrap();
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap();
    let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let headers = lines
        .map(|line| line.split_once(':').unwrap_or_else(|| panic!("no colon in the header {line:?}")))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let status = status.unwrap_or_else(|| panic!("no status in {status_line:?}"));
    let mut response = Response { status, headers, body: Vec::new() };
    response.body = if response.header("transfer-encoding") == Some("chunked") {
        unchunked(rest)
    } else if let Some(length) = response.header("content-length") {
        assert_eq!(length, rest.len().to_string(), "the body is as long as announced");
        rest.to_vec()
    } else {
        rest.to_vec()
    };
    response
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let (size, after) = cut(rest, b"\r\n");
        let size = str::from_utf8(size).unwrap().split(';').next().unwrap().trim();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&after[..size]);
        rest = after[size..].strip_prefix(b"\r\n").expect("a chunk ends with CR LF");
    }
}

/// What is before and what is after the first `mark`.
fn cut<'a>(bytes: &'a [u8], mark: &[u8]) -> (&'a [u8], &'a [u8]) {
    let at = bytes.windows(mark.len()).position(|window| window == mark).unwrap_or_else(|| {
        panic!("no {:?} in {:?}", mark.escape_ascii().to_string(), String::from_utf8_lossy(bytes))
    });
    (&bytes[..at], &bytes[at + mark.len()..])
}

#[test]
fn an_answer_in_chunks_is_put_together() {
    let answer =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabc\n\r\n2;x=y\r\nde\r\n0\r\n\r\n";
    let response = parse(answer);
    assert_eq!((response.status, response.text()), (200, "abc\nde"));
}

#[test]
fn an_answer_with_a_length_keeps_its_headers() {
    let response = parse(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nX-Y:  z \r\n\r\n");
    assert_eq!((response.status, response.header("x-y"), response.text()), (403, Some("z"), ""));
}
