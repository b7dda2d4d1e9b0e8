//! Drives one run from where it stands until it ends or has nothing to do but wait.
//!
//! The fold says what comes next; this does it, and appends what happened before it goes on. The
//! attempts run as tasks of their own; nothing but their events and their ends comes back.

mod attempts;
mod waits;

use std::sync::Arc;

use docket_model::{
    Account, Event, EventKind, Failure, PlannedStep, RunId, RunResult, StepPath, StepResult,
};
use jiff::Timestamp;
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::appender::Appender;
use crate::engine::Ports;
use crate::flow::Flow;
use crate::fold::{Next, RunState};
use crate::sign_ins::SignIns;
use crate::{EngineError, Reporter, Rest, Stop, StoreError};
pub(crate) use waits::Told;

/// Where a drive left its run.
pub(crate) enum Left {
    /// At its end.
    Ended(RunResult),
    /// With nothing to do but wait; nothing of it need stay in memory.
    Resting(Rest),
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
    pub(crate) sign_ins: Arc<SignIns>,
    /// Try those again that wait for a sign-in, whether anybody said that there was one or not.
    pub(crate) asks_again: bool,
    /// What the run is told meanwhile.
    pub(crate) inbox: OwnedMutexGuard<mpsc::Receiver<Told>>,
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
    /// Whom it acted as.
    account: Option<Account>,
    /// How often that account had signed in before.
    seen: u64,
    /// Whether it intended an effect that may not be repeated.
    has_intended: bool,
    result: Result<StepResult, Stop>,
}

/// Why a drive ends before its run has nothing more to do.
pub(crate) enum Ending {
    Parked,
    Cancelled,
    TimeUp(Failure),
    /// The attempt that strayed; its end is recorded with the run's, lest a crash come between.
    Strayed(StepPath, u32, Failure),
    Error(EngineError),
}

impl Drive {
    /// Goes on until the run ends or only waits. Nothing of it is under way when this returns.
    pub(crate) async fn until_rest(mut self) -> Result<Left, EngineError> {
        let left = self.go_on().await;
        self.attempts.shutdown().await;
        left
    }

    async fn go_on(&mut self) -> Result<Left, EngineError> {
        self.heed_orders();
        if self.ending.is_none() {
            let looked = self.look_for_sign_ins().await;
            self.note(looked);
        }
        if self.ending.is_none() {
            let resumed = self.resume().await;
            self.note(resumed);
        }
        loop {
            self.heed_orders();
            let mut until = None;
            if self.ending.is_none() {
                let now = self.ports.clock.now();
                match self.state.next(now) {
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
                    Next::Finish(path, attempt, result) => {
                        let kind = EventKind::StepFinished {
                            path,
                            attempt,
                            result,
                        };
                        let recorded = self.record_at(now, vec![kind]).await;
                        self.note(recorded);
                        continue;
                    }
                    Next::Wait(next) => until = next,
                    Next::TimeUp(failure) => {
                        self.end(Ending::TimeUp(failure));
                        continue;
                    }
                    Next::Fail(path, failure) => match self.fail(path, failure).await? {
                        Some(left) => return Ok(left),
                        None => continue,
                    },
                    Next::Lose(path, failure) => {
                        return self.conclude(RunResult::Failed { path, failure }).await;
                    }
                    Next::Succeed => match self.flow.outputs(&self.run, &self.state) {
                        Ok(outputs) => {
                            return self.conclude(RunResult::Succeeded { outputs }).await;
                        }
                        Err(failure) => match self.fail(None, failure).await? {
                            Some(left) => return Ok(left),
                            None => continue,
                        },
                    },
                    Next::Nothing(result) => return Ok(Left::Ended(result)),
                }
            }
            if self.attempts.is_empty() {
                match self.ending.take() {
                    Some(ending) => match self.stop(ending).await? {
                        Some(left) => return Ok(left),
                        None => continue,
                    },
                    None => {
                        let rest = self.state.rest(self.ports.clock.now());
                        return Ok(Left::Resting(rest));
                    }
                }
            }
            self.wait(until).await;
        }
    }

    /// Waits for whatever comes first: an attempt's end, an order, a word from outside, or a time.
    async fn wait(&mut self, until: Option<Timestamp>) {
        enum Came {
            Ended(Option<Box<Result<Ended, tokio::task::JoinError>>>),
            Told(Option<Told>),
            Other,
        }
        let timer = Arc::clone(&self.ports.timer);
        let due = async {
            match until {
                Some(at) => timer.until(at).await,
                None => std::future::pending().await,
            }
        };
        let orders = self.orders.clone();
        let is_free = self.ending.is_none();
        let came = tokio::select! {
            joined = self.attempts.join_next() => Came::Ended(joined.map(Box::new)),
            told = self.inbox.recv(), if is_free => Came::Told(told),
            () = due, if is_free => Came::Other,
            () = orders.cancel.cancelled(), if is_free => Came::Other,
            () = orders.park.cancelled(), if is_free => Came::Other,
        };
        let done = match came {
            Came::Ended(Some(joined)) => self.take(*joined).await,
            Came::Told(Some(told)) => self.hear(told).await,
            Came::Ended(None) | Came::Told(None) | Came::Other => Ok(()),
        };
        self.note(done);
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
        if matches!(
            ending,
            Ending::Parked | Ending::Cancelled | Ending::TimeUp(_)
        ) {
            self.halt.cancel();
        }
        self.ending.get_or_insert(ending);
    }

    fn note(&mut self, done: Result<(), EngineError>) {
        if let Err(error) = done {
            self.end(Ending::Error(error));
        }
    }

    /// What follows once nothing is under way any more; `None` where the run goes on.
    async fn stop(&mut self, ending: Ending) -> Result<Option<Left>, EngineError> {
        match ending {
            Ending::Parked => Err(EngineError::Parked(self.run.clone())),
            Ending::Cancelled => self.conclude(RunResult::Cancelled).await.map(Some),
            Ending::TimeUp(failure) => self.fail(None, failure).await,
            Ending::Strayed(path, attempt, failure) => {
                let ended = finished(path.clone(), attempt, failure.clone(), None);
                self.fail_after(vec![ended], Some(path), failure).await
            }
            Ending::Error(error) => Err(error),
        }
    }

    /// Fails the run: begins its `on-error`, or ends it where there is none.
    async fn fail(
        &mut self,
        path: Option<StepPath>,
        failure: Failure,
    ) -> Result<Option<Left>, EngineError> {
        self.fail_after(Vec::new(), path, failure).await
    }

    async fn fail_after(
        &mut self,
        mut before: Vec<EventKind>,
        path: Option<StepPath>,
        failure: Failure,
    ) -> Result<Option<Left>, EngineError> {
        if self.state.failure().is_some() || self.flow.plan().on_error.is_empty() {
            let result = RunResult::Failed { path, failure };
            return self.settle(before, result).await.map(Some);
        }
        before.push(EventKind::RunFailing { path, failure });
        self.halt = CancellationToken::new();
        self.record(before).await?;
        Ok(None)
    }

    async fn conclude(&mut self, result: RunResult) -> Result<Left, EngineError> {
        self.settle(Vec::new(), result).await
    }

    /// Records the run's end, durably.
    async fn settle(
        &mut self,
        mut before: Vec<EventKind>,
        result: RunResult,
    ) -> Result<Left, EngineError> {
        before.push(EventKind::RunFinished {
            result: result.clone(),
        });
        let events = self.applied(self.ports.clock.now(), before)?;
        self.appender.append_synced(events).await?;
        Ok(Left::Ended(result))
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
