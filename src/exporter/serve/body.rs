//! Bodies for scrapes: rendered once, shared by all who ask at the same time, compressed once for all who want it so.
//! Knows no key and no route.
//!
//! Rendering and compressing take processor time, so both happen off the threads that serve connections, and one at
//! a time: whoever comes meanwhile waits for that work and then shares its result where it may.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;
use tokio::sync::{Mutex, OwnedMutexGuard};
use warp::hyper::body::Bytes;

use super::counts::Counts;
use super::gzip::Gzip;
use super::negotiation::Encoding;
use crate::exposition::{self, Format};
use crate::publish::{Published, Snapshot};

/// How long a body may be given to newcomers while the journal says nothing new. Not for ever, because the families
/// about this process change all the time; a second is below any scrape interval.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// Level of zstd: the lowest of the ordinary ones. An exposition repeats itself so much that higher ones win little
/// more, and the processor they take belongs to the host's real work.
const ZSTD_LEVEL: i32 = 1;

/// Room to reserve when nothing was rendered yet, in bytes: the families about this process fit.
const FIRST_CAPACITY: usize = 16 * 1024;

/// A body could not be made: the reason is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoBody;

/// Renders the latest published state, followed by the exporter's own families.
#[derive(Clone, Debug)]
pub(crate) struct Bodies {
    shared: Arc<Mutex<Shared>>,
}

impl Bodies {
    /// Bodies of what `published` holds and of what is registered in `registry`.
    /// Those about the exporter itself can be left out.
    pub(crate) fn new(published: Published, registry: Registry, counts: Counts, without_own: bool) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Shared {
                published,
                registry,
                counts,
                without_own,
                shared_for: SHARED_FOR,
                rendered: Vec::new(),
                lengths: Vec::new(),
                gzip: Gzip::default(),
            })),
        }
    }

    /// The body for a scrape that comes now.
    ///
    /// The state in it is never older than the moment of the call, except that an unchanged one is shared for up to
    /// a second.
    ///
    /// # Errors
    ///
    /// When rendering or compressing failed.
    pub(crate) async fn get(&self, format: Format, encoding: Encoding) -> Result<Bytes, NoBody> {
        let asked = Instant::now();
        let shared = Arc::clone(&self.shared).lock_owned().await;
        if let Some(bytes) = shared.at_hand(asked, format, encoding) {
            return Ok(bytes);
        }
        // The lock goes with the work: when the client leaves, the work is still finished once and shared.
        tokio::task::spawn_blocking(move || make(shared, asked, format, encoding)).await.unwrap_or_else(
            |error| {
                tracing::error!(%error, "rendering stopped early");
                Err(NoBody)
            },
        )
    }
}

#[derive(Debug)]
struct Shared {
    published: Published,
    registry: Registry,
    counts: Counts,
    without_own: bool,
    shared_for: Duration,
    /// Bodies that may still serve, at most one of each format.
    rendered: Vec<Rendered>,
    /// How long the latest body of each format was, in bytes.
    lengths: Vec<(Format, usize)>,
    gzip: Gzip,
}

#[derive(Debug)]
struct Rendered {
    format: Format,
    generation: u64,
    /// When rendering began: the state in it is of that moment.
    began: Instant,
    plain: Bytes,
    gzip: Option<Bytes>,
    zstd: Option<Bytes>,
}

impl Rendered {
    /// Whether a scrape that came at `asked` may have this, while the latest state is `latest` and an unchanged one
    /// is shared for `shared_for`.
    fn serves(&self, asked: Instant, latest: &Snapshot, shared_for: Duration) -> bool {
        self.began >= asked || (self.generation == latest.generation && self.began.elapsed() < shared_for)
    }
}

impl Shared {
    /// What can be given without work.
    fn at_hand(&self, asked: Instant, format: Format, encoding: Encoding) -> Option<Bytes> {
        let latest = self.published.latest();
        let rendered = self.rendered.iter().find(|it| it.format == format)?;
        if !rendered.serves(asked, &latest, self.shared_for) {
            return None;
        }
        match encoding {
            Encoding::Identity => Some(rendered.plain.clone()),
            Encoding::Gzip => rendered.gzip.clone(),
            Encoding::Zstd => rendered.zstd.clone(),
        }
    }

    fn render(&mut self, format: Format) -> Rendered {
        let began = Instant::now();
        let latest = self.published.latest();
        // A body is about as long as the one before it; the eighth is for what came since.
        let before = self.lengths.iter().find(|(known, _)| *known == format);
        let capacity = before.map_or(FIRST_CAPACITY, |(_, length)| length / 8 * 9);
        let mut plain = Vec::with_capacity(capacity);
        if self.without_own {
            exposition::agents(&latest, format, &mut plain);
        } else {
            exposition::render(&latest, &self.registry.gather(), format, &mut plain);
        }
        self.lengths.retain(|(known, _)| *known != format);
        self.lengths.push((format, plain.len()));
        self.counts.rendered(began.elapsed());
        Rendered { format, generation: latest.generation, began, plain: plain.into(), gzip: None, zstd: None }
    }
}

/// Brings the shared body up to date and takes it in the wanted coding.
fn make(
    mut shared: OwnedMutexGuard<Shared>,
    asked: Instant,
    format: Format,
    encoding: Encoding,
) -> Result<Bytes, NoBody> {
    let (latest, shared_for) = (shared.published.latest(), shared.shared_for);
    // What serves nobody any more goes, so that a format that was asked for once takes no memory for ever.
    shared.rendered.retain(|it| it.serves(asked, &latest, shared_for));
    let at = match shared.rendered.iter().position(|it| it.format == format) {
        Some(at) => at,
        None => {
            let rendered = shared.render(format);
            shared.rendered.push(rendered);
            shared.rendered.len() - 1
        }
    };
    let Shared { rendered, gzip, .. } = &mut *shared;
    let Rendered { plain, gzip: gzipped, zstd: zstandard, .. } = &mut rendered[at];
    let place = match encoding {
        Encoding::Identity => return Ok(plain.clone()),
        Encoding::Gzip => gzipped,
        Encoding::Zstd => zstandard,
    };
    if let Some(bytes) = place {
        return Ok(bytes.clone());
    }
    let compressed = if encoding == Encoding::Gzip { gzip.compress(plain) } else { zstd(plain) };
    match compressed {
        Ok(bytes) => Ok(place.insert(bytes).clone()),
        Err(error) => {
            tracing::error!(%error, "compressing failed");
            Err(NoBody)
        }
    }
}

fn zstd(plain: &[u8]) -> io::Result<Bytes> {
    zstd::bulk::compress(plain, ZSTD_LEVEL).map(Bytes::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Read as _;

    use super::*;

    struct Rig {
        bodies: Bodies,
        published: Published,
        counts: Counts,
    }

    /// Unchanged states are shared for `shared_for`.
    async fn rig(shared_for: Duration) -> Rig {
        let registry = Registry::new();
        let published = Published::default();
        let counts = Counts::register(&registry).unwrap();
        let bodies = Bodies::new(published.clone(), registry, counts.clone(), false);
        bodies.shared.lock().await.shared_for = shared_for;
        Rig { bodies, published, counts }
    }

    #[tokio::test]
    async fn formats_are_shared_apart_and_go_when_they_serve_nobody() {
        let rig = rig(Duration::MAX).await;
        let mut bodies = Vec::new();
        for format in [Format::Text, Format::OpenMetrics, Format::Protobuf, Format::Text] {
            bodies.push(rig.bodies.get(format, Encoding::Zstd).await.unwrap());
        }
        assert_eq!(bodies[0].as_ptr(), bodies[3].as_ptr());
        assert_eq!(rig.counts.renders(), 3);
        let text = rig.bodies.get(Format::Text, Encoding::Identity).await.unwrap();
        assert_eq!(zstd::stream::decode_all(&*bodies[0]).unwrap(), text);
        rig.published.publish(Snapshot { generation: 1, ..Snapshot::default() });
        rig.bodies.get(Format::Protobuf, Encoding::Gzip).await.unwrap();
        assert_eq!(rig.bodies.shared.lock().await.rendered.len(), 1);
    }

    fn inflate(bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).unwrap();
        text
    }

    #[tokio::test]
    async fn an_unchanged_state_is_rendered_once_for_both_codings() {
        let rig = rig(Duration::MAX).await;
        let first = rig.bodies.get(Format::Text, Encoding::Identity).await.unwrap();
        let second = rig.bodies.get(Format::Text, Encoding::Gzip).await.unwrap();
        let third = rig.bodies.get(Format::Text, Encoding::Gzip).await.unwrap();
        assert_eq!(rig.counts.renders(), 1);
        assert_eq!(inflate(&second), first);
        assert_eq!(second.as_ptr(), third.as_ptr(), "the same bytes, not equal ones");
        assert!(
            std::str::from_utf8(&first).unwrap().contains("etcha_exporter_scrapes_total{code=\"200\"} 0\n")
        );
    }

    #[tokio::test]
    async fn an_unchanged_state_is_rendered_anew_after_a_while() {
        let rig = rig(Duration::ZERO).await;
        rig.bodies.get(Format::Text, Encoding::Identity).await.unwrap();
        rig.bodies.get(Format::Text, Encoding::Identity).await.unwrap();
        assert_eq!(rig.counts.renders(), 2);
    }

    #[tokio::test]
    async fn a_new_state_is_rendered_anew() {
        let rig = rig(Duration::MAX).await;
        rig.bodies.get(Format::Text, Encoding::Identity).await.unwrap();
        rig.published.publish(Snapshot { generation: 1, ..Snapshot::default() });
        rig.bodies.get(Format::Text, Encoding::Identity).await.unwrap();
        assert_eq!(rig.counts.renders(), 2);
    }

    #[tokio::test]
    async fn scrapes_that_wait_for_the_same_work_share_it_whatever_is_published_meanwhile() {
        let rig = rig(Duration::MAX).await;
        let busy = Arc::clone(&rig.bodies.shared).lock_owned().await;
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let bodies = rig.bodies.clone();
            waiting.spawn(async move { bodies.get(Format::Text, Encoding::Gzip).await.unwrap() });
        }
        // On this single thread, each task runs up to the lock that is held here before it yields.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        rig.published.publish(Snapshot { generation: 7, ..Snapshot::default() });
        drop(busy);
        let bodies = waiting.join_all().await;
        assert!(bodies.iter().all(|body| body.as_ptr() == bodies[0].as_ptr()));
        assert_eq!(rig.counts.renders(), 1);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_is_still_shared() {
        let rig = rig(Duration::MAX).await;
        {
            let mut left = Box::pin(rig.bodies.get(Format::Text, Encoding::Identity));
            // Polled once: the work has begun, and its client goes away.
            let polled =
                std::future::poll_fn(|cx| std::task::Poll::Ready(left.as_mut().poll(cx).is_pending())).await;
            assert!(polled);
        }
        rig.bodies.get(Format::Text, Encoding::Identity).await.unwrap();
        assert_eq!(rig.counts.renders(), 1);
    }
}
