//! The one writer: a thread that takes whatever is queued and commits it in one transaction.
//!
//! However many runs wait for the disk, they wait for one sync together. What nobody waits for
//! lingers for a moment, so that it goes into the same transaction as the next thing that somebody
//! waits for: an effect's outcome and the next effect's intent are one commit. A commit that nobody
//! waits for is not synced by itself; the next sync takes it along. So what is durable is always a
//! prefix of what was appended.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use docket_engine::{Durability, StoreError};
use docket_model::RunId;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::append;
use crate::queue::{Change, Job, Queue, Work};
use crate::schema::failed;

/// The way to the writer's thread, which ends when this is dropped.
pub(crate) struct Writer {
    queue: Arc<Queue>,
    failure: Arc<OnceLock<StoreError>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(connection: Connection) -> Result<Self, StoreError> {
        let queue = Queue::new();
        let failure = Arc::new(OnceLock::new());
        let shared = (Arc::clone(&queue), Arc::clone(&failure));
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || run(connection, &shared.0, &shared.1))
            .map_err(|error| StoreError::Io(error.to_string()))?;
        Ok(Self {
            queue,
            failure,
            thread: Some(thread),
        })
    }

    /// Queues work, exactly if this future ends; what it gives waits until that is committed, and
    /// synced where it asks for that. An append that need not be synced is only queued; where it
    /// conflicts or the disk fails, the run's next append fails.
    pub(crate) async fn submit(
        &self,
        work: Work,
    ) -> Result<impl Future<Output = Result<(), StoreError>> + Send + use<>, StoreError> {
        if let Some(failure) = self.failure.get() {
            return Err(failure.clone());
        }
        let waiting = self.queue.bring(work).await;
        let waiting = waiting.ok_or_else(|| gone(&self.failure))?;
        let failure = Arc::clone(&self.failure);
        Ok(async move {
            match waiting {
                Some(waiting) => waiting.await.unwrap_or_else(|_dropped| Err(gone(&failure))),
                None => Ok(()),
            }
        })
    }

    /// Queues work and waits for it.
    pub(crate) async fn write(&self, work: Work) -> Result<(), StoreError> {
        self.submit(work).await?.await
    }

    /// Makes a change, and gives what it gave once it is committed.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        durability: Durability,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let given = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&given);
        let change: Change = Box::new(move |transaction| {
            let value = change(transaction)?;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        });
        self.write(Work::Change(durability, Some(change))).await?;
        let value = given.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.ok_or_else(|| StoreError::Io("a change was left out".to_owned()))
    }

    /// Whether everything that was queued of this run is committed, so that readers see it.
    pub(crate) fn has_all_of(&self, run: &RunId) -> bool {
        self.queue.has_all_of(run)
    }
}

fn gone(failure: &OnceLock<StoreError>) -> StoreError {
    let failure = failure.get().cloned();
    failure.unwrap_or_else(|| StoreError::Io("the journal's writer has ended".to_owned()))
}

impl Drop for Writer {
    /// Waits until what is queued is on the disk.
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was reported there; there is nobody to hand it to here.
            let _ = thread.join();
        }
    }
}

/// Tells the queue that nobody writes any more.
struct Ended<'q>(&'q Queue);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

fn run(mut connection: Connection, queue: &Queue, failure: &OnceLock<StoreError>) {
    // Whatever ends this, nobody must wait for it for ever.
    let _ended = Ended(queue);
    let mut batch: Vec<Job> = Vec::new();
    let mut is_syncing = true;
    loop {
        queue.take(&mut batch);
        if batch.is_empty() {
            return;
        }
        let results = match failure.get() {
            // After a failure nothing may be written any more: it would leave a gap.
            Some(failure) => Err(failure.clone()),
            None => {
                commit(&mut connection, &mut is_syncing, &mut batch).map_err(|error| failed(&error))
            }
        };
        match results {
            Ok(conflicts) => {
                for (job, is_conflict) in batch.drain(..).zip(conflicts) {
                    let result = match &job.work {
                        Work::Append(append) if is_conflict => {
                            Err(StoreError::Conflict(append.run.clone()))
                        }
                        _ => Ok(()),
                    };
                    job.tell(result);
                }
            }
            Err(error) => {
                // The first failure is the one to tell.
                let error = failure.get_or_init(|| error);
                for job in batch.drain(..) {
                    job.tell(Err(error.clone()));
                }
            }
        }
    }
}

/// Commits all work but the appends that conflict, and says which those are.
fn commit(
    connection: &mut Connection,
    is_syncing: &mut bool,
    batch: &mut [Job],
) -> rusqlite::Result<Vec<bool>> {
    if batch.iter().all(|job| matches!(job.work, Work::Barrier)) {
        return Ok(vec![false; batch.len()]);
    }
    let is_synced = batch.iter().any(|job| job.work.is_synced());
    if is_synced != *is_syncing {
        let level = if is_synced { "FULL" } else { "NORMAL" };
        connection.pragma_update(None, "synchronous", level)?;
        *is_syncing = is_synced;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut conflicts = Vec::with_capacity(batch.len());
    for job in &mut *batch {
        conflicts.push(match &mut job.work {
            Work::Append(append) => !append::write(&transaction, append)?,
            Work::Change(_, change) => {
                if let Some(change) = change.take() {
                    change(&transaction)?;
                }
                false
            }
            Work::Vacuum | Work::Checkpoint | Work::Barrier => false,
        });
    }
    transaction.commit()?;
    for job in batch {
        let sql = match job.work {
            Work::Vacuum => "VACUUM; PRAGMA wal_checkpoint(TRUNCATE);",
            // Waits for nobody who reads: what is left the next checkpoint does.
            Work::Checkpoint => "PRAGMA wal_checkpoint(PASSIVE);",
            Work::Append(_) | Work::Change(..) | Work::Barrier => continue,
        };
        // All is committed: what goes wrong here is for whoever asked for it, and ends nothing.
        if let Err(error) = connection.execute_batch(sql)
            && let Some(done) = job.done.take()
        {
            let _ = done.send(Err(failed(&error)));
        }
    }
    Ok(conflicts)
}
