//! A Pattern that somebody pushes: who may, and what is said of it afterwards.

use std::fmt;
use std::sync::Arc;

use regex::Regex;

use super::events::System;
use super::perform::{RunOptions, RunResult};
use super::{NoTurn, Outcome, Sources, Token};
use crate::agent::record::{Origin, Trigger};
use crate::program;
use crate::run::{Output, Phase};
use crate::wire::push::PushResult;
use crate::wire::token::{self, TokenError};

/// A push that was verified.
#[derive(Debug)]
pub struct Push {
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no Source of this name.
    Unknown,
    /// The Source does not take pushes.
    NotAllowed,
    /// The token cannot be trusted.
    Token(TokenError),
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Unknown => write!(out, "there is no such source"),
            Refused::NotAllowed => write!(out, "the source has no `allowPush`"),
            Refused::Token(error) => write!(out, "the token {error}"),
        }
    }
}

impl std::error::Error for Refused {}

impl Sources {
    /// Whether `text` may be pushed to the Source `name`.
    ///
    /// # Errors
    ///
    /// It may not.
    pub fn verify_push(&self, name: &str, text: &str) -> Result<Token, Refused> {
        let config = self.config();
        let source = config.sources.get(name).ok_or(Refused::Unknown)?;
        if !source.allow_push {
            return Err(Refused::NotAllowed);
        }
        let keys = config.keys_of(source);
        let verified = token::verify(text, &keys, program::now()).map_err(Refused::Token)?;
        Ok(Token { text: text.trim().to_owned(), claims: verified.claims, key_id: verified.key_id })
    }

    /// Runs what was pushed, if its turn comes within the time that it may run. What its events set off goes on
    /// afterwards: no push waits for that.
    ///
    /// # Errors
    ///
    /// Its turn did not come in time.
    pub async fn push(self: &Arc<Self>, push: Push) -> Result<PushResult, NoTurn> {
        let Push { source: name, token, check, filter, remote_addr } = push;
        let Some(bound) = self.bound(&name) else { return Err(NoTurn) };
        let public_key = token.key_id.clone();
        let origin = Origin { source: name, trigger: Trigger::Push, public_key, remote_addr };
        let patience = bound.config.timeout_push;
        let turn = bound.state.turns.take(bound.source().run_multi, Some(patience), &self.stop).await?;
        let working = self.work.begin(&bound.name);
        let ran = self.blocking(move |sources| {
            sources.restore(&bound);
            let time = patience.min(bound.source().run_timeout);
            let options = RunOptions { check_only: check, filter, time };
            let ran = sources.run_pattern(&bound, &origin, Some(Arc::new(token)), &options);
            drop(turn);
            (bound, origin, ran)
        });
        let Some((bound, origin, ran)) = ran.await else {
            return Ok(PushResult { err: "the run broke off".to_owned(), ..PushResult::default() });
        };
        let result = result_of(&ran, check);
        if !check {
            self.set_off(&bound, &origin, &ran, Some(System::Push));
        }
        drop(working);
        Ok(result)
    }
}

impl Token {
    /// Id of the configured key that verified it; empty if that key has none.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }
}

/// What whoever pushed is told.
fn result_of(ran: &RunResult, check: bool) -> PushResult {
    let of = |phase: Phase| {
        let counts = move |output: &&Output| {
            output.phase == phase && if check { output.needed } else { output.changed || output.removed }
        };
        let said = |output: &Output| if check { &output.check_output } else { &output.output }.clone();
        let outputs = || ran.outputs.iter().filter(counts);
        let ids: Vec<_> = outputs().map(|output| output.id.clone()).collect();
        let said: Vec<_> = outputs().map(said).collect();
        (Some(ids).filter(|ids| !ids.is_empty()), Some(said).filter(|said| !said.is_empty()))
    };
    let (changed_ids, changed_outputs) = of(Phase::Change);
    let (removed_ids, removed_outputs) = of(Phase::Remove);
    let err = match (&ran.failure, ran.outcome) {
        (Some(failure), _) => failure.clone(),
        (None, Outcome::Failed) => "the run failed".to_owned(),
        (None, Outcome::Done | Outcome::Nothing) => String::new(),
    };
    let exit = !check && ran.asks_for_exit();
    PushResult { changed_ids, changed_outputs, err, exit, removed_ids, removed_outputs }
}
