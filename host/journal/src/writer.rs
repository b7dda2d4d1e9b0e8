//! The one writer: a thread that takes whatever is queued and commits it in one transaction.
//!
//! However many runs wait for the disk, they wait for one sync together. A commit that nobody waits
//! for is not synced by itself: it is in the log in its place, and the next sync takes it along. So
//! what is durable is always a prefix of what was appended.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use docket_engine::{Durability, StoreError};
use docket_model::{Digest, FORMAT, RunGroup, RunId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use crate::chain;
use crate::schema::failed;

/// How many jobs may wait; whoever brings one more waits for room.
const QUEUE: usize = 4096;
/// How many jobs one transaction takes at most, so that a waiting intent is not kept long.
const BATCH: usize = 1024;

/// Something to write.
pub(crate) enum Work {
    Append(Box<Append>),
    /// A change of other tables, taken once. What it gives it keeps for itself until the commit.
    Change(Durability, Option<Change>),
    /// Writes the database anew, without the room of what was removed.
    Vacuum,
    /// Brings the log into the database as far as nobody reads it, whose file gets shorter by that.
    Checkpoint,
    /// Nothing: done when everything queued before it is committed.
    Barrier,
}

pub(crate) type Change = Box<dyn FnOnce(&Transaction<'_>) -> rusqlite::Result<()> + Send>;

/// Events of a run in their stored form.
pub(crate) struct Append {
    pub(crate) run: RunId,
    pub(crate) first: u64,
    pub(crate) bodies: Vec<Vec<u8>>,
    pub(crate) durability: Durability,
    /// With a run's first event.
    pub(crate) started: Option<Started>,
    /// Whether the first event lets an ended run go on.
    pub(crate) is_resumed: bool,
    /// With a run's last event.
    pub(crate) finished: Option<Finished>,
    /// The documents that the events name.
    pub(crate) documents: BTreeSet<Digest>,
}

/// What a run's row says from its start on.
pub(crate) struct Started {
    pub(crate) workflow: String,
    /// RFC 3339.
    pub(crate) at: String,
    pub(crate) plan: Digest,
    pub(crate) group: Option<RunGroup>,
}

/// What a run's row says once it has ended.
pub(crate) struct Finished {
    pub(crate) at: Timestamp,
    pub(crate) state: &'static str,
    /// JSON.
    pub(crate) result: Vec<u8>,
}

struct Job {
    work: Work,
    done: oneshot::Sender<Result<(), StoreError>>,
    /// Dropped with the job, once what it asked for is committed or given up.
    _underway: Option<Underway>,
}

/// What was queued and is not committed.
#[derive(Default)]
struct Queued {
    /// Appends by their runs.
    appends: HashMap<RunId, usize>,
    /// Changes, of whatever runs.
    changes: usize,
}

/// A job among what is queued, until it is dropped.
struct Underway {
    queued: Arc<Mutex<Queued>>,
    /// The run that it appends to; `None` of changes.
    run: Option<RunId>,
}

impl Underway {
    /// `None` where the work changes nothing that is read.
    fn new(queued: &Arc<Mutex<Queued>>, work: &Work) -> Option<Self> {
        let run = match work {
            Work::Append(append) => Some(append.run.clone()),
            Work::Change(..) => None,
            Work::Vacuum | Work::Checkpoint | Work::Barrier => return None,
        };
        let mut held = queued.lock().unwrap_or_else(PoisonError::into_inner);
        match &run {
            Some(run) => *held.appends.entry(run.clone()).or_default() += 1,
            None => held.changes += 1,
        }
        drop(held);
        Some(Self {
            queued: Arc::clone(queued),
            run,
        })
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let mut held = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(run) = &self.run else {
            held.changes -= 1;
            return;
        };
        if let Some(count) = held.appends.get_mut(run) {
            *count -= 1;
            if *count == 0 {
                held.appends.remove(run);
            }
        }
    }
}

/// The way to the writer's thread, which ends when this is dropped.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    queued: Arc<Mutex<Queued>>,
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
            queued: Arc::default(),
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
        let job = Job {
            _underway: Underway::new(&self.queued, &work),
            work,
            done,
        };
        if queue.send(job).await.is_err() {
            return Err(self.gone());
        }
        waiting.await.unwrap_or_else(|_dropped| Err(self.gone()))
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
        let queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        queued.changes == 0 && !queued.appends.contains_key(run)
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
    batch: &mut [Job],
) -> rusqlite::Result<Vec<bool>> {
    if batch.iter().all(|job| matches!(job.work, Work::Barrier)) {
        return Ok(vec![false; batch.len()]);
    }
    let is_awaited = batch.iter().any(|job| match &job.work {
        Work::Append(append) => append.durability == Durability::Synced,
        Work::Change(durability, _) => *durability == Durability::Synced,
        Work::Vacuum | Work::Checkpoint | Work::Barrier => false,
    });
    if is_awaited != *is_syncing {
        let level = if is_awaited { "FULL" } else { "NORMAL" };
        connection.pragma_update(None, "synchronous", level)?;
        *is_syncing = is_awaited;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut conflicts = Vec::with_capacity(batch.len());
    for job in &mut *batch {
        conflicts.push(match &mut job.work {
            Work::Append(append) => !write(&transaction, append)?,
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
    for job in &*batch {
        connection.execute_batch(match job.work {
            Work::Vacuum => "VACUUM; PRAGMA wal_checkpoint(TRUNCATE);",
            // Waits for nobody who reads: what is left the next checkpoint does.
            Work::Checkpoint => "PRAGMA wal_checkpoint(PASSIVE);",
            Work::Append(_) | Work::Change(..) | Work::Barrier => continue,
        })?;
    }
    Ok(conflicts)
}

/// Writes an append unless it conflicts.
pub(crate) fn write(transaction: &Transaction<'_>, append: &Append) -> rusqlite::Result<bool> {
    let Some(place) = place(transaction, append)? else {
        return Ok(false);
    };
    let mut head = place.head;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO events (run, seq, format, body, hash) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut next = append.first;
    for body in &append.bodies {
        head = chain::next(head, FORMAT, body);
        let seq = next.cast_signed();
        insert.execute(params![place.number, seq, FORMAT, body, head.as_bytes()])?;
        next += 1;
    }
    transaction
        .prepare_cached(
            "UPDATE runs SET events = ?2, head = ?3, parked = 0, wake_at = NULL WHERE number = ?1",
        )?
        .execute(params![place.number, next.cast_signed(), head.as_bytes()])?;
    if place.is_parked {
        transaction
            .prepare_cached("DELETE FROM waits WHERE run = ?1")?
            .execute([place.number])?;
    }
    if !append.documents.is_empty() {
        let mut insert = transaction
            .prepare_cached("INSERT OR IGNORE INTO documents (digest, run) VALUES (?1, ?2)")?;
        for digest in &append.documents {
            insert.execute(params![digest.as_bytes(), place.number])?;
        }
    }
    if append.finished.is_some() || append.is_resumed {
        let finished = append.finished.as_ref();
        transaction
            .prepare_cached(
                "UPDATE runs SET finished_at = ?2, result = ?3, state = ?4, ended = ?5 \
                 WHERE number = ?1",
            )?
            .execute(params![
                place.number,
                finished.map(|finished| finished.at.to_string()),
                finished.map(|finished| &finished.result),
                finished.map(|finished| finished.state),
                finished.map(|finished| finished.at.as_microsecond()),
            ])?;
    }
    Ok(true)
}

/// Where an append goes.
struct Place {
    number: i64,
    head: Digest,
    is_parked: bool,
}

/// The place of the append, if its first event is the run's next.
fn place(transaction: &Transaction<'_>, append: &Append) -> rusqlite::Result<Option<Place>> {
    let id = append.run.as_str();
    if append.first == 0 {
        let Some(started) = &append.started else {
            return Ok(None);
        };
        let group = started.group.as_ref();
        let added = transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO runs (id, workflow, started_at, plan, group_key, group_max) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                id,
                started.workflow,
                started.at,
                started.plan.as_bytes(),
                group.map(|group| &group.key),
                group.map(|group| group.max),
            ])?;
        return Ok((added > 0).then(|| Place {
            number: transaction.last_insert_rowid(),
            head: chain::start(&append.run),
            is_parked: false,
        }));
    }
    transaction
        .prepare_cached(
            "SELECT number, head, parked FROM runs \
             WHERE id = ?1 AND events = ?2 AND (finished_at IS NULL) <> ?3",
        )?
        .query_row(
            params![id, append.first.cast_signed(), append.is_resumed],
            |row| {
                Ok(Place {
                    number: row.get(0)?,
                    head: Digest::from_bytes(row.get(1)?),
                    is_parked: row.get(2)?,
                })
            },
        )
        .optional()
}
