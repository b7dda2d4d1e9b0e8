//! One run's way to the journal.
//!
//! Attempts that run side by side share one order of events. A task of the run's own takes what
//! they hand it and appends it, everything that gathered meanwhile in one go: numbers are assigned
//! in one place, nobody holds a lock, and the events of an attempt that was dropped half-way are
//! appended whole or not at all.

use std::sync::{Arc, OnceLock};

use docket_model::{Event, RunId};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::{Durability, EventStore, Reporter, StoreError};

/// How many entries may wait; whoever brings one more waits for room.
const QUEUE: usize = 64;

/// Hands events over. All clones share one order.
#[derive(Clone)]
pub(crate) struct Appender {
    queue: mpsc::Sender<Entry>,
    failure: Arc<OnceLock<StoreError>>,
}

struct Entry {
    events: Vec<Event>,
    /// Told once the events are durable.
    synced: Option<oneshot::Sender<()>>,
}

impl Appender {
    /// Starts the run's task, which numbers from `next` on and ends with the last clone; it gives the
    /// number after the last event that it appended. `owner` lives as long as it.
    pub(crate) fn start(
        store: Arc<dyn EventStore>,
        reporter: Arc<dyn Reporter>,
        run: RunId,
        next: u64,
        owner: impl Send + 'static,
    ) -> (Self, JoinHandle<u64>) {
        let (queue, mut entries) = mpsc::channel(QUEUE);
        let failure = Arc::new(OnceLock::new());
        let appender = Self {
            queue,
            failure: Arc::clone(&failure),
        };
        let task = tokio::spawn(async move {
            let mut next = next;
            if let Err(error) = work(&*store, &*reporter, &run, &mut next, &mut entries).await {
                // Set once: this is the only place that does.
                let _ = failure.set(error);
            }
            // Only now may those who wait find the queue closed.
            drop(entries);
            drop(owner);
            next
        });
        (appender, task)
    }

    /// Appends in order, without waiting for the journal. Fails where an earlier append failed.
    pub(crate) async fn append(&self, events: Vec<Event>) -> Result<(), StoreError> {
        self.send(Entry {
            events,
            synced: None,
        })
        .await
    }

    /// Appends, and waits until the events, and with them all earlier ones, are durable.
    pub(crate) async fn append_synced(&self, events: Vec<Event>) -> Result<(), StoreError> {
        let (synced, done) = oneshot::channel();
        self.send(Entry {
            events,
            synced: Some(synced),
        })
        .await?;
        match done.await {
            Ok(()) => Ok(()),
            Err(_dropped) => Err(self.ended().await),
        }
    }

    /// Why the journal takes no more events.
    pub(crate) fn failure(&self) -> Option<StoreError> {
        self.failure.get().cloned()
    }

    async fn send(&self, entry: Entry) -> Result<(), StoreError> {
        match self.queue.send(entry).await {
            Ok(()) => Ok(()),
            Err(_closed) => Err(self.ended().await),
        }
    }

    /// Why the task let go of its queue.
    async fn ended(&self) -> StoreError {
        self.queue.closed().await;
        self.failure()
            .unwrap_or_else(|| StoreError::Io("the run's appends have ended".to_owned()))
    }
}

async fn work(
    store: &dyn EventStore,
    reporter: &dyn Reporter,
    run: &RunId,
    next: &mut u64,
    entries: &mut mpsc::Receiver<Entry>,
) -> Result<(), StoreError> {
    let mut gathered = Vec::with_capacity(QUEUE);
    while entries.recv_many(&mut gathered, QUEUE).await > 0 {
        let mut events = Vec::new();
        let mut waiting = Vec::new();
        for entry in gathered.drain(..) {
            events.extend(entry.events);
            waiting.extend(entry.synced);
        }
        let durability = match waiting.is_empty() {
            true => Durability::Ordered,
            false => Durability::Synced,
        };
        store.append(run, *next, &events, durability).await?;
        *next += events.len() as u64;
        for event in &events {
            reporter.event(run, event);
        }
        for synced in waiting {
            // Whoever asked may have been dropped meanwhile.
            let _ = synced.send(());
        }
    }
    Ok(())
}
