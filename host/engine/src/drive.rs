//! Drives one run from where it stands until it ends or has nothing to do but wait.
//!
//! The fold says what comes next; this does it, and appends what happened before it goes on. The
//! attempts run as tasks of their own; nothing but their events and their ends comes back.

use std::sync::Arc;

use docket_model::{
    Event, EventKind, Failure, FailureClass, PlannedStep, RunId, RunResult, StepPath, StepResult,
};
use jiff::Timestamp;
use serde_json::Value;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::appender::Appender;
use crate::engine::Ports;
use crate::flow::Flow;
use crate::fold::{Next, Recorded, RunState};
use crate::step_journal::StepJournal;
use crate::{EngineError, Reporter, StepCall, Stop, StoreError, idempotency_key, retry};

/// Where a drive left its run.
pub(crate) enum Rest {
    /// At its end.
    Ended(RunResult),
    /// Waiting for the next attempt's time; nothing of the run need stay in memory.
    Until(Timestamp),
}

/// What a drive is told from outside.
#[derive(Clone)]
pub(crate) struct Orders {
    /// Begin nothing new, and leave the run to be resumed.
    pub(crate) park: CancellationToken,
    /// Begin nothing new, and end the run.
    pub(crate) cancel: CancellationToken,
}

/// A run under way.
pub(crate) struct Drive {
    pub(crate) ports: Arc<Ports>,
    pub(crate) run: RunId,
    pub(crate) flow: Arc<Flow>,
    pub(crate) state: RunState,
    pub(crate) appender: Appender,
    pub(crate) reporter: Arc<dyn Reporter>,
    pub(crate) orders: Orders,
    /// Seen by the attempts: no new effect begins.
    pub(crate) halt: CancellationToken,
    pub(crate) attempts: JoinSet<Ended>,
    /// Why nothing new begins. The attempts under way come to their ends first.
    pub(crate) ending: Option<Ending>,
}

/// The end of an attempt.
pub(crate) struct Ended {
    path: StepPath,
    attempt: u32,
    result: Result<StepResult, Stop>,
}

/// Why a drive ends before its run has nothing more to do.
pub(crate) enum Ending {
    Parked,
    Cancelled,
    SignInNeeded(StepPath, Failure),
    /// The attempt that strayed; its end is recorded with the run's, lest a crash come between.
    Strayed(StepPath, u32, Failure),
    Error(EngineError),
}

impl Drive {
    /// Goes on until the run ends or only waits.
    pub(crate) async fn until_rest(mut self) -> Result<Rest, EngineError> {
        self.heed_orders();
        if self.ending.is_none() {
            let resumed = self.resume();
            self.note(resumed);
        }
        loop {
            self.heed_orders();
            let mut until = None;
            if self.ending.is_none() {
                match self.state.next(self.ports.clock.now()) {
                    Next::Begin(path, attempt) => {
                        let begun = self.begin(path, attempt).await;
                        self.note(begun);
                        continue;
                    }
                    Next::Expand => {
                        let expanded = self.expand().await;
                        self.note(expanded);
                        continue;
                    }
                    Next::Wait(next) => until = next,
                    Next::Fail(path, failure) => {
                        let path = Some(path);
                        return self.conclude(RunResult::Failed { path, failure }).await;
                    }
                    Next::Succeed => {
                        let result = match self.flow.outputs(&self.run, &self.state) {
                            Ok(outputs) => RunResult::Succeeded { outputs },
                            Err(failure) => RunResult::Failed {
                                path: None,
                                failure,
                            },
                        };
                        return self.conclude(result).await;
                    }
                    Next::Nothing(result) => return Ok(Rest::Ended(result)),
                }
            }
            if self.attempts.is_empty() {
                return match (self.ending.take(), until) {
                    (Some(ending), _) => self.stop(ending).await,
                    (None, Some(until)) => Ok(Rest::Until(until)),
                    (None, None) => {
                        let what = "the run waits for nothing".to_owned();
                        Err(StoreError::Damaged(what).into())
                    }
                };
            }
            self.wait(until).await;
        }
    }

    /// Waits for whatever comes first: an attempt's end, an order, or a time.
    async fn wait(&mut self, until: Option<Timestamp>) {
        let timer = Arc::clone(&self.ports.timer);
        let due = async {
            match until {
                Some(at) => timer.until(at).await,
                None => std::future::pending().await,
            }
        };
        let orders = self.orders.clone();
        let is_free = self.ending.is_none();
        let joined = tokio::select! {
            joined = self.attempts.join_next() => joined,
            () = due => None,
            () = orders.cancel.cancelled(), if is_free => None,
            () = orders.park.cancelled(), if is_free => None,
        };
        if let Some(joined) = joined {
            let taken = self.take(joined).await;
            self.note(taken);
        }
    }

    fn heed_orders(&mut self) {
        if self.orders.cancel.is_cancelled() {
            self.end(Ending::Cancelled);
        } else if self.orders.park.is_cancelled() {
            self.end(Ending::Parked);
        }
    }

    /// The first reason counts.
    fn end(&mut self, ending: Ending) {
        if matches!(ending, Ending::Parked | Ending::Cancelled) {
            self.halt.cancel();
        }
        self.ending.get_or_insert(ending);
    }

    fn note(&mut self, done: Result<(), EngineError>) {
        if let Err(error) = done {
            self.end(Ending::Error(error));
        }
    }

    /// Takes up the attempts that a crash cut off: the same attempts, with what they did so far.
    fn resume(&mut self) -> Result<(), EngineError> {
        for (path, attempt) in self.state.attempts() {
            let step = self.step()?;
            let given = self.flow.given(&self.run, &self.state, step, path.item);
            let act_as = given
                .map_err(|failure| self.fault(&path, failure.message))?
                .act_as;
            let start = Start {
                path,
                attempt: attempt.number,
                at: attempt.started_at,
                input: attempt.input,
                act_as,
                recorded: attempt.effects,
            };
            self.launch(start)?;
        }
        Ok(())
    }

    async fn expand(&mut self) -> Result<(), EngineError> {
        let step = self.step()?;
        let path = place(step, None);
        let Some(list) = &step.for_each else {
            return Err(self.fault(&path, "it has no list".to_owned()));
        };
        match self.flow.items(&self.run, &self.state, list) {
            Ok(items) => {
                let step = Arc::clone(&path.step);
                self.record(vec![EventKind::ItemsExpanded { step, items }])
                    .await
            }
            Err(failure) => self.fail_at_start(path, 1, failure).await,
        }
    }

    async fn begin(&mut self, path: StepPath, attempt: u32) -> Result<(), EngineError> {
        let step = self.step()?;
        if attempt == 1 {
            match self.flow.is_wanted(&self.run, &self.state, step, path.item) {
                Ok(true) => {}
                Ok(false) => return self.record(vec![EventKind::StepSkipped { path }]).await,
                Err(failure) => return self.fail_at_start(path, attempt, failure).await,
            }
        }
        let given = match self.flow.given(&self.run, &self.state, step, path.item) {
            Ok(given) => given,
            Err(failure) => return self.fail_at_start(path, attempt, failure).await,
        };
        let at = self.ports.clock.now();
        let kind = EventKind::StepStarted {
            path: path.clone(),
            attempt,
            input: given.input.clone(),
        };
        self.record_at(at, vec![kind]).await?;
        self.launch(Start {
            path,
            attempt,
            at,
            input: given.input,
            act_as: given.act_as,
            recorded: Vec::new(),
        })
    }

    /// Records an attempt whose expressions failed, so that nothing was run.
    async fn fail_at_start(
        &mut self,
        path: StepPath,
        attempt: u32,
        failure: Failure,
    ) -> Result<(), EngineError> {
        let started = EventKind::StepStarted {
            path: path.clone(),
            attempt,
            input: Value::Null,
        };
        let finished = finished(path, attempt, failure, None);
        self.record(vec![started, finished]).await
    }

    fn launch(&mut self, start: Start) -> Result<(), EngineError> {
        let step = self.step()?;
        let Some(pinned) = self.flow.plan().plugins.get(&step.plugin).cloned() else {
            return Err(self.fault(&start.path, "its plugin is not pinned".to_owned()));
        };
        let call = StepCall {
            run: self.run.clone(),
            path: start.path.clone(),
            attempt: start.attempt,
            started_at: start.at,
            plugin: step.plugin.clone(),
            pinned,
            action: step.action.clone(),
            input: start.input,
            connection: step.connection.clone(),
            act_as: start.act_as,
            idempotency_key: idempotency_key(&self.run, &start.path),
            timeout: step.timeout,
            cursor: None,
        };
        let mut journal = StepJournal::new(
            self.appender.clone(),
            Arc::clone(&self.ports.clock),
            start.path.clone(),
            start.attempt,
            start.recorded,
            self.halt.clone(),
        );
        let runner = Arc::clone(&self.ports.runner);
        let reporter = Arc::clone(&self.reporter);
        self.attempts.spawn(async move {
            let end = runner.run(call, &mut journal, reporter).await;
            Ended {
                path: start.path,
                attempt: start.attempt,
                result: journal.judge(end),
            }
        });
        Ok(())
    }

    /// Records how an attempt ended, and decides whether another follows.
    async fn take(&mut self, joined: Result<Ended, JoinError>) -> Result<(), EngineError> {
        let Ended {
            path,
            attempt,
            result,
        } = match joined {
            Ok(ended) => ended,
            Err(error) => {
                let path = place(self.step()?, None);
                return Err(self.fault(&path, format!("the host panicked: {error}")));
            }
        };
        let failure = match result {
            Ok(StepResult::Failed { failure, .. }) => failure,
            Ok(result @ StepResult::Done(_)) => {
                let kind = EventKind::StepFinished {
                    path,
                    attempt,
                    result,
                };
                return self.record(vec![kind]).await;
            }
            Err(Stop::Cancelled) => {
                self.end(Ending::Parked);
                return Ok(());
            }
            Err(stop @ Stop::NonDeterministic { .. }) => {
                let failure = strayed(&stop);
                self.end(Ending::Strayed(path, attempt, failure));
                return Ok(());
            }
            Err(Stop::Fault(reason)) => {
                return Err(match self.appender.failure() {
                    Some(error) => error.into(),
                    None => self.fault(&path, reason),
                });
            }
        };
        let now = self.ports.clock.now();
        let key = idempotency_key(&self.run, &path);
        let counted = self.state.attempt(&path);
        let failures = counted.map_or(u32::MAX, |attempt| attempt.failures_with(&failure));
        let needs_sign_in = failure.class == FailureClass::SignInRequired;
        let retry_at = match needs_sign_in {
            true => Some(now),
            false => retry::next_attempt(&self.step()?.retry, &failure, failures, &key, now),
        };
        let kind = finished(path.clone(), attempt, failure.clone(), retry_at);
        self.record_at(now, vec![kind]).await?;
        if needs_sign_in {
            self.end(Ending::SignInNeeded(path, failure));
        }
        Ok(())
    }

    async fn stop(mut self, ending: Ending) -> Result<Rest, EngineError> {
        let run = self.run.clone();
        match ending {
            Ending::Parked => Err(EngineError::Parked(run)),
            Ending::Cancelled => self.conclude(RunResult::Cancelled).await,
            Ending::SignInNeeded(path, failure) => {
                let failure = Box::new(failure);
                Err(EngineError::SignInNeeded { run, path, failure })
            }
            Ending::Strayed(path, attempt, failure) => {
                let ended = finished(path.clone(), attempt, failure.clone(), None);
                let path = Some(path);
                let result = RunResult::Failed { path, failure };
                self.settle(vec![ended], result).await
            }
            Ending::Error(error) => Err(error),
        }
    }

    async fn conclude(mut self, result: RunResult) -> Result<Rest, EngineError> {
        self.settle(Vec::new(), result).await
    }

    /// Records the run's end, durably.
    async fn settle(
        &mut self,
        mut before: Vec<EventKind>,
        result: RunResult,
    ) -> Result<Rest, EngineError> {
        before.push(EventKind::RunFinished {
            result: result.clone(),
        });
        let events = self.applied(self.ports.clock.now(), before)?;
        self.appender.append_synced(events).await?;
        Ok(Rest::Ended(result))
    }

    async fn record(&mut self, kinds: Vec<EventKind>) -> Result<(), EngineError> {
        self.record_at(self.ports.clock.now(), kinds).await
    }

    async fn record_at(&mut self, at: Timestamp, kinds: Vec<EventKind>) -> Result<(), EngineError> {
        let events = self.applied(at, kinds)?;
        Ok(self.appender.append(events).await?)
    }

    fn applied(&mut self, at: Timestamp, kinds: Vec<EventKind>) -> Result<Vec<Event>, EngineError> {
        let events: Vec<Event> = kinds.into_iter().map(|kind| Event { at, kind }).collect();
        for event in &events {
            self.state.apply(event.clone()).map_err(StoreError::from)?;
        }
        Ok(events)
    }

    fn step(&self) -> Result<&PlannedStep, EngineError> {
        let none = || StoreError::Damaged("the run has no step left".to_owned());
        Ok(self.state.current().ok_or_else(none)?)
    }

    fn fault(&self, path: &StepPath, reason: String) -> EngineError {
        EngineError::Fault {
            run: self.run.clone(),
            path: path.clone(),
            reason,
        }
    }
}

/// An attempt that is about to run.
struct Start {
    path: StepPath,
    attempt: u32,
    at: Timestamp,
    input: Value,
    act_as: Option<String>,
    recorded: Vec<Recorded>,
}

fn place(step: &PlannedStep, item: Option<u32>) -> StepPath {
    StepPath {
        step: step.id.as_str().into(),
        item,
    }
}

fn finished(
    path: StepPath,
    attempt: u32,
    failure: Failure,
    retry_at: Option<Timestamp>,
) -> EventKind {
    EventKind::StepFinished {
        path,
        attempt,
        result: StepResult::Failed { failure, retry_at },
    }
}

fn strayed(stop: &Stop) -> Failure {
    Failure::new(
        FailureClass::Permanent,
        "non-deterministic",
        stop.to_string(),
    )
    .with_remedy(
        "report it to the plugin's author; look at the step's effects before running it anew",
    )
}
