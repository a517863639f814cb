//! What all answers are made from, and the rules that hold for every route: who is refused and how, what works in
//! threads, who is told to come later.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::answer::{self, Answer};
use super::bodies::Bodies;
use super::gates::{self, Gates};
use crate::agent::shell::Shells;
use crate::agent::source::Sources;
use crate::config::Config;
use https::Peer;
use https::attempts::{Attempts, Standing};

/// Tokens that are verified at once: it takes a processor and nothing else.
const VERIFYING: usize = 4;

/// Threads for everything else: certificates, shells that begin.
const OTHER_THREADS: usize = 32;

/// What answers are made from.
pub struct Site {
    pub(super) sources: Arc<Sources>,
    pub(super) bodies: Bodies,
    pub(super) gates: Gates,
    pub(super) shells: Shells,
    /// Names of the Sources of a webhook path, sorted.
    pub(super) hooks: BTreeMap<String, Vec<String>>,
    attempts: Attempts,
    verifying: Semaphore,
}

/// Threads that may work at once.
pub(super) fn threads(config: &Config) -> usize {
    gates::total(config) + VERIFYING + OTHER_THREADS
}

impl Site {
    /// A site over `sources`.
    pub fn new(sources: Arc<Sources>) -> Site {
        let mut hooks: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, source) in &sources.config().sources {
            for path in &source.webhook_paths {
                let names = hooks.entry(path.clone()).or_default();
                if names.last() != Some(name) {
                    names.push(name.clone());
                }
            }
        }
        Site {
            bodies: Bodies::new(sources.config().max_token_bytes),
            gates: Gates::new(sources.config()),
            shells: Shells::new(Arc::clone(&sources)),
            hooks,
            attempts: Attempts::new(Instant::now()),
            verifying: Semaphore::new(VERIFYING),
            sources,
        }
    }

    /// Verifies something, when one of a few threads is free for that.
    ///
    /// # Errors
    ///
    /// It panicked. The answer says nothing about it.
    pub async fn verify<T: Send + 'static>(
        &self,
        verify: impl FnOnce(&Sources) -> T + Send + 'static,
    ) -> Result<T, Answer> {
        let _one = self.verifying.acquire().await.map_err(|_| answer::busy())?;
        let sources = Arc::clone(&self.sources);
        tokio::task::spawn_blocking(move || verify(&sources)).await.map_err(|_| broken())
    }

    /// Waits, for at most `longest`, until the Source works on few enough requests.
    pub(super) async fn pass(&self, source: &str, longest: Duration) -> Result<OwnedSemaphorePermit, Answer> {
        match timeout(longest, self.gates.pass(source)).await {
            Ok(Some(through)) => Ok(through),
            Ok(None) => Err(answer::nothing()),
            Err(_) => Err(answer::busy()),
        }
    }

    /// Refuses a request: 404 at first, 429 for a client that is refused again and again. `why` goes into the log, as
    /// long as the client is not beyond its limit.
    pub fn refuse(&self, peer: Option<&Peer>, source: &str, why: &str) -> Answer {
        self.refuse_with(peer, source, why, || answer::empty(StatusCode::NOT_FOUND))
    }

    /// The same with another answer for the first ones.
    pub(super) fn refuse_with(
        &self,
        peer: Option<&Peer>,
        source: &str,
        why: &str,
        first: impl FnOnce() -> Answer,
    ) -> Answer {
        let client = peer.map(|peer| peer.address().ip());
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
