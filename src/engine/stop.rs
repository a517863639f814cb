//! The wish that work ends, as something that can be waited for beside files and processes. A pipe carries it: when
//! the [`Stopper`] is gone, every [`Stop`] becomes readable.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Asks for the end when it is dropped.
#[derive(Debug)]
pub struct Stopper {
    _writer: PipeWriter,
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
    Ok((Stopper { _writer: writer }, Stop { reader: Arc::new(reader) }))
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
}
