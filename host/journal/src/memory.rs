//! The journal in memory: the same rules as the one on disk, for tests and dry runs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use docket_engine::{Durability, EventStore, RunFilter, RunSummary, StoreError};
use docket_model::{Digest, Event, EventKind, RunId};

/// A journal that is gone with the process.
#[derive(Default)]
pub struct MemoryStore(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// In the order of their start.
    runs: Vec<(RunSummary, Vec<Event>)>,
    places: HashMap<RunId, usize>,
    blobs: HashMap<Digest, Vec<u8>>,
}

impl MemoryStore {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(
        &self,
        run: &RunId,
        first: u64,
        events: &[Event],
        _durability: Durability,
    ) -> Result<(), StoreError> {
        let mut held = self.held();
        let place = match (held.places.get(run), events.first()) {
            (Some(place), _) => *place,
            (
                None,
                Some(Event {
                    at,
                    kind: EventKind::RunStarted { workflow, .. },
                }),
            ) => {
                let summary = RunSummary {
                    id: run.clone(),
                    workflow: workflow.clone(),
                    started_at: *at,
                    finished_at: None,
                    result: None,
                };
                if first != 0 {
                    return Err(StoreError::Conflict(run.clone()));
                }
                let place = held.runs.len();
                held.runs.push((summary, Vec::new()));
                held.places.insert(run.clone(), place);
                place
            }
            (None, _) => return Err(StoreError::Conflict(run.clone())),
        };
        let (summary, kept) = &mut held.runs[place];
        if kept.len() as u64 != first || summary.finished_at.is_some() {
            return Err(StoreError::Conflict(run.clone()));
        }
        kept.extend_from_slice(events);
        if let Some(Event {
            at,
            kind: EventKind::RunFinished { result },
        }) = events.last()
        {
            summary.finished_at = Some(*at);
            summary.result = Some(result.clone());
        }
        Ok(())
    }

    async fn events(&self, run: &RunId) -> Result<Vec<Event>, StoreError> {
        let held = self.held();
        Ok(held
            .places
            .get(run)
            .map(|place| held.runs[*place].1.clone())
            .unwrap_or_default())
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunSummary>, StoreError> {
        let limit = filter.limit.map_or(usize::MAX, |limit| limit as usize);
        let is_wanted = |summary: &&RunSummary| {
            (!filter.only_unfinished || summary.finished_at.is_none())
                && filter
                    .workflow
                    .as_ref()
                    .is_none_or(|workflow| *workflow == summary.workflow)
        };
        let held = self.held();
        let newest_first = held.runs.iter().rev().map(|(summary, _)| summary);
        Ok(newest_first
            .filter(is_wanted)
            .take(limit)
            .cloned()
            .collect())
    }

    async fn put_blob(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        let digest = Digest::of(&bytes);
        self.held().blobs.insert(digest, bytes);
        Ok(digest)
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.held().blobs.get(&digest).cloned())
    }
}
