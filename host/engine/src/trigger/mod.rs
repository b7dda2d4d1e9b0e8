//! Starts runs by themselves: by time, by polling plugins' sources, and for signed requests.
//!
//! What must not be lost is in the store: a schedule's last moment and a source's cursor are set in
//! the same transaction that starts the runs which they stand for, and each item of a source and each
//! request is noted there for good. So a crash at any point loses no run and doubles none, and neither
//! does a clock that is set back. In memory are a task for each schedule and source, and how they
//! are.
//!
//! A schedule whose moments passed while nobody served has one run for the last of them. A source
//! that fails is polled again ever later, up to every 15 minutes or its own `every`; one whose account must sign
//! in is polled again when that has happened, and once an hour.

mod event;
mod poll;
mod schedule;
mod start;
mod status;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use docket_model::{
    Digest, EventKind, Failure, FailureClass, InputProblem, Plan, RunId, RunResult, StepPath,
    Trigger, TriggerKind,
};
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Engine, EngineError, LogLevel, Reporter, key};
use event::Event;
pub(crate) use start::refuse_unfit;
pub use start::{ItemStart, TriggerItem};
use status::Live;
pub use status::{TriggerState, TriggerStatus};

/// How many sources are polled at a time.
const POLLS: usize = 8;

/// The triggers of an engine's workflows.
pub struct Triggers {
    shared: Arc<Shared>,
    wanted: watch::Sender<Arc<Vec<Arc<Plan>>>>,
}

/// What the tasks share.
struct Shared {
    engine: Arc<Engine>,
    reporter: Arc<dyn Reporter>,
    polls: Semaphore,
    /// Changes whenever a source begins to wait for a sign-in.
    needs: watch::Sender<()>,
    live: Mutex<BTreeMap<String, Live>>,
}

/// A trigger with the plan that it starts.
#[derive(Clone)]
struct Armed {
    name: String,
    trigger: Trigger,
    plan: Arc<Plan>,
}

/// A workflow's webhook.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// What it is known by: `workflow/webhook`.
    pub name: String,
    plan: Arc<Plan>,
    trigger: Trigger,
}

/// What became of a request to a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// It has this run, durably, from now on or since it came before.
    Run(RunId),
    /// Another request came before with this id, and had this run.
    Different(RunId),
}

impl Triggers {
    /// No triggers yet; `reporter` hears what sources log.
    #[must_use]
    pub fn new(engine: Arc<Engine>, reporter: Arc<dyn Reporter>) -> Self {
        let shared = Shared {
            engine,
            reporter,
            polls: Semaphore::new(POLLS),
            needs: watch::Sender::new(()),
            live: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            wanted: watch::Sender::new(Arc::default()),
        }
    }

    /// Sets the plans whose triggers there are. Those that stay as they were go on undisturbed;
    /// others begin, change or end at once, and go on from where the store says.
    pub fn set(&self, plans: Vec<Arc<Plan>>) {
        self.wanted.send_replace(Arc::new(plans));
    }

    /// Keeps the schedules and polls the sources until `shutdown` is cancelled. A poll under way is
    /// dropped then; it changes nothing, and its items come again.
    pub async fn serve(&self, shutdown: CancellationToken) {
        let mut wanted = self.wanted.subscribe();
        let mut tasks: HashMap<String, Task> = HashMap::new();
        loop {
            let plans = Arc::clone(&wanted.borrow_and_update());
            self.arrange(&plans, &mut tasks).await;
            tokio::select! {
                () = shutdown.cancelled() => break,
                changed = wanted.changed() => if changed.is_err() { break },
            }
        }
        for (_, task) in tasks.drain() {
            task.end().await;
        }
    }

    async fn arrange(&self, plans: &[Arc<Plan>], tasks: &mut HashMap<String, Task>) {
        let mut armed: HashMap<String, (Digest, Armed)> = HashMap::new();
        for plan in plans {
            // A plan that cannot be written could not be run either.
            let Ok(digest) = plan.digest() else { continue };
            for one in armed_of(plan) {
                armed.insert(one.name.clone(), (digest, one));
            }
        }
        self.shared
            .live()
            .retain(|name, _| armed.contains_key(name));
        let is_kept = |name: &String, task: &Task| {
            armed
                .get(name)
                .is_some_and(|(digest, _)| *digest == task.plan)
                && !task.handle.is_finished()
        };
        let gone: Vec<String> = tasks
            .iter()
            .filter(|(name, task)| !is_kept(name, task))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            if let Some(task) = tasks.remove(&name) {
                task.end().await;
            }
        }
        for (name, (digest, armed)) in armed {
            self.shared.live().entry(name.clone()).or_default();
            if tasks.contains_key(&name) || matches!(armed.trigger.on, TriggerKind::Webhook) {
                continue;
            }
            let end = CancellationToken::new();
            let (shared, ended) = (Arc::clone(&self.shared), end.clone());
            let handle = tokio::spawn(async move {
                let work = async {
                    match &armed.trigger.on {
                        TriggerKind::Schedule(schedule) => shared.keep_time(&armed, schedule).await,
                        TriggerKind::Source(poll) => shared.watch_source(&armed, poll).await,
                        TriggerKind::Webhook => {}
                    }
                };
                tokio::select! {
                    () = work => {}
                    () = ended.cancelled() => {}
                }
            });
            let plan = digest;
            tasks.insert(name, Task { plan, end, handle });
        }
    }

    /// Tells, from now on, whenever a source begins to wait for a sign-in; [`Self::list`] says which.
    #[must_use]
    pub fn needs(&self) -> watch::Receiver<()> {
        self.shared.needs.subscribe()
    }

    /// How the triggers are, by their names.
    ///
    /// # Errors
    /// The journal's.
    pub async fn list(&self) -> Result<Vec<TriggerStatus>, EngineError> {
        let plans = Arc::clone(&self.wanted.borrow());
        let mut found = Vec::new();
        for one in plans.iter().flat_map(armed_of) {
            found.push(self.shared.status(one).await?);
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// A workflow's webhook, if it has one.
    #[must_use]
    pub fn webhook(&self, workflow: &str) -> Option<Webhook> {
        let plans = Arc::clone(&self.wanted.borrow());
        let plan = plans.iter().find(|plan| plan.workflow == workflow)?;
        let is_webhook = |one: &Armed| matches!(one.trigger.on, TriggerKind::Webhook);
        let one = armed_of(plan).find(is_webhook)?;
        Some(Webhook {
            name: one.name,
            plan: one.plan,
            trigger: one.trigger,
        })
    }

    /// Looks whether a request came before: `id` names it for good, and `body` is its digest.
    ///
    /// # Errors
    /// The journal's.
    pub async fn known(
        &self,
        webhook: &Webhook,
        id: &str,
        body: Digest,
    ) -> Result<Option<Received>, EngineError> {
        let run = self.shared.engine.ports().store.item(&webhook.name, id);
        Ok(run.await?.map(|run| judge(run, webhook, id, body)))
    }

    /// What a request makes of the workflow's inputs; not yet held against their types, so that
    /// documents that stand in it can be stored before.
    ///
    /// # Errors
    /// Every expression that yields nothing for this body, and a body that is no object where its
    /// members are the inputs.
    pub async fn inputs(
        &self,
        webhook: &Webhook,
        id: &str,
        body: Value,
    ) -> Result<Result<Map<String, Value>, Vec<InputProblem>>, EngineError> {
        let (flow, _) = self.shared.engine.keep(&webhook.plan).await?;
        let at = self.shared.engine.ports().clock.now();
        let event = Event::of_request(&webhook.trigger, id, at, body);
        Ok(event.given(&flow, &webhook.trigger))
    }

    /// Starts a run for a request, once, however often it comes; durable when this returns.
    ///
    /// # Errors
    /// As [`Engine::start_items`].
    pub async fn receive(
        &self,
        webhook: &Webhook,
        id: &str,
        body: Digest,
        inputs: Value,
    ) -> Result<Received, EngineError> {
        let engine = &self.shared.engine;
        let at = engine.ports().clock.now();
        let run = key::of_event(at, &request_parts(webhook, id, &body.to_string()))
            .map_err(|error| crate::StoreError::Damaged(error.to_string()))?;
        let item = TriggerItem {
            key: Some(id.to_owned()),
            run: run.clone(),
            start: ItemStart::With(inputs),
        };
        let started = engine
            .start_items(&webhook.name, None, &webhook.plan, vec![item])
            .await?;
        if started.is_empty() {
            // The same request came at the same time.
            let before = engine.ports().store.item(&webhook.name, id).await?;
            return Ok(judge(before.unwrap_or(run), webhook, id, body));
        }
        self.shared.note_started(&webhook.name, 1);
        Ok(Received::Run(run))
    }

    /// Lets a trigger begin anew: a schedule from now on, a source as its input says. The items that
    /// it has seen have no second run. Says whether there was anything to forget.
    ///
    /// # Errors
    /// The journal's.
    pub async fn reset(&self, name: &str) -> Result<bool, EngineError> {
        let store = &self.shared.engine.ports().store;
        let was_set = store.reset_trigger(name).await?;
        // Whoever waits by the old cursor looks again.
        self.shared.wake(name);
        Ok(was_set)
    }
}

impl Webhook {
    /// The plan that it starts.
    #[must_use]
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }
}

/// The run of a request is named by the request and its body, so that another body with the same id
/// is told apart by the name alone.
fn request_parts<'a>(webhook: &'a Webhook, id: &'a str, body: &'a str) -> [&'a str; 3] {
    [&webhook.name, id, body]
}

fn judge(run: RunId, webhook: &Webhook, id: &str, body: Digest) -> Received {
    let body = body.to_string();
    let named = key::of_event(
        jiff::Timestamp::UNIX_EPOCH,
        &request_parts(webhook, id, &body),
    );
    let tail = |run: &RunId| run.as_str().rsplit('-').next().map(str::to_owned);
    match named.is_ok_and(|named| tail(&named) == tail(&run)) {
        true => Received::Run(run),
        false => Received::Different(run),
    }
}

fn armed_of(plan: &Arc<Plan>) -> impl Iterator<Item = Armed> {
    plan.triggers.iter().map(|trigger| Armed {
        name: trigger.name(&plan.workflow),
        trigger: trigger.clone(),
        plan: Arc::clone(plan),
    })
}

/// A trigger's task.
struct Task {
    plan: Digest,
    end: CancellationToken,
    handle: JoinHandle<()>,
}

impl Task {
    async fn end(self) {
        self.end.cancel();
        // Where it panicked, that was said where it did.
        let _ = self.handle.await;
    }
}

impl Shared {
    fn live(&self) -> MutexGuard<'_, BTreeMap<String, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the runs of events, sets the cursor with them, and says how many were new. An event
    /// that yields no inputs has a run that fails; one that its source's `if` leaves out has none.
    async fn take(
        &self,
        armed: &Armed,
        cursor: Option<&str>,
        events: Vec<Event>,
    ) -> Result<usize, EngineError> {
        let engine = &self.engine;
        let (flow, _) = engine.keep(&armed.plan).await?;
        let mut items = Vec::with_capacity(events.len());
        for event in events {
            items.push(event.into_item(&flow, armed)?);
        }
        let mut failed: BTreeMap<RunId, Failure> = items
            .iter()
            .filter_map(|item| match &item.start {
                ItemStart::Failed { failure, .. } => Some((item.run.clone(), failure.clone())),
                ItemStart::With(_) | ItemStart::Not => None,
            })
            .collect();
        let started = engine
            .start_items(&armed.name, cursor, &armed.plan, items)
            .await?;
        if armed.plan.on_error.is_empty() {
            for run in &started {
                let Some(failure) = failed.remove(run) else {
                    continue;
                };
                // Nobody drives it, so nobody else tells.
                let result = RunResult::Failed {
                    path: None,
                    failure,
                };
                let at = engine.ports().clock.now();
                let kind = EventKind::RunFinished { result };
                self.reporter.event(run, &docket_model::Event { at, kind });
            }
        }
        self.note_started(&armed.name, started.len());
        Ok(started.len())
    }

    /// Says in the log what a trigger could not do.
    fn tell(&self, armed: &Armed, failure: &Failure) {
        let path = StepPath {
            step: armed.trigger.id.as_str().into(),
            item: None,
        };
        let help = failure.remedy.as_deref().unwrap_or_default();
        let line = format!("the trigger {}: {} {help}", armed.name, failure.message);
        if let Ok(run) = poll::name(&armed.name) {
            self.reporter
                .log(&run, &path, LogLevel::Warn, line.trim_end());
        }
    }
}

/// A failure of the host, for those who look at the trigger.
fn of_host(error: &EngineError) -> Failure {
    Failure::new(FailureClass::Unavailable, "host", error.to_string())
}

/// What every event has.
fn facts(trigger: &Trigger, id: &str, at: jiff::Timestamp) -> Map<String, Value> {
    let facts = json!({"id": id, "at": at, "trigger": trigger.id});
    match facts {
        Value::Object(facts) => facts,
        _ => Map::new(),
    }
}
