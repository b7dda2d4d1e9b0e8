//! A run as its events tell it: pure, and the only judge of what may happen next.
//!
//! The same fold serves a run that goes on and one that is taken up after a crash, so both see the
//! same state. It reads strictly: events that no run could have written are [`Damage`], never
//! skipped.

mod group;
mod place;

use std::sync::Arc;

use docket_model::{Event, EventKind, Failure, Plan, PlannedStep, RunResult, StepPath, Steps};
use jiff::Timestamp;
use serde_json::Value;

use crate::StoreError;
pub(crate) use group::Group;
pub(crate) use place::{Attempt, Recorded};

/// A run's state after some of its events.
pub(crate) struct RunState {
    plan: Arc<Plan>,
    inputs: Option<Value>,
    /// How many steps are over.
    position: usize,
    /// What they left behind.
    steps: Steps,
    /// The step after them, once something happened in it.
    group: Option<Group>,
    result: Option<RunResult>,
    events: u64,
}

/// The next thing to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// Evaluate the list of the current step's `for-each`.
    Expand,
    /// Start this attempt of the current step or of an item of it.
    Begin(StepPath, u32),
    /// Nothing until an attempt under way ends, or until the next attempt's time.
    Wait(Option<Timestamp>),
    /// End the run: a step failed for good, and no attempt is under way.
    Fail(StepPath, Failure),
    /// End the run: every step is over.
    Succeed,
    /// Nothing: the run has ended.
    Nothing(RunResult),
}

/// Events that no run could have written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event} ({kind}) cannot be: {why}")]
pub(crate) struct Damage {
    event: u64,
    kind: &'static str,
    why: &'static str,
}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage.to_string())
    }
}

impl RunState {
    /// The state after `events`, of a run of `plan`.
    pub(crate) fn fold(plan: Arc<Plan>, events: Vec<Event>) -> Result<Self, Damage> {
        let mut state = Self {
            plan,
            inputs: None,
            position: 0,
            steps: Steps::new(),
            group: None,
            result: None,
            events: 0,
        };
        for event in events {
            state.apply(event)?;
        }
        Ok(state)
    }

    /// Takes the next event.
    pub(crate) fn apply(&mut self, event: Event) -> Result<(), Damage> {
        let damage = Damage {
            event: self.events,
            kind: name(&event.kind),
            why: "",
        };
        self.take(event).map_err(|why| Damage { why, ..damage })?;
        self.events += 1;
        self.advance();
        Ok(())
    }

    /// How many events there are: the next one's number.
    pub(crate) const fn events(&self) -> u64 {
        self.events
    }

    /// The inputs; null before the run started.
    pub(crate) fn inputs(&self) -> &Value {
        self.inputs.as_ref().unwrap_or(&Value::Null)
    }

    /// What the steps that are over left behind.
    pub(crate) const fn steps(&self) -> &Steps {
        &self.steps
    }

    /// The step under way.
    pub(crate) const fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    /// The step that is under way or comes next.
    pub(crate) fn current(&self) -> Option<&PlannedStep> {
        self.plan.steps.get(self.position)
    }

    /// An attempt under way.
    pub(crate) fn attempt(&self, path: &StepPath) -> Option<&Attempt> {
        let step = self.current()?;
        let group = self.group.as_ref()?;
        (step.id == *path.step).then_some(())?;
        group.under_way(path.item)
    }

    /// The attempts under way.
    pub(crate) fn attempts(&self) -> Vec<(StepPath, Attempt)> {
        let Some((step, group)) = self.current().zip(self.group.as_ref()) else {
            return Vec::new();
        };
        let running = group.running();
        running
            .map(|(item, attempt)| (path(step, item), attempt.clone()))
            .collect()
    }

    /// What to do at `now`.
    pub(crate) fn next(&self, now: Timestamp) -> Next {
        if let Some(result) = &self.result {
            return Next::Nothing(result.clone());
        }
        let Some(step) = self.current() else {
            return Next::Succeed;
        };
        let begin = |item, attempt| Next::Begin(path(step, item), attempt);
        let Some(group) = &self.group else {
            return match step.for_each {
                Some(_) => Next::Expand,
                None => begin(None, 1),
            };
        };
        if let Some((item, failure)) = group.first_failure()
            && !step.continue_on_error
        {
            return match group.running_count() {
                0 => Next::Fail(path(step, item), failure.clone()),
                _ => Next::Wait(None),
            };
        }
        if group.running_count() >= parallel(step) {
            return Next::Wait(None);
        }
        match group.next(now) {
            Ok((item, attempt)) => begin(item, attempt),
            Err(until) => Next::Wait(until),
        }
    }

    fn take(&mut self, event: Event) -> Result<(), &'static str> {
        if self.result.is_some() {
            return Err("the run has ended");
        }
        if self.inputs.is_none() != matches!(event.kind, EventKind::RunStarted { .. }) {
            return Err("a run starts once, before all else");
        }
        match event.kind {
            EventKind::RunStarted {
                workflow, inputs, ..
            } => {
                if workflow != self.plan.workflow {
                    return Err("the plan is of another workflow");
                }
                self.inputs = Some(inputs);
                Ok(())
            }
            EventKind::ItemsExpanded { step, items } => {
                let current = self.current().ok_or("all steps are over")?;
                if current.id != *step || current.for_each.is_none() {
                    return Err("it is not the turn of a step with for-each");
                }
                if self.group.is_some() {
                    return Err("the step was expanded before");
                }
                self.group = Some(Group::of_items(items));
                Ok(())
            }
            EventKind::StepStarted {
                path,
                attempt,
                input,
            } => {
                let step = self.current().ok_or("all steps are over")?;
                let parallel = parallel(step);
                let group = self.group_of(&path)?;
                if group.running_count() >= parallel {
                    return Err("more attempts are under way than the step allows");
                }
                group.start(path.item, attempt, input, event.at)
            }
            EventKind::EffectIntended {
                path,
                attempt,
                index,
                call,
            } => self
                .group_of(&path)?
                .attempt(path.item, attempt)?
                .intend(index, call),
            EventKind::EffectDone {
                path,
                attempt,
                index,
                call,
                outcomes,
            } => self
                .group_of(&path)?
                .attempt(path.item, attempt)?
                .done(index, call, outcomes),
            EventKind::StepSkipped { path } => self.group_of(&path)?.skip(path.item),
            EventKind::StepFinished {
                path,
                attempt,
                result,
            } => self.group_of(&path)?.finish(path.item, attempt, result),
            EventKind::RunFinished { result } => self.end(result),
        }
    }

    /// The group that `path` is in, which begins with its first event unless it needs items.
    fn group_of(&mut self, path: &StepPath) -> Result<&mut Group, &'static str> {
        let step = self.current().ok_or("all steps are over")?;
        if step.id != *path.step {
            return Err("it is not this step's turn");
        }
        Ok(self.group.get_or_insert_with(Group::of_one))
    }

    fn end(&mut self, result: RunResult) -> Result<(), &'static str> {
        let is_over = self.position == self.plan.steps.len();
        match &result {
            RunResult::Succeeded { .. } | RunResult::Failed { path: None, .. } if !is_over => {
                return Err("some steps are not over");
            }
            RunResult::Failed {
                path: Some(path), ..
            } if !self.has_failed(path) => return Err("the step has not failed"),
            _ => {}
        }
        self.result = Some(result);
        Ok(())
    }

    fn has_failed(&self, path: &StepPath) -> bool {
        let of_current = self.current().is_some_and(|step| step.id == *path.step);
        match &self.group {
            Some(group) if of_current => group.has_failed(path.item),
            _ => {
                let left = self.steps.get(path.step.as_ref());
                left.is_some_and(|left| left.failure.is_some())
            }
        }
    }

    /// Goes on to the next step when this one is over.
    fn advance(&mut self) {
        let Some(step) = self.current() else {
            return;
        };
        let (id, goes_on) = (step.id.clone(), step.continue_on_error);
        let is_over =
            |group: &Group| group.is_over() && (goes_on || group.first_failure().is_none());
        if self.group.as_ref().is_some_and(is_over)
            && let Some(group) = self.group.take()
        {
            self.steps.insert(id, group.into_value());
            self.position += 1;
        }
    }
}

fn path(step: &PlannedStep, item: Option<u32>) -> StepPath {
    StepPath {
        step: step.id.as_str().into(),
        item,
    }
}

fn parallel(step: &PlannedStep) -> usize {
    usize::try_from(step.max_parallel.max(1)).unwrap_or(usize::MAX)
}

fn name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::RunStarted { .. } => "run-started",
        EventKind::ItemsExpanded { .. } => "items-expanded",
        EventKind::StepStarted { .. } => "step-started",
        EventKind::EffectIntended { .. } => "effect-intended",
        EventKind::EffectDone { .. } => "effect-done",
        EventKind::StepSkipped { .. } => "step-skipped",
        EventKind::StepFinished { .. } => "step-finished",
        EventKind::RunFinished { .. } => "run-finished",
    }
}

#[cfg(test)]
mod tests;
