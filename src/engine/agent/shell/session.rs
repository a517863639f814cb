//! The life of one session, from the first line to its client until nothing of it is left.
//!
//! One task reads the terminal, and reads no further while its client does not: a few lines are all that waits. Whoever
//! brings input writes to the terminal, one after the other, and waits as long as the shell does not read.

use std::io;
use std::time::Duration;

use hyper::body::Bytes;
use pty_process::{OwnedReadPty, OwnedWritePty};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::terminal::{Leader, Started};
use crate::wire::line::{self, End, MAX_OUTPUT_BYTES};
use crate::wire::shell::Size;

/// Lines that wait for a client at most: 90 KB.
const LINES: usize = 16;

/// How long output is waited for after the shell has ended, as long as somebody could write any: each time, and in all.
const OUTPUT_GRACE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// Output that is read after the shell has ended, in bytes: more than a terminal holds.
const LAST_BYTES: usize = 1024 * 1024;

/// How long a client that reads slowly may take to be told of an end that did not come from the shell.
const TELL_GRACE: Duration = Duration::from_secs(1);

/// Pause between two lines that keep alive, in milliseconds: at least, and by how much more.
const KEEP_ALIVE_MILLIS: (u64, u64) = (1000, 9000);

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The shell ended, with this status.
    Exit(i32),
    /// Its client is gone.
    Disconnected,
    /// Its time was over.
    Timeout,
    /// The engine stops.
    Stopped,
}

impl Reason {
    /// The word for the journal.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Reason::Exit(_) => "exit",
            Reason::Disconnected => "disconnected",
            Reason::Timeout => "timeout",
            Reason::Stopped => "stopped",
        }
    }

    fn end(self) -> Option<End> {
        match self {
            Reason::Exit(status) => Some(End::Exit(status)),
            Reason::Timeout => Some(End::Timeout),
            Reason::Stopped => Some(End::Stopped),
            Reason::Disconnected => None,
        }
    }
}

/// The way of input into a session.
pub(super) struct Input {
    terminal: Mutex<OwnedWritePty>,
    over: watch::Receiver<bool>,
}

/// A session whose shell runs.
pub(super) struct Session {
    leader: Leader,
    output: OwnedReadPty,
    lines: mpsc::Sender<Bytes>,
    deadline: Instant,
    tell_end: bool,
    over: watch::Sender<bool>,
}

impl Input {
    /// Writes `bytes` to the terminal, after it has got its new `size`. Whether the session is still there.
    ///
    /// # Errors
    ///
    /// The terminal takes nothing.
    pub(super) async fn write(&self, size: Option<Size>, bytes: &[u8]) -> io::Result<bool> {
        let mut over = self.over.clone();
        let write = async {
            let mut terminal = self.terminal.lock().await;
            if let Some(size) = size {
                terminal.resize(size.into()).map_err(io::Error::other)?;
            }
            terminal.write_all(bytes).await
        };
        tokio::select! {
            biased;
            _ = over.wait_for(|over| *over) => Ok(false),
            written = write => written.map(|()| true),
        }
    }
}

impl Session {
    /// A session on a terminal, until `timeout` from now at the latest; what goes into it, and the lines that come out.
    pub(super) fn new(
        started: Started,
        id: &str,
        timeout: Duration,
        tell_end: bool,
    ) -> (Session, Input, mpsc::Receiver<Bytes>) {
        let (lines, received) = mpsc::channel(LINES);
        // There is room: it is the first.
        let _ = lines.try_send(line::id(id));
        let (over, is_over) = watch::channel(false);
        let input = Input { terminal: Mutex::new(started.input), over: is_over };
        let deadline = Instant::now() + timeout;
        let (leader, output) = (started.leader, started.output);
        (Session { leader, output, lines, deadline, tell_end, over }, input, received)
    }

    /// Lives until the shell ends, its client is gone, its time is over or `stopping` completes. When this returns, no
    /// process of the session is left, but what a shell that ended by itself has left in the background.
    pub(super) async fn run(mut self, stopping: impl Future<Output = ()>) -> Reason {
        let reason = self.follow(stopping).await;
        self.over.send_replace(true);
        if let Reason::Exit(_) = reason {
            self.send_rest().await;
        }
        if let Some(end) = reason.end().filter(|_| self.tell_end) {
            // Who does not read within that time finds out by itself.
            let _ = timeout(TELL_GRACE, self.lines.send(line::end(end))).await;
        }
        // Our side of the terminal, and with it the answer, ends here.
        let Session { mut leader, output, lines, .. } = self;
        drop((output, lines));
        if !matches!(reason, Reason::Exit(_)) {
            leader.end().await;
        }
        leader.release();
        reason
    }

    async fn follow(&mut self, stopping: impl Future<Output = ()>) -> Reason {
        let mut stopping = std::pin::pin!(stopping);
        let mut buffer = [0; MAX_OUTPUT_BYTES];
        let (mut random, mut is_open) = (random(), true);
        let mut keep_alive = Instant::now() + keep_alive_after(random);
        loop {
            tokio::select! {
                biased;
                () = &mut stopping => return Reason::Stopped,
                () = self.lines.closed() => return Reason::Disconnected,
                () = sleep_until(self.deadline) => return Reason::Timeout,
                status = self.leader.ended() => return Reason::Exit(status),
                () = sleep_until(keep_alive) => {
                    // A client that has not yet read what there is needs no more of it.
                    let _ = self.lines.try_send(line::keep_alive(random));
                    random = self::random();
                    keep_alive = Instant::now() + keep_alive_after(random);
                }
                more = pass_on(&mut self.output, &self.lines, &mut buffer), if is_open => is_open = more,
            }
        }
    }

    /// Sends what the shell, and who is left of it, wrote before the end.
    async fn send_rest(&mut self) {
        let mut buffer = [0; MAX_OUTPUT_BYTES];
        let (mut patience, mut bytes) = (OUTPUT_GRACE.1, 0);
        while bytes < LAST_BYTES && !patience.is_zero() {
            let Ok(Ok(room)) = timeout_at(self.deadline, self.lines.reserve()).await else { return };
            // Only waiting for the shell's side counts: a slow client gets everything.
            let begin = Instant::now();
            match timeout(OUTPUT_GRACE.0.min(patience), self.output.read(&mut buffer)).await {
                Ok(Ok(read)) if read > 0 => {
                    room.send(line::output(&buffer[..read]));
                    bytes += read;
                }
                _ => return,
            }
            patience = patience.saturating_sub(begin.elapsed());
        }
    }
}

/// Reads once, if the client has room for it. Whether there may be more: a terminal that nobody has open any more fails.
/// Losing the future loses no output.
async fn pass_on(output: &mut OwnedReadPty, lines: &mpsc::Sender<Bytes>, buffer: &mut [u8]) -> bool {
    let Ok(room) = lines.reserve().await else { return false };
    match output.read(buffer).await {
        Ok(read) if read > 0 => {
            room.send(line::output(&buffer[..read]));
            true
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
        _ => false,
    }
}

fn keep_alive_after(random: u64) -> Duration {
    let (least, more) = KEEP_ALIVE_MILLIS;
    Duration::from_millis(least + random % more)
}

/// Hides when nothing happens, and no more than that: without randomness it is not hidden.
fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}
