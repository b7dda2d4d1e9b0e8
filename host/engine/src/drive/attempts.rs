//! Attempts of steps: how they begin, and what follows from their ends.

use std::sync::Arc;

use docket_model::{
    Account, EventKind, Failure, FailureClass, OnSignInNeeded, PlannedStep, StepPath, StepResult,
    Wait, WaitFor,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::task::JoinError;

use super::{Drive, Ended, Ending, finished, place, waits};
use crate::fold::Recorded;
use crate::step_journal::StepJournal;
use crate::{EngineError, StepCall, Stop, key, retry};

impl Drive {
    /// Takes up the attempts that a crash cut off: the same attempts, with what they did so far.
    pub(super) async fn resume(&mut self) -> Result<(), EngineError> {
        for (path, attempt) in self.state.attempts() {
            let step = self.step()?;
            if step.is_built_in() {
                let wait = waits::wait(step, &attempt.input, attempt.started_at);
                let next = waits::waiting(path, attempt.number, wait);
                self.record(vec![next]).await?;
                continue;
            }
            let start = Start {
                path,
                attempt: attempt.number,
                at: attempt.started_at,
                input: attempt.input,
                connection: attempt.connection,
                act_as: attempt.act_as,
                recorded: attempt.effects,
            };
            self.launch(start).await?;
        }
        Ok(())
    }

    pub(super) async fn expand(&mut self) -> Result<(), EngineError> {
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

    pub(super) async fn begin(&mut self, path: StepPath, attempt: u32) -> Result<(), EngineError> {
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
        if step.is_built_in() {
            let wait = waits::wait(step, &given.input, at);
            return self.begin_wait(path, attempt, given.input, wait).await;
        }
        let connection = self.other_connection(step, path.item);
        // A fallback acts as its own account.
        let act_as = given.act_as.filter(|_| connection.is_none());
        let kind = EventKind::StepStarted {
            path: path.clone(),
            attempt,
            input: given.input.clone(),
            connection: connection.clone(),
            act_as: act_as.clone(),
        };
        self.record_at(at, vec![kind]).await?;
        self.launch(Start {
            path,
            attempt,
            at,
            input: given.input,
            connection,
            act_as,
            recorded: Vec::new(),
        })
        .await
    }

    /// The fallback connection, where the attempts before took it or the last one gave cause to.
    fn other_connection(&self, step: &PlannedStep, item: Option<u32>) -> Option<String> {
        let before = self.state.before(item);
        let is_needed = before
            .failure
            .is_some_and(|failure| failure.class == FailureClass::SignInRequired)
            && matches!(step.on_sign_in_needed, OnSignInNeeded::Fallback(_))
            && !before.has_intended;
        let fallback = step.fallback.clone().filter(|_| is_needed);
        before.connection.or(fallback)
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
            connection: None,
            act_as: None,
        };
        let finished = finished(path, attempt, failure, None);
        self.record(vec![started, finished]).await
    }

    async fn launch(&mut self, start: Start) -> Result<(), EngineError> {
        let step = self.step()?;
        let Some(pinned) = self.flow.plan().plugins.get(&step.plugin).cloned() else {
            return Err(self.fault(&start.path, "its plugin is not pinned".to_owned()));
        };
        let connection = start.connection.or_else(|| step.connection.clone());
        let account = connection
            .as_ref()
            .map(|name| Account::new(name, start.act_as.as_deref()));
        let seen = match &account {
            Some(account) => self.sign_ins.count(account).await?,
            None => 0,
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
            connection,
            act_as: start.act_as,
            idempotency_key: self.key(&start.path),
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
                account,
                seen,
                has_intended: journal.has_intended(),
                result: journal.judge(end),
            }
        });
        Ok(())
    }

    /// Records how an attempt ended, and decides whether another follows.
    pub(super) async fn take(
        &mut self,
        joined: Result<Ended, JoinError>,
    ) -> Result<(), EngineError> {
        let Ended {
            path,
            attempt,
            account,
            seen,
            has_intended,
            result,
        } = match joined {
            Ok(ended) => ended,
            Err(error) => {
                let path = place(self.step()?, None);
                return Err(self.fault(&path, format!("the host panicked: {error}")));
            }
        };
        if has_intended {
            self.state.note_intent(&path);
        }
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
        if failure.class == FailureClass::SignInRequired {
            return self
                .need_sign_in(path, attempt, account, seen, failure)
                .await;
        }
        let now = self.ports.clock.now();
        let counted = self.state.attempt(&path);
        let failures = counted.map_or(u32::MAX, |attempt| attempt.failures_with(&failure));
        let key = self.key(&path);
        let retry_at = retry::next_attempt(&self.step()?.retry, &failure, failures, &key, now);
        let kind = finished(path, attempt, failure, retry_at);
        self.record_at(now, vec![kind]).await
    }

    /// What the step is known by outside.
    fn key(&self, path: &StepPath) -> String {
        key::of_round(&self.run, path, self.state.round())
    }

    /// Records that an account must sign in, and what follows from that.
    async fn need_sign_in(
        &mut self,
        path: StepPath,
        attempt: u32,
        account: Option<Account>,
        seen: u64,
        failure: Failure,
    ) -> Result<(), EngineError> {
        let now = self.ports.clock.now();
        let step = self.step()?;
        let falls_back = matches!(step.on_sign_in_needed, OnSignInNeeded::Fallback(_))
            && step.fallback.is_some()
            && self
                .state
                .attempt(&path)
                .is_some_and(|attempt| attempt.connection.is_none() && !attempt.has_intended());
        let longest = match step.on_sign_in_needed {
            OnSignInNeeded::Fail => None,
            OnSignInNeeded::Wait(longest) | OnSignInNeeded::Fallback(longest) => Some(longest),
        };
        let kind = match (account, longest) {
            (Some(_), Some(_)) if falls_back => finished(path, attempt, failure, Some(now)),
            (Some(account), Some(longest)) => {
                let longest = SignedDuration::try_from(longest).unwrap_or(SignedDuration::MAX);
                let on = WaitFor::SignIn {
                    account,
                    seen,
                    failure,
                };
                // However often it was tried again meanwhile.
                let counted = self.state.attempt(&path);
                let since = counted.and_then(|attempt| attempt.before.needed_since);
                let until = since.unwrap_or(now).saturating_add(longest);
                let until = Some(until.unwrap_or(Timestamp::MAX));
                EventKind::StepWaiting {
                    path,
                    attempt,
                    wait: Wait { on, until },
                }
            }
            // Without a connection there is nobody who could sign in.
            _ => finished(path, attempt, failure, None),
        };
        self.record_at(now, vec![kind]).await
    }
}

/// An attempt that is about to run.
struct Start {
    path: StepPath,
    attempt: u32,
    at: Timestamp,
    input: Value,
    connection: Option<String>,
    act_as: Option<String>,
    recorded: Vec<Recorded>,
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
