//! What all answers are made from, and the rules that hold for every route: who is refused and how, what works in
//! threads, who is told to come later.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use hyper::StatusCode;
use tokio::sync::Semaphore;

use super::answer::{self, Answer};
use super::bodies::Bodies;
use crate::agent::guard::Guard;
use crate::agent::record::Action;
use crate::agent::refusals::Denied;
use crate::agent::shell::Shells;
use crate::agent::source::Sources;
use https::attempts::{Attempts, Standing};
use https::{Peer, Tls};

/// Tokens that are verified at once: it takes a processor and nothing else.
const VERIFYING: usize = 4;

/// What answers are made from.
pub(crate) struct Site {
    pub(super) sources: Arc<Sources>,
    pub(super) bodies: Bodies,
    pub(super) shells: Shells,
    pub(super) guard: Arc<Guard>,
    attempts: Attempts,
    verifying: Semaphore,
}

impl Site {
    /// A site over `sources`, whose clients see the certificates of `tls`.
    pub(crate) fn new(sources: Arc<Sources>, tls: Tls) -> Site {
        Site {
            bodies: Bodies::new(sources.config().max_token_bytes),
            shells: Shells::new(Arc::clone(&sources)),
            guard: Arc::new(Guard::new(Some(tls))),
            attempts: Attempts::new(Instant::now()),
            verifying: Semaphore::new(VERIFYING),
            sources,
        }
    }

    /// Names of the Sources that have this webhook path, sorted. The configuration may have changed since the last time.
    pub(super) fn hooks(&self, path: &str) -> Vec<String> {
        let config = self.sources.config();
        let has =
            config.sources.iter().filter(|(_, source)| source.webhook_paths.iter().any(|own| own == path));
        has.map(|(name, _)| name.clone()).collect()
    }

    /// Verifies something, when one of a few threads is free for that.
    ///
    /// # Errors
    ///
    /// It panicked. The answer says nothing about it.
    pub(crate) async fn verify<T: Send + 'static>(
        &self,
        verify: impl FnOnce(&Sources) -> T + Send + 'static,
    ) -> Result<T, Answer> {
        let _one = self.verifying.acquire().await.map_err(|_| answer::busy())?;
        let sources = Arc::clone(&self.sources);
        tokio::task::spawn_blocking(move || verify(&sources)).await.map_err(|_| broken())
    }

    /// Refuses a request: 404 at first, 429 for a client that is refused again and again. Why goes into the log, as
    /// long as the client is not beyond its limit, and into the journal.
    pub(super) fn refuse(&self, peer: Option<&Peer>, asked: (Action, &str), denied: &Denied) -> Answer {
        self.refuse_with(peer, asked, denied, || answer::empty(StatusCode::NOT_FOUND))
    }

    /// The same with another answer for the first ones.
    pub(super) fn refuse_with(
        &self,
        peer: Option<&Peer>,
        (action, source): (Action, &str),
        denied: &Denied,
        first: impl FnOnce() -> Answer,
    ) -> Answer {
        let client = peer.map(|peer| peer.address().ip());
        let why = &denied.why;
        self.sources.refused(action, client, source, denied);
        // Names that nobody configured are a client's own words, and may be anything.
        let source = if self.sources.config().sources.contains_key(source) { source } else { "" };
        match self.attempts.wrong(client, Instant::now()) {
            Standing::Within => tracing::info!(client = shown(client), source, "refused: {why}"),
            Standing::Last => {
                tracing::warn!(
                    client = shown(client),
                    source,
                    "refused: {why}; further ones get 429 for a while"
                );
            }
            Standing::Beyond(rest) => return answer::too_many(rest),
        }
        first()
    }
}

/// Something went wrong that nobody outside can do anything about.
pub(super) fn broken() -> Answer {
    answer::empty(StatusCode::INTERNAL_SERVER_ERROR)
}

fn shown(client: Option<IpAddr>) -> String {
    client.map_or_else(|| "unknown".to_owned(), |client| client.to_string())
}
