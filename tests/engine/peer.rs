//! Whoever speaks to a listening engine: signs tokens, pushes them, calls webhooks.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
};

use engine::{
    jsonnet::Imports,
    program,
    wire::{
        key::{self, Algorithm, SigningKey},
        token::{self, Claims},
    },
};
use serde_json::Value;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use super::Home;
use crate::harness::{
    exporter,
    http::{self, Response},
    process::Process,
};

/// A key pair in text.
pub(super) struct Keys {
    pub(super) private: String,
    pub(super) public: String,
}

impl Keys {
    pub(super) fn new(id: &str) -> Keys {
        let made = key::generate(Algorithm::Ed25519, Some(id)).unwrap();
        Keys { private: made.private, public: made.public }
    }

    /// A token that holds this program and is good for a minute.
    pub(super) fn sign(&self, program: &str) -> String {
        let pattern = Some(Imports::of_text(program));
        self.sign_claims(&Claims { pattern, expires: Some(program::now() + 60), ..Claims::default() })
    }

    pub(super) fn sign_claims(&self, claims: &Claims) -> String {
        token::sign(claims, &SigningKey::read(&self.private).unwrap()).unwrap()
    }
}

/// A running engine that listens.
pub(super) struct Engine {
    pub(super) process: Process,
    pub(super) address: SocketAddr,
    certificate: PathBuf,
}

impl Home {
    /// Starts an engine with this configuration and waits until it listens. Its state is in `state`.
    pub(super) fn listen(&self, config: &Value) -> Engine {
        self.listen_by(config, self.command(&LISTENING))
    }

    /// The same, started by `env` with this option about SIGHUP, whatever holds for the tests.
    pub(super) fn listen_with(&self, config: &Value, hangup: &str) -> Engine {
        let plain = self.command(&LISTENING);
        let mut command = Command::new("env");
        command.arg(hangup).arg(plain.get_program()).args(plain.get_args()).current_dir(self.path(""));
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        self.listen_by(config, command)
    }

    fn listen_by(&self, config: &Value, mut command: Command) -> Engine {
        self.write("etcha.jsonnet", &config.to_string());
        let mut process = Process::start(command.stdout(Stdio::null()));
        let address = process.wait_for_log("where it is listening", exporter::listening);
        Engine { process, address, certificate: self.path("state/tls-certificate.pem") }
    }
}

/// Arguments of an engine that listens.
const LISTENING: [&str; 3] = ["-x", "run_stateDir=state", "run"];

/// An address of this host.
pub(super) fn local(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

impl Engine {
    pub(super) fn certificate(&self) -> &std::path::Path {
        &self.certificate
    }

    /// `POST` of `token` to the path and query behind `/etcha/v1/push/`, from 127.0.0.1.
    pub(super) fn push(&self, target: &str, token: &str) -> Response {
        self.push_from(local(1), target, token)
    }

    pub(super) fn push_from(&self, from: IpAddr, target: &str, token: &str) -> Response {
        self.send_from(from, "POST", &format!("/etcha/v1/push/{target}"), token)
    }

    pub(super) fn send(&self, method: &str, target: &str, body: &str) -> Response {
        self.send_from(local(1), method, target, body)
    }

    pub(super) fn send_from(&self, from: IpAddr, method: &str, target: &str, body: &str) -> Response {
        let server = (self.address, self.certificate.as_path());
        http::send(server, from, (method, target), &[("X-Test", "yes")], body.as_bytes())
    }
}

/// An answer that goes on.
pub(super) struct Stream(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Engine {
    /// `POST` of `token`, whose answer is read line by line.
    pub(super) fn open(&self, path: &str, token: &str) -> Stream {
        let mut stream = http::secured(self.address, &self.certificate);
        let length = token.len();
        write!(stream, "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{token}")
            .unwrap();
        let mut stream = Stream(BufReader::new(stream));
        while stream.next() != "" {}
        stream
    }
}

impl Stream {
    /// The next line of the answer, out of its chunk.
    pub(super) fn line(&mut self) -> String {
        self.next();
        self.next()
    }

    /// Reads until the other side has ended it.
    pub(super) fn read_to_end(mut self) {
        while self.next() != "0" {}
    }

    fn next(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }
}

/// The JSON of an answer.
pub(super) fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {response:?}"))
}
