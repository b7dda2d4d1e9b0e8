//! The one writer: a thread that takes whatever is queued and commits it in one transaction.
//!
//! However many runs wait for the disk, they wait for one sync together. What nobody waits for
//! lingers for a moment, so that it goes into the same transaction as the next thing that somebody
//! waits for: an effect's outcome and the next effect's intent are one commit. A commit that nobody
//! waits for is not synced by itself; the next sync takes it along. So what is durable is always a
//! prefix of what was appended.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use docket_engine::{Durability, StoreError};
use docket_model::RunId;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::append::{self, Append};
use crate::schema::failed;

/// How many jobs may wait; whoever brings one more waits for room.
const QUEUE: usize = 4096;
/// How many jobs one transaction takes at most, so that a waiting intent is not kept long.
const BATCH: usize = 1024;
/// How long work that nobody waits for lingers. A crash of the process loses at most this much of it,
/// as one of the machine may lose what was not synced.
const LINGER: Duration = Duration::from_millis(10);

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

impl Work {
    /// Whether somebody waits for its commit.
    fn is_awaited(&self) -> bool {
        match self {
            Self::Append(append) => append.durability == Durability::Synced,
            Self::Change(..) | Self::Vacuum | Self::Checkpoint | Self::Barrier => true,
        }
    }

    /// Whether somebody waits for its sync.
    fn is_synced(&self) -> bool {
        match self {
            Self::Append(append) => append.durability == Durability::Synced,
            Self::Change(durability, _) => *durability == Durability::Synced,
            Self::Vacuum | Self::Checkpoint | Self::Barrier => false,
        }
    }
}

struct Job {
    work: Work,
    /// Where somebody waits.
    done: Option<oneshot::Sender<Result<(), StoreError>>>,
    /// Dropped with the job, once what it asked for is committed or given up.
    underway: Underway,
}

impl Job {
    fn tell(self, result: Result<(), StoreError>) {
        let Self { done, underway, .. } = self;
        // Whoever is told reads at once what was committed.
        drop(underway);
        if let Some(done) = done {
            // Whoever asked may have gone away.
            let _ = done.send(result);
        }
    }
}

/// What was queued and is not committed.
#[derive(Default)]
struct Queued {
    counts: Mutex<Counts>,
    /// Something came that is awaited.
    came: Condvar,
}

#[derive(Default)]
struct Counts {
    /// Appends by their runs.
    appends: HashMap<RunId, usize>,
    /// Changes, of whatever runs.
    changes: usize,
    /// Whatever somebody waits for.
    awaited: usize,
}

impl Queued {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something that is awaited is queued, but not for long.
    fn linger(&self) {
        let waited = self
            .came
            .wait_timeout_while(self.lock(), LINGER, |counts| counts.awaited == 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// A job among what is queued, until it is dropped.
struct Underway {
    queued: Arc<Queued>,
    changes: Changes,
    is_awaited: bool,
}

/// What a job changes of what is read.
enum Changes {
    Run(RunId),
    Anything,
    Nothing,
}

impl Underway {
    fn new(queued: &Arc<Queued>, work: &Work) -> Self {
        let changes = match work {
            Work::Append(append) => Changes::Run(append.run.clone()),
            Work::Change(..) => Changes::Anything,
            Work::Vacuum | Work::Checkpoint | Work::Barrier => Changes::Nothing,
        };
        let is_awaited = work.is_awaited();
        let mut counts = queued.lock();
        match &changes {
            Changes::Run(run) => *counts.appends.entry(run.clone()).or_default() += 1,
            Changes::Anything => counts.changes += 1,
            Changes::Nothing => {}
        }
        counts.awaited += usize::from(is_awaited);
        drop(counts);
        Self {
            queued: Arc::clone(queued),
            changes,
            is_awaited,
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let mut counts = self.queued.lock();
        counts.awaited -= usize::from(self.is_awaited);
        match &self.changes {
            Changes::Run(run) => {
                if let Some(count) = counts.appends.get_mut(run) {
                    *count -= 1;
                    if *count == 0 {
                        counts.appends.remove(run);
                    }
                }
            }
            Changes::Anything => counts.changes -= 1,
            Changes::Nothing => {}
        }
    }
}

/// The way to the writer's thread, which ends when this is dropped.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    queued: Arc<Queued>,
    failure: Arc<OnceLock<StoreError>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let failure = Arc::new(OnceLock::new());
        let queued = Arc::<Queued>::default();
        let shared = (Arc::clone(&queued), Arc::clone(&failure));
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || run(connection, jobs, &shared.0, &shared.1))
            .map_err(|error| StoreError::Io(error.to_string()))?;
        Ok(Self {
            queue: Some(queue),
            queued,
            failure,
            thread: Some(thread),
        })
    }

    /// Waits until the work is committed, and synced where it asks for that. An append that need not
    /// be synced is only queued; where it conflicts or the disk fails, the run's next append fails.
    pub(crate) async fn write(&self, work: Work) -> Result<(), StoreError> {
        let (Some(queue), None) = (&self.queue, self.failure.get()) else {
            return Err(self.gone());
        };
        let (done, waiting) = match work.is_awaited() {
            true => {
                let (done, waiting) = oneshot::channel();
                (Some(done), Some(waiting))
            }
            false => (None, None),
        };
        let job = Job {
            underway: Underway::new(&self.queued, &work),
            work,
            done,
        };
        if queue.send(job).await.is_err() {
            return Err(self.gone());
        }
        let Some(waiting) = waiting else {
            return Ok(());
        };
        self.queued.came.notify_one();
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
        let counts = self.queued.lock();
        counts.changes == 0 && !counts.appends.contains_key(run)
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

fn run(
    mut connection: Connection,
    mut jobs: mpsc::Receiver<Job>,
    queued: &Queued,
    failure: &OnceLock<StoreError>,
) {
    let mut batch: Vec<Job> = Vec::with_capacity(BATCH);
    let mut is_syncing = true;
    while jobs.blocking_recv_many(&mut batch, BATCH) > 0 {
        if batch.iter().all(|job| job.done.is_none()) {
            queued.linger();
            while batch.len() < BATCH
                && let Ok(job) = jobs.try_recv()
            {
                batch.push(job);
            }
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
