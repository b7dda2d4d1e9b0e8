//! A journal whose process ends after a given number of appends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use docket_engine::{Durability, EventStore, RunFilter, RunSummary, StoreError};
use docket_model::{Digest, Event, RunId};
use tokio::sync::Mutex;

/// Keeps the worst case: what was appended without waiting for the disk reaches the journal only
/// with the next append that waits. After `appends` of them nothing is kept any more, and what had
/// not reached the disk by then never does.
pub struct CrashingStore {
    inner: Arc<dyn EventStore>,
    left: AtomicUsize,
    /// What the disk does not have yet, in order.
    cached: Mutex<Vec<(RunId, u64, Vec<Event>)>>,
}

impl CrashingStore {
    /// A journal that crashes after so many appends.
    #[must_use]
    pub fn new(inner: Arc<dyn EventStore>, appends: usize) -> Self {
        Self {
            inner,
            left: AtomicUsize::new(appends),
            cached: Mutex::default(),
        }
    }

    /// Whether it crashed.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

fn gone() -> StoreError {
    StoreError::Io("the process was killed here".to_owned())
}

#[async_trait]
impl EventStore for CrashingStore {
    async fn append(
        &self,
        run: &RunId,
        first: u64,
        events: &[Event],
        durability: Durability,
    ) -> Result<(), StoreError> {
        let mut cached = self.cached.lock().await;
        let step = |left: usize| left.checked_sub(1);
        if self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, step)
            .is_err()
        {
            return Err(gone());
        }
        cached.push((run.clone(), first, events.to_vec()));
        if durability == Durability::Synced {
            for (run, first, events) in cached.drain(..) {
                self.inner
                    .append(&run, first, &events, Durability::Synced)
                    .await?;
            }
        }
        if self.has_crashed() {
            return Err(gone());
        }
        Ok(())
    }

    async fn events(&self, run: &RunId) -> Result<Vec<Event>, StoreError> {
        let mut events = self.inner.events(run).await?;
        let cached = self.cached.lock().await;
        let of_run = cached.iter().filter(|(other, ..)| other == run);
        events.extend(of_run.flat_map(|(_, _, events)| events.iter().cloned()));
        Ok(events)
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunSummary>, StoreError> {
        self.inner.runs(filter).await
    }

    async fn put_blob(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        self.inner.put_blob(bytes).await
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.blob(digest).await
    }
}
