//! Watching: the hint that something was appended. It only cuts the latency of polling; nothing is believed of it
//! but that another look may be worth it.
//!
//! The directory is watched and not the file, so that a rotation needs no new watch. A watch dies silently with its
//! directory, and on some file systems it never tells anything, so the follower polls all the same and calls
//! [`Watch::refresh`] at each poll.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::look::directory_of;

/// A watch on the journal's directory, as far as there is one.
pub(crate) struct Watch {
    journal: PathBuf,
    directory: PathBuf,
    wake: SyncSender<()>,
    watcher: Option<(RecommendedWatcher, (u64, u64))>,
    /// The last reason why there is no watch, to log a new one only.
    trouble: Option<String>,
}

impl Watch {
    /// Watches the directory of `journal`, as soon as it exists. A change is told by sending to `wake`.
    ///
    /// The sender waits while a wake-up is still to be taken. Meanwhile the kernel folds the changes that follow
    /// into one, so a busy journal costs a wake-up per round and not one per line.
    pub(crate) fn new(journal: &Path, wake: SyncSender<()>) -> Watch {
        let (journal, directory) = (journal.to_owned(), directory_of(journal).to_owned());
        let mut watch = Watch { journal, directory, wake, watcher: None, trouble: None };
        watch.refresh();
        watch
    }

    /// Whether changes are being told.
    pub(crate) fn is_active(&self) -> bool {
        self.watcher.is_some()
    }

    /// Watches anew if the directory is another one than the one that is watched.
    pub(crate) fn refresh(&mut self) {
        let identity = std::fs::metadata(&self.directory).ok().map(|data| (data.dev(), data.ino()));
        if self.watcher.as_ref().map(|(_, watched)| *watched) == identity && identity.is_some() {
            return;
        }
        self.watcher = None;
        let Some(identity) = identity else { return };
        match self.start() {
            Ok(watcher) => {
                self.watcher = Some((watcher, identity));
                self.trouble = None;
            }
            Err(error) => {
                let error = error.to_string();
                if self.trouble.as_ref() != Some(&error) {
                    tracing::warn!(directory = %self.directory.display(), %error, "no change notifications; polling alone");
                }
                self.trouble = Some(error);
            }
        }
    }

    fn start(&self) -> notify::Result<RecommendedWatcher> {
        let (wake, journal) = (self.wake.clone(), self.journal.clone());
        let tell = move |event: notify::Result<notify::Event>| {
            if is_worth_a_look(&event, &journal) {
                let _ = wake.send(());
            }
        };
        let mut watcher = notify::recommended_watcher(tell)?;
        watcher.watch(&self.directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    }
}

/// Reading is told, too, and would have the follower wake itself for ever; and others may write beside the journal.
/// Anything else is a reason to look: also an error, and the word that the kernel's queue ran over, which names no
/// file.
fn is_worth_a_look(event: &notify::Result<notify::Event>, journal: &Path) -> bool {
    let Ok(event) = event else { return true };
    if matches!(event.kind, EventKind::Access(_)) {
        return false;
    }
    let is_named_so = |path: &PathBuf| match (path.file_name(), journal.file_name()) {
        (Some(name), Some(journal)) => name.as_encoded_bytes().starts_with(journal.as_encoded_bytes()),
        _ => true,
    };
    // Behind a symbolic link the file has any name.
    event.paths.is_empty() || event.paths.iter().any(is_named_so) || journal.is_symlink()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use notify::event::{AccessKind, Flag, ModifyKind};
    use notify::{Error, Event};

    #[test]
    fn a_queue_that_ran_over_and_an_error_are_reasons_to_look_and_reading_is_none() {
        let is_worth_a_look = |event| is_worth_a_look(&event, Path::new("/j/journal.jsonl"));
        assert!(is_worth_a_look(Ok(Event::new(EventKind::Modify(ModifyKind::Any)))));
        assert!(is_worth_a_look(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan))));
        assert!(is_worth_a_look(Err(Error::generic("the queue ran over"))));
        assert!(!is_worth_a_look(Ok(Event::new(EventKind::Access(AccessKind::Any)))));
    }

    #[test]
    fn what_others_write_beside_the_journal_is_none_unless_the_journal_is_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("journal.jsonl");
        let change = |name: &str| {
            let event = Event::new(EventKind::Modify(ModifyKind::Any)).add_path(directory.path().join(name));
            is_worth_a_look(&Ok(event), &journal)
        };
        assert!(change("journal.jsonl") && change("journal.jsonl-1.gz"));
        assert!(!change("syslog"));
        std::os::unix::fs::symlink("syslog", &journal).unwrap();
        assert!(change("syslog"));
    }
}
