//! One run's way to the journal.
//!
//! Attempts that run side by side share one order of events: numbers are given out under a lock that
//! is held only until the store has taken the events. Nobody holds it while the disk works, so the
//! events of several attempts are one commit; and those of an attempt that is dropped half-way are
//! appended whole or not at all.

use std::sync::{Arc, OnceLock};

use docket_model::Event;
use tokio::sync::Mutex;

use crate::engine::Owner;
use crate::{Durability, EventStore, Reporter, StoreError};

/// Hands events over. All clones share one order.
#[derive(Clone)]
pub(crate) struct Appender(Arc<Shared>);

struct Shared {
    store: Arc<dyn EventStore>,
    reporter: Arc<dyn Reporter>,
    /// The number of the next event.
    next: Mutex<u64>,
    failure: OnceLock<StoreError>,
    /// Nobody else may have the run while anybody can append to it.
    owner: Arc<Owner>,
}

impl Appender {
    /// Appends to the owner's run, from the number `next` on.
    pub(crate) fn new(
        store: Arc<dyn EventStore>,
        reporter: Arc<dyn Reporter>,
        next: u64,
        owner: Arc<Owner>,
    ) -> Self {
        Self(Arc::new(Shared {
            store,
            reporter,
            next: Mutex::new(next),
            failure: OnceLock::new(),
            owner,
        }))
    }

    /// Appends in order, without waiting for the journal. Fails where an earlier append failed.
    pub(crate) async fn append(&self, events: Vec<Event>) -> Result<(), StoreError> {
        self.submit(events, Durability::Ordered).await
    }

    /// Appends, and waits until the events, and with them all earlier ones, are durable.
    pub(crate) async fn append_synced(&self, events: Vec<Event>) -> Result<(), StoreError> {
        self.submit(events, Durability::Synced).await
    }

    /// Why the journal takes no more events.
    pub(crate) fn failure(&self) -> Option<StoreError> {
        self.0.failure.get().cloned()
    }

    /// The number after the last event.
    pub(crate) async fn events(&self) -> u64 {
        *self.0.next.lock().await
    }

    async fn submit(&self, events: Vec<Event>, durability: Durability) -> Result<(), StoreError> {
        let Shared {
            store,
            reporter,
            next,
            failure,
            owner,
        } = &*self.0;
        let appended = async {
            let mut next = next.lock().await;
            // What comes after events that are missing would leave a gap.
            if let Some(failure) = failure.get() {
                return Err(failure.clone());
            }
            let appending = store.submit(&owner.run, *next, &events, durability).await?;
            *next += events.len() as u64;
            drop(next);
            appending.await
        };
        if let Err(error) = appended.await {
            return Err(failure.get_or_init(|| error).clone());
        }
        for event in &events {
            reporter.event(&owner.run, event);
        }
        Ok(())
    }
}
