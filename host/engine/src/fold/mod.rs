//! A run as its events tell it: pure, and the only judge of what may happen next.
//!
//! The same fold serves a run that goes on and one that is taken up after a crash, so both see the
//! same state. It reads strictly: events that no run could have written are [`Damage`], never
//! skipped.

mod ending;
mod group;
mod place;
mod rest;
mod signals;

use std::sync::Arc;

use docket_model::{
    Event, EventKind, Failure, Plan, PlannedStep, RunResult, StepPath, StepResult, Steps, WaitFor,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::StoreError;
use ending::time_up;
pub(crate) use group::Group;
pub(crate) use place::{Attempt, Before, Recorded};
use signals::Signals;

/// A run's state after some of its events.
pub(crate) struct RunState {
    plan: Arc<Plan>,
    inputs: Option<Value>,
    /// How many steps are over, of the plan's and then of its `on-error`.
    position: usize,
    /// What they left behind.
    steps: Steps,
    /// The step after them, once something happened in it.
    group: Option<Group>,
    /// The failure, while the steps of `on-error` run.
    failing: Option<Failing>,
    signals: Signals,
    /// When the run started, or was resumed; its `timeout` counts from here.
    since: Timestamp,
    /// How often it was resumed.
    rounds: u32,
    result: Option<RunResult>,
    events: u64,
}

/// Why a run fails, and where it stood.
struct Failing {
    path: Option<StepPath>,
    failure: Failure,
    /// The failure as the steps of `on-error` see it.
    value: Value,
    position: usize,
    group: Option<Group>,
}

/// The next thing to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// Evaluate the list of the current step's `for-each`.
    Expand,
    /// Start this attempt of the current step or of an item of it.
    Begin(StepPath, u32),
    /// End a wait: what was waited for has come, or its deadline.
    Finish(StepPath, u32, StepResult),
    /// Nothing until an attempt under way ends, somebody tells the run something, or this time.
    Wait(Option<Timestamp>),
    /// Let what is under way come to its end, and then fail the run: its time is up.
    TimeUp(Failure),
    /// Fail the run, and begin its `on-error` if it has one: no attempt is under way.
    Fail(Option<StepPath>, Failure),
    /// End the run, which has failed before.
    Lose(Option<StepPath>, Failure),
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
            failing: None,
            signals: Signals::default(),
            since: Timestamp::MIN,
            rounds: 0,
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
        let main = self.plan.steps.len();
        match &self.failing {
            None => self.plan.steps.get(self.position),
            Some(_) => self.plan.on_error.get(self.position.checked_sub(main)?),
        }
    }

    /// The failure as the steps of `on-error` see it, while they run.
    pub(crate) fn failure(&self) -> Option<&Value> {
        self.failing.as_ref().map(|failing| &failing.value)
    }

    /// How often a step of `on-error` may have run before: what it did then was for another failure.
    pub(crate) const fn round(&self) -> u32 {
        match self.failing {
            Some(_) => self.rounds,
            None => 0,
        }
    }

    /// An attempt under way.
    pub(crate) fn attempt(&self, path: &StepPath) -> Option<&Attempt> {
        let step = self.current()?;
        let group = self.group.as_ref()?;
        (step.id == *path.step).then_some(())?;
        group.under_way(path.item)
    }

    /// Notes that the attempt under way intended an effect that may not be repeated. Its effects are
    /// in the journal, and in the state only of a run that was loaded after them.
    pub(crate) fn note_intent(&mut self, path: &StepPath) {
        let is_current = self.current().is_some_and(|step| step.id == *path.step);
        if let Some(group) = self.group.as_mut().filter(|_| is_current) {
            group.note_intent(path.item);
        }
    }

    /// What the next attempt of a place goes by.
    pub(crate) fn before(&self, item: Option<u32>) -> Before {
        let group = self.group.as_ref();
        group
            .and_then(|group| group.before(item))
            .unwrap_or_default()
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
            return match &self.failing {
                Some(failing) => Next::Lose(failing.path.clone(), failing.failure.clone()),
                None => Next::Succeed,
            };
        };
        let deadline = self.deadline();
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Next::TimeUp(time_up());
        }
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
            return match (group.running_count(), &self.failing) {
                (0, None) => Next::Fail(Some(path(step, item)), failure.clone()),
                (0, Some(failing)) => Next::Lose(failing.path.clone(), failing.failure.clone()),
                _ => Next::Wait(deadline),
            };
        }
        let mut until = deadline;
        let mut sooner = |at: Option<Timestamp>| until = [until, at].into_iter().flatten().min();
        for (item, attempt, wait, _) in group.waiting() {
            let path = path(step, item);
            if let Some(result) = self.signals.end_of(&path, wait, now) {
                return Next::Finish(path, attempt.number, result);
            }
            sooner(wait.until);
        }
        if group.begun_count() < parallel(step) {
            match group.next(now) {
                Ok((item, attempt)) => return begin(item, attempt),
                Err(due) => sooner(due),
            }
        }
        Next::Wait(until)
    }

    /// When the run's time is up. What follows a failure has the time that its steps have.
    fn deadline(&self) -> Option<Timestamp> {
        let timeout = self.plan.timeout.filter(|_| self.failing.is_none())?;
        let timeout = SignedDuration::try_from(timeout).unwrap_or(SignedDuration::MAX);
        Some(self.since.saturating_add(timeout).unwrap_or(Timestamp::MAX))
    }

    fn take(&mut self, event: Event) -> Result<(), &'static str> {
        if self.result.is_some() && event.kind != EventKind::RunResumed {
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
                self.since = event.at;
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
                connection,
                act_as,
            } => {
                let step = self.current().ok_or("all steps are over")?;
                let parallel = parallel(step);
                let group = self.group_of(&path)?;
                if group.begun_count() >= parallel {
                    return Err("more attempts are under way than the step allows");
                }
                let given = (input, connection, act_as);
                group.start(path.item, attempt, given, event.at)
            }
            EventKind::StepWaiting {
                path,
                attempt,
                wait,
            } => {
                let is_built_in = self.current().is_some_and(PlannedStep::is_built_in);
                let fits = match &wait.on {
                    WaitFor::SignIn { .. } => !is_built_in,
                    WaitFor::Retry { .. } => false,
                    _ => is_built_in,
                };
                if !fits {
                    return Err("such a step does not wait for that");
                }
                let at = event.at;
                self.group_of(&path)?.wait(path.item, attempt, wait, at)
            }
            EventKind::Signalled { id, signal } => {
                self.signals.take(id, signal, event.at);
                Ok(())
            }
            EventKind::SignedIn { account } => {
                if let Some(group) = &mut self.group {
                    group.sign_in(&account, event.at);
                }
                Ok(())
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
            } => {
                if let StepResult::Done(_) = result
                    && let Some(wait) = self.group_of(&path)?.wait_of(path.item).cloned()
                {
                    self.signals.use_up(&wait);
                }
                let group = self.group_of(&path)?;
                group.finish(path.item, attempt, result, event.at)
            }
            EventKind::RunFailing { path, failure } => self.fail(path, failure, event.at),
            EventKind::RunResumed => self.resume(event.at),
            EventKind::RunFinished { result } => self.end(result, event.at),
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
        EventKind::StepWaiting { .. } => "step-waiting",
        EventKind::Signalled { .. } => "signalled",
        EventKind::SignedIn { .. } => "signed-in",
        EventKind::RunFailing { .. } => "run-failing",
        EventKind::RunResumed => "run-resumed",
        EventKind::EffectIntended { .. } => "effect-intended",
        EventKind::EffectDone { .. } => "effect-done",
        EventKind::StepSkipped { .. } => "step-skipped",
        EventKind::StepFinished { .. } => "step-finished",
        EventKind::RunFinished { .. } => "run-finished",
    }
}

#[cfg(test)]
mod tests;
