//! The engine: starts runs, drives them to their ends, finds the ones that a crash cut off.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use docket_model::{Clock, Digest, DocumentRef, Event, EventKind, Plan, RunId, RunResult};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::appender::Appender;
use crate::drive::{Drive, Orders, Rest};
use crate::flow::Flow;
use crate::fold::{Next, RunState};
use crate::{
    Documents, Durability, EngineError, EventStore, Reporter, RunFilter, StepRunner, StoreError,
    Timer,
};

/// How many plans stay compiled.
const KEPT_PLANS: usize = 16;

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
    /// The runs that are driven now, with what cancels them.
    driven: Arc<Driven>,
    /// The plans that were used last.
    flows: Mutex<Vec<(Digest, Arc<Flow>)>>,
}

type Driven = Mutex<HashMap<RunId, Hold>>;

#[derive(Clone, Default)]
struct Hold {
    cancel: CancellationToken,
    /// Cancelled when the run is free again.
    is_free: CancellationToken,
}

impl Engine {
    /// An engine over these ports. Runs inside a tokio runtime.
    #[must_use]
    pub fn new(ports: Ports) -> Self {
        Self {
            ports: Arc::new(ports),
            driven: Arc::default(),
            flows: Mutex::default(),
        }
    }

    /// Starts a run of `plan`, durably; [`Engine::drive`] then does its work. Starting the same run
    /// again does nothing, so a caller that does not know whether it was heard may ask again.
    ///
    /// # Errors
    /// [`EngineError::StartedDifferently`], [`EngineError::MissingDocument`], and the journal's.
    pub async fn start(&self, run: &RunId, plan: &Plan, inputs: Value) -> Result<(), EngineError> {
        for document in DocumentRef::all_in(&inputs) {
            if self.ports.documents.open(document.digest)?.is_none() {
                return Err(EngineError::MissingDocument {
                    name: document.name,
                    digest: document.digest,
                });
            }
        }
        let bytes = plan
            .to_json()
            .map_err(|error| StoreError::Io(error.to_string()))?;
        let digest = self.ports.store.put_blob(bytes).await?;
        let kind = EventKind::RunStarted {
            workflow: plan.workflow.clone(),
            plan: digest,
            inputs,
        };
        let event = Event {
            at: self.ports.clock.now(),
            kind,
        };
        let store = &self.ports.store;
        let events = std::slice::from_ref(&event);
        match store.append(run, 0, events, Durability::Synced).await {
            Err(StoreError::Conflict(_)) => {
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

    /// Drives a run from where its journal stands to its end, and waits where it must. For a run
    /// that has ended it only says how.
    ///
    /// Once `park` is cancelled, no new effect begins; requests under way are awaited and recorded,
    /// and the run is left to be driven again. Dropping the future instead is safe too, and like a
    /// crash: a request that was under way is in doubt afterwards.
    ///
    /// # Errors
    /// All but [`EngineError::StartedDifferently`] and [`EngineError::MissingDocument`]. The run is
    /// not over then, and goes on when it is driven again.
    pub async fn drive(
        &self,
        run: &RunId,
        reporter: Arc<dyn Reporter>,
        park: CancellationToken,
    ) -> Result<RunResult, EngineError> {
        let owner = Arc::new(self.own(run)?);
        let orders = Orders {
            park,
            cancel: owner.hold.cancel.clone(),
        };
        loop {
            let (flow, state) = self.load(run).await?;
            let (appender, task) = Appender::start(
                Arc::clone(&self.ports.store),
                Arc::clone(&reporter),
                run.clone(),
                state.events(),
                Arc::clone(&owner),
            );
            let drive = Drive {
                ports: Arc::clone(&self.ports),
                run: run.clone(),
                flow,
                state,
                appender,
                reporter: Arc::clone(&reporter),
                orders: orders.clone(),
                halt: CancellationToken::new(),
                attempts: JoinSet::new(),
                ending: None,
            };
            let rest = drive.until_rest().await;
            // Whatever was handed over is with the store before anybody else may have the run.
            if let Err(error) = task.await {
                return Err(StoreError::Io(error.to_string()).into());
            }
            match rest? {
                Rest::Ended(result) => return Ok(result),
                Rest::Until(at) => tokio::select! {
                    () = self.ports.timer.until(at) => {}
                    () = orders.cancel.cancelled() => {}
                    () = orders.park.cancelled() => return Err(EngineError::Parked(run.clone())),
                },
            }
        }
    }

    /// Ends a run: no new effect begins, and requests under way are awaited and recorded. A run
    /// that has ended stays as it is. Says how the run ended.
    ///
    /// # Errors
    /// [`EngineError::UnknownRun`], and the journal's.
    pub async fn cancel(&self, run: &RunId) -> Result<RunResult, EngineError> {
        loop {
            let Ok(_owner) = self.own(run) else {
                let hold = self.driven().get(run).cloned();
                if let Some(hold) = hold {
                    hold.cancel.cancel();
                    hold.is_free.cancelled().await;
                }
                continue;
            };
            let (_, state) = self.load(run).await?;
            if let Next::Nothing(result) = state.next(self.ports.clock.now()) {
                return Ok(result);
            }
            let result = RunResult::Cancelled;
            let event = Event {
                at: self.ports.clock.now(),
                kind: EventKind::RunFinished {
                    result: result.clone(),
                },
            };
            let store = &self.ports.store;
            store
                .append(run, state.events(), &[event], Durability::Synced)
                .await?;
            return Ok(result);
        }
    }

    /// The runs that are not over, the first started first: what to drive after a start of the
    /// host.
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

    async fn load(&self, run: &RunId) -> Result<(Arc<Flow>, RunState), EngineError> {
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
        let kept = |flows: &mut Vec<(Digest, Arc<Flow>)>| {
            let place = flows.iter().position(|(kept, _)| *kept == digest)?;
            let entry = flows.remove(place);
            let flow = Arc::clone(&entry.1);
            flows.push(entry);
            Some(flow)
        };
        if let Some(flow) = kept(&mut self.flows.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(flow);
        }
        let bytes = self.ports.store.blob(digest).await?;
        let bytes = bytes.ok_or_else(|| {
            StoreError::Damaged(format!("the plan {digest} is not in the journal"))
        })?;
        let flow = Arc::new(Flow::read(&bytes)?);
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        if flows.len() >= KEPT_PLANS {
            flows.remove(0);
        }
        flows.push((digest, Arc::clone(&flow)));
        Ok(flow)
    }

    fn driven(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Hold>> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a run, so that nobody else in this process appends to it.
    fn own(&self, run: &RunId) -> Result<Owner, EngineError> {
        let mut driven = self.driven();
        if driven.contains_key(run) {
            return Err(EngineError::UnderWay(run.clone()));
        }
        let hold = Hold::default();
        driven.insert(run.clone(), hold.clone());
        Ok(Owner {
            driven: Arc::clone(&self.driven),
            run: run.clone(),
            hold,
        })
    }
}

/// Owns a run until it is dropped.
struct Owner {
    driven: Arc<Driven>,
    run: RunId,
    hold: Hold,
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut driven = self.driven.lock().unwrap_or_else(PoisonError::into_inner);
        driven.remove(&self.run);
        self.hold.is_free.cancel();
    }
}
