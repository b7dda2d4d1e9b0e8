//! How a run fails, goes on after that, and ends.

use docket_model::{Failure, FailureClass, RunResult, StepPath, StepValue};
use jiff::Timestamp;
use serde_json::Value;

use super::{Failing, RunState};

impl RunState {
    pub(super) fn fail(
        &mut self,
        path: Option<StepPath>,
        failure: Failure,
        at: Timestamp,
    ) -> Result<(), &'static str> {
        if self.plan.on_error.is_empty() || self.failing.is_some() {
            return Err("nothing is done about a failure here");
        }
        self.may_fail(path.as_ref(), at)?;
        let value = failure_value(path.as_ref(), &failure);
        // Every step has something that `steps` can show, whether it came to its turn or not.
        for step in &self.plan.steps[self.position..] {
            let is_it = path.as_ref().is_some_and(|path| *path.step == *step.id);
            let failure = is_it.then(|| value.clone());
            let left = StepValue {
                output: None,
                failure,
            };
            self.steps.insert(step.id.clone(), left);
        }
        self.failing = Some(Failing {
            path,
            failure,
            value,
            position: self.position,
            group: self.group.take(),
        });
        self.position = self.plan.steps.len();
        Ok(())
    }

    pub(super) fn resume(&mut self, at: Timestamp) -> Result<(), &'static str> {
        if !matches!(
            self.result,
            Some(RunResult::Failed { .. } | RunResult::Cancelled)
        ) {
            return Err("only a run that failed or was cancelled goes on");
        }
        self.result = None;
        self.since = at;
        self.rounds += 1;
        if let Some(failing) = self.failing.take() {
            self.position = failing.position;
            self.group = failing.group;
            let again = self.plan.steps[self.position..].iter();
            for step in again.chain(&self.plan.on_error) {
                self.steps.remove(&step.id);
            }
        }
        let is_repeated = self.current().is_some_and(|step| step.for_each.is_some());
        match &mut self.group {
            // Its list could not be evaluated.
            Some(group) if is_repeated && !group.is_of_items() => self.group = None,
            Some(group) => group.take_up(at),
            None => {}
        }
        Ok(())
    }

    pub(super) fn end(&mut self, result: RunResult, at: Timestamp) -> Result<(), &'static str> {
        match (&result, &self.failing) {
            (RunResult::Cancelled, _) => {}
            (RunResult::Failed { path, .. }, Some(failing)) => {
                if failing.path != *path {
                    return Err("the run fails for another reason");
                }
            }
            (RunResult::Failed { path, .. }, None) => self.may_fail(path.as_ref(), at)?,
            (RunResult::Succeeded { .. }, _) => {
                if self.position != self.plan.steps.len() || self.failing.is_some() {
                    return Err("some steps are not over");
                }
            }
        }
        self.result = Some(result);
        Ok(())
    }

    /// Whether the run can have failed there: at a step, else by its outputs, its time or its inputs.
    fn may_fail(&self, path: Option<&StepPath>, at: Timestamp) -> Result<(), &'static str> {
        let Some(path) = path else {
            let is_over = self.position == self.plan.steps.len();
            let is_late = self.deadline().is_some_and(|deadline| deadline <= at);
            let is_at_start = self.events == 1;
            return match is_over || is_late || is_at_start {
                true => Ok(()),
                false => Err("some steps are not over"),
            };
        };
        let of_current = self.current().is_some_and(|step| step.id == *path.step);
        let has_failed = match &self.group {
            Some(group) if of_current => group.has_failed(path.item),
            _ => {
                let left = self.steps.get(path.step.as_ref());
                left.is_some_and(|left| left.failure.is_some())
            }
        };
        match has_failed {
            true => Ok(()),
            false => Err("the step has not failed"),
        }
    }
}

pub(super) fn time_up() -> Failure {
    Failure::new(
        FailureClass::LimitExceeded,
        "run-timeout",
        "the run took longer than its `timeout`",
    )
    .with_remedy("give the workflow a longer `timeout`, and resume the run or start another")
}

/// A failure as the steps of `on-error` see it.
fn failure_value(path: Option<&StepPath>, failure: &Failure) -> Value {
    let mut value = serde_json::to_value(failure).unwrap_or_default();
    if let Some(path) = path {
        value["step"] = (*path.step).into();
        if let Some(item) = path.item {
            value["item"] = item.into();
        }
    }
    value
}
