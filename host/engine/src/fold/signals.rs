//! What a run was told from outside, and which waits are over by it.

use std::collections::{HashMap, HashSet, VecDeque};

use docket_model::{
    Failure, FailureClass, Signal, StepOutput, StepPath, StepResult, Wait, WaitFor,
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// What a run was told and no wait has used up.
#[derive(Default)]
pub(crate) struct Signals {
    seen: HashSet<String>,
    events: HashMap<String, VecDeque<Value>>,
    /// The first of each place.
    decisions: HashMap<StepPath, Value>,
}

impl Signals {
    /// Takes a signal, unless it came before.
    pub(crate) fn take(&mut self, id: String, signal: Signal, at: Timestamp) {
        if !self.seen.insert(id) {
            return;
        }
        match signal {
            Signal::Event { name, payload } => {
                self.events.entry(name).or_default().push_back(payload);
            }
            Signal::Decision {
                path,
                approved,
                by,
                comment,
            } => {
                let decision =
                    json!({"approved": approved, "by": by, "comment": comment, "at": at});
                self.decisions.entry(path).or_insert(decision);
            }
        }
    }

    /// How the wait of a place ends at `now`; `None` while it goes on.
    pub(crate) fn end_of(
        &self,
        path: &StepPath,
        wait: &Wait,
        now: Timestamp,
    ) -> Option<StepResult> {
        let is_due = wait.until.is_some_and(|until| until <= now);
        let late = |what: String| {
            is_due.then(|| {
                let failure = Failure::new(FailureClass::LimitExceeded, "deadline", what);
                failed(failure.with_remedy("give the step a later `deadline`, or resume the run"))
            })
        };
        match &wait.on {
            WaitFor::Timer => is_due.then(|| done(json!({"at": wait.until}))),
            WaitFor::Event { name } => match self.events.get(name).and_then(VecDeque::front) {
                Some(payload) => Some(done(payload.clone())),
                None => late(format!("the event `{name}` did not come in time")),
            },
            WaitFor::Approval { .. } => match self.decisions.get(path) {
                Some(decision) => Some(done(decision.clone())),
                None => late("nobody approved or rejected in time".to_owned()),
            },
            WaitFor::SignIn {
                account, failure, ..
            } => is_due.then(|| {
                let mut failure = failure.clone();
                failure.message = format!(
                    "{}; the run waited for a sign-in of {account}, and none came in time",
                    failure.message
                );
                failed(failure)
            }),
            WaitFor::Retry { .. } => None,
        }
    }

    /// Uses up what ended a wait well.
    pub(crate) fn use_up(&mut self, wait: &Wait) {
        if let WaitFor::Event { name } = &wait.on
            && let Some(payloads) = self.events.get_mut(name)
        {
            payloads.pop_front();
            if payloads.is_empty() {
                self.events.remove(name);
            }
        }
    }
}

fn done(value: Value) -> StepResult {
    StepResult::Done(StepOutput {
        value,
        cursor: None,
    })
}

fn failed(failure: Failure) -> StepResult {
    StepResult::Failed {
        failure,
        retry_at: None,
    }
}
