//! Stores that fail on purpose.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use docket_engine::{Durability, EventStore, RunFilter, RunSummary, StoreError};
use docket_model::{Digest, Event, RunId};

/// Keeps the first events and fails all that come later, as a process that dies there. It also
/// dies within an append: whether events were gathered into one is a matter of timing.
pub(crate) struct CutStore {
    kept: Arc<dyn EventStore>,
    /// What a crash makes of appends that nobody waited for.
    unsynced: Unsynced,
    state: Mutex<State>,
    error: StoreError,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unsynced {
    /// The process died: the system still writes them.
    Kept,
    /// The machine died.
    Lost,
}

struct State {
    left: usize,
    has_failed: bool,
    pending: Vec<(RunId, u64, Vec<Event>)>,
}

impl CutStore {
    pub(crate) fn new(
        kept: Arc<dyn EventStore>,
        events: usize,
        unsynced: Unsynced,
        error: StoreError,
    ) -> Self {
        let state = Mutex::new(State {
            left: events,
            has_failed: false,
            pending: Vec::new(),
        });
        Self {
            kept,
            unsynced,
            state,
            error,
        }
    }

    /// Whether it has failed an append.
    pub(crate) fn is_cut(&self) -> bool {
        self.state.lock().unwrap().has_failed
    }
}

#[async_trait]
impl EventStore for CutStore {
    async fn append(
        &self,
        run: &RunId,
        first: u64,
        events: &[Event],
        durability: Durability,
    ) -> Result<(), StoreError> {
        let (pending, is_whole) = {
            let mut state = self.state.lock().unwrap();
            let kept = events.len().min(state.left);
            let is_whole = kept == events.len();
            state.left -= kept;
            state.has_failed |= !is_whole;
            state
                .pending
                .push((run.clone(), first, events[..kept].to_vec()));
            let is_durable = durability == Durability::Synced || self.unsynced == Unsynced::Kept;
            let pending = match is_durable {
                true => std::mem::take(&mut state.pending),
                false => Vec::new(),
            };
            (pending, is_whole)
        };
        for (run, first, events) in pending {
            if !events.is_empty() {
                self.kept.append(&run, first, &events, durability).await?;
            }
        }
        match is_whole {
            true => Ok(()),
            false => Err(self.error.clone()),
        }
    }

    async fn events(&self, run: &RunId) -> Result<Vec<Event>, StoreError> {
        let mut events = self.kept.events(run).await?;
        let state = self.state.lock().unwrap();
        events.extend(
            state
                .pending
                .iter()
                .flat_map(|(_, _, events)| events.clone()),
        );
        Ok(events)
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunSummary>, StoreError> {
        self.kept.runs(filter).await
    }

    async fn put_blob(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        self.kept.put_blob(bytes).await
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.kept.blob(digest).await
    }
}
