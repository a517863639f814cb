//! What is under way: counted, so that the end can be waited for, and named, so that it can be said what it waits for.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

/// Runs under way, by Source.
#[derive(Clone, Debug)]
pub(super) struct Work(Arc<watch::Sender<BTreeMap<String, usize>>>);

impl Default for Work {
    fn default() -> Work {
        Work(Arc::new(watch::Sender::default()))
    }
}

/// A run is under way for as long as this lives.
#[derive(Debug)]
pub(super) struct Working {
    work: Work,
    name: String,
}

impl Work {
    /// A run of the Source `name` begins.
    pub(super) fn begin(&self, name: &str) -> Working {
        self.0.send_modify(|runs| *runs.entry(name.to_owned()).or_default() += 1);
        Working { work: self.clone(), name: name.to_owned() }
    }

    /// Completes when nothing is under way.
    pub(super) async fn idle(&self) {
        // It fails only without a sender, and here is one.
        let _ = self.0.subscribe().wait_for(BTreeMap::is_empty).await;
    }

    /// Names of Sources with a run under way, joined.
    pub(super) fn names(&self) -> String {
        self.0.borrow().keys().cloned().collect::<Vec<_>>().join(", ")
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.work.0.send_modify(|runs| {
            let Some(count) = runs.get_mut(&self.name) else { return };
            *count -= 1;
            if *count == 0 {
                runs.remove(&self.name);
            }
        });
    }
}
