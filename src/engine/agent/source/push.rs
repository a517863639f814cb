//! A Pattern that somebody pushes: who may, and what is said of it afterwards.

use std::fmt::Write as _;
use std::sync::Arc;

use regex::Regex;

use super::events::System;
use super::perform::{RunOptions, RunResult};
use super::{ConfiguredSource, NoTurn, Outcome, Sources, Token, lock};
use crate::agent::guard::{Asks, Guard, Unmeant};
use crate::agent::record::{self, Action, Origin, Refusal, TokenNames, Trigger};
use crate::agent::refusals::{self, Denied};
use crate::program;
use crate::run::{CommandResult, Phase};
use crate::wire::push::PushResult;
use crate::wire::token::{self, Claims, TokenError};

/// Characters that are recorded of a claim.
const MAX_NAME_CHARS: usize = 200;

/// What is said of a push that would undo a later one.
const OLDER: &str = "the pattern is older than the current one; build it again, or set `pushAllowOlder`";

/// A push that was verified.
#[derive(Debug)]
pub(crate) struct PushRequest {
    /// Name of the Source.
    pub source: String,
    /// What was pushed.
    pub token: Token,
    /// Only say what would be done. Nothing is kept, and no event fired.
    pub check: bool,
    /// Only Commands whose parents this matches.
    pub filter: Option<Regex>,
    /// IP address, without port, from which it comes.
    pub remote_addr: String,
}

/// Why a push is refused. Whoever pushed is not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PushRefusal {
    /// There is no Source of this name.
    #[error("there is no such source")]
    Unknown,
    /// The Source does not take pushes.
    #[error("the source has no `allowPush`")]
    NotAllowed,
    /// The token cannot be trusted.
    #[error("the token {0}")]
    Token(#[source] TokenError),
    /// It is not meant for this engine. With the id of the key that signed it.
    #[error("the token {0}")]
    Unmeant(#[source] Unmeant, String),
}

impl PushRefusal {
    /// The same for the journal and the log.
    pub(crate) fn denied(&self) -> Denied {
        let (reason, public_key) = match self {
            PushRefusal::Unknown => (Refusal::Unknown, ""),
            PushRefusal::NotAllowed => (Refusal::NotAllowed, ""),
            PushRefusal::Token(error) => (refusals::of_token(error), ""),
            PushRefusal::Unmeant(why, key) => (refusals::of_unmeant(why), key.as_str()),
        };
        Denied { public_key: public_key.to_owned(), ..Denied::new(reason, self.to_string()) }
    }
}

impl Sources {
    /// Whether `text` may be pushed to the Source `name` of the engine of `guard`.
    ///
    /// # Errors
    ///
    /// It may not.
    pub(crate) fn verify_push(&self, name: &str, text: &str, guard: &Guard) -> Result<Token, PushRefusal> {
        let config = self.config();
        let source = config.sources.get(name).ok_or(PushRefusal::Unknown)?;
        if !source.allow_push {
            return Err(PushRefusal::NotAllowed);
        }
        let keys = config.keys_of(source);
        let now = program::now();
        let (claims, key): (Claims, _) = token::verify_as(text, &keys, now).map_err(PushRefusal::Token)?;
        let unmeant = |why| PushRefusal::Unmeant(why, key.id().to_owned());
        guard.check_audience(&config, &claims.audience).map_err(unmeant)?;
        // The last: what is admitted is not admitted again.
        let bound = (name, claims.bound.as_ref(), key);
        guard.admit(&config, Asks::Push, bound, now).map_err(unmeant)?;
        Ok(Token { text: text.trim().to_owned(), claims, key_id: key.id().to_owned() })
    }

    /// Runs what was pushed, if its turn comes within the time that it may run. What its events set off goes on
    /// afterwards: no push waits for that.
    ///
    /// # Errors
    ///
    /// Its turn did not come in time.
    pub(crate) async fn push(self: &Arc<Self>, push: PushRequest) -> Result<PushResult, NoTurn> {
        let PushRequest { source: name, token, check, filter, remote_addr } = push;
        let Some(configured) = self.configured(&name) else { return Err(NoTurn) };
        let public_key = token.key_id.clone();
        let names = Some(Arc::new(token.names()));
        let origin = Origin { source: name, trigger: Trigger::Push, public_key, remote_addr, token: names };
        let patience = configured.config.timeout_push;
        let turn =
            configured.state.turns.take_for_push(configured.source().run_multi, patience, &self.stop).await?;
        let working = self.work.begin(origin.clone());
        let ran = self.blocking(move |sources| {
            sources.restore(&configured);
            let time = patience.min(configured.source().run_timeout);
            let options = RunOptions { check_only: check, filter, time };
            // Only now: another one may have come into force while this one waited.
            if is_older(&configured, &token.claims) {
                tracing::warn!(source = origin.source, key = origin.public_key, "push refused: {OLDER}");
                sources.older(&origin);
                return Err(OLDER);
            }
            let ran = sources.run_pattern(&configured, &origin, Some(Arc::new(token)), &options);
            drop(turn);
            Ok((configured, origin, ran))
        });
        let (configured, origin, ran) = match ran.await.unwrap_or(Err("the run broke off")) {
            Ok(ran) => ran,
            Err(why) => return Ok(PushResult { err: why.to_owned(), ..PushResult::default() }),
        };
        let result = result_of(&ran, check);
        if !check {
            self.set_off(&configured, &origin, &ran, Some(System::Push));
        }
        drop(working);
        Ok(result)
    }
}

impl Sources {
    /// Records a push that was refused because it would undo a later one. Its turn bounds how many there are.
    fn older(&self, origin: &Origin) {
        self.journal.refused(&record::Refused {
            action: Action::Push,
            reason: Refusal::Repeated,
            source: origin.source.clone(),
            public_key: origin.public_key.clone(),
            remote_addr: origin.remote_addr.clone(),
            count: 1,
        });
    }
}

/// Whether what was pushed was issued before the Pattern in force: somebody may have kept it to undo what came after.
fn is_older(configured: &ConfiguredSource, claims: &Claims) -> bool {
    if configured.source().push_allow_older {
        return false;
    }
    let in_force = lock(&configured.state.current).token.as_ref().and_then(|token| token.claims.issued);
    // A clock that was ahead must not keep out what is issued now.
    let in_force = in_force.map(|issued| issued.min(program::now()));
    in_force.is_some_and(|in_force| claims.issued.is_none_or(|issued| issued < in_force))
}

impl Token {
    /// What names it in the journal.
    fn names(&self) -> TokenNames {
        let pattern = serde_json::to_vec(&self.claims.pattern).unwrap_or_default();
        let digest = ring::digest::digest(&ring::digest::SHA256, &pattern);
        let mut hex = String::with_capacity(64);
        for byte in digest.as_ref() {
            // Writing to memory cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        TokenNames { id: beginning(&self.claims.id), subject: beginning(&self.claims.subject), digest: hex }
    }

    /// Id of the configured key that verified it; empty if that key has none.
    pub(crate) fn key_id(&self) -> &str {
        &self.key_id
    }
}

/// A claim as far as it goes into the journal, whose lines have a limit.
fn beginning(claim: &str) -> String {
    claim.chars().take(MAX_NAME_CHARS).collect()
}

/// What whoever pushed is told.
fn result_of(ran: &RunResult, check: bool) -> PushResult {
    let of = |phase: Phase| {
        let counts = move |output: &&CommandResult| {
            output.phase == phase && if check { output.needed } else { output.changed || output.removed }
        };
        let said = |output: &CommandResult| if check { &output.check_output } else { &output.output }.clone();
        let outputs = || ran.outputs.iter().filter(counts);
        let ids: Vec<_> = outputs().map(|output| output.id.clone()).collect();
        let said: Vec<_> = outputs().map(said).collect();
        (Some(ids).filter(|ids| !ids.is_empty()), Some(said).filter(|said| !said.is_empty()))
    };
    let (changed_ids, changed_outputs) = of(Phase::Change);
    let (removed_ids, removed_outputs) = of(Phase::Remove);
    let err = match (&ran.failure, ran.outcome) {
        (Some(failure), _) => failure.to_string(),
        (None, Outcome::Failed) => "the run failed".to_owned(),
        (None, Outcome::Done | Outcome::Nothing) => String::new(),
    };
    let exit = !check && ran.asks_for_exit();
    PushResult { changed_ids, changed_outputs, err, exit, removed_ids, removed_outputs }
}
