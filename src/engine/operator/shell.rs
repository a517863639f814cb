//! The other end of a shell: a person's keys go there, what it shows comes here.
//!
//! Keys are sent at once and in order: what is typed while a request is under way goes with the next one. Two threads
//! read and write the terminal, so that neither ever waits for the other.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IsTerminal as _, Read as _, Write as _, stdin};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::RETRY_AFTER;
use hyper::{Response, StatusCode};
use terminal::printable;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::ask::{self, AskError};
use super::raw::{self, Raw};
use crate::program::now;
use crate::wire::bound::Bound;
use crate::wire::client::{Client, Connected, Server};
use crate::wire::key::SigningKey;
use crate::wire::line::{self, End, Line, LineError};
use crate::wire::shell::{MAX_INPUT_BYTES, Request, VALIDITY};

/// Longest silence: there is a line every 10 s at least.
const SILENCE: Duration = Duration::from_secs(60);

/// A request goes out after this time even if nothing was typed, so that the connection is not closed as idle.
const IDLE: Duration = Duration::from_secs(30);

/// How long an answer to input may take after the other side was found to take none: then the shell has ended, and
/// says how.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Bytes that are read from the terminal at once.
const KEYS: usize = 4096;

/// Longest line that is taken, in bytes: far more than any that is sent.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// Longest refusal that is shown, in bytes.
const MAX_REFUSAL_BYTES: usize = 4096;

/// End of input, as a terminal knows it.
const END_OF_INPUT: u8 = 4;

/// Pause before the end of input is sent again: at first, and at most. A terminal drops it while a program changes its
/// mode, and a program that reads to the end of its input takes it away from the shell.
const END_AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// How long the shell may take to show its prompt before a script types into it, and how long it is silent when it has. Before
/// that it may throw away what is typed.
const PROMPT: (Duration, Duration) = (Duration::from_secs(3), Duration::from_millis(200));

/// Where a shell is opened, and with what key.
pub(crate) struct Destination<'a> {
    /// Who is asked.
    pub server: Server<'a>,
    /// The path of the Source's shell.
    pub path: &'a str,
    /// Signs requests.
    pub key: &'a SigningKey,
    /// Connects.
    pub client: &'a Client,
    /// Name of the Source.
    pub source: &'a str,
    /// How many requests were signed.
    pub asked: Cell<u64>,
}

/// Why a shell did not open, or what became of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShellError {
    /// The other side cannot be reached, or is not trusted.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// It refuses.
    #[error(transparent)]
    Refused(Refusal),
    /// It stopped speaking, or does not speak as it should.
    #[error("the shell was lost: {0}")]
    Lost(#[from] Lost),
    /// The own terminal, standard output or the system.
    #[error("on this host: {0}")]
    Here(#[source] io::Error),
    /// The shell's time was over.
    #[error("the shell reached its time limit (`run_timeoutShell` of that engine)")]
    Timeout,
    /// The engine stopped.
    #[error("the engine has stopped")]
    Stopped,
    /// A signal asked for the end.
    #[error("ended by a signal")]
    Interrupted,
}

/// How a shell was lost that was open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    /// The first line is none.
    #[error("it did not name the session")]
    NoSession,
    /// A line cannot be read.
    #[error("it {0}")]
    Line(#[from] LineError),
    /// A line is longer than [`MAX_LINE_BYTES`].
    #[error("it sent a line that is too long")]
    Endless,
    /// Nothing came for [`SILENCE`].
    #[error("it sent nothing for {} s", SILENCE.as_secs())]
    Silence,
    /// The connection broke off.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// What was typed cannot be sent.
    #[error("input: {0}")]
    Input(#[source] AskError),
    /// What was typed is refused.
    #[error("it takes no input: {0}")]
    Refused(#[source] Refusal),
}

/// What the other side answered in place of a shell, and what may help.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    /// Seconds after which to try again, if it says so.
    wait: Option<String>,
    /// Its own words, safe to show.
    said: String,
}

impl Refusal {
    async fn read(answer: Response<Incoming>) -> Refusal {
        let (parts, body) = answer.into_parts();
        let wait = parts.headers.get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()).map(str::to_owned);
        let body = Limited::new(body, MAX_REFUSAL_BYTES).collect().await.map(|body| body.to_bytes());
        let said = printable::line(String::from_utf8_lossy(&body.unwrap_or_default()).trim()).into_owned();
        Refusal { status: parts.status, wait, said }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status, &self.wait) {
            (StatusCode::NOT_FOUND, _) => out.write_str(
                "there is no such source, it has no shell, or it does not trust the token (key, clock, no TLS); the log \
                 there says which",
            ),
            (StatusCode::TOO_MANY_REQUESTS, Some(wait)) => {
                write!(out, "too many requests from here were refused; try again in {wait} s")
            }
            (status, _) if self.said.is_empty() => write!(out, "answered {status}"),
            _ => out.write_str(&self.said),
        }
    }
}

impl std::error::Error for Refusal {}

/// Opens a shell and stays in it to its end. Its exit status, or 0 if the other side does not tell.
///
/// # Errors
///
/// It does not open, or ends by something else than its own end.
pub(crate) async fn shell(destination: &Destination<'_>) -> Result<i32, ShellError> {
    let mut ends = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()].map(signal);
    let stay = async {
        let opened = Opened::open(destination).await?;
        // From here on, so that what goes wrong before is shown, and ended, in the usual way.
        let _raw = Raw::enter().map_err(ShellError::Here)?;
        opened.stay(destination).await
    };
    tokio::select! {
        ended = stay => ended,
        () = any(&mut ends) => Err(ShellError::Interrupted),
    }
}

/// A shell that is open.
struct Opened {
    session: String,
    lines: Lines,
}

impl Opened {
    async fn open(destination: &Destination<'_>) -> Result<Opened, ShellError> {
        let request =
            Request { size: raw::size(), terminal: raw::terminal(), tell_end: true, ..Request::default() };
        let mut connection = destination.connect().await?;
        let answer = destination.ask(&mut connection, request).await?;
        if answer.status() != StatusCode::OK {
            return Err(ShellError::Refused(Refusal::read(answer).await));
        }
        let mut lines = Lines { body: answer.into_body(), bytes: Vec::new(), _connection: connection.sender };
        match lines.next().await? {
            Some(id) if (1..=128).contains(&id.len()) && id.is_ascii() => {
                Ok(Opened { session: String::from_utf8_lossy(&id).into_owned(), lines })
            }
            _ => Err(Lost::NoSession.into()),
        }
    }

    async fn stay(self, destination: &Destination<'_>) -> Result<i32, ShellError> {
        let (output, writer) = writer().map_err(ShellError::Here)?;
        let (heard, hears) = watch::channel(());
        let keys = reader().map_err(ShellError::Here)?;
        let input = Input { session: self.session, keys, hears };
        let end = {
            let mut receive = std::pin::pin!(receive(self.lines, output, heard));
            tokio::select! {
                end = &mut receive => end,
                Err(error) = input.send(destination) => match timeout(LAST_WORDS, receive).await {
                    Ok(Ok(end)) => Ok(end),
                    _ => Err(error),
                },
            }
        };
        // All that came is shown before anything is said about the end.
        let written = spawn_blocking(move || writer.join()).await;
        let written = written.ok().and_then(Result::ok);
        let written = written.unwrap_or_else(|| Err(io::Error::other("writing failed")));
        match end? {
            Some(End::Exit(status)) => written.map(|()| status).map_err(ShellError::Here),
            None => written.map(|()| 0).map_err(ShellError::Here),
            Some(End::Timeout) => Err(ShellError::Timeout),
            Some(End::Stopped) => Err(ShellError::Stopped),
        }
    }
}

impl Destination<'_> {
    async fn connect(&self) -> Result<Connected<Full<Bytes>>, AskError> {
        ask::connect(self.client, &self.server).await
    }

    /// Binds the next request to the engine with this key. Without TLS it is known by none.
    fn bound(&self, engine: Option<&[u8; 32]>) -> Result<Option<Bound>, AskError> {
        let Some(engine) = engine else { return Ok(None) };
        self.asked.set(self.asked.get() + 1);
        let bound = Bound::new(engine, self.source, now(), VALIDITY).map_err(AskError::Bind)?;
        Ok(Some(Bound { number: self.asked.get(), ..bound }))
    }

    /// Asks on `connection`, or on a new one if the other side has closed it before it got the request.
    async fn ask(
        &self,
        connection: &mut Connected<Full<Bytes>>,
        request: Request,
    ) -> Result<Response<Incoming>, AskError> {
        let signed = self.sign(connection, request.clone())?;
        let error = match connection.sender.try_send_request(signed).await {
            Ok(answer) => return Ok(answer),
            // What was sent may have been typed: it is not sent twice.
            Err(error) if error.message().is_none() => return Err(AskError::Http(error.into_error())),
            Err(error) => error.into_error(),
        };
        *connection = match self.connect().await {
            Ok(connection) => connection,
            Err(again) => return Err(AskError::Closed { closed: error, again: Box::new(again) }),
        };
        let signed = self.sign(connection, request)?;
        connection.sender.send_request(signed).await.map_err(AskError::Http)
    }

    fn sign(
        &self,
        connection: &Connected<Full<Bytes>>,
        mut request: Request,
    ) -> Result<hyper::Request<Full<Bytes>>, AskError> {
        request.bound = self.bound(connection.engine.as_ref())?;
        ask::post(&self.server, self.path, request.sign(self.key, now())?)
    }
}

/// Shows what comes, to the end.
async fn receive(
    mut lines: Lines,
    output: Sender<Vec<u8>>,
    heard: watch::Sender<()>,
) -> Result<Option<End>, ShellError> {
    while let Some(line) = lines.next().await? {
        match line::read(&line).map_err(Lost::Line)? {
            Line::Output(bytes) => {
                heard.send_replace(());
                if output.send(bytes).await.is_err() {
                    // Why is known to the thread that writes.
                    break;
                }
            }
            Line::End(end) => return Ok(Some(end)),
            Line::Other => {}
        }
    }
    Ok(None)
}

/// What is typed.
struct Input {
    session: String,
    keys: Receiver<Vec<u8>>,
    /// Changes with each output of the shell.
    hears: watch::Receiver<()>,
}

impl Input {
    /// Sends what is typed, and each new size of the window. Returns only if that fails.
    async fn send(mut self, destination: &Destination<'_>) -> Result<(), ShellError> {
        let mut resized = signal(SignalKind::window_change()).map_err(ShellError::Here)?;
        let mut connection = destination.connect().await?;
        if !stdin().is_terminal() {
            self.prompted().await;
        }
        // Present once all was typed: when the end of input is sent again.
        let mut again = None;
        loop {
            let mut input = Vec::new();
            tokio::select! {
                keys = self.keys.recv(), if again.is_none() => match keys {
                    Some(keys) => input = self.and_more(keys),
                    None => {
                        again = Some(END_AGAIN.0);
                        input.push(END_OF_INPUT);
                    }
                },
                _ = resized.recv() => {}
                () = tokio::time::sleep(again.unwrap_or(IDLE)) => {
                    if let Some(pause) = &mut again {
                        *pause = (*pause * 2).min(END_AGAIN.1);
                        input.push(END_OF_INPUT);
                    }
                }
            }
            let session = Some(self.session.clone());
            let request = Request { size: raw::size(), session, input, ..Request::default() };
            if connection.sender.is_closed() {
                connection = destination.connect().await?;
            }
            let answer = destination.ask(&mut connection, request).await.map_err(Lost::Input)?;
            if answer.status() != StatusCode::OK {
                return Err(Lost::Refused(Refusal::read(answer).await).into());
            }
            // The connection is free once the answer is read to its end.
            let _ = Limited::new(answer.into_body(), MAX_REFUSAL_BYTES).collect().await;
        }
    }

    /// Completes when the shell seems to wait for input: it has shown something and is silent.
    async fn prompted(&mut self) {
        let (most, silence) = PROMPT;
        let _ = timeout(most, async {
            let mut ended = self.hears.changed().await.is_err();
            while !ended {
                match timeout(silence, self.hears.changed()).await {
                    Ok(changed) => ended = changed.is_err(),
                    Err(_) => return,
                }
            }
        })
        .await;
    }

    /// What was typed, and what else was since, as far as it fits into one request.
    fn and_more(&mut self, mut keys: Vec<u8>) -> Vec<u8> {
        while keys.len() + KEYS <= MAX_INPUT_BYTES
            && let Ok(more) = self.keys.try_recv()
        {
            keys.extend(more);
        }
        keys
    }
}

/// The lines of an answer.
struct Lines {
    body: Incoming,
    bytes: Vec<u8>,
    /// The connection ends when nobody can ask on it any more.
    _connection: SendRequest<Full<Bytes>>,
}

impl Lines {
    /// The next line without its LF; nothing at the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Lost> {
        let mut seen = 0;
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.bytes[seen..]) {
                let mut line: Vec<u8> = self.bytes.drain(..=seen + at).collect();
                line.pop();
                return Ok(Some(line));
            }
            seen = self.bytes.len();
            if seen > MAX_LINE_BYTES {
                return Err(Lost::Endless);
            }
            match timeout(SILENCE, self.body.frame()).await {
                Err(_) => return Err(Lost::Silence),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(error.into()),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.bytes.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

/// A thread that reads standard input to its end. It may outlive everybody: nothing ends a read.
fn reader() -> io::Result<Receiver<Vec<u8>>> {
    let (send, receive) = channel(4);
    thread::Builder::new().name("keys".to_owned()).spawn(move || {
        let mut buffer = [0; KEYS];
        // A last line without its end gets one, since the end of input counts at the start of a line only.
        let mut last = b'\n';
        loop {
            match io::stdin().lock().read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => {
                    last = buffer[read - 1];
                    if send.blocking_send(buffer[..read].to_vec()).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if last != b'\n' {
            let _ = send.blocking_send(vec![b'\n']);
        }
    })?;
    Ok(receive)
}

/// Says how writing went.
type Writer = JoinHandle<io::Result<()>>;

/// A thread that writes to standard output, and says in the end how that went.
fn writer() -> io::Result<(Sender<Vec<u8>>, Writer)> {
    let (send, mut receive) = channel::<Vec<u8>>(16);
    let writer = thread::Builder::new().name("screen".to_owned()).spawn(move || {
        let mut stdout = io::stdout().lock();
        while let Some(bytes) = receive.blocking_recv() {
            stdout.write_all(&bytes)?;
            stdout.flush()?;
        }
        Ok(())
    })?;
    Ok((send, writer))
}

/// Completes with the first of `signals`. Without them there are none.
async fn any(signals: &mut [io::Result<Signal>; 3]) {
    let [one, two, three] = signals;
    let next = async |signal: &mut io::Result<Signal>| match signal {
        Ok(signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = next(one) => {}
        () = next(two) => {}
        () = next(three) => {}
    }
}
