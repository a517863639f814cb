//! Whose tokens are taken, and which: keys for Patterns and keys for shells, what this engine is called, and whether a token
//! has to be bound to it.

use crate::fields::{Fields, Wrong};
use crate::wire::key::VerifyKey;

/// What is taken that is bound to no engine, as all is that Etcha's clients send.
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
    /// Reads `acceptUnbound`, a list.
    ///
    /// # Errors
    ///
    /// It holds something else.
    pub(crate) fn read(fields: &mut Fields) -> Result<Unbound, Wrong> {
        const KEY: &str = "acceptUnbound";
        let Some(given) = fields.strings_if_given(KEY)? else { return Ok(Unbound::default()) };
        let mut unbound = Unbound { push: false, shell: false };
        for word in given {
            match word.as_str() {
                "push" => unbound.push = true,
                "shell" => unbound.shell = true,
                _ => {
                    return Err(fields.wrong(KEY, format_args!("holds `{word}`; it may hold push and shell")));
                }
            }
        }
        Ok(unbound)
    }
}

/// Reads a list of public keys.
///
/// # Errors
///
/// One of them is none.
pub(crate) fn keys(fields: &mut Fields, key: &'static str) -> Result<Vec<VerifyKey>, Wrong> {
    let texts = fields.strings(key)?;
    texts.iter().map(|text| VerifyKey::read(text).map_err(|why| fields.wrong(key, why))).collect()
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
        assert_eq!(wrong.to_string(), "run: `acceptUnbound` holds `pull`; it may hold push and shell");
    }
}
