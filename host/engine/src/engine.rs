//! The engine: starts runs, drives them to their ends, tells them what happens outside.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use docket_model::{Clock, Digest, DocumentRef, Event, EventKind, Plan, RunId, RunResult, WaitFor};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::appender::Appender;
use crate::changes::Changes;
use crate::drive::{Drive, Left, Orders, Told};
use crate::flow::Flow;
use crate::fold::RunState;
use crate::sign_ins::SignIns;
use crate::{
    Documents, Durability, EngineError, EventStore, Ready, Reporter, Rest, RunFilter, RunSummary,
    StepRunner, StoreError, Timer, trigger,
};

/// How many plans stay compiled.
const KEPT_PLANS: usize = 16;
/// How much a run may be told before its drive has listened; whoever tells more waits.
const INBOX: usize = 16;
/// Waits that are shorter are not worth parking a run for.
const SHORT: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);

/// What the engine needs of the world.
pub struct Ports {
    /// Keeps events and plans.
    pub store: Arc<dyn EventStore>,
    /// Keeps what the inputs refer to.
    pub documents: Arc<dyn Documents>,
    /// Runs attempts.
    pub runner: Arc<dyn StepRunner>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Waits.
    pub timer: Arc<dyn Timer>,
}

/// The embedded engine.
pub struct Engine {
    ports: Arc<Ports>,
    /// The runs that are driven now, with what reaches them.
    driven: Arc<Driven>,
    /// The plans that were used last.
    flows: Mutex<Vec<(Digest, Arc<Flow>)>>,
    /// The runs that became ready, for the scheduler if there is one.
    changes: Changes,
    sign_ins: Arc<SignIns>,
}

type Driven = Mutex<HashMap<RunId, Hold>>;

#[derive(Clone)]
pub(crate) struct Hold {
    pub(crate) cancel: CancellationToken,
    pub(crate) inbox: mpsc::Sender<Told>,
    /// Cancelled when the run is free again.
    pub(crate) is_free: CancellationToken,
}

/// Where [`Engine::advance`] left a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// It has ended.
    Ended(RunResult),
    /// It waits, and is parked: rows say for what.
    Waits(Rest),
}

impl Engine {
    /// An engine over these ports. Runs inside a tokio runtime.
    #[must_use]
    pub fn new(ports: Ports) -> Self {
        Self {
            sign_ins: Arc::new(SignIns::new(Arc::clone(&ports.store))),
            ports: Arc::new(ports),
            driven: Arc::default(),
            flows: Mutex::default(),
            changes: Changes::default(),
        }
    }

    /// Starts a run of `plan`, durably; a [`crate::Scheduler`] or [`Engine::drive`] then does its
    /// work. Starting the same run again does nothing, so a caller that does not know whether it was
    /// heard may ask again.
    ///
    /// # Errors
    /// [`EngineError::StartedDifferently`], [`EngineError::MissingDocument`],
    /// [`EngineError::Unstartable`], and the journal's.
    pub async fn start(&self, run: &RunId, plan: &Plan, inputs: Value) -> Result<(), EngineError> {
        let (flow, digest) = self.keep(plan).await?;
        let event = self.started(run, &flow, digest, inputs)?;
        let mut coming = self.changes.coming();
        coming.are(ready_by(run, &event).into_iter().collect());
        let store = &self.ports.store;
        let events = std::slice::from_ref(&event);
        match store.append(run, 0, events, Durability::Synced).await {
            Err(StoreError::Conflict(_)) => {
                coming.are(Vec::new());
                let is_same = store
                    .events(run)
                    .await?
                    .first()
                    .is_some_and(|first| first.kind == event.kind);
                match is_same {
                    true => Ok(()),
                    false => Err(EngineError::StartedDifferently(run.clone())),
                }
            }
            appended => Ok(appended?),
        }
    }

    /// Starts a new run of the same plan with the same inputs as an older one, whatever became of
    /// that. Nothing of what the older one did counts for it.
    ///
    /// # Errors
    /// [`EngineError::UnknownRun`] of the older one, else as [`Engine::start`].
    pub async fn rerun(&self, older: &RunId, run: &RunId) -> Result<(), EngineError> {
        let events = self.ports.store.events(older).await?;
        trigger::refuse_unfit(&events)?;
        let Some(EventKind::RunStarted { plan, inputs, .. }) =
            events.into_iter().next().map(|event| event.kind)
        else {
            return Err(EngineError::UnknownRun(older.clone()));
        };
        let flow = self.flow(plan).await?;
        self.start(run, flow.plan(), inputs).await
    }

    /// Drives a run from where its journal stands to its end, and waits where it must for time to
    /// pass. What waits for a sign-in is tried once more first. For a run that has ended it only
    /// says how.
    ///
    /// Once `park` is cancelled, no new effect begins; requests under way are awaited and recorded,
    /// and the run is left to be driven again. Dropping the future instead is safe too, and like a
    /// crash: a request that was under way is in doubt afterwards.
    ///
    /// # Errors
    /// [`EngineError::SignInNeeded`] and [`EngineError::Waits`] where the run waits for somebody;
    /// [`EngineError::UnderWay`], [`EngineError::Parked`], [`EngineError::Fault`],
    /// [`EngineError::UnknownRun`] and the journal's. The run is not over then, and goes on when it
    /// is driven again.
    pub async fn drive(
        &self,
        run: &RunId,
        reporter: Arc<dyn Reporter>,
        park: CancellationToken,
    ) -> Result<RunResult, EngineError> {
        let owner = Arc::new(self.own(run)?);
        // Whoever drives a run by hand wants to see whether it goes on.
        let mut asks_again = true;
        loop {
            let advanced = self.advance_owned(&owner, &reporter, &park, asks_again);
            asks_again = false;
            let rest = match advanced.await? {
                Progress::Ended(result) => return Ok(result),
                Progress::Waits(rest) => rest,
            };
            if let Some(error) = waits_for_somebody(run, &rest) {
                return Err(error);
            }
            let Some(at) = rest.wake_at else {
                let what = format!("run {run} waits for nothing");
                return Err(StoreError::Damaged(what).into());
            };
            self.stay(&owner, at, &park).await?;
        }
    }

    /// Drives a run until it ends or waits for more than a few seconds, and parks it then.
    ///
    /// # Errors
    /// As [`Engine::drive`], but waiting is none.
    pub async fn advance(
        &self,
        run: &RunId,
        reporter: Arc<dyn Reporter>,
        park: CancellationToken,
    ) -> Result<Progress, EngineError> {
        let owner = Arc::new(self.own(run)?);
        self.advance_owned(&owner, &reporter, &park, false).await
    }

    /// The same for a run that somebody may be telling something just now: waits until that is done.
    pub(crate) async fn advance_when_free(
        &self,
        run: &RunId,
        reporter: Arc<dyn Reporter>,
        park: CancellationToken,
    ) -> Result<Progress, EngineError> {
        let owner = loop {
            let hold = self.driven().get(run).cloned();
            if let Some(hold) = hold {
                tokio::select! {
                    () = hold.is_free.cancelled() => {}
                    () = park.cancelled() => return Err(EngineError::Parked(run.clone())),
                }
            }
            if let Ok(owner) = self.own(run) {
                break Arc::new(owner);
            }
        };
        self.advance_owned(&owner, &reporter, &park, false).await
    }

    async fn advance_owned(
        &self,
        owner: &Arc<Owner>,
        reporter: &Arc<dyn Reporter>,
        park: &CancellationToken,
        mut asks_again: bool,
    ) -> Result<Progress, EngineError> {
        let run = &owner.run;
        let orders = Orders {
            park: park.clone(),
            cancel: owner.hold.cancel.clone(),
        };
        loop {
            let (flow, state) = self.load(run).await?;
            let appender = Appender::new(
                Arc::clone(&self.ports.store),
                Arc::clone(reporter),
                state.events(),
                Arc::clone(owner),
            );
            let drive = Drive {
                ports: Arc::clone(&self.ports),
                run: run.clone(),
                flow,
                state,
                appender: appender.clone(),
                reporter: Arc::clone(reporter),
                orders: orders.clone(),
                sign_ins: Arc::clone(&self.sign_ins),
                asks_again: std::mem::take(&mut asks_again),
                inbox: Arc::clone(&owner.inbox).lock_owned().await,
                halt: CancellationToken::new(),
                attempts: JoinSet::new(),
                ending: None,
            };
            let rest = match drive.until_rest().await? {
                Left::Ended(result) => return Ok(Progress::Ended(result)),
                Left::Resting(rest) => rest,
            };
            let events = appender.events().await;
            drop(appender);
            let soon = self.ports.clock.now().saturating_add(SHORT);
            let is_short = rest
                .wake_at
                .zip(soon.ok())
                .is_some_and(|(at, soon)| at <= soon);
            if let (true, Some(at)) = (is_short, rest.wake_at) {
                self.stay(owner, at, park).await?;
            } else if self.ports.store.park(run, events, &rest).await? {
                return Ok(Progress::Waits(rest));
            } else {
                // Somebody has signed in meanwhile, and perhaps nobody lived to say so here.
                self.sign_ins.forget();
            }
        }
    }

    /// Keeps a run until `at`, or until there is something for it to do before.
    async fn stay(
        &self,
        owner: &Owner,
        at: Timestamp,
        park: &CancellationToken,
    ) -> Result<(), EngineError> {
        let mut inbox = owner.inbox.lock().await;
        tokio::select! {
            () = self.ports.timer.until(at) => Ok(()),
            () = owner.hold.cancel.cancelled() => Ok(()),
            () = park.cancelled() => Err(EngineError::Parked(owner.run.clone())),
            Some(told) = inbox.recv() => self.answer(owner, told).await,
        }
    }

    /// The runs that are not over, the first started first; those that wait are among them.
    ///
    /// # Errors
    /// The journal's.
    pub async fn recover(&self) -> Result<Vec<RunId>, EngineError> {
        let filter = RunFilter {
            only_unfinished: true,
            ..RunFilter::default()
        };
        let runs = self.ports.store.runs(filter).await?;
        Ok(runs.into_iter().rev().map(|run| run.id).collect())
    }

    /// What it works with.
    pub(crate) fn ports(&self) -> &Ports {
        &self.ports
    }

    pub(crate) fn sign_ins(&self) -> &SignIns {
        &self.sign_ins
    }

    pub(crate) const fn changes(&self) -> &Changes {
        &self.changes
    }

    pub(crate) async fn summary(&self, run: &RunId) -> Result<RunSummary, EngineError> {
        let summary = self.ports.store.run(run).await?;
        summary.ok_or_else(|| EngineError::UnknownRun(run.clone()))
    }

    /// Keeps a plan for the runs of it.
    pub(crate) async fn keep(&self, plan: &Plan) -> Result<(Arc<Flow>, Digest), EngineError> {
        let bytes = plan
            .to_json()
            .map_err(|error| StoreError::Io(error.to_string()))?;
        let digest = self.ports.store.put_blob(bytes).await?;
        if let Some(flow) = self.kept_flow(digest) {
            return Ok((flow, digest));
        }
        let flow = Arc::new(Flow::of(plan.clone())?);
        self.keep_flow(digest, &flow);
        Ok((flow, digest))
    }

    /// The first event of a run.
    pub(crate) fn started(
        &self,
        run: &RunId,
        flow: &Flow,
        plan: Digest,
        inputs: Value,
    ) -> Result<Event, EngineError> {
        self.keep_documents(&inputs)?;
        let group = flow
            .group(run, &inputs)
            .map_err(|failure| EngineError::Unstartable(Box::new(failure)))?;
        let kind = EventKind::RunStarted {
            workflow: flow.plan().workflow.clone(),
            plan,
            inputs,
            group,
        };
        let at = self.ports.clock.now();
        Ok(Event { at, kind })
    }

    /// The documents of a run's inputs must be there, and stay.
    pub(crate) fn keep_documents(&self, inputs: &Value) -> Result<(), EngineError> {
        for document in DocumentRef::all_in(inputs) {
            if !self.ports.documents.keep(document.digest)? {
                return Err(EngineError::MissingDocument {
                    name: document.name,
                    digest: document.digest,
                });
            }
        }
        Ok(())
    }

    pub(crate) async fn load(&self, run: &RunId) -> Result<(Arc<Flow>, RunState), EngineError> {
        let events = self.ports.store.events(run).await?;
        let digest = match events.first().map(|event| &event.kind) {
            None => return Err(EngineError::UnknownRun(run.clone())),
            Some(EventKind::RunStarted { plan, .. }) => *plan,
            Some(_) => {
                let what = format!("run {run} does not begin with its start");
                return Err(StoreError::Damaged(what).into());
            }
        };
        let flow = self.flow(digest).await?;
        let state = RunState::fold(Arc::clone(flow.plan()), events)
            .map_err(|damage| StoreError::Damaged(format!("run {run}: {damage}")))?;
        Ok((flow, state))
    }

    async fn flow(&self, digest: Digest) -> Result<Arc<Flow>, EngineError> {
        if let Some(flow) = self.kept_flow(digest) {
            return Ok(flow);
        }
        let bytes = self.ports.store.blob(digest).await?;
        let bytes = bytes.ok_or_else(|| {
            StoreError::Damaged(format!("the plan {digest} is not in the journal"))
        })?;
        let flow = Arc::new(Flow::read(&bytes)?);
        self.keep_flow(digest, &flow);
        Ok(flow)
    }

    fn kept_flow(&self, digest: Digest) -> Option<Arc<Flow>> {
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        let place = flows.iter().position(|(kept, _)| *kept == digest)?;
        let entry = flows.remove(place);
        let flow = Arc::clone(&entry.1);
        flows.push(entry);
        Some(flow)
    }

    fn keep_flow(&self, digest: Digest, flow: &Arc<Flow>) {
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        if flows.len() >= KEPT_PLANS {
            flows.remove(0);
        }
        flows.push((digest, Arc::clone(flow)));
    }

    pub(crate) fn driven(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Hold>> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a run, so that nobody else in this process appends to it.
    pub(crate) fn own(&self, run: &RunId) -> Result<Owner, EngineError> {
        let mut driven = self.driven();
        if driven.contains_key(run) {
            return Err(EngineError::UnderWay(run.clone()));
        }
        let (inbox, words) = mpsc::channel(INBOX);
        let hold = Hold {
            cancel: CancellationToken::new(),
            inbox,
            is_free: CancellationToken::new(),
        };
        driven.insert(run.clone(), hold.clone());
        Ok(Owner {
            driven: Arc::clone(&self.driven),
            run: run.clone(),
            hold,
            inbox: Arc::new(tokio::sync::Mutex::new(words)),
        })
    }
}

/// A run as its first event makes it ready.
pub(crate) fn ready_by(run: &RunId, first: &Event) -> Option<Ready> {
    let EventKind::RunStarted {
        workflow, group, ..
    } = &first.kind
    else {
        return None;
    };
    Some(Ready {
        run: run.clone(),
        workflow: workflow.clone(),
        group: group.clone(),
        has_begun: false,
    })
}

/// The first of a run's waits that only somebody can end.
fn waits_for_somebody(run: &RunId, rest: &Rest) -> Option<EngineError> {
    let step = rest
        .steps
        .iter()
        .find(|step| !matches!(step.wait.on, WaitFor::Timer | WaitFor::Retry { .. }))?;
    let (run, path) = (run.clone(), step.path.clone());
    Some(match &step.wait.on {
        WaitFor::SignIn { failure, .. } => EngineError::SignInNeeded {
            run,
            path,
            failure: Box::new(failure.clone()),
        },
        other => EngineError::Waits {
            run,
            path,
            wait: Box::new(other.clone()),
        },
    })
}

/// Owns a run until it is dropped.
pub(crate) struct Owner {
    driven: Arc<Driven>,
    pub(crate) run: RunId,
    hold: Hold,
    inbox: Arc<tokio::sync::Mutex<mpsc::Receiver<Told>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut driven = self.driven.lock().unwrap_or_else(PoisonError::into_inner);
        driven.remove(&self.run);
        self.hold.is_free.cancel();
    }
}
