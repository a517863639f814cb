//! What a script is made of: everything that may happen to a journal and to who follows it. Does none of it.

/// What happens next. Numbers that choose among what is there count round: 5 of 3 is the third.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// A writer appends this many lines about commands. It opens the path if it has nothing open.
    Append(usize, usize),
    /// A writer appends a line about something else: 0 engine started, 1 stopped, 2 shell opened, 3 closed, 4 source.
    Tell(usize, usize),
    /// A writer appends one command with labels of this many bytes.
    Long(usize, usize),
    /// A writer writes so much of a line, in thousandths, and dies; another takes its place.
    Tear(usize, usize),
    /// A writer opens the path again at its next line; until then it may stay on a renamed file.
    Reopen(usize),
    /// A writer is replaced by a new one.
    Replace(usize),
    /// A writer that keeps an offset of its own is the only one from now on.
    KeepOffset(usize),
    /// The active file is renamed.
    Rotate(Naming),
    /// An empty active file is made.
    Create,
    /// The active file is copied and cut to nothing.
    CopyTruncate,
    /// A rotated file is compressed and removed.
    Compress(usize),
    /// A rotated file is being compressed: so much of it, in thousandths, stands beside it.
    CompressPartly(usize, usize),
    /// The active file is cut to so much, in thousandths.
    Truncate(usize),
    /// The active file is cut to so much, in thousandths, and a writer makes it longer than it was.
    Regrow(usize, usize),
    /// The active file is removed.
    Remove,
    /// A rotated file is removed.
    RemoveRotated(usize),
    /// The active file is removed and made again by a writer with this many lines, mostly with the same inode.
    Recreate(usize, usize),
    /// The directory is removed with all that is in it, and made again.
    RemakeDirectory,
    /// The directory is renamed away and an empty one made.
    SwapDirectory,
    /// The one that was renamed away comes back.
    RestoreDirectory,
    /// The active file moves to a store, or that store's file is made, and a symbolic link points there.
    Link(usize),
    /// The active file is saved elsewhere.
    Backup,
    /// What was saved is put in place of the active file, whose writers are replaced; by rename or in place.
    Restore { rename: bool },
    /// The active file is copied beside itself.
    CopyBeside,
    /// What cannot be used stands at the end of the active file.
    Junk(usize),
    /// The last line stands there once more.
    Repeat,
    /// So many scripts append a line each, every one a writer.
    Scripts(usize),
    /// A line, so far into the active file, in thousandths, is taken out by an editor, which makes a new file.
    EditOut(usize),
    /// As many lines at the front of the active file are cut off, which makes a new file.
    DropFront(usize),
    /// What stands behind so much of the active file, in thousandths, becomes NULs.
    ZeroTail(usize),
    /// The clock of the writers jumps by so many seconds.
    Clock(i64),
    /// The follower looks.
    Look,
    /// The follower looks once, and nobody compares: what is being compressed may wait for the next look.
    Glance,
    /// The follower looks, is stopped after a batch, restored, and looks again.
    LookInTwo,
    /// A checkpoint is taken.
    Checkpoint,
    /// The process is killed and another one starts.
    Restart(Start),
}

/// How a rotated file is called.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Naming {
    /// After the time, as the agent does.
    Time,
    /// `.1`, the others moving up, as logrotate does.
    Number,
    /// After the day, as logrotate does with `dateext`.
    Day,
}

/// What a process starts with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    Current,
    /// The current checkpoint is damaged: the previous one.
    Previous,
    /// There is none.
    Nothing,
}
