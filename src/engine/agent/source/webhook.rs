//! A request to a webhook path: what the Source's Commands see of it, and what they answer.

use std::sync::Arc;

use super::{NoTurn, Sources};
use crate::agent::record::{Origin, Trigger};
use crate::run::WEBHOOK_BODY;

/// The event whose output is the type of the answer.
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
    /// Its query without `?`, as [`query`] writes it.
    pub query: String,
}

/// What Commands answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HookAnswer {
    /// The body, as the script wrote it. Not empty.
    pub body: Vec<u8>,
    /// Its type, if a Command named one.
    pub content_type: Option<String>,
}

impl Sources {
    /// Runs what the Source `name` has. An answer only if the run went well and a Command gave one. Other events of the
    /// run go nowhere. The address of the caller is not recorded: anybody may call, and each would be a series of its own.
    ///
    /// # Errors
    ///
    /// Too many wait already, or its turn did not come within the time that it may run.
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
            summary.outputs.iter().find(|output| output.events.iter().any(|fired| fired == event))
        };
        let body = first(WEBHOOK_BODY).map(|output| output.body.clone()).filter(|body| !body.is_empty());
        let content_type = first(CONTENT_TYPE).map(|output| output.output.clone());
        Ok(body.map(|body| HookAnswer { body, content_type }))
    }
}

/// A query as Etcha's Commands get it: decoded, sorted by name, and encoded again as forms are.
pub(crate) fn query(sent: &str) -> String {
    let mut pairs: Vec<_> = form_urlencoded::parse(sent.as_bytes()).collect();
    // Values of one name stay in their order.
    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    // Where forms and Go differ.
    encoded.replace('*', "%2A").replace("%7E", "~")
}

#[cfg(test)]
mod tests {
    use super::query;

    #[test]
    fn a_query_is_decoded_sorted_and_encoded_again() {
        for (sent, seen) in [
            ("", ""),
            ("b=2&a=%20", "a=+&b=2"),
            ("b=2&a=1&b=1", "a=1&b=2&b=1"),
            ("flag&x=%7e*", "flag=&x=~%2A"),
            ("ü=ö&&a", "a=&%C3%BC=%C3%B6"),
        ] {
            assert_eq!(query(sent), seen, "{sent}");
        }
    }
}
