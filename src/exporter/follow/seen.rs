//! What each file was like when it was last read or skipped. So a file that did not change is not opened again, and one
//! that was removed is forgotten.

use std::path::Path;

use super::look::{Found, Stamp};
use super::segments::Front;
use super::{Follower, Go, Round, content, front};

/// What a file was like.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) stamp: Stamp,
    /// Whether the stamp would tell any change since.
    pub(super) is_settled: bool,
    pub(super) front: Front,
}

impl Seen {
    /// Whether a file is most likely this one with more behind it. Its front is then not looked at again: that the last
    /// line read still stands where it stood says as much, and is asked in any case.
    pub(super) fn goes_on_as(&self, found: &Found) -> bool {
        self.front.mark.is_some()
            && self.stamp.is_same_file(&found.stamp)
            && self.stamp.size <= found.stamp.size
            && found.plain().is_none()
    }
}

impl Follower {
    /// The files that look otherwise than when they were last read, with what their fronts say.
    pub(super) fn changed_files(
        &mut self,
        files: Vec<Found>,
        round: &mut Round,
        between: &mut dyn FnMut(&Follower) -> Go,
    ) -> Vec<(Found, Front)> {
        let mut changed = Vec::new();
        for mut found in files {
            if between(self) == Go::Stop {
                round.stopped = true;
                break;
            }
            let before = self.seen.get(&found.path);
            if before.is_some_and(|before| before.is_settled && before.stamp == found.stamp) {
                continue;
            }
            let known = before.filter(|before| before.goes_on_as(&found)).map(|before| before.front.clone());
            found.is_assumed = known.is_some();
            let nameless = Front::of_file(found.stamp.device, found.stamp.inode);
            let front = match known {
                Some(front) => Ok(Some(front)),
                // There is nothing in it, and a lock may not even be opened.
                None if found.stamp.size == 0 && !found.active => Ok(Some(nameless.clone())),
                None => {
                    let before = before.map(|before| before.front.clone());
                    let mut stop = || between(self) == Go::Stop;
                    front::front_of(&found, before.as_ref(), &mut stop)
                }
            };
            match front {
                Ok(Some(front)) => {
                    found.is_replaced = self.seen.get(&found.path).is_some_and(|before| {
                        before.front.key == front.key && !before.stamp.is_same_file(&found.stamp)
                    });
                    self.appear(&found, &front);
                    self.segments.rename(nameless.key, front.key);
                    changed.push((found, front));
                }
                Ok(None) => round.again = true,
                Err(error) if content::is_stopped(&error) => {
                    round.stopped = true;
                    break;
                }
                Err(error) => self.cannot_read(&found, &nameless, &error),
            }
        }
        changed
    }

    /// Whether a compressed file is being made from a plain one that is still there: it changes from look to look.
    /// Looking into it at each of its growths would cost more than all other reading.
    pub(super) fn is_in_the_making(&mut self, found: &Found, front: &Front) -> bool {
        self.has_plain(found, Some(front))
            && self.growing.insert(found.path.clone(), found.stamp) != Some(found.stamp)
    }

    /// Whether what a compressed file is made from is still there. A compressor removes it when it is done.
    pub(super) fn has_plain(&self, found: &Found, front: Option<&Front>) -> bool {
        let plain = found.plain().and_then(|plain| self.seen.get(&plain));
        plain.is_some_and(|plain| front.is_none_or(|front| plain.front.key == front.key))
    }

    /// The file at this path holds this segment now, whatever it held before.
    pub(super) fn appear(&mut self, found: &Found, front: &Front) {
        let before = self.seen.get(&found.path).map(|seen| seen.front.key);
        if before != Some(front.key) {
            self.is_oldest_stale = true;
            self.segments.appear(front.key);
            before.into_iter().for_each(|key| self.segments.vanish(key));
        }
        // What was read of it is known by the segment, not by the path: nothing is settled by this.
        let unsettled = Seen { stamp: found.stamp, is_settled: false, front: front.clone() };
        let seen = self.seen.entry(found.path.clone()).or_insert(unsettled);
        seen.front = front.clone();
    }

    pub(super) fn remember(&mut self, found: &Found, front: &Front) {
        let (stamp, is_settled) = (found.stamp, !found.is_fresh);
        self.appear(found, front);
        self.seen.insert(found.path.clone(), Seen { stamp, is_settled, front: front.clone() });
        if is_settled {
            self.lookout.settle(&found.path, stamp);
        }
    }

    /// What the front of a file says is to be looked at again.
    pub(super) fn forget_front(&mut self, path: &Path) {
        if let Some(seen) = self.seen.remove(path) {
            self.is_oldest_stale = true;
            self.segments.vanish(seen.front.key);
        }
    }

    /// A file is gone.
    pub(super) fn forget(&mut self, path: &Path) {
        self.forget_front(path);
        self.paused.remove(path);
        self.growing.remove(path);
        self.skipped.remove(path);
    }
}
