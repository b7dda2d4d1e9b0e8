//! What may go: runs that ended long ago, and the documents that no run names any more.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{Engine, EngineError, Prune, Reclaimed, StoreError};

/// How long a document that no run names is kept: twice as long as the longest attempt may take, which
/// may have made it and not said so yet.
const GRACE: Duration = Duration::from_secs(2 * 86_400);
/// How many runs go at once, so that those under way do not wait long for the journal.
const BATCH: u32 = 500;

/// Which runs may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// How long a run is kept after its end.
    pub keep: Duration,
    /// Only runs that ended so: `succeeded`, `failed`, `cancelled`.
    pub states: Vec<String>,
    /// Only runs of this workflow.
    pub workflow: Option<String>,
}

/// What has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// How many runs.
    pub runs: u64,
    /// How many documents.
    pub documents: u64,
    /// How many bytes these had.
    pub bytes: u64,
    /// What the journal gave back.
    pub journal: Reclaimed,
}

impl Engine {
    /// Removes runs that ended long enough ago, with all that is known of them, and the documents
    /// that no run names any more, and gives their room back to the disk. A run that has not ended is
    /// never touched, nor is a document of one that is kept. What triggers have seen stays seen.
    ///
    /// # Errors
    /// The journal's and the documents'. What was removed before stays so.
    pub async fn prune(&self, retention: &Retention) -> Result<Pruned, EngineError> {
        let now = self.ports().clock.now();
        let keep = SignedDuration::try_from(retention.keep).unwrap_or(SignedDuration::MAX);
        let ended_before = now.saturating_sub(keep).unwrap_or(Timestamp::MIN);
        let mut pruned = Pruned::default();
        loop {
            let filter = Prune {
                ended_before,
                states: retention.states.clone(),
                workflow: retention.workflow.clone(),
                limit: BATCH,
            };
            let count = self.ports().store.prune(filter).await?;
            pruned.runs += count;
            if count < u64::from(BATCH) {
                break;
            }
        }
        let (store, documents) = (
            Arc::clone(&self.ports().store),
            Arc::clone(&self.ports().documents),
        );
        let runtime = tokio::runtime::Handle::current();
        let swept = tokio::task::spawn_blocking(move || {
            documents.sweep(now, GRACE, &mut |digest| {
                let used = runtime.block_on(store.uses_document(digest));
                used.map_err(io::Error::other)
            })
        });
        let swept = swept
            .await
            .map_err(|error| StoreError::Io(error.to_string()))?;
        (pruned.documents, pruned.bytes) = swept?;
        // Last, since it may need the room that the documents took.
        pruned.journal = self.ports().store.reclaim().await?;
        Ok(pruned)
    }
}
