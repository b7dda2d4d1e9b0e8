//! What an event of a trigger makes of a workflow's inputs.

use docket_model::{
    Failure, FailureClass, InputProblem, RunId, Trigger, TriggerKind, resolve_inputs,
};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::start::{ItemStart, UNFIT_INPUTS, UNREADABLE};
use super::{Armed, facts};
use crate::flow::Flow;
use crate::{EngineError, StoreError, TriggerItem, key};

/// Something that starts a run.
pub(super) struct Event {
    /// What it is known by, unique to its trigger; a moment of a schedule has none.
    key: Option<String>,
    at: Timestamp,
    /// What expressions see as `event`.
    value: Value,
    /// Why its source could not give all of it.
    failure: Option<Failure>,
}

impl Event {
    /// A moment of a schedule.
    pub(super) fn of_moment(trigger: &Trigger, at: Timestamp) -> Self {
        Self {
            key: None,
            at,
            value: Value::Object(facts(trigger, &at.to_string(), at)),
            failure: None,
        }
    }

    /// An item that a source gave.
    pub(super) fn of_item(trigger: &Trigger, key: String, at: Timestamp, item: Value) -> Self {
        let mut value = facts(trigger, &key, at);
        let said = item.get("failure").filter(|said| !said.is_null());
        let failure = said.map(unreadable);
        value.insert("item".to_owned(), item);
        Self {
            key: Some(key),
            at,
            value: Value::Object(value),
            failure,
        }
    }

    /// A request to a webhook.
    pub(super) fn of_request(trigger: &Trigger, id: &str, at: Timestamp, body: Value) -> Self {
        let mut value = facts(trigger, id, at);
        value.insert("body".to_owned(), body);
        Self {
            key: Some(id.to_owned()),
            at,
            value: Value::Object(value),
            failure: None,
        }
    }

    /// The inputs that it gives, not yet held against their types.
    pub(super) fn given(
        &self,
        flow: &Flow,
        trigger: &Trigger,
    ) -> Result<Map<String, Value>, Vec<InputProblem>> {
        match self.partly_given(flow, trigger) {
            (given, problems) if problems.is_empty() => Ok(given),
            (_, problems) => Err(problems),
        }
    }

    fn partly_given(
        &self,
        flow: &Flow,
        trigger: &Trigger,
    ) -> (Map<String, Value>, Vec<InputProblem>) {
        let mut given = Map::new();
        let mut problems = Vec::new();
        match &trigger.inputs {
            Some(inputs) => {
                for (name, template) in inputs {
                    match flow.of_event(template, &self.value) {
                        Ok(value) => {
                            given.insert(name.clone(), value);
                        }
                        Err(message) => problems.push(InputProblem {
                            name: name.clone(),
                            message: format!("the input `{name}`: {message}"),
                            help: None,
                        }),
                    }
                }
            }
            None if matches!(trigger.on, TriggerKind::Webhook) => match self.value.get("body") {
                Some(Value::Object(members)) => given.clone_from(members),
                _ => problems.push(InputProblem {
                    name: "event.body".to_owned(),
                    message: "the body is no JSON object".to_owned(),
                    help: Some("its members are the workflow's inputs".to_owned()),
                }),
            },
            None => {}
        }
        (given, problems)
    }

    /// It as an item to start, or to leave be. Where it yields no inputs, those that it does yield stand
    /// in the run, null in the place of the others, so that the steps of `on-error` can go by them. Where
    /// its source's `if` has no answer for it, it has such a run as well: nobody else would know of it.
    /// So has an item that its source could not give whole, which `if` is not asked about.
    pub(super) fn into_item(self, flow: &Flow, armed: &Armed) -> Result<TriggerItem, EngineError> {
        let plan = flow.plan();
        let run = self.run(&armed.name)?;
        let condition = match &armed.trigger.on {
            TriggerKind::Source(poll) => poll.condition.as_ref(),
            TriggerKind::Schedule(_) | TriggerKind::Webhook => None,
        };
        let condition = condition.filter(|_| self.failure.is_none());
        let spoilt = match condition.map(|condition| flow.starts(condition, &self.value)) {
            None | Some(Ok(true)) => self.failure.clone(),
            Some(Ok(false)) => {
                return Ok(TriggerItem {
                    key: self.key,
                    run,
                    start: ItemStart::Not,
                });
            }
            Some(Err(message)) => Some(unfit_condition(&message)),
        };
        let (mut given, mut problems) = self.partly_given(flow, &armed.trigger);
        for name in problems.iter().map(|problem| problem.name.clone()) {
            given.insert(name, Value::Null);
        }
        let mut unfit: Vec<String> = problems.iter().map(|one| one.name.clone()).collect();
        let inputs = match resolve_inputs(plan, given.clone()) {
            Ok(inputs) => inputs,
            Err(more) => {
                unfit.extend(more.iter().map(|one| one.name.clone()));
                let is_told =
                    |one: &InputProblem| problems.iter().any(|known| known.name == one.name);
                let more: Vec<_> = more.into_iter().filter(|one| !is_told(one)).collect();
                problems.extend(more);
                let mut partly = Map::new();
                for (name, spec) in &plan.inputs {
                    let value = given.remove(name).or_else(|| spec.default.clone());
                    let value = value.filter(|_| !unfit.contains(name));
                    partly.insert(name.clone(), value.unwrap_or_default());
                }
                Value::Object(partly)
            }
        };
        let unfit = || (!problems.is_empty()).then(|| unfit_inputs(&problems));
        let mut failure = spoilt.or_else(unfit);
        if failure.is_none()
            && let Err(of_group) = flow.group(&run, &inputs)
        {
            failure = Some(Failure {
                code: UNFIT_INPUTS.to_owned(),
                ..of_group
            });
        }
        let start = match failure {
            None => ItemStart::With(inputs),
            Some(failure) => ItemStart::Failed { inputs, failure },
        };
        Ok(TriggerItem {
            key: self.key,
            run,
            start,
        })
    }

    /// The id of its run. That of a schedule's moment is the same whenever it is made.
    fn run(&self, trigger: &str) -> Result<RunId, EngineError> {
        let moment = self.at.to_string();
        let known_by = self.key.as_deref().unwrap_or(&moment);
        let run = key::of_event(self.at, &[trigger, known_by]);
        Ok(run.map_err(|error| StoreError::Damaged(error.to_string()))?)
    }
}

/// What a source says of an item that it could not give whole.
fn unreadable(said: &Value) -> Failure {
    let of = |name: &str| said[name].as_str().unwrap_or_default();
    let (code, message) = (of("code"), of("message"));
    let message = format!("the source could not read the item: {message} ({code})");
    Failure::new(FailureClass::Unavailable, UNREADABLE, message)
        .with_remedy("look at it where it lies; start the workflow by hand once it can be read")
}

fn unfit_condition(message: &str) -> Failure {
    let message = format!("the trigger's `if` has no answer for its event: {message}");
    Failure::new(FailureClass::InvalidInput, UNFIT_INPUTS, message).with_remedy(
        "correct the trigger's `if`: ask with has(…) for what an item may lack; start this one by hand",
    )
}

fn unfit_inputs(problems: &[InputProblem]) -> Failure {
    let texts: Vec<&str> = problems.iter().map(|one| one.message.as_str()).collect();
    let failure = Failure::new(
        FailureClass::InvalidInput,
        UNFIT_INPUTS,
        format!("the trigger's event yields no inputs: {}", texts.join("; ")),
    );
    failure
        .with_remedy("correct the trigger's `inputs`, or let the workflow's steps do the choosing")
}
