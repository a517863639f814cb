//! Bodies of requests, read within limits: of each one's length and time, and of what all of them take together.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a body may take from its first byte to its last. The longest, over a line of 6 Mbit/s, comes within it.
const TIME: Duration = Duration::from_secs(30);

/// What all bodies take together, in bytes, from the first byte that was read to the end of the run: eight of the
/// longest, or thousands of usual ones. One more waits, within its time.
const ROOM: usize = 128 * 1024 * 1024;

/// What is read of a body that is too long, in bytes, and thrown away: a client that is still sending when it is answered
/// would mostly see a broken connection. Who sends more does see that.
const PASSED_OVER: u64 = 64 * 1024 * 1024;

/// Room for bodies.
#[derive(Debug)]
pub(super) struct Bodies {
    /// A permit for each byte.
    room: Arc<Semaphore>,
}

/// A body, and the room that it takes.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    pub(super) room: Room,
}

/// Room that is given back when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Room {
    permits: Option<OwnedSemaphorePermit>,
}

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is longer than allowed.
    TooLong,
    /// It did not come in time, or not whole.
    Broken,
    /// There was no room in time.
    NoRoom,
}

impl Unread {
    /// For the log.
    pub(super) fn why(self) -> &'static str {
        match self {
            Unread::TooLong => "the body is too long",
            Unread::Broken => "the body did not come whole, or not in time",
            Unread::NoRoom => "there was no room for the body",
        }
    }
}

impl Bodies {
    pub(super) fn new() -> Bodies {
        Bodies { room: Arc::new(Semaphore::new(ROOM)) }
    }

    /// Reads a body of at most `limit` bytes.
    pub(super) async fn read(&self, mut body: Incoming, limit: usize) -> Result<Held, Unread> {
        let mut held = Held { bytes: Vec::new(), room: Room::default() };
        let mut waiting = false;
        let read = timeout(TIME, async {
            if body.size_hint().lower() > limit as u64 {
                return pass_over(&mut body).await;
            }
            while let Some(frame) = body.frame().await {
                let Ok(chunk) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
                if held.bytes.len() + chunk.len() > limit {
                    (held.bytes, held.room) = (Vec::new(), Room::default());
                    return pass_over(&mut body).await;
                }
                waiting = true;
                held.room.grow(&self.room, chunk.len()).await?;
                waiting = false;
                held.bytes.extend_from_slice(&chunk);
            }
            Ok(())
        });
        match read.await {
            Ok(result) => result.map(|()| held),
            Err(_) if waiting => Err(Unread::NoRoom),
            Err(_) => Err(Unread::Broken),
        }
    }
}

async fn pass_over(body: &mut Incoming) -> Result<(), Unread> {
    let mut passed = 0;
    while let Some(Ok(frame)) = body.frame().await {
        passed += frame.data_ref().map_or(0, |chunk| chunk.len() as u64);
        if passed > PASSED_OVER {
            break;
        }
    }
    Err(Unread::TooLong)
}

impl Room {
    async fn grow(&mut self, room: &Arc<Semaphore>, bytes: usize) -> Result<(), Unread> {
        let bytes = u32::try_from(bytes).map_err(|_| Unread::TooLong)?;
        let more = Arc::clone(room).acquire_many_owned(bytes).await.map_err(|_| Unread::NoRoom)?;
        match &mut self.permits {
            Some(permits) => permits.merge(more),
            None => self.permits = Some(more),
        }
        Ok(())
    }
}
