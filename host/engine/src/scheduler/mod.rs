//! Drives many runs: so many at a time, fairly between workflows, within the groups of
//! `concurrency`, and each woken when its time or what it waits for comes.
//!
//! What waits is rows in the store. In memory are the ids of runs that are ready, and what is driven.

mod queue;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use docket_model::RunId;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Engine, EngineError, Progress, Ready, Reporter, StoreError};
use queue::Queue;

/// How many runs are made ready in one go.
const WAKE: u32 = 2_000;
/// How long a run rests that the host itself could not drive.
const AFTER_FAULT: SignedDuration = SignedDuration::from_secs(30);

/// How a [`Scheduler`] works.
#[derive(Debug, Clone, Copy)]
pub struct SchedulerSettings {
    /// How many runs may be driven at a time.
    pub at_once: usize,
    /// How long, after the order to shut down, requests under way are awaited. What takes longer is
    /// dropped as in a crash, and looked up after the next start.
    pub grace: Duration,
}

impl Default for SchedulerSettings {
    fn default() -> Self {
        Self {
            at_once: 64,
            grace: Duration::from_secs(20),
        }
    }
}

/// Drives the runs of an engine.
pub struct Scheduler {
    engine: Arc<Engine>,
    reporter: Arc<dyn Reporter>,
    settings: SchedulerSettings,
}

/// The end of a drive.
type Driven = Result<Progress, EngineError>;

impl Scheduler {
    /// A scheduler of this engine's runs; `reporter` hears of all of them.
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        reporter: Arc<dyn Reporter>,
        settings: SchedulerSettings,
    ) -> Self {
        Self {
            engine,
            reporter,
            settings,
        }
    }

    /// Drives all runs that are ready, and all that become so, until `shutdown` is cancelled; then
    /// parks what is under way and leaves within the grace. An engine has one scheduler at a time.
    ///
    /// # Errors
    /// The journal's: nothing can be driven without one. Runs that fail, and runs that the host
    /// cannot drive for the moment, are no errors; the latter are tried again.
    pub async fn serve(&self, shutdown: CancellationToken) -> Result<(), EngineError> {
        if !self.engine.changes().listen() {
            let what = "the engine has a scheduler already".to_owned();
            return Err(StoreError::InUse(what).into());
        }
        let park = CancellationToken::new();
        let mut driven = JoinSet::new();
        let served = self.work(&shutdown, &park, &mut driven).await;
        park.cancel();
        let until = self.now().saturating_add(duration(self.settings.grace));
        let until = until.unwrap_or(Timestamp::MAX);
        let left = async { while driven.join_next().await.is_some() {} };
        tokio::select! {
            () = left => {}
            () = self.engine.ports().timer.until(until) => {}
        }
        self.engine.changes().stop_listening();
        served
    }

    async fn work(
        &self,
        shutdown: &CancellationToken,
        park: &CancellationToken,
        driven: &mut JoinSet<Driven>,
    ) -> Result<(), EngineError> {
        let store = &self.engine.ports().store;
        let mut queue = Queue::new(self.settings.at_once);
        for ready in store.parked_in_groups().await? {
            queue.hold(&ready);
        }
        for ready in store.ready().await? {
            queue.add(ready);
        }
        let mut wake_at = store.next_wake().await?;
        let mut faulty: Vec<(Timestamp, Ready)> = Vec::new();
        // What was told of runs that could not go on.
        let mut told: HashMap<RunId, String> = HashMap::new();
        let mut tasks: HashMap<tokio::task::Id, RunId> = HashMap::new();
        loop {
            while let Some(run) = queue.take() {
                let engine = Arc::clone(&self.engine);
                let (reporter, park) = (Arc::clone(&self.reporter), park.clone());
                let name = run.clone();
                let advanced = async move { engine.advance_when_free(&run, reporter, park).await };
                let task = driven.spawn(advanced);
                tasks.insert(task.id(), name);
            }
            let faults = faulty.iter().map(|(at, _)| *at);
            let next = faults.chain(wake_at).min();
            let timer = Arc::clone(&self.engine.ports().timer);
            let due = async {
                match next {
                    Some(at) => timer.until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                Some(joined) = driven.join_next_with_id() => {
                    // Without an end, the host panicked.
                    let (task, end) = match joined {
                        Ok((task, end)) => (task, Some(end)),
                        Err(error) => (error.id(), None),
                    };
                    let Some(run) = tasks.remove(&task) else { continue };
                    let fault = match end {
                        Some(Ok(Progress::Ended(_))) => {
                            queue.ended(&run);
                            None
                        }
                        Some(Ok(Progress::Waits(rest))) => {
                            queue.rests(&run);
                            wake_at = [wake_at, rest.wake_at].into_iter().flatten().min();
                            None
                        }
                        // Whoever started it went away before it was there.
                        Some(Err(EngineError::UnknownRun(_))) => {
                            queue.ended(&run);
                            None
                        }
                        Some(Err(EngineError::Store(error))) if is_of_all_runs(&error) => {
                            return Err(error.into());
                        }
                        // Its record cannot be read; trying again would not mend that.
                        Some(Err(EngineError::Store(
                            error @ (StoreError::Newer { .. } | StoreError::Damaged(_)),
                        ))) => {
                            queue.rests(&run);
                            Some(format!("{error}; it is left as it is until the next start"))
                        }
                        other => {
                            let at = self.now().saturating_add(AFTER_FAULT);
                            let ready = queue.rests(&run);
                            faulty.extend(ready.map(|ready| (at.unwrap_or(Timestamp::MAX), ready)));
                            let why = match other {
                                Some(Err(EngineError::Fault { path, reason, .. })) => {
                                    format!("{path}: {reason}")
                                }
                                Some(Err(error)) => error.to_string(),
                                _ => "the host panicked".to_owned(),
                            };
                            Some(format!("{why}; it is tried again every 30 seconds"))
                        }
                    };
                    self.tell(&mut told, run, fault);
                }
                () = self.engine.changes().came() => {
                    for ready in self.engine.changes().take() {
                        queue.add(ready);
                    }
                }
                () = due => {
                    let now = self.now();
                    let (due, later) = faulty.drain(..).partition(|(at, _)| *at <= now);
                    faulty = later;
                    let due: Vec<(Timestamp, Ready)> = due;
                    due.into_iter().for_each(|(_, ready)| queue.add(ready));
                    for ready in store.wake(now, WAKE).await? {
                        queue.add(ready);
                    }
                    wake_at = store.next_wake().await?;
                }
            }
        }
    }

    /// Tells of a run that could not go on, unless that was told; `None` is one that could.
    fn tell(&self, told: &mut HashMap<RunId, String>, run: RunId, fault: Option<String>) {
        match fault {
            None => {
                told.remove(&run);
            }
            Some(why) if told.get(&run) != Some(&why) => {
                self.reporter.fault(&run, &why);
                told.insert(run, why);
            }
            Some(_) => {}
        }
    }

    fn now(&self) -> Timestamp {
        self.engine.ports().clock.now()
    }
}

/// Whether no run can go on with this, rather than one alone.
fn is_of_all_runs(error: &StoreError) -> bool {
    match error {
        StoreError::Full(_) | StoreError::InUse(_) | StoreError::Io(_) => true,
        StoreError::Conflict(_) | StoreError::Newer { .. } | StoreError::Damaged(_) => false,
    }
}

fn duration(of: Duration) -> SignedDuration {
    SignedDuration::try_from(of).unwrap_or(SignedDuration::MAX)
}
