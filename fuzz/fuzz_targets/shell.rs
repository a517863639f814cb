//! Any bytes as a request for a shell, as what a right key has signed, and as a line of an answer: nothing panics, nothing
//! that was not signed is taken, and what was asked for is the same after it was signed again.
#![no_main]

mod keys;

use engine::wire::line;
use engine::wire::shell::{MAX_BYTES, Request};
use keys::{KEYS, NOW, token_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (signing, verifying) = &*KEYS;
    let keys = std::slice::from_ref(verifying);
    let _ = line::read(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(Request::verify(text, keys, NOW).is_err(), "nobody signed it");
    }
    // As claims, and as claims with an end that is near enough.
    let within = bytes.strip_prefix(b"{").map(|rest| [br#"{"exp":1700000005,"#, rest].concat());
    for claims in [Some(bytes.to_vec()), within].into_iter().flatten() {
        let token = token_of(&claims);
        let Ok((request, _)) = Request::verify(&token, keys, NOW) else { continue };
        if let Some(bound) = &request.bound {
            let _ = bound.check(std::slice::from_ref(&bound.engine), &bound.source, NOW);
        }
        let again = request.sign(signing, NOW).expect("what was read can be signed");
        assert!(again.len() <= MAX_BYTES + token.len(), "it does not grow without bound");
        assert_eq!(Request::verify(&again, keys, NOW).expect("it was just signed").0, request);
    }
});
