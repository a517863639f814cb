//! A request to a webhook path: what the Source's Commands see of it, and what they answer.

use std::sync::Arc;

use super::{NoTurn, Sources};
use crate::agent::record::{Origin, Trigger};

/// Events whose output is the answer, and its type.
const BODY: &str = "webhookBody";
const CONTENT_TYPE: &str = "webhookContentType";

/// A request, as its Commands see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hook {
    /// Its body, in base64.
    pub body: String,
    /// Its headers, `Name: value` on a line each, sorted.
    pub headers: String,
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its query as it was sent, without `?`.
    pub query: String,
}

/// What Commands answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HookAnswer {
    /// The body.
    pub body: String,
    /// Its type, if a Command named one.
    pub content_type: Option<String>,
}

impl Sources {
    /// Runs what the Source `name` has. An answer only if the run went well and a Command gave one. Other events of the
    /// run go nowhere. The address of the caller is not recorded: anybody may call, and each would be a series of its own.
    ///
    /// # Errors
    ///
    /// Its turn did not come within the time that it may run.
    pub(crate) async fn webhook(
        self: &Arc<Self>,
        name: &str,
        hook: &Hook,
    ) -> Result<Option<HookAnswer>, NoTurn> {
        let origin = Origin {
            source: name.to_owned(),
            trigger: Trigger::Webhook,
            public_key: String::new(),
            remote_addr: String::new(),
            token: None,
        };
        let variables = vec![
            ("ETCHA_SOURCE_NAME", name.to_owned()),
            ("ETCHA_SOURCE_TRIGGER", "webhook".to_owned()),
            ("ETCHA_WEBHOOK_BODY", hook.body.clone()),
            ("ETCHA_WEBHOOK_HEADERS", hook.headers.clone()),
            ("ETCHA_WEBHOOK_METHOD", hook.method.clone()),
            ("ETCHA_WEBHOOK_PATH", hook.path.clone()),
            ("ETCHA_WEBHOOK_QUERY", hook.query.clone()),
        ];
        let patience = self.config().timeout_webhook;
        let ran = self.run_current(name, origin, variables, Some(patience)).await?;
        let Some(summary) = ran.filter(|summary| summary.failure.is_none()) else { return Ok(None) };
        let first = |event: &str| {
            let fired =
                summary.outputs.iter().find(|output| output.events.iter().any(|fired| fired == event));
            fired.map(|output| output.output.clone())
        };
        Ok(first(BODY).map(|body| HookAnswer { body, content_type: first(CONTENT_TYPE) }))
    }
}
