//! The one writer: a thread that takes whatever is queued and commits it in one transaction.
//!
//! However many runs wait for the disk, they wait for one sync together. A commit that nobody waits
//! for is not synced by itself: it is in the log in its place, and the next sync takes it along. So
//! what is durable is always a prefix of what was appended.

use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use docket_engine::{Durability, StoreError};
use docket_model::{Digest, FORMAT, RunId};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use crate::schema::failed;

/// How many jobs may wait; whoever brings one more waits for room.
const QUEUE: usize = 4096;
/// How many jobs one transaction takes at most, so that a waiting intent is not kept long.
const BATCH: usize = 1024;

/// Something to write.
pub(crate) enum Work {
    Append(Append),
    Blob(Digest, Vec<u8>),
    /// Nothing: done when everything queued before it is committed.
    Barrier,
}

/// Events of a run in their stored form.
pub(crate) struct Append {
    pub(crate) run: RunId,
    pub(crate) first: u64,
    pub(crate) bodies: Vec<Vec<u8>>,
    pub(crate) durability: Durability,
    /// With a run's first event: the workflow, and when it started.
    pub(crate) started: Option<(String, String)>,
    /// With a run's last event: when it ended, and how, in JSON.
    pub(crate) finished: Option<(String, Vec<u8>)>,
}

struct Job {
    work: Work,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// The way to the writer's thread, which ends when this is dropped.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    failure: Arc<OnceLock<StoreError>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let failure = Arc::new(OnceLock::new());
        let shared = Arc::clone(&failure);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || run(connection, jobs, &shared))
            .map_err(|error| StoreError::Io(error.to_string()))?;
        Ok(Self {
            queue: Some(queue),
            failure,
            thread: Some(thread),
        })
    }

    /// Waits until the work is committed, and synced where it asks for that.
    pub(crate) async fn write(&self, work: Work) -> Result<(), StoreError> {
        let (done, waiting) = oneshot::channel();
        let Some(queue) = &self.queue else {
            return Err(self.gone());
        };
        if queue.send(Job { work, done }).await.is_err() {
            return Err(self.gone());
        }
        waiting.await.unwrap_or_else(|_dropped| Err(self.gone()))
    }

    fn gone(&self) -> StoreError {
        let failure = self.failure.get().cloned();
        failure.unwrap_or_else(|| StoreError::Io("the journal's writer has ended".to_owned()))
    }
}

impl Drop for Writer {
    /// Waits until what is queued is on the disk.
    fn drop(&mut self) {
        self.queue.take();
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was reported there; there is nobody to hand it to here.
            let _ = thread.join();
        }
    }
}

fn run(mut connection: Connection, mut jobs: mpsc::Receiver<Job>, failure: &OnceLock<StoreError>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut is_syncing = true;
    while jobs.blocking_recv_many(&mut batch, BATCH) > 0 {
        let results = match failure.get() {
            // After a failure nothing may be written any more: it would leave a gap.
            Some(failure) => Err(failure.clone()),
            None => {
                commit(&mut connection, &mut is_syncing, &batch).map_err(|error| failed(&error))
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
                    // Whoever asked may have gone away.
                    let _ = job.done.send(result);
                }
            }
            Err(error) => {
                // The first failure is the one to tell.
                let error = failure.get_or_init(|| error);
                for job in batch.drain(..) {
                    let _ = job.done.send(Err(error.clone()));
                }
            }
        }
    }
}

/// Commits all work but the appends that conflict, and says which those are.
fn commit(
    connection: &mut Connection,
    is_syncing: &mut bool,
    batch: &[Job],
) -> rusqlite::Result<Vec<bool>> {
    if batch.iter().all(|job| matches!(job.work, Work::Barrier)) {
        return Ok(vec![false; batch.len()]);
    }
    let is_awaited = batch.iter().any(|job| match &job.work {
        Work::Append(append) => append.durability == Durability::Synced,
        Work::Blob(..) => true,
        Work::Barrier => false,
    });
    if is_awaited != *is_syncing {
        let level = if is_awaited { "FULL" } else { "NORMAL" };
        connection.pragma_update(None, "synchronous", level)?;
        *is_syncing = is_awaited;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut conflicts = Vec::with_capacity(batch.len());
    for job in batch {
        conflicts.push(match &job.work {
            Work::Append(append) => !write(&transaction, append)?,
            Work::Blob(digest, body) => {
                transaction
                    .prepare_cached("INSERT OR IGNORE INTO blobs (digest, body) VALUES (?1, ?2)")?
                    .execute(params![digest.as_bytes(), body])?;
                false
            }
            Work::Barrier => false,
        });
    }
    transaction.commit()?;
    Ok(conflicts)
}

/// Writes an append unless it conflicts.
fn write(transaction: &Transaction<'_>, append: &Append) -> rusqlite::Result<bool> {
    let Some(number) = place(transaction, append)? else {
        return Ok(false);
    };
    let mut insert = transaction
        .prepare_cached("INSERT INTO events (run, seq, format, body) VALUES (?1, ?2, ?3, ?4)")?;
    for (seq, body) in (append.first..).zip(&append.bodies) {
        insert.execute(params![number, seq.cast_signed(), FORMAT, body])?;
    }
    if let Some((at, result)) = &append.finished {
        transaction
            .prepare_cached("UPDATE runs SET finished_at = ?2, result = ?3 WHERE number = ?1")?
            .execute(params![number, at, result])?;
    }
    Ok(true)
}

/// The number of the append's run, if its first event is the run's next.
fn place(transaction: &Transaction<'_>, append: &Append) -> rusqlite::Result<Option<i64>> {
    let id = append.run.as_str();
    if append.first == 0 {
        let Some((workflow, at)) = &append.started else {
            return Ok(None);
        };
        let added = transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO runs (id, workflow, started_at) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![id, workflow, at])?;
        return Ok((added > 0).then(|| transaction.last_insert_rowid()));
    }
    transaction
        .prepare_cached(
            "SELECT number FROM runs WHERE id = ?1 AND finished_at IS NULL \
             AND (SELECT max(seq) FROM events WHERE run = number) = ?2",
        )?
        .query_row(params![id, append.first.cast_signed() - 1], |row| {
            row.get(0)
        })
        .optional()
}
