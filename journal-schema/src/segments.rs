//! Which files belong to a journal: where its segments lie, and how they are named. A name says what may be one; whether it
//! is one is for the reader of its content to judge. Opens no file.

use std::ffi::OsStr;
use std::path::Path;

/// Where a journal lies, and its segments beside it.
pub fn directory_of(journal: &Path) -> &Path {
    journal.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether a file of this name in that directory may be a segment: the name goes on from the journal's own with `.` or
/// `-`, and does not end as that does: one that does is the name of another journal.
pub fn may_be_segment(journal: &Path, name: &OsStr) -> bool {
    let Some(own) = journal.file_name() else { return false };
    let rest = name.as_encoded_bytes().strip_prefix(own.as_encoded_bytes());
    let goes_on = rest.is_some_and(|rest| rest.len() > 1 && matches!(rest[0], b'.' | b'-'));
    goes_on && (journal.extension().is_none() || Path::new(name).extension() != journal.extension())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_has_the_journals_name_with_something_behind_it() {
        for (journal, name, expected) in [
            ("journal.jsonl", "journal.jsonl.1", true),
            ("/a/journal.jsonl", "journal.jsonl-20260131.gz", true),
            ("journal.jsonl", "journal.jsonl.20260131T093000.123456789Z", true),
            ("journal", "journal.1", true),
            ("journal.jsonl", "journal.jsonl", false),
            ("journal.jsonl", "journal.jsonl.", false),
            ("journal.jsonl", "journal.jsonl~", false),
            ("journal.jsonl", ".journal.jsonl.lock", false),
            ("journal.jsonl", "journal.jsonl-other.jsonl", false),
            ("journal.jsonl", "journal-20260131.jsonl", false),
            ("/", "journal.1", false),
        ] {
            assert_eq!(may_be_segment(Path::new(journal), OsStr::new(name)), expected, "{journal} {name}");
        }
    }

    #[test]
    fn a_journal_without_a_directory_lies_in_the_current_one() {
        assert_eq!(directory_of(Path::new("journal.jsonl")), Path::new("."));
        assert_eq!(directory_of(Path::new("/var/journal.jsonl")), Path::new("/var"));
    }
}
