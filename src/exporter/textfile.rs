//! The metrics as a file for node_exporter's textfile collector, for hosts where no port may be opened. The file is
//! replaced as a whole: when something changed, and otherwise from time to time, so that its age shows that this
//! process is alive.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{IntCounter, IntGauge, Registry};

use super::exposition;
use crate::publish::{Published, Snapshot};

/// Longest time between two writes; most scrape intervals are longer. The file contains the time of the last look,
/// and node_exporter exports the time of the file itself. Both stand still when this process is dead or hangs.
const REFRESH_INTERVAL: Duration = Duration::from_secs(10);

/// Readable to everybody, as the collector's files are: it runs as another user.
const MODE: u32 = 0o644;

/// Writes the file.
#[derive(Debug)]
pub(crate) struct Textfile {
    path: PathBuf,
    published: Published,
    registry: Registry,
    writes: IntCounter,
    failures: IntCounter,
    written_at: IntGauge,
    /// The state that was written last, and when.
    last: Option<(Arc<Snapshot>, Instant)>,
    /// What was said of a failure, so that it is said once.
    told: String,
}

impl Textfile {
    /// Writes what `published` and `registry` hold to `path`; registers its own metrics there.
    ///
    /// # Errors
    ///
    /// When `registry` has metrics of these names already.
    pub(crate) fn new(
        path: &Path,
        published: Published,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let writes =
            IntCounter::new("etcha_exporter_textfile_writes_total", "How often the textfile was written.")?;
        let failures = IntCounter::new(
            "etcha_exporter_textfile_failures_total",
            "How often the textfile could not be written.",
        )?;
        let written_at = IntGauge::new(
            "etcha_exporter_textfile_timestamp_seconds",
            "When the textfile was written last; 0 before the first time.",
        )?;
        registry.register(Box::new(writes.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        registry.register(Box::new(written_at.clone()))?;
        Ok(Self {
            path: path.to_owned(),
            published,
            registry: registry.clone(),
            writes,
            failures,
            written_at,
            last: None,
            told: String::new(),
        })
    }

    /// Writes the file if what it holds is another state than the latest, or old.
    pub(crate) fn write_if_changed(&mut self) {
        let latest = self.published.latest();
        let known =
            |(last, at): &(Arc<Snapshot>, Instant)| same(last, &latest) && at.elapsed() < REFRESH_INTERVAL;
        if self.last.as_ref().is_some_and(known) {
            return;
        }
        let mut text = Vec::new();
        exposition::textfile(&latest, &self.registry.gather(), &mut text);
        match terminal::replace::file(&self.path, MODE, &text) {
            Ok(()) => {
                self.writes.inc();
                self.written_at.set(jiff::Timestamp::now().as_second());
                self.last = Some((latest, Instant::now()));
                if !self.told.is_empty() {
                    tracing::info!(file = %self.path.display(), "the textfile can be written again");
                    self.told.clear();
                }
            }
            Err(error) => {
                self.failures.inc();
                let error = error.to_string();
                if error != self.told {
                    tracing::error!(file = %self.path.display(), error, "cannot write the textfile; trying again");
                    self.told = error;
                }
            }
        }
    }
}

/// Writes the file at each `interval` if something changed. Never ends by itself.
pub(crate) async fn write_again_and_again(textfile: Arc<Mutex<Textfile>>, interval: Duration) {
    loop {
        let shared = Arc::clone(&textfile);
        let written = tokio::task::spawn_blocking(move || {
            shared.lock().unwrap_or_else(PoisonError::into_inner).write_if_changed();
        });
        if let Err(error) = written.await {
            tracing::error!(%error, "writing the textfile ended early");
        }
        tokio::time::sleep(interval).await;
    }
}

/// Whether two states show the same, but for the process and the clock.
fn same(a: &Snapshot, b: &Snapshot) -> bool {
    a.tally == b.tally
        && a.journal == b.journal
        && a.checkpoint == b.checkpoint
        && (a.caught_up, a.watching) == (b.caught_up, b.watching)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn rig(path: &Path) -> Textfile {
        Textfile::new(path, Published::default(), &Registry::new()).unwrap()
    }

    #[test]
    fn it_is_written_when_something_changed_and_left_alone_otherwise() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("etcha.prom");
        let mut textfile = rig(&path);
        textfile.write_if_changed();
        textfile.write_if_changed();
        assert_eq!(textfile.writes.get(), 1);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("\netcha_exporter_caught_up 0\n"), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        textfile.published.publish(Snapshot { caught_up: true, ..Snapshot::default() });
        textfile.write_if_changed();
        assert_eq!(textfile.writes.get(), 2);
        assert!(fs::read_to_string(&path).unwrap().contains("\netcha_exporter_caught_up 1\n"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_directory_that_is_gone_costs_nothing_but_a_count() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("later/etcha.prom");
        let mut textfile = rig(&path);
        textfile.write_if_changed();
        textfile.write_if_changed();
        assert_eq!((textfile.failures.get(), textfile.writes.get()), (2, 0));
        fs::create_dir(directory.path().join("later")).unwrap();
        textfile.write_if_changed();
        assert!(path.exists());
    }

    #[test]
    fn a_link_under_its_name_is_replaced_and_what_it_points_to_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (path, key) = (directory.path().join("etcha.prom"), directory.path().join("key"));
        fs::write(&key, "secret").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&key, &path).unwrap();
        rig(&path).write_if_changed();
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read_to_string(&key).unwrap(), "secret");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn it_is_written_again_after_a_while_though_nothing_changed_but_the_time_of_the_last_look() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("etcha.prom");
        let mut textfile = rig(&path);
        let looked = |at| Snapshot { looked: at, ..Snapshot::default() };
        textfile.published.publish(looked(1_767_225_600_000));
        textfile.write_if_changed();
        textfile.published.publish(looked(1_767_225_610_000));
        textfile.write_if_changed();
        assert_eq!(textfile.writes.get(), 1);
        if let Some((_, at)) = &mut textfile.last {
            *at -= REFRESH_INTERVAL;
        }
        textfile.write_if_changed();
        assert_eq!(textfile.writes.get(), 2);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("\netcha_exporter_last_look_timestamp_seconds 1767225610\n"), "{text}");
    }
}
