//! The one writer: a thread that takes whatever is queued and commits it in one transaction.
//!
//! However many runs wait for the disk, they wait for one sync together.

use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use docket_engine::StoreError;
use docket_model::{Digest, FORMAT, RunId};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tokio::sync::{mpsc, oneshot};

use crate::schema::failed;

/// How many jobs may wait; whoever brings one more waits for room.
const QUEUE: usize = 4096;
/// How many jobs one transaction takes at most, so that a waiting intent is not kept long.
const BATCH: usize = 1024;

pub(crate) type Ack = oneshot::Sender<Result<(), StoreError>>;

pub(crate) enum Job {
    Append(Append, Option<Ack>),
    Blob(Digest, Vec<u8>, Ack),
    /// Answered when everything queued before is committed.
    Barrier(Ack),
}

/// Events of a run in their stored form.
pub(crate) struct Append {
    pub(crate) run: RunId,
    pub(crate) first: u64,
    pub(crate) bodies: Vec<Vec<u8>>,
    /// With a run's first events: the workflow, and when it started.
    pub(crate) started: Option<(String, i64)>,
    /// With a run's last events: when it ended, and how, in JSON.
    pub(crate) finished: Option<(i64, Vec<u8>)>,
}

/// The way to the writer's thread; it ends when this is dropped.
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
            .spawn(move || work(connection, jobs, &shared))
            .map_err(|error| StoreError::Io(error.to_string()))?;
        Ok(Self {
            queue: Some(queue),
            failure,
            thread: Some(thread),
        })
    }

    /// A place in the queue.
    pub(crate) async fn place(&self) -> Result<mpsc::Permit<'_, Job>, StoreError> {
        if let Some(failure) = self.failure.get() {
            return Err(failure.clone());
        }
        match &self.queue {
            Some(queue) => queue.reserve().await.map_err(|_closed| self.gone()),
            None => Err(self.gone()),
        }
    }

    /// Why the writer does not answer.
    pub(crate) fn gone(&self) -> StoreError {
        self.failure
            .get()
            .cloned()
            .unwrap_or_else(|| StoreError::Io("the journal's writer has ended".to_owned()))
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

fn work(mut connection: Connection, mut jobs: mpsc::Receiver<Job>, failure: &OnceLock<StoreError>) {
    let mut batch = Vec::with_capacity(BATCH);
    while jobs.blocking_recv_many(&mut batch, BATCH) > 0 {
        let result = match failure.get() {
            // After a failure nothing may be written any more: it would leave a gap.
            Some(failure) => Err(failure.clone()),
            None => commit(&mut connection, &batch).map_err(|error| failed(&error)),
        };
        if let Err(error) = &result {
            // Only the first failure is kept.
            let _ = failure.set(error.clone());
        }
        for job in batch.drain(..) {
            let (Job::Append(_, Some(ack)) | Job::Blob(_, _, ack) | Job::Barrier(ack)) = job else {
                continue;
            };
            // Whoever asked may have gone away.
            let _ = ack.send(result.clone());
        }
    }
}

fn commit(connection: &mut Connection, batch: &[Job]) -> rusqlite::Result<()> {
    if batch.iter().all(|job| matches!(job, Job::Barrier(_))) {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for job in batch {
        match job {
            Job::Append(append, _) => write(&transaction, append)?,
            Job::Blob(digest, body, _) => {
                transaction
                    .prepare_cached("INSERT OR IGNORE INTO blobs (digest, body) VALUES (?1, ?2)")?
                    .execute(params![digest.as_bytes(), body])?;
            }
            Job::Barrier(_) => {}
        }
    }
    transaction.commit()
}

fn write(transaction: &Transaction<'_>, append: &Append) -> rusqlite::Result<()> {
    let id = append.run.as_str();
    if let Some((workflow, at)) = &append.started {
        transaction
            .prepare_cached(
                "INSERT INTO runs (id, workflow, started_at, events) VALUES (?1, ?2, ?3, 0)",
            )?
            .execute(params![id, workflow, at])?;
    }
    let last = append.first + append.bodies.len() as u64;
    let number: Option<i64> = transaction
        .prepare_cached(
            "UPDATE runs SET events = ?2 WHERE id = ?1 AND events = ?3 RETURNING number",
        )?
        .query_row(
            params![id, last.cast_signed(), append.first.cast_signed()],
            |row| row.get(0),
        )
        .optional()?;
    let number = number.ok_or(rusqlite::Error::StatementChangedRows(0))?;
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
    Ok(())
}
