//! A real browser without a window, driven over its pipe: pages opened, passwords entered, pictures taken.
//!
//! The pipe is descriptors 3 and 4 of the browser. Two FIFOs and a shell put them there, so that no unsafe code has
//! to.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread::{self, JoinHandle},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use super::{
    process::Process,
    wait::{SOON, wait_until},
};

/// What keeps it quiet: it would look up hosts of its maker at every start.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // Its list of authorities cannot be added to from outside; who verifies the certificate is tried elsewhere.
    "--ignore-certificate-errors",
    "--remote-debugging-pipe",
];

/// Messages that may wait to be read.
const WAITING: usize = 4096;

/// A running browser with one page. Ended when it is dropped.
pub(crate) struct Chromium {
    process: Process,
    orders: File,
    messages: Receiver<Value>,
    /// Wakes the reader at the end.
    wake: File,
    reader: Option<JoinHandle<()>>,
    session: String,
    next: u64,
    /// What the page complained about.
    pub(crate) complaints: Vec<String>,
    /// What is entered each time that a site asks for a user name and a password, the next one last.
    pub(crate) passwords: Vec<(&'static str, &'static str)>,
    _directory: tempfile::TempDir,
}

impl Chromium {
    pub(crate) fn start(program: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [orders, answers] = ["orders", "answers"].map(|name| directory.path().join(name));
        for fifo in [&orders, &answers] {
            mknodat(CWD, fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        }
        // Opened for both, so that opening waits for nobody.
        let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path).unwrap();
        let (to, from, wake) = (open(&orders), open(&answers), open(&answers));
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<\"$ORDERS\" 4>\"$ANSWERS\""]).arg(program).args(FLAGS);
        command.arg(format!("--user-data-dir={}", directory.path().join("profile").display()));
        command.env("ORDERS", &orders).env("ANSWERS", &answers).stdout(Stdio::null());
        let process = Process::start(&mut command);
        let (sender, messages) = sync_channel(WAITING);
        let reader = thread::spawn(move || {
            for message in BufReader::new(from).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { return };
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            process,
            orders: to,
            messages,
            wake,
            reader: Some(reader),
            session: String::new(),
            next: 0,
            complaints: Vec::new(),
            passwords: Vec::new(),
            _directory: directory,
        };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let session =
            browser.call("Target.attachToTarget", &target)["sessionId"].as_str().unwrap().to_owned();
        browser.session = session;
        for domain in ["Page.enable", "Log.enable", "Runtime.enable"] {
            browser.call(domain, &json!({}));
        }
        browser.call("Fetch.enable", &json!({"handleAuthRequests": true}));
        browser
    }

    /// Gives an order and waits for its result.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        let id = self.order(method, params);
        loop {
            let message = self
                .messages
                .recv_timeout(SOON)
                .unwrap_or_else(|_| panic!("no answer to {method}:\n{}", self.process.log()));
            if message["id"] == id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.react(&message);
        }
    }

    /// Gives an order; the number of its result.
    fn order(&mut self, method: &str, params: &Value) -> u64 {
        self.next += 1;
        let mut order = json!({"id": self.next, "method": method, "params": params});
        if !self.session.is_empty() {
            order["sessionId"] = self.session.clone().into();
        }
        self.orders.write_all(format!("{order}\0").as_bytes()).unwrap();
        self.next
    }

    /// Keeps complaints, and lets requests go on, with a password where one is asked for.
    fn react(&mut self, message: &Value) {
        let request = &message["params"]["requestId"];
        match message["method"].as_str() {
            Some("Log.entryAdded") => self.complaints.push(message["params"]["entry"].to_string()),
            Some("Fetch.requestPaused") => {
                self.order("Fetch.continueRequest", &json!({"requestId": request}));
            }
            Some("Fetch.authRequired") => {
                let answer = self.passwords.pop().map_or(
                    json!({"response": "CancelAuth"}),
                    |(user, password)| json!({"response": "ProvideCredentials", "username": user, "password": password}),
                );
                let params = json!({"requestId": request, "authChallengeResponse": answer});
                self.order("Fetch.continueWithAuth", &params);
            }
            _ => {}
        }
    }

    /// What a script yields in the page.
    pub(crate) fn evaluate(&mut self, script: &str) -> Value {
        let result = self.call("Runtime.evaluate", &json!({"expression": script, "returnByValue": true}));
        assert!(result.get("exceptionDetails").is_none(), "{script}: {result}");
        result["result"]["value"].clone()
    }

    /// Opens a page, and waits until it has what `selector` selects.
    pub(crate) fn open(&mut self, url: &str, selector: &str) {
        let result = self.call("Page.navigate", &json!({"url": url}));
        assert!(result.get("errorText").is_none(), "{url}: {result}");
        self.wait_for(selector);
    }

    /// Waits until the page has what `selector` selects, and is complete.
    pub(crate) fn wait_for(&mut self, selector: &str) {
        let there = format!("document.readyState == 'complete' && !!document.querySelector('{selector}')");
        wait_until(SOON, &format!("{selector} in the page"), || self.evaluate(&there) == true);
    }

    /// Shows the page as on a screen of this size, light or dark.
    pub(crate) fn screen(&mut self, width: u32, height: u32, dark: bool) {
        let mobile = width < 600;
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile});
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let value = if dark { "dark" } else { "light" };
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.call("Emulation.setEmulatedMedia", &scheme);
    }

    /// A picture of the whole page, PNG.
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        let result = self.call("Page.captureScreenshot", &json!({"captureBeyondViewport": true}));
        STANDARD.decode(result["data"].as_str().unwrap()).unwrap()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // No message: the reader ends.
        let _ = self.wake.write_all(b"end\0");
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
