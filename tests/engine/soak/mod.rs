//! An engine among all that may happen to it, at random and side by side: pushes, webhooks, shells, reloads, servers that
//! hang, scripts that do not end, a full disk, kills. It is compared with a model all the while ([`world`]) and at the end
//! ([`verdict`]): no Source waits beyond its limit, what was answered was done once and is in the journal once, nothing is
//! left of processes, descriptors, memory and files.
//!
//! A few seconds in each run of the tests; `.ci/soak-engine` runs it for half an hour.

mod clients;
mod server;
mod verdict;
mod world;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use world::World;

/// How long it goes on, unless `ETCHA_TEST_SOAK_SECONDS` says otherwise.
const SECONDS: u64 = 30;

/// Longest pause between two things that happen to the engine as a whole.
const LONGEST_PAUSE_MS: u64 = 500;

/// Numbers that look random enough, and are the same for the same seed.
pub(super) struct Dice(u64);

impl Dice {
    /// The dice of one of several threads.
    fn of(seed: u64, thread: u64) -> Dice {
        Dice((seed ^ thread.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

#[test]
fn an_engine_among_all_that_may_happen_to_it_does_what_it_answers_once_and_leaves_nothing() {
    let seconds = std::env::var("ETCHA_TEST_SOAK_SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = std::env::var("ETCHA_TEST_SOAK_SEED").map_or(clock.as_secs(), |text| text.parse().unwrap());
    println!("ETCHA_TEST_SOAK_SEED={seed} ETCHA_TEST_SOAK_SECONDS={seconds}");
    let mut world = World::new();
    let over = AtomicBool::new(false);
    let shared = world.shared();
    let done = thread::scope(|scope| {
        let clients: Vec<_> = (0..clients::COUNT)
            .map(|number| {
                let (shared, over, dice) = (&shared, &over, Dice::of(seed, number + 1));
                scope.spawn(move || clients::go_on(number, shared, dice, over))
            })
            .collect();
        // Also if it fails: the clients end, and the test with them.
        let end = EndAtDrop(&over);
        happen(&mut world, Dice::of(seed, 0), Duration::from_secs(seconds));
        drop(end);
        clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    verdict::judge(&mut world, &done);
}

struct EndAtDrop<'a>(&'a AtomicBool);

impl Drop for EndAtDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What happens to the engine as a whole. In the last third it is not ended any more, so that one process gets old.
fn happen(world: &mut World, mut dice: Dice, time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        let is_late = begin.elapsed() > time * 2 / 3;
        match dice.roll(20) {
            0..=2 => world.reload(),
            3..=4 => world.reload_what_is_wrong(),
            5..=9 => world.server().behave(dice.roll(server::WAYS)),
            10..=12 => world.hang_a_script(),
            13..=14 => world.fill_the_disk(Duration::from_millis(dice.roll(LONGEST_PAUSE_MS))),
            15..=16 if !is_late => world.kill(),
            17 if !is_late => world.restart(),
            _ => {}
        }
        if is_late {
            world.note_memory();
        }
        world.watch(Duration::from_millis(dice.roll(LONGEST_PAUSE_MS)));
    }
}
