//! Named cases: faults that a journal is known to have, and the shortest scripts that random ones came down to when
//! they found a mistake.

use super::action::{
    Action::{self, *},
    Naming::{Day, Number, Time},
    Start,
};
use super::life::World;

fn run(script: &[Action]) -> World {
    let mut world = World::new();
    world.run(script);
    world
}

/// What the reference checks at each look is not repeated here.
fn counts(world: &World) -> (u64, u128) {
    (world.follower.tally().events[0], world.follower.state().missing)
}

#[test]
fn a_writer_that_keeps_the_renamed_file_open_loses_no_line() {
    let late = [Append(0, 2), Rotate(Time), Append(0, 3), Append(1, 2), Look, Append(0, 1), Look];
    let world = run(&[&late[..], &[Reopen(0), Append(0, 4), Look]].concat());
    assert_eq!(counts(&world), (13, 0));
}

#[test]
fn a_temporary_file_renamed_into_place_is_followed() {
    let script = [Append(0, 2), Backup, Append(0, 1), Look, Restore { rename: true }, Append(0, 2)];
    assert_eq!(counts(&run(&script)), (6, 0));
}

#[test]
fn a_file_made_again_with_the_same_inode_is_another_one_whether_smaller_or_larger() {
    for lines in [1, 3, 4, 9] {
        let world = run(&[Append(0, 3), Look, Recreate(1, lines), Look, Append(1, 1)]);
        assert_eq!(counts(&world), (5 + lines as u64, 0), "{lines} lines");
    }
}

#[test]
fn two_rotations_while_stopped_are_read_in_order_and_once_though_one_is_compressed() {
    let before = [Append(0, 3), Look, Checkpoint, Append(0, 2), Rotate(Number)];
    let stopped = [Reopen(0), Append(0, 2), Rotate(Number), Compress(1), Reopen(0), Append(0, 2)];
    let world = run(&[&before[..], &stopped, &[Restart(Start::Current)]].concat());
    assert_eq!(counts(&world), (10, 0));
    assert_eq!(world.follower.tally().duplicates, 0);
}

#[test]
fn the_lines_of_a_segment_that_vanished_while_stopped_are_missing() {
    let before = [Append(0, 3), Look, Checkpoint, Rotate(Time)];
    let stopped = [Reopen(0), Append(0, 5), Rotate(Day), Reopen(0), Append(0, 1), RemoveRotated(0)];
    let world = run(&[&before[..], &stopped, &[Restart(Start::Current)]].concat());
    assert_eq!(counts(&world), (5, 5));
}

#[test]
fn a_file_cut_and_grown_past_the_old_position_between_two_looks_is_recognised() {
    for share in [0, 1, 400, 700, 999] {
        run(&[Append(0, 5), Look, Regrow(share, 1), Look, Append(1, 1)]);
    }
}

#[test]
fn copytruncate_loses_nothing_that_was_copied() {
    let once = [Append(0, 3), CopyTruncate, Append(0, 2), Look, Append(1, 1), CopyTruncate, Look];
    let world = run(&[&once[..], &once, &[Checkpoint, Restart(Start::Current)]].concat());
    assert_eq!(counts(&world), (13, 0));
}

#[test]
fn the_hole_that_copytruncate_makes_under_a_writer_with_its_own_offset_is_passed_over() {
    let script = [KeepOffset(0), Append(0, 9), Look, CopyTruncate, Append(0, 2), Look, Append(0, 1)];
    let world = run(&script);
    assert_eq!(counts(&world), (13, 0));
    assert_eq!(world.follower.tally().rejected.iter().sum::<u64>(), 1, "one run of NULs");
}

#[test]
fn a_directory_made_again_or_swapped_and_a_link_pointed_elsewhere_are_followed() {
    run(&[Append(0, 2), Look, RemakeDirectory, Reopen(0), Append(0, 2), Look]);
    run(&[
        Append(0, 2),
        Look,
        SwapDirectory,
        Look,
        Reopen(0),
        Append(0, 2),
        Look,
        RestoreDirectory,
        Append(1, 1),
    ]);
    run(&[
        Append(0, 2),
        Link(0),
        Look,
        Append(0, 2),
        Link(1),
        Look,
        Append(0, 1),
        Reopen(0),
        Append(0, 1),
        Look,
    ]);
}

#[test]
fn a_torn_line_spoils_only_itself() {
    let world = run(&[Append(0, 2), Tear(0, 500), Look, Append(0, 2), Look]);
    assert_eq!(counts(&world), (5, 0));
    assert_eq!(world.follower.tally().rejected.iter().sum::<u64>(), 1);
}

#[test]
fn an_exporter_killed_while_half_a_line_stands_there_counts_it_once() {
    let world =
        run(&[Append(0, 2), Junk(7), Look, Checkpoint, Restart(Start::Current), Look, Append(1, 2), Look]);
    assert_eq!(counts(&world), (5, 0));
}

#[test]
fn an_older_backup_put_in_place_is_noticed_and_its_new_lines_count() {
    for rename in [false, true] {
        let world = run(&[Append(0, 2), Backup, Append(0, 3), Look, Restore { rename }, Append(0, 4), Look]);
        assert_eq!(counts(&world), (10, 0));
        assert_eq!(world.follower.state().rewinds, 1);
    }
}

#[test]
fn an_older_backup_that_goes_on_with_lines_as_long_as_before_is_told_from_the_original() {
    // The last 512 bytes before the position are the same in both.
    for rename in [false, true] {
        let world =
            run(&[Append(0, 1), Backup, Long(1, 6000), Look, Restore { rename }, Long(1, 6000), Look]);
        assert_eq!(counts(&world), (4, 0));
    }
}

#[test]
fn a_copy_beside_the_journal_is_read_once_and_not_at_each_restart() {
    let copied = [Append(0, 5), Junk(1), Look, CopyBeside, Append(0, 5), Look];
    let mut world = run(&[&copied[..], &[Checkpoint, Restart(Start::Current), Look, Checkpoint]].concat());
    let once = world.follower.tally().clone();
    assert_eq!(
        (once.duplicates, once.rejected.iter().sum::<u64>()),
        (6, 1),
        "damage in a copy is no new damage"
    );
    for _ in 0..3 {
        world.run(&[Restart(Start::Current), Look, Checkpoint]);
    }
    assert_eq!(*world.follower.tally(), once);
}

#[test]
fn compressing_beside_the_original_is_waited_for_and_costs_no_second_reading() {
    let growing = [CompressPartly(0, 300), Glance, CompressPartly(0, 700), Glance, Compress(0), Look];
    let world = run(&[&[Append(0, 9), Look, Rotate(Number)][..], &growing].concat());
    assert_eq!((counts(&world), world.follower.tally().duplicates), ((10, 0), 0));
    assert_eq!(world.follower.state().unreadable, 0);
}

#[test]
fn a_compressed_file_that_was_cut_off_costs_no_line_and_shows_once_its_original_is_gone() {
    let cut = [Append(0, 9), Rotate(Number), Look, CompressPartly(0, 500), Look];
    let world = run(&cut);
    assert_eq!((counts(&world).0, world.follower.state().unreadable), (10, 0));
    let world = run(&[&cut[..], &[RemoveRotated(0), Look]].concat());
    assert_eq!((counts(&world).0, world.follower.state().unreadable), (10, 1));
}

#[test]
fn a_segment_older_than_the_first_one_read_counts_though_the_clock_was_set_back() {
    let rotated = [Rotate(Time), Clock(-3600), Recreate(1, 1), Append(0, 1), Restart(Start::Nothing)];
    assert_eq!(counts(&run(&[&rotated[..], &[CopyBeside]].concat())), (3, 0));
}

#[test]
fn a_thousand_rotations_leave_no_descriptor_behind() {
    let mut world = World::new();
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let round = [Append(0, 1), Rotate(Number), Look, Reopen(0)];
    world.run(&round);
    // Other tests run beside this one and open files, too; a leak would be a thousand.
    let before = open();
    for _ in 0..1000 {
        world.run(&round);
    }
    assert!(open() < before + 500, "{} descriptors, {before} before", open());
    assert_eq!(counts(&world), (1002, 0));
    assert!(world.follower.state().segments <= 1024);
}

#[test]
fn a_new_file_of_the_size_and_time_of_a_compressed_one_is_read() {
    // On a file system that gives the inode of the removed file to the new one.
    let world = run(&[Append(2, 1), Rotate(Time), Reopen(0), Compress(0), Append(1, 1)]);
    assert_eq!(counts(&world), (3, 0));
}

#[test]
fn a_copy_and_an_edited_file_that_end_alike_are_told_apart() {
    let world = run(&[Scripts(3), CopyBeside, Repeat, EditOut(200), Rotate(Time)]);
    assert_eq!(counts(&world), (4, 0));
}

#[test]
fn a_restored_file_beside_its_own_copy_lets_the_follower_come_to_rest() {
    let before = [Long(0, 6000), CopyBeside, Backup, Append(0, 1), Look, Restore { rename: false }];
    let world = run(&[&before[..], &[Tear(0, 0)]].concat());
    assert_eq!(counts(&world), (3, 0));
}
