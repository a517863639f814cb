//! What the child that renders Jsonnet reads, and what the engine reads from it. Whatever one side says, the other takes
//! it or refuses it, and nothing that it keeps is longer than its limit.

#![no_main]

use engine::jsonnet::protocol::{MAX_TEXT_BYTES, MAX_TRACES, RenderAnswer, RenderRequest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = RenderRequest::decode(bytes) {
        let again = RenderRequest::decode(&request.encode().unwrap()).unwrap();
        assert_eq!((again.imports, again.env), (request.imports, request.env));
    }
    if let Ok((traces, rendered)) = RenderAnswer::decode(bytes) {
        assert!(traces.len() <= MAX_TRACES);
        let error = rendered.err().map(|error| error.0).unwrap_or_default();
        let texts = traces.iter().chain([&error]);
        assert!(texts.map(String::len).max().unwrap_or_default() <= MAX_TEXT_BYTES + "…".len());
    }
});
