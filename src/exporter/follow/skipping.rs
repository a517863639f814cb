//! Files that are left out, or not read to their end: why, and that it is said once.

use std::io;

use journal_schema::compressed::Compression;
use journal_schema::segments::directory_of;

use super::look::Found;
use super::segments::Front;
use super::{Follower, JournalState, Skip, front};

impl Follower {
    /// A file beside the journal has no line of it at its front.
    pub(super) fn leave_alone(&mut self, found: &Found) -> io::Result<()> {
        if found.stamp.size == 0 {
            // It may become a segment yet.
            return Ok(());
        }
        let Some(mut content) = found.open()? else { return Ok(()) };
        if !content.is_compressed() {
            if Compression::of(&found.path).is_some() {
                self.skip(
                    found,
                    Skip::Damaged,
                    "its name says that it is compressed, its first bytes do not",
                );
            } else {
                self.skip(found, Skip::NotASegment, "no line of a journal is at its front");
            }
            return Ok(());
        }
        match content.has_any(front::FRONT_BYTES as u64) {
            Ok(true) => {
                self.skip(found, Skip::NotASegment, "no line of a journal is at the front of its content");
            }
            Ok(false) => drop(self.skipped.remove(&found.path)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                if !self.has_plain(found, None) {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
                self.skipped.remove(&found.path);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(super) fn cannot_read(&mut self, found: &Found, front: &Front, error: &io::Error) {
        let skip = Skip::of(error);
        if found.active {
            self.state.trouble = Some(error.to_string());
        }
        self.skip(found, skip, &error.to_string());
        if skip.is_lasting() {
            self.remember(found, front);
        }
        if self.failed.is_none() {
            self.failed = Some((found.path.clone(), io::Error::new(error.kind(), error.to_string())));
        } else if !found.belongs {
            tracing::warn!(file = %found.path.display(), why = %error, "a further file cannot be read, or not to its end");
        }
    }

    /// Logs why the journal cannot be read, if that is news; `before` is why the round before could not. A file that is away
    /// for a moment, while it is rotated, is none.
    pub(super) fn log_trouble(&mut self, before: Option<&String>) {
        let JournalState { trouble, awaited, .. } = &self.state;
        let now = if *awaited { Some("does not exist yet") } else { trouble.as_deref() };
        if self.logged_trouble.as_deref() == now || !*awaited && trouble.as_ref() != before {
            return;
        }
        let journal = self.journal.display();
        match now {
            Some(why) if *awaited => {
                let directory = directory_of(&self.journal);
                let is_there = directory.is_dir();
                tracing::warn!(%journal, directory_exists = is_there, "the journal {why}; waiting for it");
            }
            Some(why) => tracing::warn!(%journal, why, "the journal cannot be read"),
            None => tracing::info!(%journal, "the journal can be read"),
        }
        self.logged_trouble = now.map(str::to_owned);
    }

    /// Leaves a file out, and says why if that is news.
    pub(super) fn skip(&mut self, found: &Found, skip: Skip, why: &str) {
        let is_news = self.skipped.insert(found.path.clone(), skip) != Some(skip);
        // Of the active one, its own metric speaks; of one that was given by hand, the answer to who gave it.
        if !is_news || !found.belongs || found.active {
            return;
        }
        let file = found.path.display();
        if skip == Skip::NotASegment {
            tracing::info!(%file, why, "a file beside the journal is no segment of it; it is left alone");
        } else {
            tracing::warn!(%file, reason = skip.as_str(), why, "a segment cannot be read, or not to its end");
        }
    }
}
