//! A rendered Pattern: what to run, how, and what goes into its token. Where the JSON comes from is not its matter.
//!
//! * `command`: a Command of it; [`diff`]: what a new Pattern takes away.

pub(crate) mod command;
pub mod diff;

use std::time::Duration;

use serde_json::{Map, Value};

use crate::exec::Overrides;
use crate::fields::{Fields, Wrong};
use command::Command;

/// Where `build` puts the token, unless told otherwise.
pub(crate) const DEFAULT_BUILD_OUTPUT: &str = "etcha.jwt";

/// A Pattern, decoded and checked.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Who the token is for.
    pub audience: Vec<String>,
    /// Commands for whoever builds the token.
    pub build: Vec<Command>,
    /// How they run.
    pub build_exec: Overrides,
    /// Where the token is written.
    pub build_output: String,
    /// How long the token is good; without it, for ever.
    pub expires_in: Option<Duration>,
    /// Id of the token.
    pub id: String,
    /// Who issues the token.
    pub issuer: String,
    /// Commands for the receiving instance.
    pub run: Vec<Command>,
    /// How they run.
    pub run_exec: Overrides,
    /// Variables for the receiving instance.
    pub run_vars: Map<String, Value>,
    /// What the token is about.
    pub subject: String,
    /// The JSON it was read from, for people who ask what was rendered.
    pub rendered: Value,
}

impl Pattern {
    /// Decodes a rendered Pattern.
    ///
    /// # Errors
    ///
    /// It is no Pattern, or holds a Command that cannot work, or no Command at all.
    pub fn read(value: Value) -> Result<Pattern, Wrong> {
        let rendered = value.clone();
        let mut fields = Fields::new("pattern", value)?;
        let mut number = 0;
        let mut list = |fields: &mut Fields, key| match fields.value(key) {
            None => Ok(Vec::new()),
            Some(value) => command::list(key, "", value, &mut number),
        };
        let build = list(&mut fields, "build")?;
        let run = list(&mut fields, "run")?;
        let old_expiry = fields.seconds("expiresInSec")?.filter(|expiry| !expiry.is_zero());
        let pattern = Pattern {
            audience: fields.strings("audience")?,
            build,
            build_exec: Overrides::read(fields.section("buildExec")?)?,
            build_output: fields.string("buildOutput")?.unwrap_or_else(|| DEFAULT_BUILD_OUTPUT.to_owned()),
            // The key of 2024, which Patterns still have.
            expires_in: fields.duration("expiresIn")?.or(old_expiry),
            id: fields.string("id")?.unwrap_or_default(),
            issuer: fields.string("issuer")?.unwrap_or_default(),
            run,
            run_exec: Overrides::read(fields.section("runExec")?)?,
            run_vars: fields.map("runVars")?.unwrap_or_default(),
            subject: fields.string("subject")?.unwrap_or_default(),
            rendered,
        };
        fields.end()?;
        if pattern.build.is_empty() && pattern.run.is_empty() {
            return Err(Wrong::new("pattern", "has no commands; give it a list `run` or `build`"));
        }
        Ok(pattern)
    }

    /// A Pattern that is nothing but a list of Commands to run.
    ///
    /// # Errors
    ///
    /// As [`Pattern::read`].
    pub(crate) fn of_commands(commands: Value) -> Result<Pattern, Wrong> {
        Pattern::read(Value::Object(Map::from_iter([("run".to_owned(), commands)])))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_whole_pattern_is_read() {
        let pattern = Pattern::read(json!({
            "audience": "web",
            "build": [{"id": "make", "change": "make"}],
            "expiresIn": "1h",
            "id": "i", "issuer": "me", "subject": "s",
            "run": [{"id": "a", "check": "true"}],
            "runExec": {"command": "/bin/sh -c"},
            "runVars": {"x": 1}
        }))
        .unwrap();
        assert_eq!(pattern.audience, ["web"]);
        assert_eq!((pattern.build.len(), pattern.run.len()), (1, 1));
        assert_eq!(pattern.expires_in, Some(Duration::from_secs(3600)));
        assert_eq!(pattern.build_output, DEFAULT_BUILD_OUTPUT);
    }

    #[test]
    fn the_older_key_for_an_expiry_counts_seconds() {
        let expiry = |members: Value| {
            let mut pattern = json!({"run": [{"id": "a"}]});
            pattern.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            Pattern::read(pattern).unwrap().expires_in
        };
        assert_eq!(expiry(json!({"expiresInSec": 90})), Some(Duration::from_secs(90)));
        assert_eq!(expiry(json!({"expiresInSec": 0})), None);
        assert_eq!(expiry(json!({"expiresInSec": 90, "expiresIn": "1h"})), Some(Duration::from_secs(3600)));
    }

    #[test]
    fn a_pattern_without_commands_is_refused() {
        for value in [json!({}), json!({"run": []}), json!({"run": null, "build": [[]]})] {
            assert!(Pattern::read(value).unwrap_err().to_string().contains("has no commands"));
        }
    }

    #[test]
    fn an_unknown_key_of_a_pattern_is_refused() {
        let error = Pattern::read(json!({"runs": [{"id": "a"}]})).unwrap_err().to_string();
        assert_eq!(error, "pattern: unknown key `runs`; did you mean `run`?");
    }

    /// Any JSON, with keys and values that a Pattern might have.
    fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let keys =
            ["id", "run", "build", "commands", "check", "always", "onChange", "exec", "env", "envPrefix"];
        let texts = ["", "a", "b", "(", ".*", "etcha:a", "1", "'"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            proptest::sample::select(texts.to_vec()).prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 6, move |inner| {
            let object =
                proptest::collection::vec((proptest::sample::select(keys.to_vec()), inner.clone()), 0..6);
            prop_oneof![
                proptest::collection::vec(inner, 0..6).prop_map(Value::from),
                object.prop_map(|members| members
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()),
            ]
        })
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_rendered_is_a_pattern_or_an_error_with_a_place(value in any_json()) {
            match Pattern::read(value) {
                Ok(pattern) => assert!(pattern.run.len() + pattern.build.len() > 0),
                Err(wrong) => assert!(!wrong.place.is_empty() && !wrong.what.is_empty()),
            }
        }
    }
}
