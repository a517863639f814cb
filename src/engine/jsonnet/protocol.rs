//! What the engine and the child that renders say to each other: one request, one answer, each a JSON object of bounded
//! length. Neither side trusts the other: a program may have taken over the child.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Imports, JsonnetError};
use crate::values::{self, MAX_VALUES};

/// Longest request, in bytes: a program, its escapes, and a configuration.
pub(crate) const MAX_REQUEST_BYTES: u64 = 64 * 1024 * 1024;

/// Longest answer, in bytes, and so the longest JSON that a program renders to.
pub(crate) const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Messages of `std.trace` that one rendering may have.
pub const MAX_TRACES: usize = 100;

/// Longest of these, and longest error, in bytes; what is longer is cut.
pub const MAX_TEXT_BYTES: usize = 4 * 1024;

/// What is to be rendered, and what the program sees.
#[derive(Debug, Serialize, Deserialize)]
pub struct RenderRequest {
    /// The program.
    pub imports: Imports,
    /// Where its file lies; unknown for a program that came in a token.
    pub directory: Option<PathBuf>,
    /// What `getConfig` returns.
    pub config: Value,
    /// What `getEnv` sees.
    pub env: BTreeMap<String, String>,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct RenderAnswer {
    /// What the program printed with `std.trace`.
    traces: Vec<String>,
    /// The JSON, or why there is none.
    rendered: Result<Box<RawValue>, JsonnetError>,
}

/// An answer that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It is not what a child says.
    #[error("the child that renders answered something else: {0}")]
    Malformed(serde_json::Error),
    /// It holds JSON that this process does not read, such as more than 127 levels.
    #[error("it renders to JSON that cannot be read: {0}")]
    Unreadable(serde_json::Error),
    /// It holds so many values that they would take too much memory.
    #[error("it renders to more than {MAX_VALUES} values; split the Source")]
    TooMany,
}

impl RenderRequest {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn decode(bytes: &[u8]) -> Result<RenderRequest, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The bytes of a request.
    ///
    /// # Errors
    ///
    /// A path that is no UTF-8.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

impl RenderAnswer {
    /// What a rendering came to. JSON that is none is an error of the program.
    pub(crate) fn new(traces: Vec<String>, rendered: Result<String, JsonnetError>) -> RenderAnswer {
        let raw = |json: String| RawValue::from_string(json).map_err(|error| JsonnetError(error.to_string()));
        RenderAnswer { traces, rendered: rendered.and_then(raw).map_err(|error| JsonnetError(cut(&error.0))) }
    }

    /// The bytes of an answer.
    ///
    /// # Errors
    ///
    /// None that is known.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads an answer: messages of `std.trace`, and the JSON or why there is none.
    ///
    /// # Errors
    ///
    /// It is none, or its JSON is too deep or has too many values.
    pub fn decode(bytes: &[u8]) -> Result<(Vec<String>, Result<Value, JsonnetError>), AnswerError> {
        let answer: RenderAnswer = serde_json::from_slice(bytes).map_err(AnswerError::Malformed)?;
        let traces = answer.traces.iter().take(MAX_TRACES).map(|text| cut(text)).collect();
        let rendered = match answer.rendered {
            Ok(json) if !values::are_few(json.get().as_bytes()) => return Err(AnswerError::TooMany),
            Ok(json) => Ok(serde_json::from_str(json.get()).map_err(AnswerError::Unreadable)?),
            Err(error) => Err(JsonnetError(cut(&error.0))),
        };
        Ok((traces, rendered))
    }
}

/// The text, not longer than [`MAX_TEXT_BYTES`].
pub(super) fn cut(text: &str) -> String {
    match text.floor_char_boundary(MAX_TEXT_BYTES) {
        end if end < text.len() => format!("{}…", &text[..end]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let answer = RenderAnswer::new(vec!["t".to_owned()], Ok(r#"{"a":[1]}"#.to_owned()));
        let (traces, rendered) = RenderAnswer::decode(&answer.encode().unwrap()).unwrap();
        assert_eq!((traces, rendered), (vec!["t".to_owned()], Ok(json!({"a": [1]}))));
        let why = JsonnetError("why".to_owned());
        let failed = RenderAnswer::new(Vec::new(), Err(why.clone())).encode().unwrap();
        assert_eq!(RenderAnswer::decode(&failed).unwrap().1, Err(why));
    }

    #[test]
    fn answers_of_a_child_that_was_taken_over_are_errors_or_cut() {
        assert!(matches!(RenderAnswer::decode(b"panicked at"), Err(AnswerError::Malformed(_))));
        let deep = format!(r#"{{"traces":[],"rendered":{{"Ok":{}{}}}}}"#, "[".repeat(500), "]".repeat(500));
        assert!(matches!(RenderAnswer::decode(deep.as_bytes()), Err(AnswerError::Unreadable(_))));
        let many =
            format!(r#"{{"traces":[],"rendered":{{"Ok":[{}0]}}}}"#, r#"{"a":0},"#.repeat(MAX_VALUES / 2));
        assert!(matches!(RenderAnswer::decode(many.as_bytes()), Err(AnswerError::TooMany)));
        let long = json!({"traces": vec!["x"; 1000], "rendered": {"Err": "e".repeat(100_000)}});
        let (traces, rendered) = RenderAnswer::decode(long.to_string().as_bytes()).unwrap();
        assert_eq!((traces.len(), rendered.unwrap_err().0.len()), (MAX_TRACES, MAX_TEXT_BYTES + "…".len()));
    }
}
