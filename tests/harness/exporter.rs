//! The built exporter: started in a directory of its own, on loopback and a free port, scraped with its key over
//! verified TLS. The directory outlives the process, so that a test can start the exporter again where it ended.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use super::{
    exposition::Exposition,
    http::{self, Response},
    process::Process,
    wait::{SOON, wait_until},
};

/// The key of every exporter in the tests. In a URL some of it has to be encoded, in a header none.
pub(crate) const KEY: &str = "key/of+the~tests";

/// The path of a scrape.
pub(crate) const METRICS: &str = "/etcha/v1/system/metrics";

/// The path and key of a scrape as the guide writes them, [`KEY`] percent-encoded.
pub(crate) const SCRAPE: &str = "/etcha/v1/system/metrics?key=key%2Fof%2Bthe~tests";

/// A command that runs the built exporter.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etcha-exporter"));
    // Settings of the person who runs the tests are none of theirs.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ETCHA_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG");
    command
}

/// What `etcha-exporter render` prints for `arguments`; panics with its messages when it fails.
pub(crate) fn render(arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> String {
    let Output { status, stdout, stderr } =
        command().arg("render").args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(status.success(), "render ends with {status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("render prints UTF-8")
}

/// A directory with a journal, a key and room for the exporter's state; removed at the end of the test.
pub(crate) struct Home {
    directory: TempDir,
    journal: PathBuf,
}

impl Home {
    /// A home whose journal does not exist yet.
    pub(crate) fn new() -> Self {
        Self::with_journal("journal.jsonl")
    }

    /// A home with its journal at this path below it.
    pub(crate) fn with_journal(path: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = Self { journal: directory.path().join(path), directory };
        fs::write(home.key_file(), KEY).unwrap();
        home
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.journal.clone()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// The self-signed certificate, once an exporter has been started.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.state().join("tls-certificate.pem")
    }

    /// Appends `bytes` to the journal with one write, as a writer does.
    pub(crate) fn append(&self, bytes: impl AsRef<[u8]>) {
        let mut journal = OpenOptions::new().create(true).append(true).open(self.journal()).unwrap();
        journal.write_all(bytes.as_ref()).unwrap();
    }

    /// A file of this home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces a file of this home as a whole, by renaming, and says where it is.
    pub(crate) fn place(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        fs::write(&new, content).unwrap();
        // It may be a private key, which is refused if others can read it.
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(new, &path).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Starts the exporter with `arguments` besides those for this home, and waits until it listens.
    pub(crate) fn start(&self, arguments: &[&str]) -> Exporter {
        self.start_by(command(), arguments)
    }

    /// The same with a command of its own, which ends in the exporter's program.
    pub(crate) fn start_by(&self, command: Command, arguments: &[&str]) -> Exporter {
        let key_file = self.key_file();
        let key = ["--metrics-key-file", key_file.to_str().unwrap(), "--listen-address", "127.0.0.1:0"];
        let mut process = self.launch_by(command, &[&key, arguments].concat());
        let address = process.wait_for_log("where it is listening", listening);
        Exporter { process, address, certificate: self.certificate() }
    }

    /// Starts it on a journal under another path, with the state of this home.
    pub(crate) fn start_on(&self, journal: &Path) -> Exporter {
        let mut command = command();
        command.arg("--journal").arg(journal).arg("--metrics-key-file").arg(self.key_file());
        command.arg("--state-dir").arg(self.state()).args(["--listen-address", "127.0.0.1:0"]);
        let mut process = Process::start(command.stdout(Stdio::null()));
        let address = process.wait_for_log("where it is listening", listening);
        Exporter { process, address, certificate: self.certificate() }
    }

    /// Starts the exporter for this home with `arguments`, without key and address of its own.
    pub(crate) fn launch(&self, arguments: &[&str]) -> Process {
        self.launch_by(command(), arguments)
    }

    fn launch_by(&self, mut command: Command, arguments: &[&str]) -> Process {
        command.arg("--journal").arg(self.journal()).arg("--state-dir").arg(self.state());
        Process::start(command.args(arguments).stdout(Stdio::null()))
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.path("key")
    }
}

/// A running exporter. Dropping it kills it, as a SIGKILL at any instruction would.
pub(crate) struct Exporter {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// What clients verify it with: the certificate in its state directory, unless a test says otherwise.
    pub(crate) certificate: PathBuf,
}

impl Exporter {
    /// The status of a scrape with `key` as a bearer token.
    pub(crate) fn status(&self, key: &str) -> u16 {
        self.get(METRICS, &[("Authorization", &format!("Bearer {key}"))]).status
    }

    /// `GET target` over TLS, verified by the certificate in the state directory.
    pub(crate) fn get(&self, target: &str, headers: &[(&str, &str)]) -> Response {
        http::get(self.address, &self.certificate, target, headers)
    }

    /// A scrape with the right key, which must succeed and be valid.
    pub(crate) fn scrape(&self) -> Exposition {
        let response = self.get(SCRAPE, &[]);
        assert_eq!(response.status, 200, "{}", self.process.log());
        response.text().parse().unwrap_or_else(|error| panic!("{error} in\n{}", response.text()))
    }

    /// Waits until the journal, as it was found at start, has been read to its end.
    pub(crate) fn wait_until_ready(&self) {
        wait_until(SOON, "the exporter to be ready", || self.get("/-/ready", &[]).status == 200);
    }
}

/// The address in a line of the log that says where a server listens: `… listening … address=127.0.0.1:4000`.
pub(crate) fn listening(line: &str) -> Option<SocketAddr> {
    if !line.to_ascii_lowercase().contains("listening") {
        return None;
    }
    let (_, value) = line.split_once("address=")?;
    let value = value.trim_start_matches('"');
    let end = value.find(|c: char| c == '"' || c.is_whitespace()).unwrap_or(value.len());
    // Port 0 is what was asked for, not what was given.
    value[..end].parse().ok().filter(|address: &SocketAddr| address.port() != 0)
}

#[test]
fn the_address_is_read_from_the_line_that_says_where_a_server_listens() {
    let address = |line| listening(line).map(|address| address.to_string());
    assert_eq!(
        address("level=info msg=listening address=127.0.0.1:41 tls=true"),
        Some("127.0.0.1:41".into())
    );
    assert_eq!(address(r#"msg="Listening on" address="[::1]:41""#), Some("[::1]:41".into()));
    assert_eq!(address("msg=\"start listening\" address=127.0.0.1:0"), None);
    assert_eq!(address("msg=connected address=127.0.0.1:41"), None);
}
