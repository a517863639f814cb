//! A look at the file system: which files stand beside the journal at this moment, and which of them may have changed.
//!
//! The thin shell around [`super::segments`]. A look costs about the same for eight files as for fifty thousand. It
//! lists the directory only after a file was added or removed. It checks the active file and those that changed
//! lately each time, and the others in turn.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use journal_schema::segments::{directory_of, may_be_segment};

/// How long a listing of a directory is trusted while its modification time does not change. Not for ever: some file
/// systems do not update this time.
const LISTING_INTERVAL: Duration = Duration::from_secs(10);

/// A listing, and comparing it with what was there, take at most one part in this many of the time, however many names
/// there are.
const LISTING_COST: u32 = 500;

/// Where there are more names than this, a listing is also bounded right after something came or went ...
const MANY_NAMES: usize = 1000;

/// ... to one part in this many of the time.
const FRESH_LISTING_COST: u32 = 20;

/// Times of files come from a clock that ticks this rarely at worst, on the kernels in use.
const CLOCK_TICK: Duration = Duration::from_millis(20);

/// The same on file systems that keep whole seconds, or even ones.
const COARSE_TICK: Duration = Duration::from_secs(2);

/// Files looked at in each round. Looking at one takes about a microsecond.
const EACH_ROUND: usize = 64;

/// Of more files, so many are looked at in turn ...
const IN_TURN: usize = 500;

/// ... this often.
const TURN_INTERVAL: Duration = Duration::from_secs(1);

/// Files at one moment.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// Those that are not known to be as they were, in the order of their names, the active one first.
    pub(crate) files: Vec<Found>,
    /// Those that are gone.
    pub(crate) gone: Vec<PathBuf>,
    /// How many there are in all.
    pub(crate) total: usize,
    /// Why there is no active file, if there is none.
    pub(crate) trouble: Option<String>,
    /// Whether there is no active file.
    pub(crate) is_missing: bool,
}

/// Looks again and again.
#[derive(Debug, Default)]
pub(crate) struct Lookout {
    listings: Vec<Listing>,
    /// How long it took when directories were listed and compared last.
    listing_cost: Duration,
    /// The files beside the journal under names that go on from its own. Names in bytes: comparing paths part by part
    /// takes most of a look.
    beside: BTreeMap<OsString, Option<Stamp>>,
    /// Of these, those that are not settled, to be looked at each time.
    unsettled: BTreeSet<OsString>,
    /// Of these, those that changed last, which may change again.
    recent: Vec<OsString>,
    /// Whether `recent` is to be chosen anew.
    is_recent_stale: bool,
    /// The last one that was looked at in turn, and when.
    turn: Option<(OsString, Instant)>,
    /// The active file at the look before.
    active: Option<Stamp>,
}

/// That a directory was listed.
#[derive(Debug)]
struct Listing {
    journal: PathBuf,
    /// What the directory was like before, unless it had changed so lately that a further change might not show.
    stamp: Option<Stamp>,
    listed: Instant,
    names: Vec<OsString>,
}

/// A file that may belong to the journal.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) stamp: Stamp,
    /// Whether it stands under the journal's own name.
    pub(crate) active: bool,
    /// Whether it was found beside the journal, and not given by hand.
    pub(crate) belongs: bool,
    /// Whether it changed so short a time ago that its times may not tell another change.
    pub(crate) is_fresh: bool,
    /// Whether its front was not looked at, because it is most likely the file that it was with more behind it.
    pub(crate) is_assumed: bool,
    /// Whether it replaced another file with the same first line: an editor's work, or a backup.
    pub(crate) is_replaced: bool,
}

/// What changes when a file changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified: i128,
    changed: i128,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Stamp {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the file changed within the last tick before `now`, or after it by a clock that was set back.
    fn is_fresh(&self, now: SystemTime) -> bool {
        let is_whole = |time: i128| time % 1_000_000_000 == 0;
        let tick = if is_whole(self.modified) && is_whole(self.changed) { COARSE_TICK } else { CLOCK_TICK };
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let settled = now.saturating_sub(tick).as_nanos();
        i128::try_from(settled).is_ok_and(|settled| self.changed > settled)
    }

    pub(super) fn is_same_file(&self, other: &Stamp) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl Found {
    fn new(path: PathBuf, metadata: &Metadata, now: SystemTime) -> Found {
        let stamp = Stamp::of(metadata);
        Found {
            path,
            stamp,
            active: false,
            belongs: true,
            is_fresh: stamp.is_fresh(now),
            is_assumed: false,
            is_replaced: false,
        }
    }

    /// What the file would be compressed from, if it belongs to a journal and its name has an ending for it.
    pub(crate) fn plain(&self) -> Option<PathBuf> {
        let is_ending = self.path.extension().is_some_and(|ending| ending == "gz" || ending == "zst");
        (self.belongs && is_ending).then(|| self.path.with_extension(""))
    }
}

impl Lookout {
    /// The files of the journal at `path`, which may be a symbolic link. Those beside a link's target count, too.
    ///
    /// The active one is looked at first: whatever is found in the others then was written before they were read.
    pub(crate) fn look(&mut self, path: &Path) -> Look {
        let (mut look, now) = (Look::default(), SystemTime::now());
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => {
                look.files.push(Found { active: true, ..Found::new(path.to_owned(), &metadata, now) });
            }
            Ok(metadata) => look.trouble = Some(format!("it is {}, not a regular file", kind(&metadata))),
            Err(error) => {
                look.is_missing = error.kind() == io::ErrorKind::NotFound;
                look.trouble = Some(error.to_string());
            }
        }
        let active = look.files.first().map(|found| found.stamp);
        // Where it is another file, the former one may have got another name: that must be seen now.
        let is_another = active.zip(self.active).is_some_and(|(now, before)| !now.is_same_file(&before));
        self.active = active;
        let begin = Instant::now();
        if self.list_again(path, now, is_another) {
            self.compare_names(&mut look.gone);
            self.listing_cost = begin.elapsed();
        }
        self.look_at_those_due(&mut look, active, now);
        look.total = self.beside.len() + usize::from(active.is_some());
        look
    }

    /// A file needs no further look as long as its stamp is this one.
    pub(crate) fn settle(&mut self, path: &Path, stamp: Stamp) {
        if let Some(known) = self.beside.get_mut(path.as_os_str()) {
            *known = Some(stamp);
            self.unsettled.remove(path.as_os_str());
        }
    }

    fn look_at_those_due(&mut self, look: &mut Look, active: Option<Stamp>, now: SystemTime) {
        for path in self.due() {
            let path = PathBuf::from(path);
            let metadata = match fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() => metadata,
                // A directory is not ours, a file that vanished is no longer.
                _ => {
                    look.gone.push(path);
                    continue;
                }
            };
            let found = Found::new(path, &metadata, now);
            if active.is_some_and(|active| active.is_same_file(&found.stamp)) {
                look.gone.push(found.path);
                continue;
            }
            let Some(known) = self.beside.get_mut(found.path.as_os_str()) else { continue };
            self.is_recent_stale |= *known != Some(found.stamp);
            if *known == Some(found.stamp) && !self.unsettled.contains(found.path.as_os_str()) {
                continue;
            }
            *known = Some(found.stamp);
            self.unsettled.insert(found.path.clone().into());
            look.files.push(found);
        }
    }

    /// The files to look at now.
    fn due(&mut self) -> Vec<OsString> {
        if self.beside.len() <= EACH_ROUND {
            return self.beside.keys().cloned().collect();
        }
        if std::mem::take(&mut self.is_recent_stale) {
            let mut times: Vec<_> = self
                .beside
                .iter()
                .map(|(path, stamp)| (stamp.map_or(i128::MAX, |it| it.changed), path))
                .collect();
            let least = times.len() - EACH_ROUND;
            times.select_nth_unstable(least);
            self.recent = times[least..].iter().map(|(_, path)| (*path).clone()).collect();
        }
        let mut due = self.unsettled.clone();
        due.extend(self.recent.iter().cloned());
        if self.turn.as_ref().is_none_or(|(_, at)| at.elapsed() >= TURN_INTERVAL) {
            let after = self.turn.take().map_or(Bound::Unbounded, |(path, _)| Bound::Excluded(path));
            let turn: Vec<_> = self.beside.range((after, Bound::Unbounded)).take(IN_TURN).collect();
            // At the end of all, from the start again.
            if let (Some((last, _)), true) = (turn.last(), turn.len() == IN_TURN) {
                self.turn = Some(((*last).clone(), Instant::now()));
            } else {
                self.turn = Some((OsString::new(), Instant::now()));
            }
            due.extend(turn.into_iter().map(|(path, _)| path.clone()));
        }
        due.into_iter().collect()
    }

    /// Takes up new names, and drops those that are gone.
    fn compare_names(&mut self, gone: &mut Vec<PathBuf>) {
        let names: BTreeSet<_> = self.listings.iter().flat_map(|listing| &listing.names).collect();
        self.beside.retain(|path, _| {
            let stays = names.contains(path);
            if !stays {
                gone.push(path.into());
            }
            stays
        });
        for name in names {
            if !self.beside.contains_key(name) {
                self.beside.insert(name.clone(), None);
                self.unsettled.insert(name.clone());
            }
        }
        for path in &*gone {
            self.unsettled.remove(path.as_os_str());
        }
        self.recent.retain(|path| self.beside.contains_key(path));
        self.is_recent_stale = true;
    }

    /// Lists the directories again in which something may have come or gone; says whether there was one.
    fn list_again(&mut self, path: &Path, now: SystemTime, by_all_means: bool) -> bool {
        let mut places = vec![path.to_owned()];
        // Behind a symbolic link the segments stand beside its target.
        if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
            && let Ok(target) = fs::canonicalize(path)
        {
            places.push(target);
        }
        let before = self.listings.len();
        self.listings.retain(|listing| places.contains(&listing.journal));
        let mut again = self.listings.len() < before;
        for place in places {
            // No directory, no segments: the active file's trouble tells why.
            let stamp = fs::metadata(directory_of(&place)).ok().map(|metadata| Stamp::of(&metadata));
            let known = self.listings.iter().position(|listing| listing.journal == place);
            if let Some(known) = known {
                if !by_all_means && self.listings[known].is_good(stamp, self.listing_cost) {
                    continue;
                }
                self.listings.swap_remove(known);
            }
            let listed = Instant::now();
            let names = if stamp.is_some() { list(&place) } else { Vec::new() };
            let stamp = stamp.filter(|stamp| !stamp.is_fresh(now));
            self.listings.push(Listing { journal: place, stamp, listed, names });
            again = true;
        }
        again
    }
}

impl Listing {
    /// Whether it is still to be believed, its directory being like this now, and another listing costing so much.
    fn is_good(&self, now: Option<Stamp>, cost: Duration) -> bool {
        let age = self.listed.elapsed();
        if self.stamp.is_some() && self.stamp == now {
            return age < LISTING_INTERVAL.max(cost.saturating_mul(LISTING_COST));
        }
        // Something came or went, or may have. Where there are many names, they are not listed again for each.
        self.names.len() > MANY_NAMES && age < cost.saturating_mul(FRESH_LISTING_COST)
    }
}

/// The paths beside a journal that may be segments of it.
fn list(journal: &Path) -> Vec<OsString> {
    let Ok(entries) = fs::read_dir(directory_of(journal)) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file() || kind.is_symlink()))
        .filter(|entry| may_be_segment(journal, &entry.file_name()))
        .map(|entry| entry.path().into())
        .collect()
}

/// One file that is said to be a segment, whatever its name.
pub(crate) fn file(path: &Path) -> io::Result<Found> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other(format!("it is {}, not a regular file", kind(&metadata))));
    }
    Ok(Found { belongs: false, ..Found::new(path.to_owned(), &metadata, SystemTime::now()) })
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}
