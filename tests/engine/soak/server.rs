//! A server that Patterns are pulled from: it answers, or hangs, or breaks off, as it was last said.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// In how many ways it behaves.
pub(super) const WAYS: u64 = 6;

/// Answers a right token.
pub(super) const RIGHT: u64 = 0;

/// How long it holds a connection that it does not answer.
const HOLDS: Duration = Duration::from_secs(3);

/// Lives as long as the process of the tests.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    way: Arc<AtomicU64>,
}

impl Server {
    pub(super) fn start(token: String) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let way = Arc::new(AtomicU64::new(RIGHT));
        let chosen = Arc::clone(&way);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (way, token) = (chosen.load(Ordering::Relaxed), token.clone());
                thread::spawn(move || answer(stream, way, &token));
            }
        });
        Server { address, way }
    }

    pub(super) fn behave(&self, way: u64) {
        self.way.store(way, Ordering::Relaxed);
    }
}

/// Whatever fails is the client's end.
fn answer(mut stream: TcpStream, way: u64, token: &str) {
    let mut request = [0; 1024];
    let _ = stream.read(&mut request);
    let head = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let _ = match way {
        RIGHT => stream.write_all((head(token.len()) + token).as_bytes()),
        // It says nothing, or not enough, and holds the connection.
        1 => hold(&mut stream),
        2 => stream.write_all((head(token.len() + 10) + token).as_bytes()).and_then(|()| hold(&mut stream)),
        3 => stream.write_all((head(9) + "<html>no!").as_bytes()),
        4 => stream.write_all(&head(1 << 40).into_bytes()),
        _ => Ok(()),
    };
}

fn hold(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(HOLDS))?;
    stream.read(&mut [0]).map(drop)
}
