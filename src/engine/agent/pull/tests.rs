//! Fetching from files and from servers that say what they are told to.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// Fetches as a Source does.
fn fetch(client: &Client, place: &PullPath, before: Option<&Fetched>) -> Result<Fetched, FetchError> {
    fetch_in(&room(), client, place, before)
}

fn fetch_in(
    room: &FetchBudget,
    client: &Client,
    place: &PullPath,
    before: Option<&Fetched>,
) -> Result<Fetched, FetchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let fetched = runtime.block_on(client.fetch(place, before, room, &Arc::new(Semaphore::new(1))));
    // Where the look-up of a name hangs, nothing waits for it.
    runtime.shutdown_background();
    fetched
}

/// A server on loopback that gives `answers`, one for each connection, and passes on what it was asked.
struct Stub {
    address: SocketAddr,
    asked: Receiver<String>,
}

impl Stub {
    fn start(answers: &[&str], tls: Option<Arc<ServerConfig>>) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answers: Vec<_> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let (send, asked) = sync_channel(answers.len());
        thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                let request = match &tls {
                    None => serve(stream, &answer),
                    Some(tls) => serve(
                        StreamOwned::new(ServerConnection::new(Arc::clone(tls)).unwrap(), stream),
                        &answer,
                    ),
                };
                // A test that has seen enough does not ask.
                let _ = send.send(request);
            }
        });
        Stub { address, asked }
    }

    fn place(&self, scheme: &str, rest: &str) -> PullPath {
        PullPath::read(&format!("{scheme}://localhost:{}{rest}", self.address.port())).unwrap()
    }
}

/// Reads a request, gives the answer, and returns the request.
fn serve(mut stream: impl Read + Write, answer: &str) -> String {
    let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut chunk) {
            // The client does not trust us.
            Ok(0) | Err(_) => return String::new(),
            Ok(read) => request.extend_from_slice(&chunk[..read]),
        }
    }
    let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
    String::from_utf8(request).unwrap()
}

fn ok(body: &str, headers: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

/// Small, so that what is too long is soon made.
fn room() -> FetchBudget {
    FetchBudget::new(10_000)
}

fn message(text: &str) -> String {
    PullPath::read(text).unwrap_err().to_string()
}

#[test]
fn a_file_is_read_each_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jwt");
    std::fs::write(&path, "token").unwrap();
    for text in [path.display().to_string(), format!("file:{}", path.display())] {
        assert_eq!(fetch(&Client::default(), &PullPath::read(&text).unwrap(), None).unwrap().text, "token");
    }
    assert!(
        fetch(&Client::default(), &PullPath::File("/no/such".into()), None)
            .unwrap_err()
            .to_string()
            .contains("No such file")
    );
}

#[test]
fn what_has_a_version_is_asked_for_once() {
    let modified = "last-modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n";
    let not_modified = "HTTP/1.1 304 Not Modified\r\n\r\n".to_owned();
    let answers = [ok("first", &format!("etag: \"1\"\r\n{modified}")), not_modified, ok("second", "")];
    let server = Stub::start(&answers.each_ref().map(String::as_str), None);
    let (client, place) =
        (Client::default(), server.place("http", "/web.jwt?a=b#x-key: secret\r\nclientTimeout:20"));
    let first = fetch(&client, &place, None).unwrap();
    let again = fetch(&client, &place, Some(&first)).unwrap();
    let second = fetch(&client, &place, Some(&again)).unwrap();
    assert_eq!([first.text, again.text, second.text], ["first", "first", "second"]);
    let asked: Vec<_> = server.asked.iter().take(2).map(|asked| asked.to_lowercase()).collect();
    assert!(
        asked[0].starts_with("get /web.jwt?a=b http/1.1\r\n") && asked[0].contains("\r\nx-key: secret\r\n")
    );
    assert!(asked[0].contains(&format!("\r\nhost: localhost:{}\r\n", server.address.port())));
    assert!(!asked[0].contains("if-none-match"));
    assert!(asked[1].contains("\r\nif-none-match: \"1\"\r\n"), "{}", asked[1]);
    assert!(asked[1].contains("\r\nif-modified-since: wed, 21 oct 2015 07:28:00 gmt\r\n"));
}

#[test]
fn answers_that_are_none_say_why() {
    let endless = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "a".repeat(10_001));
    let cases = [
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "answered 404 Not Found"),
        (
            "HTTP/1.1 302 Found\r\nlocation: https://other.example/x\r\ncontent-length: 0\r\n\r\n",
            "answered 302 Found: it moved to https://other.example/x; use that address",
        ),
        ("HTTP/1.1 304 Not Modified\r\n\r\n", "answered 304 Not Modified"),
        (
            "HTTP/1.1 302 Found\r\nlocation: https://u:p@other.example:1/x?token=secret#y\r\ncontent-length: 0\r\n\r\n",
            "answered 302 Found: it moved to https://other.example:1/x?…; use that address",
        ),
        (
            "HTTP/1.1 303 See Other\r\nlocation: /x?token=secret\r\ncontent-length: 0\r\n\r\n",
            "answered 303 See Other: it moved to /x?…; use that address",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 10001\r\n\r\n",
            "body: longer than 10000 bytes (`run_maxTokenBytes`)",
        ),
        (&endless, "body: longer than 10000 bytes (`run_maxTokenBytes`)"),
        (
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx",
            "the answer is compressed (gzip), which was not asked for",
        ),
        ("nonsense\r\n\r\n", "HTTP: invalid HTTP version parsed"),
    ];
    for (answer, expected) in cases {
        let server = Stub::start(&[answer], None);
        let why = fetch(&Client::default(), &server.place("http", "/"), None).unwrap_err();
        assert_eq!(why.to_string(), expected);
    }
}

#[test]
fn fetches_side_by_side_share_their_room_and_none_is_lost() {
    let answer = ok(&"a".repeat(9_000), "");
    let server = Stub::start(&[answer.as_str(); 12], None);
    let (room, place) = (room(), server.place("http", "/"));
    std::thread::scope(|scope| {
        let fetch = || fetch_in(&room, &Client::default(), &place, None).map(|fetched| fetched.text.len());
        let fetches: Vec<_> = (0..12).map(|_| scope.spawn(fetch)).collect();
        for fetch in fetches {
            assert_eq!(fetch.join().unwrap().unwrap(), 9_000);
        }
    });
}

#[test]
fn a_silent_server_costs_its_time_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let place = PullPath::read(&format!("http://localhost:{port}/#clientTimeout:1")).unwrap();
    assert_eq!(fetch(&Client::default(), &place, None).unwrap_err().to_string(), "no answer within 1 s");
}

#[test]
fn certificates_are_verified_unless_the_path_says_otherwise() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let certificate = made.cert.der().clone();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let answer = ok("token", "");
    let server = Stub::start(&[answer.as_str(); 3], Some(Arc::new(config)));
    let mut roots = RootCertStore::empty();
    let stranger = Client::trusting(roots.clone());
    roots.add(certificate).unwrap();
    let client = Client::trusting(roots);
    let place = server.place("https", "/");
    assert!(fetch(&stranger, &place, None).unwrap_err().to_string().contains("UnknownIssuer"));
    assert_eq!(fetch(&client, &place, None).unwrap().text, "token");
    assert_eq!(fetch(&stranger, &server.place("https", "/#skipVerify:true"), None).unwrap().text, "token");
}

#[test]
fn what_is_no_address_says_why_and_secrets_are_not_shown() {
    assert_eq!(message("https://"), "is no address");
    assert_eq!(message("https://u:p@h/"), "holds credentials in an address; give them as a header behind #");
    assert_eq!(message("https://h/#x"), "has a header behind # that is no name:value");
    assert_eq!(message("https://h/#clientTimeout:x"), "has a clientTimeout that is no number of seconds");
    let place = PullPath::read("https://h:1/p?token=secret#authorization: secret").unwrap();
    assert_eq!(
        (place.to_string(), format!("{place:?}")),
        ("https://h:1/p".into(), "Remote(https://h:1/p)".into())
    );
}

#[test]
fn a_pipe_is_not_waited_for_and_a_read_that_hangs_is_not_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    let waited = fetch(&Client::default(), &PullPath::File(pipe), None).unwrap_err();
    assert_eq!(waited.to_string(), "not a regular file");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let reads = Arc::new(Semaphore::new(1));
    let _busy = Arc::clone(&reads).try_acquire_owned().unwrap();
    let file = PullPath::File(directory.path().join("a.jwt"));
    let fetched = runtime.block_on(Client::default().fetch(&file, None, &room(), &reads));
    assert!(matches!(fetched, Err(FetchError::Hanging)), "{fetched:?}");
}
