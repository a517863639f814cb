//! A receiver of webhooks: takes what is posted to it as JSON and keeps it. Without TLS, one request per connection.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use serde_json::Value;

use super::wait::SOON;

/// The running receiver; ended when it is dropped.
pub(crate) struct Webhook {
    pub(crate) address: SocketAddr,
    bodies: Arc<Mutex<Vec<Value>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Webhook {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (bodies, stopped) = (Arc::<Mutex<Vec<Value>>>::default(), Arc::<AtomicBool>::default());
        let thread = {
            let (bodies, stopped) = (Arc::clone(&bodies), Arc::clone(&stopped));
            thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    // Whoever sends half a request sends it again.
                    if let Some(body) = receive(stream) {
                        bodies.lock().unwrap().push(body);
                    }
                }
            })
        };
        Self { address, bodies, stopped, thread: Some(thread) }
    }

    /// The alerts that Alertmanager has sent so far, in the order in which they came.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        let bodies = self.bodies.lock().unwrap();
        bodies.iter().flat_map(|body| body["alerts"].as_array().unwrap()).cloned().collect()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes it.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn receive(stream: TcpStream) -> Option<Value> {
    stream.set_read_timeout(Some(SOON)).ok()?;
    stream.set_write_timeout(Some(SOON)).ok()?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).ok()?;
        let line = String::from_utf8(line).ok()?.to_ascii_lowercase();
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    reader.get_mut().write_all(answer).ok()?;
    serde_json::from_slice(&body).ok()
}
