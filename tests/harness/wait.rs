//! Waiting for a condition with a deadline, or for as long as one holds. No other place in the tests lets time pass.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take that should take no time. Long, since a loaded machine must not fail a test; a test
/// that passes never waits for it.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks until `look` finds something. Panics with `what` once `deadline` has passed.
#[expect(clippy::disallowed_methods, reason = "the pause between two looks, in the one place that has it")]
pub(crate) fn wait_for<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < deadline, "waited {deadline:?} in vain for {what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// Looks until `condition` holds. Panics with `what` once `deadline` has passed.
pub(crate) fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(deadline, what, || condition().then_some(()));
}

/// Looks for so long that `condition` holds throughout. Panics with `what` as soon as it does not.
pub(crate) fn holds_for(time: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    wait_until(time + SOON, what, || {
        assert!(condition(), "after {:?} it was not so: {what}", begin.elapsed());
        begin.elapsed() >= time
    });
}
