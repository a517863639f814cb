//! Random scripts of everything that may happen to a journal and to the exporter, against a reference that knows
//! nothing but the lines: each that was completely there at a look counts exactly once.
//!
//! * [`action`]: what a script is made of; `cases`: named scripts.
//! * [`journal`]: real files, and what is done to them.
//! * [`life`]: a follower beside the reference.
//!
//! A failure prints the shortest script that still fails; it stands here afterwards as a test of its own. A longer run:
//! `PROPTEST_CASES=100000 cargo test model`.

mod action;
mod cases;
mod journal;
mod life;

use exporter::follow::Go;
use proptest::prelude::*;

use self::action::{Action, Naming, Start};
use self::journal::WRITERS;
use self::life::World;

/// Scripts a run of whatever may happen, unless `PROPTEST_CASES` says otherwise.
const SCRIPTS: u32 = 2000;

/// Scripts a run of what happens to a journal that is kept well.
const ORDINARY_SCRIPTS: u32 = 500;

fn config(scripts: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(scripts), failure_persistence: None, ..ProptestConfig::default() }
}

fn action() -> impl Strategy<Value = Action> {
    let writer = || 0..WRITERS;
    let which = || 0usize..4;
    let share = || 0usize..1000;
    let naming = prop_oneof![Just(Naming::Time), Just(Naming::Number), Just(Naming::Day)];
    let start = prop_oneof![Just(Start::Current), Just(Start::Previous), Just(Start::Nothing)];
    let jump = prop_oneof![Just(-3600i64), Just(31_000_000), Just(-31_000_000)];
    prop_oneof![
        30 => (writer(), 1usize..5).prop_map(|(writer, lines)| Action::Append(writer, lines)),
        6 => (writer(), 0usize..9).prop_map(|(writer, what)| Action::Tell(writer, what)),
        3 => (writer(), prop_oneof![Just(600usize), Just(6000)])
            .prop_map(|(writer, bytes)| Action::Long(writer, bytes)),
        3 => (writer(), share()).prop_map(|(writer, share)| Action::Tear(writer, share)),
        5 => writer().prop_map(Action::Reopen),
        2 => writer().prop_map(Action::Replace),
        2 => writer().prop_map(Action::KeepOffset),
        10 => naming.prop_map(Action::Rotate),
        2 => Just(Action::Create),
        4 => Just(Action::CopyTruncate),
        5 => which().prop_map(Action::Compress),
        4 => (which(), share()).prop_map(|(which, share)| Action::CompressPartly(which, share)),
        3 => share().prop_map(Action::Truncate),
        3 => (share(), writer()).prop_map(|(share, writer)| Action::Regrow(share, writer)),
        2 => Just(Action::Remove),
        2 => which().prop_map(Action::RemoveRotated),
        3 => (writer(), 0usize..4).prop_map(|(writer, lines)| Action::Recreate(writer, lines)),
        1 => Just(Action::RemakeDirectory),
        1 => Just(Action::SwapDirectory),
        1 => Just(Action::RestoreDirectory),
        1 => (0usize..2).prop_map(Action::Link),
        3 => Just(Action::Backup),
        4 => any::<bool>().prop_map(|rename| Action::Restore { rename }),
        3 => Just(Action::CopyBeside),
        6 => (0usize..8).prop_map(Action::Junk),
        2 => Just(Action::Repeat),
        8 => (1usize..30).prop_map(Action::Scripts),
        3 => share().prop_map(Action::EditOut),
        2 => (1usize..9).prop_map(Action::DropFront),
        2 => share().prop_map(Action::ZeroTail),
        2 => jump.prop_map(Action::Clock),
        30 => Just(Action::Look),
        3 => Just(Action::LookInTwo),
        8 => Just(Action::Checkpoint),
        8 => start.prop_map(Action::Restart),
    ]
}

/// What happens to a journal that is kept well: one agent after another, rotation, compression, copies beside it, and
/// lines of scripts that are late. No line is lost, and all of one kind come in one order.
fn ordinary() -> impl Strategy<Value = Action> {
    let naming = prop_oneof![Just(Naming::Time), Just(Naming::Day)];
    prop_oneof![
        20 => (0usize..9).prop_map(|what| Action::Tell(0, what)),
        10 => (1..WRITERS, 1usize..4).prop_map(|(writer, lines)| Action::Append(writer, lines)),
        6 => (1usize..30).prop_map(Action::Scripts),
        // The agent opens the new file with its next line; scripts may stay on the old one for a while.
        10 => naming.prop_map(Action::Rotate),
        3 => (1..WRITERS).prop_map(Action::Reopen),
        2 => Just(Action::Replace(0)),
        4 => (0usize..4).prop_map(Action::Compress),
        3 => (0usize..4, 0usize..1000).prop_map(|(which, share)| Action::CompressPartly(which, share)),
        3 => Just(Action::CopyBeside),
        3 => (0usize..8).prop_map(Action::Junk),
        10 => Just(Action::Look),
        5 => Just(Action::Checkpoint),
        5 => prop_oneof![Just(Start::Current), Just(Start::Previous)].prop_map(Action::Restart),
    ]
}

proptest! {
    #![proptest_config(config(SCRIPTS))]

    #[test]
    fn whatever_happens_each_line_counts_once(script in prop::collection::vec(action(), 1..40)) {
        World::new().run(&script);
    }
}

proptest! {
    #![proptest_config(config(ORDINARY_SCRIPTS))]

    #[test]
    fn a_state_and_what_follows_it_add_up_to_a_replay_of_everything(
        script in prop::collection::vec(ordinary(), 1..40),
    ) {
        let mut world = World::new();
        let mut reopening = Vec::new();
        for action in script {
            let is_rotation = matches!(action, Action::Rotate(_));
            reopening.push(action);
            if is_rotation {
                reopening.push(Action::Reopen(0));
            }
        }
        world.run(&reopening);
        let mut replayed = life::fresh(&world.journal);
        replayed.round(&mut |_| Go::On);
        prop_assert_eq!(life::text(&world.follower), life::text(&replayed));
    }
}
