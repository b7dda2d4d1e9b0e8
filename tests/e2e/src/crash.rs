//! A journal whose process, or machine, dies after a given number of events. The engine's own tests
//! use it too.

use std::sync::Arc;

use async_trait::async_trait;
use docket_engine::{
    Appending, Durability, EventStore, NewItem, Prune, Ready, Rest, RunFilter, RunSummary,
    StoreError, TriggerRecord, Verdict, WaitFilter, Waiting,
};
use docket_model::{Account, Digest, Event, RunId};
use jiff::Timestamp;
use tokio::sync::Mutex;

/// Keeps the first events and fails all that come later. It also dies within an append: whether
/// events were gathered into one is a matter of timing.
pub struct CrashingStore {
    kept: Arc<dyn EventStore>,
    unsynced: Unsynced,
    state: Mutex<State>,
    error: StoreError,
}

/// What a crash makes of appends that nobody waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// The process died: the system still writes them.
    Kept,
    /// The machine died.
    Lost,
}

struct State {
    left: usize,
    has_crashed: bool,
    /// What the disk does not have yet, in order.
    pending: Vec<(RunId, u64, Vec<Event>)>,
}

impl CrashingStore {
    /// A journal that fails with `error` after so many events.
    #[must_use]
    pub fn new(
        kept: Arc<dyn EventStore>,
        events: usize,
        unsynced: Unsynced,
        error: StoreError,
    ) -> Self {
        let state = Mutex::new(State {
            left: events,
            has_crashed: false,
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
    pub async fn has_crashed(&self) -> bool {
        self.state.lock().await.has_crashed
    }

    /// The store behind it, with all that it was given so far, unless it has crashed.
    async fn flushed(&self) -> Result<&dyn EventStore, StoreError> {
        let mut state = self.state.lock().await;
        if state.has_crashed {
            return Err(self.error.clone());
        }
        self.flush(&mut state, Durability::Ordered).await?;
        Ok(&*self.kept)
    }

    async fn flush(&self, state: &mut State, durability: Durability) -> Result<(), StoreError> {
        for (run, first, events) in state.pending.drain(..) {
            if !events.is_empty() {
                self.kept.append(&run, first, &events, durability).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl EventStore for CrashingStore {
    async fn submit(
        &self,
        run: &RunId,
        first: u64,
        events: &[Event],
        durability: Durability,
    ) -> Result<Appending, StoreError> {
        let mut state = self.state.lock().await;
        let kept = events.len().min(state.left);
        let is_whole = kept == events.len();
        state.left -= kept;
        state.has_crashed |= !is_whole;
        state
            .pending
            .push((run.clone(), first, events[..kept].to_vec()));
        if durability == Durability::Synced || self.unsynced == Unsynced::Kept {
            self.flush(&mut state, durability).await?;
        }
        match is_whole {
            true => Ok(Box::pin(std::future::ready(Ok(())))),
            false => Err(self.error.clone()),
        }
    }

    async fn events_from(&self, run: &RunId, first: u64) -> Result<Vec<Event>, StoreError> {
        let mut events = self.kept.events(run).await?;
        let state = self.state.lock().await;
        let of_run = state.pending.iter().filter(|(other, ..)| other == run);
        events.extend(of_run.flat_map(|(_, _, events)| events.iter().cloned()));
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        Ok(events.split_off(first.min(events.len())))
    }

    async fn run(&self, run: &RunId) -> Result<Option<RunSummary>, StoreError> {
        self.flushed().await?.run(run).await
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

    async fn park(&self, run: &RunId, events: u64, rest: &Rest) -> Result<bool, StoreError> {
        self.flushed().await?.park(run, events, rest).await
    }

    async fn waiting(&self, filter: WaitFilter) -> Result<Vec<Waiting>, StoreError> {
        self.kept.waiting(filter).await
    }

    async fn ready(&self) -> Result<Vec<Ready>, StoreError> {
        self.kept.ready().await
    }

    async fn parked_in_groups(&self) -> Result<Vec<Ready>, StoreError> {
        self.kept.parked_in_groups().await
    }

    async fn wake(&self, now: Timestamp, limit: u32) -> Result<Vec<Ready>, StoreError> {
        self.flushed().await?.wake(now, limit).await
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        self.kept.next_wake().await
    }

    async fn signed_in(&self, account: &Account) -> Result<(u64, Vec<Ready>), StoreError> {
        self.flushed().await?.signed_in(account).await
    }

    async fn sign_ins(&self, account: &Account) -> Result<u64, StoreError> {
        self.kept.sign_ins(account).await
    }

    async fn verify(&self, run: &RunId) -> Result<Verdict, StoreError> {
        self.flushed().await?.verify(run).await
    }

    async fn trigger(&self, trigger: &str) -> Result<TriggerRecord, StoreError> {
        self.kept.trigger(trigger).await
    }

    async fn item(&self, trigger: &str, key: &str) -> Result<Option<RunId>, StoreError> {
        self.kept.item(trigger, key).await
    }

    async fn reset_trigger(&self, trigger: &str) -> Result<bool, StoreError> {
        self.flushed().await?.reset_trigger(trigger).await
    }

    async fn take_items(
        &self,
        trigger: &str,
        cursor: Option<&str>,
        items: Vec<NewItem>,
    ) -> Result<Vec<Ready>, StoreError> {
        let kept = self.flushed().await?;
        kept.take_items(trigger, cursor, items).await
    }

    async fn prune(&self, filter: Prune) -> Result<u64, StoreError> {
        self.flushed().await?.prune(filter).await
    }

    async fn uses_document(&self, digest: Digest) -> Result<bool, StoreError> {
        self.flushed().await?.uses_document(digest).await
    }
}
