//! The wish that work ends, as something that can be waited for beside files and processes. A pipe carries it: when
//! a [`Stopper`] asks, or all of them are gone, every [`Stop`] becomes readable.

use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Asks for the end; at the latest when the last of them is dropped.
#[derive(Clone, Debug)]
pub struct Stopper {
    end: Arc<Mutex<Option<End>>>,
}

impl Stopper {
    /// Asks for the end, once and for all.
    pub fn ask(&self) {
        // Nothing can be half done behind this lock.
        self.end.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// The writing end of the pipe.
#[derive(Debug)]
struct End(PipeWriter);

impl Drop for End {
    fn drop(&mut self) {
        // A process that is just being started holds a copy of this end for a moment, so closing alone would be seen
        // late. Should nobody read any more, nobody has to know.
        let _ = self.0.write(b".");
    }
}

/// Tells whether the end was asked for.
#[derive(Clone, Debug)]
pub struct Stop {
    reader: Arc<PipeReader>,
}

/// Both ends.
///
/// # Errors
///
/// The system gives no pipe.
pub fn pair() -> io::Result<(Stopper, Stop)> {
    let (reader, writer) = io::pipe()?;
    Ok((Stopper { end: Arc::new(Mutex::new(Some(End(writer)))) }, Stop { reader: Arc::new(reader) }))
}

impl Stop {
    /// Whether the end was asked for.
    pub fn is_asked(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits until the end is asked for, at most for `timeout`. Whether it was.
    pub fn wait(&self, timeout: Duration) -> bool {
        let mut wanted = [PollFd::new(&*self.reader, PollFlags::IN)];
        let timeout = Timespec::try_from(timeout).ok();
        // An interrupted wait was too short, which every caller can bear.
        poll(&mut wanted, timeout.as_ref()).is_ok_and(|ready| ready > 0)
    }

    /// To be waited for beside other things: readable once the end is asked for.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_end_of_the_stopper_is_seen_by_all() {
        let (stopper, stop) = pair().unwrap();
        let other = stop.clone();
        assert!(!stop.is_asked() && !other.wait(Duration::from_millis(1)));
        drop(stopper);
        assert!(stop.is_asked() && other.wait(Duration::from_secs(60)));
    }

    #[test]
    fn one_stopper_is_enough_to_ask() {
        let (stopper, stop) = pair().unwrap();
        let other = stopper.clone();
        drop(stopper);
        assert!(!stop.is_asked());
        other.clone().ask();
        assert!(stop.is_asked());
    }
}
