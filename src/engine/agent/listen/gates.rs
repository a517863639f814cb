//! How many requests a Source works on at once. Whoever is through has a thread: so nobody waits for a thread while
//! somebody waits for him, and requests for one Source keep none for another waiting.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{Config, Source};

/// One runs while events of the one before go on.
const ONE_BY_ONE: usize = 2;

/// At once where a Source says `runMulti`.
const MULTI: usize = 32;

/// A gate for each Source. Whoever waits goes through in the order of arrival.
#[derive(Debug)]
pub(super) struct Gates {
    gates: BTreeMap<String, Arc<Semaphore>>,
}

impl Gates {
    pub(super) fn new(config: &Config) -> Gates {
        let gates = config.sources.iter();
        Gates {
            gates: gates
                .map(|(name, source)| (name.clone(), Arc::new(Semaphore::new(width(source)))))
                .collect(),
        }
    }

    /// Through the gate of the Source, which is held open for others when what is returned is dropped. Nothing if there
    /// is no such Source.
    pub(super) async fn pass(&self, source: &str) -> Option<OwnedSemaphorePermit> {
        Arc::clone(self.gates.get(source)?).acquire_owned().await.ok()
    }
}

/// How many may be through all gates.
pub(super) fn total(config: &Config) -> usize {
    config.sources.values().map(width).sum()
}

fn width(source: &Source) -> usize {
    if source.run_multi { MULTI } else { ONE_BY_ONE }
}
