//! Checks a value against `journal.v1.schema.json`: the few keywords that this schema uses, and no others.
//!
//! A keyword that turns up and is not known here fails the test, so nothing in the schema goes unchecked. The three
//! patterns are spelled out as code for the same reason: an engine for regular expressions would be the largest
//! dependency of this crate.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

/// The schema file, read.
pub(crate) struct Schema {
    root: Value,
}

impl Schema {
    pub(crate) fn load() -> Schema {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("journal.v1.schema.json");
        Schema { root: serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap() }
    }

    /// The first thing that is wrong, if any.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        self.fits(self.root.as_object().unwrap(), value)
    }

    fn fits(&self, schema: &Map<String, Value>, value: &Value) -> Result<(), String> {
        for (keyword, wanted) in schema {
            let right = match keyword.as_str() {
                "$schema" | "$id" | "$defs" | "title" | "description" | "format" => true,
                "$ref" => {
                    let name = wanted.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                    self.fits(self.root["$defs"][name].as_object().unwrap(), value)?;
                    true
                }
                "type" => is_type(wanted.as_str().unwrap(), value),
                "const" => value == wanted,
                "enum" => wanted.as_array().unwrap().contains(value),
                "oneOf" => {
                    let branches = wanted.as_array().unwrap().iter();
                    branches.filter(|branch| self.fits(branch.as_object().unwrap(), value).is_ok()).count()
                        == 1
                }
                "required" => {
                    let mut names = wanted.as_array().unwrap().iter();
                    names.all(|name| value.get(name.as_str().unwrap()).is_some())
                }
                "properties" => {
                    for (name, property) in wanted.as_object().unwrap() {
                        if let Some(member) = value.get(name) {
                            let fits = self.fits(property.as_object().unwrap(), member);
                            fits.map_err(|error| format!("{name}: {error}"))?;
                        }
                    }
                    true
                }
                "minimum" => at_least(value, wanted),
                "maximum" => at_least(wanted, value),
                "pattern" => matches(wanted.as_str().unwrap(), value.as_str().unwrap_or_default()),
                other => panic!("the schema uses `{other}`, which this check does not know"),
            };
            if !right {
                return Err(keyword.clone());
            }
        }
        Ok(())
    }
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        // As JSON Schema has it, 1.0 is an integer.
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|float| float.fract() == 0.0)
        }
        other => panic!("the schema uses the type `{other}`, which this check does not know"),
    }
}

/// Integers as integers: 2^53 and the number after it are the same float.
fn at_least(larger: &Value, smaller: &Value) -> bool {
    match (larger.as_i64(), smaller.as_i64()) {
        (Some(larger), Some(smaller)) => larger >= smaller,
        _ => larger.as_f64() >= smaller.as_f64(),
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern {
        "^[0-9A-Za-z_-]{1,64}$" => {
            let mut characters = text.chars();
            (1..=64).contains(&text.len())
                && characters.all(|one| one.is_ascii_alphanumeric() || matches!(one, '_' | '-'))
        }
        r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3,}Z$" => {
            let shape: String =
                text.chars().map(|one| if one.is_ascii_digit() { 'd' } else { one }).collect();
            let digits = shape.strip_prefix("dddd-dd-ddTdd:dd:dd.").and_then(|rest| rest.strip_suffix('Z'));
            digits.is_some_and(|digits| digits.len() >= 3 && digits.bytes().all(|byte| byte == b'd'))
        }
        r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f]{0,4}){2,7}(\.[0-9]{1,3}){0,3})?$" => {
            let octet =
                |one: &str| (1..=3).contains(&one.len()) && one.bytes().all(|byte| byte.is_ascii_digit());
            let group = |one: &str| one.len() <= 4 && one.bytes().all(|byte| byte.is_ascii_hexdigit());
            let parts: Vec<_> = text.split('.').collect();
            let groups: Vec<_> = parts[0].split(':').collect();
            let version_4 = parts.len() == 4 && parts.iter().all(|one| octet(one));
            let version_6 = (3..=8).contains(&groups.len()) && groups.iter().all(|one| group(one));
            text.is_empty()
                || version_4
                || version_6 && parts.len() <= 4 && parts[1..].iter().all(|one| octet(one))
        }
        other => panic!("the schema uses the pattern `{other}`, which this check does not know"),
    }
}
