//! What goes to which target: a token for each, since its variables and its name are seen by the program. Build Commands
//! run once for all targets whose programs render to the same.

use std::ffi::OsStr;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{PushError, PushOptions};
use crate::config::{Config, Target};
use crate::exec::process::RunLimits;
use crate::jsonnet::{self, Imports};
use crate::operator::build::{self, BuildError, Built};
use crate::pattern::Pattern;
use crate::program::View;
use crate::run::Step;
use crate::wire::key::SigningKey;
use crate::wire::paths;
use crate::wire::token::Claims;

/// Id of a command that is pushed without a pattern.
const COMMAND_ID: &str = "etcha push";

/// What a pattern file is called.
const ENDINGS: [&str; 3] = ["jsonnet", "json", "libsonnet"];

/// What a signed pattern is called.
const TOKEN_ENDING: &str = "jwt";

/// A push that only has to be sent.
#[derive(Debug)]
pub(super) struct Planned {
    /// Name of the target.
    pub(super) name: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    /// Path and query.
    pub(super) path: String,
    /// Name of the Source.
    pub(super) source: String,
    pub(super) claims: Claims,
    /// Signs it, once it is known who it goes to.
    pub(super) key: SigningKey,
}

/// Renders, builds and signs for every target that is meant.
pub(super) fn plan(
    config: &Config,
    push: &PushOptions<'_>,
    limits: &RunLimits,
    report: &mut dyn FnMut(&Step<'_>),
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<Planned>, PushError> {
    let mut built: Vec<(Value, Built)> = Vec::new();
    let (mut planned, mut told) = (Vec::new(), Vec::new());
    for (name, target) in targets(config, push)? {
        let argument = match (push.argument, target.source_patterns.get(push.source)) {
            (Some(argument), _) => argument,
            (None, Some(pattern)) if !pattern.is_empty() => pattern,
            (None, _) => return Err(PushError::NoPattern(name)),
        };
        let wrong = |error| PushError::Build(name.clone(), error);
        let key = config.build.signing.key().map_err(|error| wrong(BuildError::Key(error)))?;
        let Meant { imports, said } = meant(argument)?;
        if !told.contains(&said) {
            tell(&said);
            told.push(said);
        }
        let view =
            View::new(config, push.source, &Map::new()).with_all(&target.vars).with("target", name.as_str());
        let pattern = view.render(&imports).map_err(|error| wrong(BuildError::Program(error)))?;
        let mut built = built_once(config, &mut built, &pattern, limits, report).map_err(wrong)?;
        built.run_vars.extend(target.vars.clone());
        let claims = build::claims(&pattern, imports, built);
        planned.push(Planned {
            // Who names a host means that one.
            host: match push.host {
                Some(_) => target.hostname.clone(),
                None => host(&target.hostname, &config.build.push_domain_suffix),
            },
            port: push.port.unwrap_or(target.port),
            tls: !target.insecure,
            path: path(push, &target),
            source: push.source.to_owned(),
            name,
            claims,
            key: key.clone(),
        });
    }
    Ok(planned)
}

/// The targets that are meant, by name.
fn targets(config: &Config, push: &PushOptions<'_>) -> Result<Vec<(String, Target)>, PushError> {
    if let Some(host) = push.host {
        let known = config.targets.get(host).cloned();
        return Ok(vec![(host.to_owned(), known.unwrap_or_else(|| Target::new(host)))]);
    }
    let meant = |(name, target): &(&String, &Target)| {
        target.source_patterns.contains_key(push.source)
            && push.targets.is_none_or(|only| only.is_match(name))
    };
    let found: Vec<_> =
        config.targets.iter().filter(meant).map(|(name, target)| (name.clone(), target.clone())).collect();
    match (found.is_empty(), push.targets) {
        (false, _) => Ok(found),
        (true, None) => Err(PushError::NoTarget(push.source.to_owned())),
        (true, Some(_)) => Err(PushError::NoMatch(push.source.to_owned())),
    }
}

/// What an argument means.
#[derive(Debug)]
pub(super) struct Meant {
    imports: Imports,
    /// For the person who asks, before it is sent.
    pub(super) said: String,
}

/// A file that holds a Pattern is one, whatever it is called; so is whatever is called like one. All else is a command.
fn meant(argument: &str) -> Result<Meant, PushError> {
    let path = Path::new(argument);
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    if ending == TOKEN_ENDING && path.is_file() {
        return Err(PushError::Token(path.to_owned()));
    }
    // A command may end with the name of a file; a name that is mistyped has mostly one word.
    let is_named = ENDINGS.contains(&ending) && (path.is_file() || !argument.contains(char::is_whitespace));
    if is_named || (path.is_file() && is_pattern(path)) {
        let imports = Imports::of_path(path).map_err(PushError::Read)?;
        return Ok(Meant { imports, said: format!("pushing the pattern {argument}") });
    }
    let command = json!({ "run": [{ "always": true, "change": argument, "id": COMMAND_ID }] });
    let but = if path.is_file() { " (the file of this name here is no pattern)" } else { "" };
    // JSON is Jsonnet.
    Ok(Meant {
        imports: Imports::of_text(&command.to_string()),
        said: format!("pushing the command `{argument}`{but}"),
    })
}

/// Whether a file begins as a Pattern does. One that goes on as no Pattern is then an error, and never run as a command.
fn is_pattern(path: &Path) -> bool {
    let is_short = fs::metadata(path).is_ok_and(|metadata| metadata.len() <= jsonnet::imports::MAX_BYTES);
    is_short && fs::read_to_string(path).is_ok_and(|text| begins_as_program(&text))
}

/// Whether a text is an object of Jsonnet, or something that is to become one, behind comments.
fn begins_as_program(mut text: &str) -> bool {
    loop {
        text = text.trim_start().trim_start_matches('\u{feff}');
        let end = if text.starts_with("/*") {
            "*/"
        } else if text.starts_with("//") || text.starts_with('#') {
            "\n"
        } else {
            break;
        };
        text = text.split_once(end).map_or("", |(_, rest)| rest);
    }
    let words = ["local ", "import ", "function(", "(import ", "assert "];
    text.starts_with('{') || words.iter().any(|word| text.starts_with(word))
}

/// What the build Commands of `pattern` left. They run once.
fn built_once(
    config: &Config,
    known: &mut Vec<(Value, Built)>,
    pattern: &Pattern,
    limits: &RunLimits,
    report: &mut dyn FnMut(&Step<'_>),
) -> Result<Built, BuildError> {
    if let Some((_, built)) = known.iter().find(|(rendered, _)| *rendered == pattern.rendered) {
        return Ok(built.clone());
    }
    let built = build::run_commands(config, pattern, limits, report).map_err(BuildError::Failed)?;
    known.push((pattern.rendered.clone(), built.clone()));
    Ok(built)
}

fn path(push: &PushOptions<'_>, target: &Target) -> String {
    let path = push.path.map_or(target.path_push.as_str(), |path| path.trim_end_matches('/'));
    let mut query = form_urlencoded::Serializer::new(String::new());
    if push.check {
        query.append_key_only("check");
    }
    if let Some(filter) = push.filter {
        query.append_pair("filter", filter.as_str());
    }
    let (source, query) = (paths::segment(push.source), query.finish());
    if query.is_empty() { format!("{path}/{source}") } else { format!("{path}/{source}?{query}") }
}

/// Names get the domain of the configuration; addresses do not.
pub(crate) fn host(name: &str, suffix: &str) -> String {
    let address = name.trim_start_matches('[').trim_end_matches(']');
    if suffix.is_empty() || address.parse::<IpAddr>().is_ok() {
        return name.to_owned();
    }
    format!("{name}.{}", suffix.trim_start_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_begins_as_one_behind_comments_and_a_script_does_not() {
        for text in [
            "{run: []}",
            " \n{\"run\": []}",
            "\u{feff}{}",
            "// what\n# it\n/* is\n for */ local x = 1; {run: [x]}",
            "import 'x.libsonnet'",
            "(import 'x.libsonnet') + {run: []}",
            "function() {run: []}",
        ] {
            assert!(begins_as_program(text), "{text}");
        }
        for text in
            ["", "uptime", "#!/bin/sh\nexec true", "/bin/true", "# only\n", "/* open", "locale -a", "[1]"]
        {
            assert!(!begins_as_program(text), "{text}");
        }
    }

    #[test]
    fn names_get_the_domain_and_addresses_do_not() {
        let cases = [
            ("web1", ".example.org", "web1.example.org"),
            ("web1", "example.org", "web1.example.org"),
            ("web1", "", "web1"),
            ("web1.lan", "example.org", "web1.lan.example.org"),
            ("192.0.2.1", "example.org", "192.0.2.1"),
            ("[::1]", "example.org", "[::1]"),
        ];
        for (name, suffix, expected) in cases {
            assert_eq!(host(name, suffix), expected);
        }
    }
}
