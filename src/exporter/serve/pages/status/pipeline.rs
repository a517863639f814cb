//! Whether the pipeline is healthy: the journal as it was found, and the checkpoint.

use std::fmt::Write as _;

use journal_schema::Reason;

use super::super::values::{Clock, Size, Whole};
use super::table::facts;
use crate::checkpoint::Origin;
use crate::publish::Snapshot;

/// What was read of the journal, and how it was found.
pub(super) fn journal(snapshot: &Snapshot, clock: Clock, out: &mut String) {
    let (journal, tally) = (&snapshot.journal, &snapshot.tally);
    let state = match &journal.trouble {
        None if journal.awaited => "does not exist yet".to_owned(),
        None => "<span class=\"good\">readable</span>".to_owned(),
        Some(trouble) => format!("<span class=\"bad\">cannot be read</span>: {}", Whole(trouble)),
    };
    let watched = if snapshot.watching { "reported by the file system" } else { "found by polling" };
    let mut files = format!("{}, {} rotations seen", journal.files, tally.rotations);
    if journal.unreadable > 0 {
        let _ = write!(files, ", <span class=\"bad\">{} cannot be read</span>", journal.unreadable);
    }
    facts(
        "journal",
        "Journal",
        out,
        &[
            ("State", state),
            ("Read", format!("{} lines, {}", tally.events.iter().sum::<u64>(), Size(tally.bytes))),
            ("Not read yet", Size(journal.behind).to_string()),
            ("Lines that did not count", unusable(snapshot)),
            ("Latest event", clock.at(tally.last_event).to_string()),
            ("Last look at the files", clock.at(snapshot.looked).to_string()),
            ("Files", files),
            ("Changes are", watched.to_owned()),
        ],
    );
}

fn unusable(snapshot: &Snapshot) -> String {
    let tally = &snapshot.tally;
    let mut unusable = Reason::ALL
        .iter()
        .filter(|reason| tally.rejected[**reason as usize] > 0)
        .map(|reason| format!("{} {}", tally.rejected[*reason as usize], reason.as_str().replace('_', " ")))
        .collect::<Vec<_>>();
    if tally.duplicates > 0 {
        unusable.push(format!("{} seen before", tally.duplicates));
    }
    if snapshot.journal.missing > 0 {
        unusable.push(format!("{} missing by their numbers", snapshot.journal.missing));
    }
    if unusable.is_empty() { "none".to_owned() } else { unusable.join(", ") }
}

/// What became of the checkpoints.
pub(super) fn checkpoint(snapshot: &Snapshot, clock: Clock, out: &mut String) {
    let written = &snapshot.checkpoint;
    let began = match snapshot.restored {
        Some(Origin::Current) => "the latest checkpoint",
        Some(Origin::Previous) => "the checkpoint before the latest",
        None => "an empty state, and read the whole journal",
    };
    let failures = if written.failures == 0 {
        "<span class=\"good\">none</span>".to_owned()
    } else {
        format!("<span class=\"bad\">{}</span>", written.failures)
    };
    facts(
        "checkpoint",
        "Checkpoint",
        out,
        &[
            ("Written", clock.at(written_at(snapshot)).to_string()),
            ("Size", format!("{}, written in {:.3} s", Size(written.bytes), written.seconds)),
            ("Failed writes", failures),
            ("This exporter began with", began.to_owned()),
        ],
    );
}

/// When the latest checkpoint was written, in milliseconds since 1970; 0 before the first.
#[expect(clippy::cast_possible_truncation, reason = "times of this era fit")]
pub(super) fn written_at(snapshot: &Snapshot) -> i64 {
    (snapshot.checkpoint.at * 1000.0) as i64
}
