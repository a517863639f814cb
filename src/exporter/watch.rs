//! Watching: the hint that one of some files may have changed. It only shortens the wait for the next poll. A hint
//! proves nothing but that a look may be worth it.
//!
//! Directories are watched, not files: so neither a rotation nor a replaced file needs a new watch. A watch ends
//! silently when its directory is removed, and some file systems never report a change. So the caller also polls, and
//! calls [`Watch::refresh`] at each poll.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;

use journal_schema::segments::directory_of;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// A watch on the directories of some files, as far as there is one.
pub(crate) struct Watch {
    files: Vec<PathBuf>,
    wake: SyncSender<()>,
    watcher: Option<(RecommendedWatcher, Directories)>,
    /// The last reason why there is no watch, to log a new one only.
    trouble: Option<String>,
}

/// Which directory was found at each path: its device and inode.
type Directories = BTreeMap<PathBuf, (u64, u64)>;

impl Watch {
    /// Watches the directories of `files`, each as soon as it exists. A change is told by sending to `wake`.
    ///
    /// The sender waits while a wake-up is still to be taken. Meanwhile the kernel folds the changes that follow
    /// into one, so a busy journal costs a wake-up per round and not one per line.
    pub(crate) fn new(files: Vec<PathBuf>, wake: SyncSender<()>) -> Watch {
        let mut watch = Watch { files, wake, watcher: None, trouble: None };
        watch.refresh();
        watch
    }

    /// The files whose changes are told.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Whether changes are being told.
    pub(crate) fn is_active(&self) -> bool {
        self.watcher.is_some()
    }

    /// Watches anew if a directory is another one than the one that is watched.
    pub(crate) fn refresh(&mut self) {
        let found = directories(&self.files);
        if self.watcher.as_ref().is_some_and(|(_, watched)| *watched == found) {
            return;
        }
        self.watcher = None;
        if found.is_empty() {
            return;
        }
        match self.start(&found) {
            Ok(watcher) => {
                self.watcher = Some((watcher, found));
                self.trouble = None;
            }
            Err(error) => {
                let error = error.to_string();
                if self.trouble.as_ref() != Some(&error) {
                    let directories: Vec<_> = found.keys().collect();
                    tracing::warn!(?directories, %error, "no change notifications; polling alone");
                }
                self.trouble = Some(error);
            }
        }
    }

    fn start(&self, directories: &Directories) -> notify::Result<RecommendedWatcher> {
        let (wake, files) = (self.wake.clone(), self.files.clone());
        let tell = move |event: notify::Result<notify::Event>| {
            if is_worth_a_look(&event, &files) {
                let _ = wake.send(());
            }
        };
        let mut watcher = notify::recommended_watcher(tell)?;
        for directory in directories.keys() {
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    }
}

fn directories(files: &[PathBuf]) -> Directories {
    let found = |file: &PathBuf| {
        let directory = directory_of(file);
        let about = fs::metadata(directory).ok()?;
        Some((directory.to_owned(), (about.dev(), about.ino())))
    };
    files.iter().filter_map(found).collect()
}

/// Reading is told, too, and would have the follower wake itself for ever; and others may write beside the files.
/// Anything else is a reason to look: also an error, and the word that the kernel's queue ran over, which names no
/// file. A longer name may be a segment that was rotated away.
fn is_worth_a_look(event: &notify::Result<notify::Event>, files: &[PathBuf]) -> bool {
    let Ok(event) = event else { return true };
    if matches!(event.kind, EventKind::Access(_)) {
        return false;
    }
    let concerns = |file: &PathBuf, path: &PathBuf| match (path.file_name(), file.file_name()) {
        (Some(name), Some(file)) => name.as_encoded_bytes().starts_with(file.as_encoded_bytes()),
        _ => true,
    };
    event.paths.is_empty()
        || files.iter().any(|file| event.paths.iter().any(|path| concerns(file, path)))
        // Behind a symbolic link the file has any name.
        || files.iter().any(|file| file.is_symlink())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use notify::event::{AccessKind, Flag, ModifyKind};
    use notify::{Error, Event};

    #[test]
    fn a_queue_that_ran_over_and_an_error_are_reasons_to_look_and_reading_is_none() {
        let is_worth_a_look = |event| is_worth_a_look(&event, &["/j/journal.jsonl".into()]);
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
            is_worth_a_look(&Ok(event), std::slice::from_ref(&journal))
        };
        assert!(change("journal.jsonl") && change("journal.jsonl-1.gz"));
        assert!(!change("syslog"));
        std::os::unix::fs::symlink("syslog", &journal).unwrap();
        assert!(change("syslog"));
    }

    #[test]
    fn a_directory_that_comes_later_and_one_in_its_place_are_watched_from_the_next_refresh() {
        let root = tempfile::tempdir().unwrap();
        let (here, later) = (root.path().join("here/key"), root.path().join("later/c.pem"));
        fs::create_dir(directory_of(&here)).unwrap();
        let (wake, woken) = std::sync::mpsc::sync_channel(1);
        let mut watch = Watch::new(vec![here.clone(), later.clone()], wake);
        let told = |file: &Path| {
            fs::write(file, "new").unwrap();
            let told = woken.recv_timeout(Duration::from_secs(20)).is_ok();
            // One write is told more than once.
            while woken.recv_timeout(Duration::from_millis(100)).is_ok() {}
            told
        };
        assert!(watch.is_active() && told(&here));
        fs::create_dir(directory_of(&later)).unwrap();
        watch.refresh();
        assert!(told(&later) && told(&here));
        fs::rename(directory_of(&here), root.path().join("gone")).unwrap();
        fs::create_dir(directory_of(&here)).unwrap();
        watch.refresh();
        assert!(told(&here) && told(&later));
    }
}
