//! A workflow tried out: plugins run, reads go out, and everything that would change something is
//! held back and shown. Nothing is recorded, and no step is tried twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use docket_model::{
    Clock, EffectCall, Failure, Item, Outcome, Plan, PlannedStep, RunId, Scope, StepPath,
    StepResult, StepValue, Steps,
};
use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::flow::Flow;
use crate::{EngineError, Journal, Reporter, StepCall, StepRunner, Stop, idempotency_key};

/// Whether a request of this method changes nothing (RFC 9110, section 9.2.1).
#[must_use]
pub fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

/// What became of a step, or of an item of it.
#[derive(Debug, Clone, PartialEq)]
pub struct DryStep {
    /// The step.
    pub path: StepPath,
    /// The plugin and the action.
    pub action: String,
    /// How far it came.
    pub end: DryEnd,
    /// How many requests it sent; all of them read.
    pub reads: usize,
}

/// How far a step came.
#[derive(Debug, Clone, PartialEq)]
pub enum DryEnd {
    /// It ended, and changed nothing.
    Done,
    /// It would have sent this.
    Held(EffectCall),
    /// It would wait: a timer, an event or an approval.
    Waits,
    /// Its `if` was false.
    Skipped,
    /// It needs what these steps would have done.
    NotReached(BTreeSet<String>),
    /// It failed, and the run would have.
    Failed(Failure),
}

/// Tries a plan out. `runner` must have a way out that holds back what [`is_safe`] does not allow:
/// such requests are handed to it, so that it can show them, and it must end them with an error.
///
/// # Errors
/// The host's own faults, and inputs or plans that cannot be run at all.
pub async fn dry_run(
    plan: &Plan,
    inputs: &Value,
    runner: &dyn StepRunner,
    clock: &dyn Clock,
    reporter: Arc<dyn Reporter>,
) -> Result<Vec<DryStep>, EngineError> {
    let run: RunId = "dry-run".parse().map_err(|_| fault("the run's id"))?;
    let mut rehearsal = Rehearsal {
        flow: Flow::of(plan.clone())?,
        run,
        inputs,
        runner,
        clock,
        reporter,
        steps: Steps::new(),
        unknown: BTreeSet::new(),
        failed: None,
        found: Vec::new(),
    };
    for step in &plan.steps {
        rehearsal.step(step).await?;
    }
    Ok(rehearsal.found)
}

struct Rehearsal<'r> {
    flow: Flow,
    run: RunId,
    inputs: &'r Value,
    runner: &'r dyn StepRunner,
    clock: &'r dyn Clock,
    reporter: Arc<dyn Reporter>,
    steps: Steps,
    /// The steps whose outputs nobody knows.
    unknown: BTreeSet<String>,
    /// The step that the run would have failed at.
    failed: Option<String>,
    found: Vec<DryStep>,
}

impl Rehearsal<'_> {
    async fn step(&mut self, step: &PlannedStep) -> Result<(), EngineError> {
        let mut missing: BTreeSet<String> = self.flow.needs(step);
        missing.retain(|needed| self.unknown.contains(needed));
        missing.extend(self.failed.clone());
        if !missing.is_empty() {
            self.unknown.insert(step.id.clone());
            self.note(step, None, DryEnd::NotReached(missing), 0);
            return Ok(());
        }
        let Some(list) = &step.for_each else {
            let output = self.one(step, None).await?;
            self.remember(step, output);
            return Ok(());
        };
        let items = match self.flow.items_in(&self.scope(None), list) {
            Ok(items) => items,
            Err(failure) => {
                let left = self.fail(step, None, failure);
                self.remember(step, left);
                return Ok(());
            }
        };
        let mut outputs = Some(Vec::with_capacity(items.len()));
        for (value, index) in items.iter().zip(0..) {
            let item = Item { value, index };
            match (self.one(step, Some(item)).await?, &mut outputs) {
                (Left::Output(output), Some(outputs)) => outputs.push(output),
                (Left::Nothing | Left::Failed(_), Some(outputs)) => outputs.push(Value::Null),
                (Left::Unknown, _) => outputs = None,
                (_, None) => {}
            }
            if self.failed.is_some() {
                break;
            }
        }
        let left = match outputs {
            Some(outputs) => Left::Output(outputs.into()),
            None => Left::Unknown,
        };
        self.remember(step, left);
        Ok(())
    }

    /// Tries one step, or one item of it.
    async fn one(
        &mut self,
        step: &PlannedStep,
        item: Option<Item<'_>>,
    ) -> Result<Left, EngineError> {
        let index = item.map(|item| item.index);
        match self.flow.is_wanted_in(&self.scope(item), step) {
            Ok(true) => {}
            Ok(false) => {
                self.note(step, index, DryEnd::Skipped, 0);
                return Ok(Left::Nothing);
            }
            Err(failure) => return Ok(self.fail(step, index, failure)),
        }
        let given = match self.flow.given_in(&self.scope(item), step) {
            Ok(given) => given,
            Err(failure) => return Ok(self.fail(step, index, failure)),
        };
        let Some(pinned) = self.flow.plan().plugins.get(&step.plugin).cloned() else {
            self.note(step, index, DryEnd::Waits, 0);
            return Ok(Left::Unknown);
        };
        let path = path(step, index);
        let call = StepCall {
            run: self.run.clone(),
            path: path.clone(),
            attempt: 1,
            started_at: self.clock.now(),
            plugin: step.plugin.clone(),
            pinned,
            action: step.action.clone(),
            input: given.input,
            connection: step.connection.clone(),
            act_as: given.act_as,
            idempotency_key: idempotency_key(&self.run, &path),
            timeout: step.timeout,
            cursor: None,
        };
        let mut journal = DryJournal::default();
        let ended = self
            .runner
            .run(call, &mut journal, Arc::clone(&self.reporter))
            .await;
        let DryJournal { held, reads } = journal;
        Ok(match (held, ended) {
            (Some(call), _) => {
                self.note(step, index, DryEnd::Held(call), reads);
                Left::Unknown
            }
            (None, Ok(StepResult::Done(output))) => {
                self.note(step, index, DryEnd::Done, reads);
                Left::Output(output.value)
            }
            (None, Ok(StepResult::Failed { failure, .. })) => self.fail(step, index, failure),
            (None, Err(stop)) => {
                return Err(EngineError::Fault {
                    run: self.run.clone(),
                    path,
                    reason: stop.to_string(),
                });
            }
        })
    }

    fn scope<'s>(&'s self, item: Option<Item<'s>>) -> Scope<'s> {
        Scope {
            inputs: self.inputs,
            steps: &self.steps,
            failure: None,
            item,
            event: None,
            run: self.run.as_str(),
            workflow: &self.flow.plan().workflow,
        }
    }

    fn fail(&mut self, step: &PlannedStep, item: Option<u32>, failure: Failure) -> Left {
        if !step.continue_on_error {
            self.failed = Some(step.id.clone());
        }
        let value = serde_json::to_value(&failure).unwrap_or_default();
        self.note(step, item, DryEnd::Failed(failure), 0);
        Left::Failed(value)
    }

    fn note(&mut self, step: &PlannedStep, item: Option<u32>, end: DryEnd, reads: usize) {
        self.found.push(DryStep {
            path: path(step, item),
            action: format!("{}/{}", step.plugin, step.action),
            end,
            reads,
        });
    }

    /// What later steps see of a step.
    fn remember(&mut self, step: &PlannedStep, left: Left) {
        let mut value = StepValue::default();
        match left {
            Left::Output(output) => value.output = Some(output),
            Left::Failed(failure) => value.failure = Some(failure),
            Left::Nothing => {}
            Left::Unknown => {
                self.unknown.insert(step.id.clone());
                return;
            }
        }
        self.steps.insert(step.id.clone(), value);
    }
}

/// What a step left behind.
enum Left {
    Output(Value),
    Failed(Value),
    /// It was left out.
    Nothing,
    /// It would have changed something first.
    Unknown,
}

/// Lets reads be made and the first other effect be shown; that ends the attempt.
#[derive(Default)]
struct DryJournal {
    held: Option<EffectCall>,
    reads: usize,
}

#[async_trait]
impl Journal for DryJournal {
    async fn effect<'a>(
        &mut self,
        call: EffectCall,
        exec: BoxFuture<'a, Result<Vec<Outcome>, Stop>>,
    ) -> Result<Vec<Outcome>, Stop> {
        if call.requests.iter().all(|request| is_safe(&request.method)) {
            self.reads += call.requests.len();
            return exec.await;
        }
        self.held = Some(call);
        // The way out shows it and answers with an error, which is no fault here.
        let _ = exec.await;
        Err(Stop::Cancelled)
    }
}

fn path(step: &PlannedStep, item: Option<u32>) -> StepPath {
    StepPath {
        step: step.id.as_str().into(),
        item,
    }
}

fn fault(what: &str) -> EngineError {
    crate::StoreError::Damaged(what.to_owned()).into()
}
