//! What waits for the writer.
//!
//! Whoever hands something over that nobody waits for does not wake the writer if it will look
//! anyway: after each batch it looks once more a moment later before it sleeps for good. A wake costs
//! more than the hand-over itself.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use docket_engine::{Durability, StoreError};
use docket_model::RunId;
use rusqlite::Transaction;
use tokio::sync::{Semaphore, oneshot};

use crate::append::Append;

/// How many jobs may wait or be written; whoever brings one more waits for room.
const ROOM: usize = 4096;
/// How many jobs one transaction takes at most, so that a waiting intent is not kept long.
const BATCH: usize = 1024;
/// How long work that nobody waits for lingers. A crash of the process loses at most this much of it,
/// as one of the machine may lose what was not synced.
const LINGER: Duration = Duration::from_millis(10);

/// The longest that a commit waits for others to join it.
const JOIN: Duration = Duration::from_millis(1);

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
    pub(crate) fn is_synced(&self) -> bool {
        match self {
            Self::Append(append) => append.durability == Durability::Synced,
            Self::Change(durability, _) => *durability == Durability::Synced,
            Self::Vacuum | Self::Checkpoint | Self::Barrier => false,
        }
    }
}

/// Work, and who waits for it.
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) done: Option<oneshot::Sender<Result<(), StoreError>>>,
    /// Dropped with the job, once what it asked for is committed or given up.
    underway: Underway,
}

impl Job {
    pub(crate) fn tell(self, result: Result<(), StoreError>) {
        let Self { done, underway, .. } = self;
        // Whoever is told reads at once what was committed.
        drop(underway);
        if let Some(done) = done {
            // Whoever asked may have gone away.
            let _ = done.send(result);
        }
    }
}

/// The queue, for those who bring and for the one who writes.
pub(crate) struct Queue {
    held: Mutex<Held>,
    /// The writer, while it waits for something to come.
    came: Condvar,
    room: Semaphore,
}

#[derive(Default)]
struct Held {
    jobs: VecDeque<Job>,
    /// How many of the jobs somebody waits for.
    awaited: usize,
    /// When the first of the jobs came.
    since: Option<Instant>,
    /// How many jobs of the last batch somebody waited for, and when it was taken.
    last: Option<(usize, Instant)>,
    writer: WriterState,
    is_closed: bool,
    /// What was brought and is not committed: appends by their runs.
    appends: HashMap<RunId, usize>,
    /// And changes, of whatever runs.
    changes: usize,
}

/// What the writer does.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum WriterState {
    #[default]
    Works,
    /// It waits for so many jobs that somebody waits for, and soon looks by itself.
    Lingers(usize),
    Sleeps,
}

impl Queue {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            held: Mutex::default(),
            came: Condvar::new(),
            room: Semaphore::new(ROOM),
        })
    }

    /// Queues work as soon as there is room, and gives where its end is told if anybody waits for that.
    /// Exactly if this future ends, the work is queued; `None` where the queue is closed.
    pub(crate) async fn bring(
        self: &Arc<Self>,
        work: Work,
    ) -> Option<Option<oneshot::Receiver<Result<(), StoreError>>>> {
        let room = self.room.acquire().await.ok()?;
        let is_awaited = work.is_awaited();
        let (done, waiting) = match is_awaited {
            true => {
                let (done, waiting) = oneshot::channel();
                (Some(done), Some(waiting))
            }
            false => (None, None),
        };
        let mut held = self.lock();
        if held.is_closed {
            return None;
        }
        // Given back by what is under way.
        room.forget();
        let changes = match &work {
            Work::Append(append) => Changes::Run(append.run.clone()),
            Work::Change(..) => Changes::Anything,
            Work::Vacuum | Work::Checkpoint | Work::Barrier => Changes::Nothing,
        };
        match &changes {
            Changes::Run(run) => *held.appends.entry(run.clone()).or_default() += 1,
            Changes::Anything => held.changes += 1,
            Changes::Nothing => {}
        }
        let underway = Underway {
            queue: Arc::clone(self),
            changes,
        };
        held.jobs.push_back(Job {
            work,
            done,
            underway,
        });
        held.awaited += usize::from(is_awaited);
        held.since.get_or_insert_with(Instant::now);
        let wakes = match held.writer {
            WriterState::Works => false,
            WriterState::Lingers(wanted) => held.awaited >= wanted,
            WriterState::Sleeps => true,
        };
        if wakes {
            held.writer = WriterState::Works;
        }
        drop(held);
        if wakes {
            self.came.notify_one();
        }
        Some(waiting)
    }

    /// Waits for a batch, in order; what nobody waits for only makes one after it has lingered. Empty
    /// where the queue is closed and nothing is left.
    pub(crate) fn take(&self, batch: &mut Vec<Job>) {
        let mut held = self.lock();
        let began = Instant::now();
        let mut looks_until = began + LINGER;
        while held.awaited == 0 && !held.is_closed && held.jobs.len() < BATCH {
            let until = held.since.map_or(looks_until, |since| since + LINGER);
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                held = self.linger(held, 1, left);
            } else if held.jobs.is_empty() {
                held.writer = WriterState::Sleeps;
                held = self.came.wait(held).unwrap_or_else(PoisonError::into_inner);
                looks_until = Instant::now() + LINGER;
            } else {
                break;
            }
        }
        // Those whose work the last commit was come back about now: to wait for them as long as that
        // commit took makes fewer commits, of which each serves more.
        if let Some((wanted, taken)) = held.last {
            let until = Instant::now() + began.saturating_duration_since(taken).min(JOIN);
            while held.awaited > 0 && held.awaited < wanted && !held.is_closed {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                held = self.linger(held, wanted, left);
            }
        }
        held.writer = WriterState::Works;
        let count = held.jobs.len().min(BATCH);
        batch.extend(held.jobs.drain(..count));
        let awaited = batch.iter().filter(|job| job.done.is_some()).count();
        held.awaited -= awaited;
        held.last = Some((awaited, Instant::now()));
        held.since = (!held.jobs.is_empty()).then(Instant::now);
    }

    /// Waits until so many jobs are awaited, but not for long.
    fn linger<'q>(
        &'q self,
        mut held: MutexGuard<'q, Held>,
        wanted: usize,
        longest: Duration,
    ) -> MutexGuard<'q, Held> {
        held.writer = WriterState::Lingers(wanted);
        let waited = self.came.wait_timeout(held, longest);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Lets nothing more in. What is queued is still taken.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.came.notify_one();
    }

    /// Lets nothing more in, and drops what is queued: nobody will take it.
    pub(crate) fn abandon(&self) {
        self.close();
        let mut held = self.lock();
        held.awaited = 0;
        let left = std::mem::take(&mut held.jobs);
        // Each tells the queue that it is gone.
        drop(held);
        drop(left);
    }

    /// Whether everything that was brought of this run is committed, so that readers see it.
    pub(crate) fn has_all_of(&self, run: &RunId) -> bool {
        let held = self.lock();
        held.changes == 0 && !held.appends.contains_key(run)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job's place among what is not committed, until it is dropped.
struct Underway {
    queue: Arc<Queue>,
    changes: Changes,
}

/// What a job changes of what is read.
enum Changes {
    Run(RunId),
    Anything,
    Nothing,
}

impl Drop for Underway {
    fn drop(&mut self) {
        let mut held = self.queue.lock();
        match &self.changes {
            Changes::Run(run) => {
                if let Some(count) = held.appends.get_mut(run) {
                    *count -= 1;
                    if *count == 0 {
                        held.appends.remove(run);
                    }
                }
            }
            Changes::Anything => held.changes -= 1,
            Changes::Nothing => {}
        }
        drop(held);
        self.queue.room.add_permits(1);
    }
}

#[cfg(test)]
mod tests {
    use docket_model::{Event, EventKind};
    use futures_util::FutureExt as _;
    use jiff::Timestamp;

    use super::*;

    fn unawaited() -> Work {
        let kind = EventKind::RunStarted {
            workflow: "w".to_owned(),
            plan: docket_model::Digest::of(b"plan"),
            inputs: serde_json::Value::Null,
            group: None,
        };
        let event = Event {
            at: Timestamp::UNIX_EPOCH,
            kind,
        };
        let run = "r".parse().unwrap();
        let append = Append::new(&run, 0, &[event], Durability::Ordered).unwrap();
        Work::Append(Box::new(append))
    }

    /// Brings it at once: there is room.
    fn bring(queue: &Arc<Queue>, work: Work) -> Option<oneshot::Receiver<Result<(), StoreError>>> {
        let brought = queue.bring(work).now_or_never();
        brought.expect("room").expect("open")
    }

    fn taken(queue: &Queue) -> Vec<Job> {
        let mut batch = Vec::new();
        queue.take(&mut batch);
        batch
    }

    #[test]
    fn what_nobody_waits_for_goes_with_what_somebody_does() {
        let queue = Queue::new();
        assert!(bring(&queue, unawaited()).is_none());
        assert!(bring(&queue, Work::Barrier).is_some());
        assert!(bring(&queue, unawaited()).is_none());
        assert_eq!(taken(&queue).len(), 3);
    }

    #[test]
    fn what_nobody_waits_for_is_taken_all_the_same() {
        let queue = Queue::new();
        bring(&queue, unawaited());
        assert!(!queue.has_all_of(&"r".parse().unwrap()));
        let batch = taken(&queue);
        assert_eq!(batch.len(), 1);
        assert!(!queue.has_all_of(&"r".parse().unwrap()), "it is under way");
        drop(batch);
        assert!(queue.has_all_of(&"r".parse().unwrap()));
    }

    #[test]
    fn a_writer_that_sleeps_is_woken_by_anything() {
        let queue = Queue::new();
        let writer = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || taken(&queue).len())
        };
        while queue.lock().writer != WriterState::Sleeps {
            std::thread::yield_now();
        }
        bring(&queue, unawaited());
        assert_eq!(writer.join().unwrap(), 1);
    }

    #[test]
    fn whoever_finds_no_room_and_goes_away_leaves_nothing() {
        let queue = Queue::new();
        for _ in 0..ROOM {
            bring(&queue, Work::Barrier);
        }
        assert!(queue.bring(Work::Barrier).now_or_never().is_none());
        let first = taken(&queue);
        assert_eq!(first.len(), BATCH);
        drop(first);
        bring(&queue, Work::Barrier);
        assert_eq!(queue.lock().jobs.len(), ROOM - BATCH + 1);
    }

    #[test]
    fn a_closed_queue_is_emptied_and_an_abandoned_one_tells_everybody() {
        let queue = Queue::new();
        bring(&queue, unawaited());
        queue.close();
        assert!(queue.bring(Work::Barrier).now_or_never().unwrap().is_none());
        assert_eq!(taken(&queue).len(), 1);
        assert!(taken(&queue).is_empty());

        let queue = Queue::new();
        let waiting = bring(&queue, Work::Barrier).unwrap();
        queue.abandon();
        assert!(waiting.now_or_never().unwrap().is_err());
        assert!(taken(&queue).is_empty());
    }
}
