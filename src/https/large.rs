//! Large answers under way: how many there are, how much memory their bodies hold, and which one is given up when
//! either limit is exceeded. Pure bookkeeping, used by `places`, which closes the connections.

use std::collections::{HashMap, HashSet};

use hyper::body::Bytes;
use tokio::time::Instant;

use super::limits::ConnectionLimits;

/// All large answers of a listener.
#[derive(Default)]
pub(super) struct LargeAnswers {
    /// Number of the next answer; never used twice.
    next: u64,
    under_way: HashMap<u64, Entry>,
}

struct Entry {
    /// The number of the connection's place.
    place: u64,
    buffer: Buffer,
    /// When the client last took a part.
    taken: Instant,
}

/// The memory that holds a body. Clones of a body have the same one, however much of them is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Buffer {
    /// The address of its end, which stays while the front is handed over.
    end: usize,
    bytes: usize,
}

impl Buffer {
    /// The memory of a body of which nothing was handed over yet.
    pub(super) fn of(body: &Bytes) -> Self {
        Self { end: body.as_ptr_range().end.addr(), bytes: body.len() }
    }
}

impl LargeAnswers {
    /// Notes an answer, and takes out those that have to go for it: first the one whose client took nothing for the
    /// longest time. Returns the number of the answer and the places that have to be closed. One answer alone may be
    /// of any size.
    pub(super) fn begin(&mut self, place: u64, buffer: Buffer, limits: &ConnectionLimits) -> (u64, Vec<u64>) {
        let id = self.next;
        self.next += 1;
        self.under_way.insert(id, Entry { place, buffer, taken: Instant::now() });
        let mut closing = Vec::new();
        while self.under_way.len() > limits.answers.max(1) || self.bytes() > limits.answer_bytes {
            let others = self.under_way.iter().filter(|(other, _)| **other != id);
            let Some(stalest) = others.min_by_key(|(_, entry)| entry.taken).map(|(other, _)| *other) else {
                break;
            };
            closing.extend(self.under_way.remove(&stalest).map(|entry| entry.place));
        }
        (id, closing)
    }

    /// The client takes another part.
    pub(super) fn taken(&mut self, id: u64) {
        if let Some(entry) = self.under_way.get_mut(&id) {
            entry.taken = Instant::now();
        }
    }

    /// The answer is over.
    pub(super) fn end(&mut self, id: u64) {
        self.under_way.remove(&id);
    }

    /// What the bodies hold in memory. One that several clients read is there once.
    fn bytes(&self) -> usize {
        let distinct: HashSet<Buffer> = self.under_way.values().map(|entry| entry.buffer).collect();
        distinct.iter().map(|buffer| buffer.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    fn limits(answers: usize, answer_bytes: usize) -> ConnectionLimits {
        ConnectionLimits { answers, answer_bytes, ..ConnectionLimits::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_are_limited_in_bytes_and_one_that_is_shared_counts_once() {
        let limits = limits(10, 250);
        let mut all = LargeAnswers::default();
        let [one, two, three] = [(); 3].map(|()| Bytes::from(vec![0; 100]));
        let (first, none) = all.begin(1, Buffer::of(&one), &limits);
        assert_eq!(none, [0; 0]);
        let mut shared = one.clone();
        assert_eq!(all.begin(2, Buffer::of(&shared), &limits).1, [0; 0]);
        let _sent = shared.split_to(60);
        advance(Duration::from_millis(1)).await;
        assert_eq!(all.begin(3, Buffer::of(&two), &limits).1, [0; 0]);
        advance(Duration::from_millis(1)).await;
        all.taken(first);
        advance(Duration::from_millis(1)).await;
        // The second one alone frees nothing, as the first one reads the same body; so the third goes, too.
        assert_eq!(all.begin(4, Buffer::of(&three), &limits).1, [2, 3]);
        assert_eq!(all.bytes(), 200);
        all.end(first);
        assert_eq!(all.bytes(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_beyond_the_limit_is_given_to_one_client_at_a_time() {
        let limits = limits(10, 50);
        let mut all = LargeAnswers::default();
        let [one, two] = [(); 2].map(|()| Bytes::from(vec![0; 100]));
        assert_eq!(all.begin(1, Buffer::of(&one), &limits).1, [0; 0]);
        assert_eq!(all.begin(2, Buffer::of(&two), &limits).1, [1]);
        assert_eq!(all.bytes(), 100);
    }
}
