//! Shells: who may open one, and which are open. A session belongs to its Source and to the key that opened it; nobody
//! else can type into it, or find out that it exists.
//!
//! What a client asks for and what comes back is in [`crate::wire`].
//!
//! * `terminal`: a process on a terminal of its own; `session`: its life.
//!
//! Knows nothing of HTTP but the type of a body: addresses, methods and the answers to what is refused are the
//! listener's matter.

mod session;
mod terminal;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use https::peer::network;
use hyper::body::{Body, Bytes, Frame};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;

use self::session::{Input, Reason, Session};
use self::terminal::StartError;
use crate::agent::guard::{Asks, Guard};
use crate::agent::record::{Refusal, ShellSession};
use crate::agent::refusals::{self, Denied};
use crate::agent::source::Sources;
use crate::agent::source::events::{Cause, System};
use crate::config::Config;
use crate::exec::Exec;
use crate::program;
use crate::wire::key::VerifyKey;
use crate::wire::shell::{Request, RequestError};

/// Sessions at once. Each holds a terminal, a thread, a task and the memory of its processes.
pub(crate) const MAX_SESSIONS: usize = 64;

/// Sessions at once from one address, or one network of IPv6, so that no client takes them all.
pub(crate) const MAX_SESSIONS_PER_ADDRESS: usize = 16;

/// The shells of an engine. Clones are the same.
#[derive(Clone)]
pub(crate) struct Shells {
    sources: Arc<Sources>,
    state: Arc<watch::Sender<State>>,
}

#[derive(Default)]
struct State {
    /// No session opens any more, and those that are open end.
    stopping: bool,
    /// An address for each session that is opening, open or ending.
    places: Vec<IpAddr>,
    open: BTreeMap<String, Arc<Open>>,
}

/// What is known of a session that is open.
struct Open {
    source: String,
    key: VerifyKey,
    input: Input,
    /// The number of the last input, where they are bound: numbers only rise, so none comes twice.
    last: Option<AtomicU64>,
}

/// A request that is to be trusted.
#[derive(Debug)]
pub(crate) struct VerifiedRequest {
    source: String,
    key: VerifyKey,
    exec: Exec,
    request: Request,
}

impl VerifiedRequest {
    /// The request `token` for the Source `name`.
    ///
    /// # Errors
    ///
    /// There is no such shell, or the token is not to be trusted. Says which.
    pub(crate) fn verify(config: &Config, name: &str, token: &str) -> Result<VerifiedRequest, Denied> {
        let none = || Denied::new(Refusal::Unknown, "there is no such source");
        let source = config.sources.get(name).ok_or_else(none)?;
        let no_shell = || Denied::new(Refusal::NotAllowed, "the source has no shell");
        let shell = source.shell.as_ref().ok_or_else(no_shell)?;
        let keys = config.shell_keys_of(source);
        let verified = Request::verify(token, &keys, program::now());
        let (request, key) = verified.map_err(|why| {
            let reason = match &why {
                RequestError::Token(error) => refusals::of_token(error),
                RequestError::Pattern | RequestError::Lasting => Refusal::NotMeant,
                RequestError::Input | RequestError::Terminal => Refusal::Malformed,
            };
            Denied::new(reason, format!("the token {why}"))
        })?;
        let exec = config.exec.with(&source.exec).with(shell);
        Ok(VerifiedRequest { source: name.to_owned(), key: key.clone(), exec, request })
    }

    /// Id of the key that verified it; empty if it has none.
    pub(crate) fn key_id(&self) -> &str {
        self.key.id()
    }

    /// The same if it is meant for the engine of `guard`.
    ///
    /// # Errors
    ///
    /// It is not. Says why.
    pub(crate) fn admitted(self, config: &Config, guard: &Guard) -> Result<VerifiedRequest, Denied> {
        let asks = if self.request.session.is_some() { Asks::Input } else { Asks::Shell };
        let token = (self.source.as_str(), self.request.bound.as_ref(), &self.key);
        let admitted = guard.admit(config, asks, token, program::now());
        admitted.map_err(|why| Denied {
            public_key: self.key.id().to_owned(),
            ..Denied::new(refusals::of_unmeant(&why), format!("the token {why}"))
        })?;
        Ok(self)
    }
}

impl Open {
    /// Whether a request comes after all that came before. One that is not bound is not asked, unless the session is.
    fn follows(&self, request: &Request) -> bool {
        let Some(last) = &self.last else { return true };
        let number = request.bound.as_ref().map_or(0, |bound| bound.number);
        last.fetch_max(number, Ordering::Relaxed) < number
    }
}

/// What came of a request.
#[derive(Debug)]
pub(crate) enum ShellAnswer {
    /// A session was opened. Its lines follow.
    Opened(Lines),
    /// The session has got its input.
    Taken,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShellRefusal {
    /// There is no such session for this key, or none any more. Says which, for the log.
    #[error("{0}")]
    NotFound(String),
    /// There are [`MAX_SESSIONS_PER_ADDRESS`] from the same address.
    #[error("{MAX_SESSIONS_PER_ADDRESS} shells are open from this address; close one")]
    TooMany,
    /// There are [`MAX_SESSIONS`], or the engine stops.
    #[error("no further shell can be opened now")]
    Busy,
    /// The shell does not start.
    #[error("the shell does not start: {0}")]
    NotStarted(#[from] StartError),
}

/// The lines of a session, as the body of an answer. Dropping it says that the client is gone.
#[derive(Debug)]
pub(crate) struct Lines(mpsc::Receiver<Bytes>);

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

impl Shells {
    /// The shells that `sources` allow. None is open.
    pub(crate) fn new(sources: Arc<Sources>) -> Shells {
        Shells { sources, state: Arc::default() }
    }

    /// Does what is asked for, from `address`. Needs a tokio runtime with time and I/O.
    ///
    /// Input is answered once the terminal has taken it. A session that opens is in the journal before this returns.
    ///
    /// # Errors
    ///
    /// It is refused, and nothing has happened.
    pub(crate) async fn answer(
        &self,
        asked: VerifiedRequest,
        address: IpAddr,
    ) -> Result<ShellAnswer, ShellRefusal> {
        match &asked.request.session {
            Some(session) => self.input(session, &asked).await,
            None => self.open(asked, address).await.map(ShellAnswer::Opened),
        }
    }

    /// Ends all sessions and opens no further one.
    pub(crate) fn stop(&self) {
        self.state.send_modify(|state| state.stopping = true);
    }

    /// Completes when no session is left and all are in the journal as closed. After [`Shells::stop`] that is soon.
    pub(crate) async fn ended(&self) {
        // It fails only without a sender, and here is one.
        let _ = self.state.subscribe().wait_for(|state| state.places.is_empty()).await;
    }

    async fn input(&self, session: &str, asked: &VerifiedRequest) -> Result<ShellAnswer, ShellRefusal> {
        let gone = |why: &str| Err(ShellRefusal::NotFound(why.to_owned()));
        let open = self.state.borrow().open.get(session).cloned();
        let Some(open) = open.filter(|open| open.source == asked.source && open.key == asked.key) else {
            return gone("this key has no such shell here");
        };
        if !open.follows(&asked.request) {
            return gone("the input was received before, or is not bound in the same way as the shell");
        }
        match open.input.write(asked.request.size, &asked.request.input).await {
            Ok(true) => Ok(ShellAnswer::Taken),
            Ok(false) => gone("the shell is over"),
            Err(error) => gone(&format!("the terminal takes nothing: {error}")),
        }
    }

    async fn open(&self, asked: VerifiedRequest, address: IpAddr) -> Result<Lines, ShellRefusal> {
        let place = Slot::take(&self.state, address)?;
        let visit = ShellSession {
            source: asked.source.clone(),
            session: new_id().map_err(StartError::from)?,
            public_key: asked.key.id().to_owned(),
            remote_addr: address.to_string(),
        };
        // A task of its own, so that nothing is left undone if this future is dropped.
        let (tell, told) = oneshot::channel();
        tokio::spawn(self.clone().live(asked, visit, place, tell));
        told.await.unwrap_or(Err(ShellRefusal::Busy))
    }

    /// Opens a session, tells how that went once it is recorded, and lives it to its end.
    async fn live(
        self,
        asked: VerifiedRequest,
        visit: ShellSession,
        place: Slot,
        tell: oneshot::Sender<Result<Lines, ShellRefusal>>,
    ) {
        let variables = BTreeMap::from([("ETCHA_SOURCE_NAME".to_owned(), visit.source.clone())]);
        let VerifiedRequest { key, exec, mut request, .. } = asked;
        let (size, of_type) = (request.size, request.terminal.take());
        let started = move || terminal::start(&exec, &variables, size, of_type.as_ref());
        let started = spawn_blocking(started).await;
        let started = match started.unwrap_or_else(|error| Err(error.into())) {
            Ok(started) => started,
            Err(why) => {
                tracing::error!(source = visit.source, "shell: does not start: {why}");
                drop(place);
                let _ = tell.send(Err(ShellRefusal::NotStarted(why)));
                return;
            }
        };
        let timeout = self.sources.config().timeout_shell;
        let (session, input, lines) = Session::new(started, &visit.session, timeout, request.tell_end);
        let visit = Arc::new(visit);
        self.state.send_modify(|state| {
            let last = request.bound.as_ref().map(|_| AtomicU64::new(0));
            let open = Open { source: visit.source.clone(), key, input, last };
            state.open.insert(visit.session.clone(), Arc::new(open));
        });
        self.record(&visit, None).await;
        tracing::info!(
            source = visit.source,
            key = visit.public_key,
            address = visit.remote_addr,
            session = visit.session,
            "shell opened"
        );
        self.send_event(&visit);
        // If whoever asked is gone already, so are the lines, and the session ends at once.
        let _ = tell.send(Ok(Lines(lines)));
        let mut state = self.state.subscribe();
        let stopping = async {
            let _ = state.wait_for(|state| state.stopping).await;
        };
        let reason = session.run(stopping).await;
        self.state.send_modify(|state| {
            state.open.remove(&visit.session);
        });
        tracing::info!(source = visit.source, session = visit.session, ?reason, "shell closed");
        self.record(&visit, Some(reason)).await;
        drop(place);
    }

    /// Sets off the Sources that receive the event of an opened shell.
    fn send_event(&self, visit: &ShellSession) {
        let cause =
            Cause { source: &visit.source, public_key: &visit.public_key, remote_addr: &visit.remote_addr };
        self.sources.send_system(System::Shell, cause, "");
    }

    /// Records the opening, or the end. A line about a shell is synced, which may take a while.
    async fn record(&self, visit: &Arc<ShellSession>, end: Option<Reason>) {
        let (sources, visit) = (Arc::clone(&self.sources), Arc::clone(visit));
        let recorded = spawn_blocking(move || match end {
            None => sources.journal().shell_opened(&visit),
            Some(reason) => sources.journal().shell_closed(&visit, reason.as_str()),
        });
        if recorded.await.is_err() {
            tracing::error!("a shell could not be recorded");
        }
    }
}

/// One of the sessions that there may be.
struct Slot {
    state: Arc<watch::Sender<State>>,
    address: IpAddr,
}

impl Slot {
    fn take(state: &Arc<watch::Sender<State>>, address: IpAddr) -> Result<Slot, ShellRefusal> {
        let mut taken = Ok(());
        state.send_if_modified(|state| {
            let of_client = network(address);
            let of_address = state.places.iter().filter(|taken| network(**taken) == of_client).count();
            taken = match () {
                () if state.stopping || state.places.len() >= MAX_SESSIONS => Err(ShellRefusal::Busy),
                () if of_address >= MAX_SESSIONS_PER_ADDRESS => Err(ShellRefusal::TooMany),
                () => {
                    state.places.push(address);
                    Ok(())
                }
            };
            taken.is_ok()
        });
        taken.map(|()| Slot { state: Arc::clone(state), address })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.state.send_modify(|state| {
            if let Some(at) = state.places.iter().position(|taken| *taken == self.address) {
                state.places.swap_remove(at);
            }
        });
    }
}

/// A random UUID, version 4.
fn new_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut id = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            id.push('-');
        }
        // Writing to memory cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    Ok(id)
}

#[cfg(test)]
mod tests;
