//! Whose tokens are taken, and which: keys for Patterns and keys for shells, what this engine is called, and whether a token
//! has to be bound to it.

use settings::value::Word;

use super::keys;
use super::section::Section;
use super::value::RequestKind;

/// Which requests are accepted although they are bound to no engine, as all requests of Etcha's clients are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unbound {
    /// Pushed Patterns.
    pub push: bool,
    /// Requests for shells.
    pub shell: bool,
}

impl Default for Unbound {
    /// A Pattern may be built once and pushed to many; whoever types into a shell means one host.
    fn default() -> Unbound {
        Unbound { push: true, shell: false }
    }
}

impl Unbound {
    /// Reads `acceptUnbound`, a list. An empty one takes nothing.
    pub(super) fn read(section: &mut Section<'_>) -> Unbound {
        if !section.has(&keys::ACCEPT_UNBOUND.about) {
            return Unbound::default();
        }
        let given = section.list(&keys::ACCEPT_UNBOUND);
        let has = |request| given.contains(&Word(request));
        Unbound { push: has(RequestKind::Push), shell: has(RequestKind::Shell) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use crate::config::Config;
    use crate::wire::key::{Algorithm, VerifyKey, generate};

    #[test]
    fn shells_have_the_keys_of_patterns_unless_they_have_some_of_their_own() {
        let made =
            ["run", "web", "shell", "own"].map(|id| generate(Algorithm::Ed25519, Some(id)).unwrap().public);
        let [run, web, shell, own] = &made;
        let ids = |run_keys: serde_json::Value, source: serde_json::Value| {
            let mut web = json!({"verifyKeys": [web], "shell": {"command": "sh"}, "allowPush": true});
            web.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
            let config = Config::read(json!({"run": run_keys, "sources": {"web": web}})).unwrap();
            let ids = |keys: Vec<VerifyKey>| {
                keys.iter().map(|key| key.id().to_owned()).collect::<Vec<_>>().join(" ")
            };
            let source = &config.sources["web"];
            (ids(config.keys_of(source)), ids(config.shell_keys_of(source)))
        };
        let both = |patterns: &str, shells: &str| (patterns.to_owned(), shells.to_owned());
        assert_eq!(ids(json!({"verifyKeys": run}), json!({})), both("run web", "run web"));
        assert_eq!(ids(json!({"verifyKeys": run, "shellKeys": shell}), json!({})), both("run web", "shell"));
        assert_eq!(ids(json!({}), json!({"shellKeys": [own]})), both("web", "own"));
        assert_eq!(ids(json!({"shellKeys": shell}), json!({"shellKeys": own})), both("web", "shell own"));
    }

    #[test]
    fn what_is_taken_unbound_is_push_or_shell() {
        let wrong = Config::read(json!({"run": {"acceptUnbound": ["pull"]}})).unwrap_err();
        assert_eq!(
            wrong[0].to_string(),
            "run: `acceptUnbound` holds \"pull\"; it may hold one of `push`, `shell`"
        );
    }
}
