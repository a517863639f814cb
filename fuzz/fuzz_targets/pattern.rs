//! Any JSON as a rendered Pattern: it is one, or an error with a place and in few words; and a Pattern takes nothing away
//! from itself.
#![no_main]

use engine::pattern::Pattern;
use engine::pattern::diff::removals;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = serde_json::from_slice(bytes) else { return };
    match Pattern::read(value) {
        Ok(pattern) => {
            assert!(pattern.run.len() + pattern.build.len() > 0);
            let again = Pattern::read(pattern.rendered.clone()).expect("it was read before");
            let ids: std::collections::BTreeSet<_> = pattern.run.iter().map(|command| &command.id).collect();
            // Commands of one id are compared with the first of them.
            if ids.len() == pattern.run.len()
                && pattern.run.iter().all(|command| command.children().is_empty())
            {
                let removed = removals(&pattern.run, &again.run);
                assert!(removed.before.is_empty() && removed.after.is_empty());
            }
        }
        Err(wrong) => assert!(!wrong.place.is_empty() && !wrong.what.is_empty()),
    }
});
