//! Replaying: segments that are given by hand, or a stream, as `render` reads them.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::look::Look;
use super::reading::{End, Reading};
use super::segments::Front;
use super::{Follower, Go, look};

impl Follower {
    /// Reads segments given by hand, each once, oldest first, whatever they are called.
    ///
    /// # Errors
    ///
    /// The first file that cannot be read. What was read before it counts.
    pub fn replay(
        &mut self,
        paths: &[PathBuf],
        between: &mut dyn FnMut(&Follower) -> Go,
    ) -> Result<(), (PathBuf, io::Error)> {
        let mut files = Vec::new();
        for path in paths {
            files.push(look::file(path).map_err(|error| (path.clone(), error))?);
        }
        let look = Look { total: files.len(), files, ..Look::default() };
        self.round_over(look, between);
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Reads a stream of plain content as if it were a segment.
    ///
    /// # Errors
    ///
    /// If the stream fails, or what it comes out of is damaged. What was read before counts.
    pub fn replay_stream(&mut self, name: &Path, content: &mut dyn Read) -> io::Result<()> {
        let key = Front::of_file(u64::MAX, u64::MAX).key;
        if let Some(version) = self.segments.begin(key, None, true) {
            let mut reading = Reading::new(key, &version, content);
            let progress = self.read_on(name, &mut reading, false, &mut |_| Go::On)?;
            if progress.end == End::Broken {
                return Err(reading.broken());
            }
        }
        Ok(())
    }
}
