//! Tokens of Sources: those that are pulled, and those that were kept.

use std::io;
use std::sync::Arc;

use tokio::task::{JoinError, spawn_blocking};

use super::{Base, ConfiguredSource, Current, Sources, Token, lock};
use crate::agent::pull::{FetchBudget, FetchError, Fetched};
use crate::config::Source;
use crate::config::pull_path::PullPath;
use crate::pattern::Pattern;
use crate::program::{self, ProgramError};
use crate::wire::key::VerifyKey;
use crate::wire::token::{self, Claims, TokenError};

/// Why a token is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoToken {
    /// It cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The state directory does not give it.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It cannot be trusted.
    #[error(transparent)]
    Untrusted(#[from] TokenError),
    /// It holds no Pattern that renders.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The thread that verified it broke off.
    #[error(transparent)]
    Broken(#[from] JoinError),
}

/// None of the places of a Source gave a token that is taken: each, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(|(place, why)| format!("{place}: {why}")).collect::<Vec<_>>().join("; "))]
pub(super) struct PullError(Vec<(String, NoToken)>);

impl Sources {
    /// The first token that can be fetched and trusted; nothing if the Source pulls none.
    pub(super) async fn pull(&self, configured: &ConfiguredSource) -> Result<Option<Token>, PullError> {
        let keys = Arc::new(configured.config.keys_of(configured.source()));
        let mut problems = Vec::new();
        for (index, place) in configured.source().pull_paths.iter().enumerate() {
            match configured.pull_from(index, place, &keys, &self.pulls).await {
                Ok((fetched, token)) => {
                    tracing::debug!(source = configured.name, %place, key = token.key_id, "pulled");
                    lock(&configured.state.fetched).insert(index, fetched);
                    return Ok(Some(token));
                }
                Err(why) => problems.push((place.to_string(), why)),
            }
        }
        if problems.is_empty() { Ok(None) } else { Err(PullError(problems)) }
    }

    /// Once for each configuration, takes up what the Source has from the beginning: its static Commands, or the Pattern of
    /// the token that was kept, if that can still be trusted.
    pub(super) fn restore(&self, configured: &ConfiguredSource) {
        // Held meanwhile: a run of the same Source would not know what was there.
        let mut current = lock(&configured.state.current);
        if current.generation >= configured.generation {
            return;
        }
        if current.generation > 0 {
            lock(&configured.state.fetched).clear();
        }
        *current = Current { generation: configured.generation, ..Current::default() };
        current.pattern = configured.source().commands.clone().map(Arc::new);
        if configured.source().no_restore {
            return;
        }
        match self.kept(configured) {
            Ok(None) => {}
            Ok(Some((token, pattern))) => {
                let token = Arc::new(token);
                (current.token, current.kept) = (Some(Arc::clone(&token)), Some(token));
                current.pattern = Some(Arc::new(pattern));
            }
            Err(why) => {
                let path = self.state.token_path(&configured.name);
                tracing::error!(source = configured.name, "{}: not restored: {why}", path.display());
            }
        }
        self.restore_pending(configured, &mut current);
    }

    fn kept(&self, configured: &ConfiguredSource) -> Result<Option<(Token, Pattern)>, NoToken> {
        match self.state.token(&configured.name)? {
            None => Ok(None),
            Some(text) => configured.rendered(&text).map(Some),
        }
    }

    /// What was still to do when the engine ended. What cannot be understood any more is logged and not done.
    fn restore_pending(&self, configured: &ConfiguredSource, current: &mut Current) {
        let kept = match self.state.pending(&configured.name) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::error!(source = configured.name, "what was still to do is not restored: {error}");
                return;
            }
        };
        for text in &kept.bases {
            match configured.rendered(text) {
                Ok((token, pattern)) => {
                    let (pattern, token) = (Arc::new(pattern), Some(Arc::new(token)));
                    current.bases.push(Base { pattern, token });
                }
                Err(why) => {
                    tracing::error!(
                        source = configured.name,
                        "what is still to be removed is not known: {why}"
                    );
                }
            }
        }
        current.triggers = kept.triggers.clone();
        current.kept_pending = kept;
    }
}

impl ConfiguredSource {
    /// A kept token, if it can still be trusted, and its Pattern.
    fn rendered(&self, text: &str) -> Result<(Token, Pattern), NoToken> {
        let token = verified(text, &self.config.keys_of(self.source()))?;
        let pattern = program::of_claims(&self.config, &self.name, &token.claims, &token.text)?;
        Ok((token, pattern))
    }

    /// Fetches and verifies. Verifying takes a processor for a while, so a thread does that.
    async fn pull_from(
        &self,
        index: usize,
        place: &PullPath,
        keys: &Arc<Vec<VerifyKey>>,
        room: &FetchBudget,
    ) -> Result<(Fetched, Token), NoToken> {
        let before = lock(&self.state.fetched).get(&index).cloned();
        let fetched = self.client.fetch(place, before.as_ref(), room, &self.state.reads).await?;
        let keys = Arc::clone(keys);
        let verified = spawn_blocking(move || {
            let token = verified(&fetched.text, &keys)?;
            Ok((fetched, token))
        });
        verified.await?
    }

    /// The token that is to run from now on: the pulled one, unless it says the same as the present one.
    pub(super) fn newest(&self, pulled: Option<Token>) -> Option<Arc<Token>> {
        let current = lock(&self.state.current).token.clone();
        match (pulled, current) {
            (Some(pulled), Some(current))
                if says_the_same(&pulled.claims, &current.claims, self.source()) =>
            {
                Some(current)
            }
            (Some(pulled), _) => Some(Arc::new(pulled)),
            (None, current) => current,
        }
    }
}

fn verified(text: &str, keys: &[VerifyKey]) -> Result<Token, TokenError> {
    let verified = token::verify(text, keys, program::now())?;
    Ok(Token { text: text.trim().to_owned(), claims: verified.claims, key_id: verified.key_id })
}

/// Whether a pulled token is nothing new. Its times and variables are not compared.
fn says_the_same(one: &Claims, other: &Claims, source: &Source) -> bool {
    one.build_manifest == other.build_manifest
        && one.pattern == other.pattern
        && (source.pull_ignore_version || one.version == other.version)
}
